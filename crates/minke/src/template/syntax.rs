//! The syntax tree of a template.

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

/// Whether any operand takes the field `name`.
pub(super) fn mentions(nodes: &[Node], name: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Action(pipeline) => pipeline_mentions(pipeline, name),
        Node::Block(block) => {
            pipeline_mentions(&block.pipeline, name)
                || mentions(&block.body, name)
                || mentions(&block.otherwise, name)
        }
    })
}

fn pipeline_mentions(pipeline: &Pipeline, name: &str) -> bool {
    pipeline.commands.iter().flat_map(|command| &command.operands).any(|operand| {
        let inner = match &operand.base {
            Base::Parenthesized(inner) => pipeline_mentions(inner, name),
            // `{{json .}}` shows every field, and a bare dot may.
            Base::Dot => operand.fields.is_empty(),
            _ => false,
        };
        inner || operand.fields.iter().any(|field| field == name)
    })
}
