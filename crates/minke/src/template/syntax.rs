//! The syntax tree of a template.

use std::collections::BTreeSet;

use serde_json::Value;

/// One piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// Copied as it is.
    Text(String),
    /// `{{pipeline}}`: its value is printed unless it declares a variable.
    Action(Pipeline),
    /// `{{if}}`, `{{with}}` or `{{range}}`, up to its `{{end}}`.
    Block(Block),
}

impl Node {
    /// The name, where the node is `{{.Name}}`.
    pub(super) fn plain_field(&self) -> Option<&str> {
        let Self::Action(Pipeline { variables, commands, .. }) = self else { return None };
        let ([], [Command { operands }]) = (variables.as_slice(), commands.as_slice()) else { return None };
        let [Operand { base: Base::Dot, fields }] = operands.as_slice() else { return None };
        let [field] = fields.as_slice() else { return None };
        Some(field)
    }
}

/// Which of the three blocks it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    If,
    With,
    Range,
}

/// A block; `{{else if}}` and `{{else with}}` are a block alone in `otherwise`.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    pub(super) pipeline: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$a, $b := command | command`.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// Variable names without `$`; at most two.
    pub(super) variables: Vec<String>,
    /// `:=` makes new variables, `=` changes present ones.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
    /// Line in the template, for errors.
    pub(super) line: usize,
}

/// An operand, or a function or method with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

/// What stands first, and the fields taken of it: `(index .a 0).b.c`.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

/// What an operand starts with.
#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Function(String),
    Parenthesized(Box<Pipeline>),
}

/// The fields that any operand takes; `None` where a whole value is shown.
pub(super) fn fields(nodes: &[Node]) -> Option<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    collect(nodes, &mut found).then_some(found)
}

/// Whether the fields found are all that is shown.
fn collect(nodes: &[Node], found: &mut BTreeSet<String>) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(_) => true,
        Node::Action(pipeline) => collect_from(pipeline, found),
        Node::Block(block) => {
            collect_from(&block.pipeline, found)
                && collect(&block.body, found)
                && collect(&block.otherwise, found)
        }
    })
}

fn collect_from(pipeline: &Pipeline, found: &mut BTreeSet<String>) -> bool {
    pipeline.commands.iter().flat_map(|command| &command.operands).all(|operand| {
        found.extend(operand.fields.iter().cloned());
        match &operand.base {
            Base::Parenthesized(inner) => collect_from(inner, found),
            // `{{json .}}` shows every field, and a bare dot may.
            Base::Dot => !operand.fields.is_empty(),
            _ => true,
        }
    })
}
