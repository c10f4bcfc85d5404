//! From YAML to trees: anchors and aliases, merge keys and the tags of Compose, within limits.
//!
//! The parser gives events with positions. What it doesn't do is here: duplicate names are refused, aliases are
//! expanded against a budget (a few lines of aliases to aliases would be gigabytes), and nesting has an end.

use std::collections::{BTreeMap, HashMap};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag as YamlTag};

use super::{Content, Map, Node, Position, Tag, scalar};

/// More than any Compose file needs; what is longer is not one.
pub(crate) const LARGEST_FILE: usize = 4 << 20;
/// Nodes of one file with its aliases expanded.
const MOST_NODES: usize = 500_000;
/// How deep collections may be in each other, with aliases expanded.
const DEEPEST: usize = 100;
/// YAML's name for "what that mapping says as well".
const MERGE: &str = "<<";

/// What is wrong with a document, and where.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) at: Position,
    pub(crate) message: String,
}

/// The documents of a file; a file of nothing but comments has none.
pub(crate) fn documents(text: &str, file: u32) -> Result<Vec<Node>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        file,
        anchors: HashMap::new(),
        nodes: 0,
        last: Position::default(),
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::DocumentStart(..) => {
                reader.anchors.clear();
                let first = reader.expect_next()?;
                documents.push(reader.node(first, 0)?);
            }
            Event::StreamEnd => break,
            _ => reader.last = reader.position(span),
        }
    }
    Ok(documents)
}

/// What an anchor names.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    file: u32,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    last: Position,
}

type Located<'a> = (Event<'a>, Span);

impl<'a> Reader<'a> {
    fn position(&self, span: Span) -> Position {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Position { file: self.file, line: number(span.start.line()), column: number(span.start.col() + 1) }
    }

    fn refuse<T>(&self, at: Position, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { at, message: message.into() })
    }

    fn next(&mut self) -> Result<Option<Located<'a>>, SyntaxError> {
        self.events.next_event().transpose().map_err(|error| self.scan_error(&error))
    }

    fn expect_next(&mut self) -> Result<Located<'a>, SyntaxError> {
        match self.next()? {
            Some(event) => Ok(event),
            None => self.refuse(self.last, "the document ends in the middle"),
        }
    }

    fn scan_error(&self, error: &ScanError) -> SyntaxError {
        let mark = error.marker();
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let at =
            Position { file: self.file, line: number(mark.line()).max(1), column: number(mark.col() + 1) };
        SyntaxError { at, message: error.info() }
    }

    /// The node that begins with an event, `depth` collections deep.
    fn node(&mut self, (event, span): Located<'a>, depth: usize) -> Result<Node, SyntaxError> {
        let at = self.position(span);
        self.last = at;
        let before = self.nodes;
        self.count(1, at)?;
        if depth > DEEPEST {
            return self.refuse(at, format!("more than {DEEPEST} levels deep"));
        }
        let (mut node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), at)?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                (Node { tag: compose_tag(tag.as_deref()), ..self.sequence(at, depth)? }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                (Node { tag: compose_tag(tag.as_deref()), ..self.mapping(at, depth)? }, anchor)
            }
            Event::Alias(id) => return self.alias(id, at, depth),
            _ => return self.refuse(at, "unexpected end of a collection"),
        };
        node.at = at;
        if anchor > 0 {
            let anchored = Anchored { depth: height(&node), nodes: self.nodes - before, node: node.clone() };
            self.anchors.insert(anchor, anchored);
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, at: Position) -> Result<(), SyntaxError> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MOST_NODES {
            return self.refuse(at, format!("more than {MOST_NODES} values, with aliases expanded"));
        }
        Ok(())
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&YamlTag>,
        at: Position,
    ) -> Result<Node, SyntaxError> {
        let content = match tag {
            Some(tag) => match scalar::tagged(text, tag) {
                Some(content) => content,
                None => return self.refuse(at, format!("{text:?} is no {}", tag.original())),
            },
            None if style == ScalarStyle::Plain => scalar::plain(text),
            None => Content::Str(text.to_owned()),
        };
        Ok(Node { tag: compose_tag(tag), ..Node::new(content, at) })
    }

    /// The target's values stay where they stand: an error in one points to the line that is to be mended.
    fn alias(&mut self, id: usize, at: Position, depth: usize) -> Result<Node, SyntaxError> {
        let Some(target) = self.anchors.get(&id) else {
            return self.refuse(at, "this alias stands inside of what it refers to");
        };
        let (nodes, height) = (target.nodes, target.depth);
        if depth + height > DEEPEST {
            return self.refuse(at, format!("more than {DEEPEST} levels deep"));
        }
        self.count(nodes, at)?;
        Ok(self.anchors[&id].node.clone())
    }

    fn sequence(&mut self, at: Position, depth: usize) -> Result<Node, SyntaxError> {
        let mut items = Vec::new();
        loop {
            match self.expect_next()? {
                (Event::SequenceEnd, _) => return Ok(Node::new(Content::Seq(items), at)),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, at: Position, depth: usize) -> Result<Node, SyntaxError> {
        let mut map = Map::new();
        let mut merged = None;
        loop {
            let (event, span) = self.expect_next()?;
            if event == Event::MappingEnd {
                break;
            }
            let name_at = self.position(span);
            let name = self.node((event, span), depth + 1)?;
            let value = self.expect_next()?;
            let value = self.node(value, depth + 1)?;
            let Content::Str(name) = name.content else {
                return self.refuse(name_at, format!("a name must be a string, not {}", name.kind()));
            };
            if name == MERGE {
                if merged.replace((value, name_at)).is_some() {
                    return self.refuse(name_at, "`<<` stands here already; give it a list");
                }
            } else if let Some(first) = map.get(&name) {
                let line = first.name_at.line;
                return self.refuse(name_at, format!("mapping key {name:?} already defined at line {line}"));
            } else {
                map.insert(name, Node { name_at, ..value });
            }
        }
        if let Some((value, at)) = merged {
            self.merge(&mut map, value, at)?;
        }
        Ok(Node::new(Content::Map(map), at))
    }

    /// `<<`: the members of a mapping, or of several of which the first wins, where this one has none of the name.
    fn merge(&self, map: &mut Map, value: Node, at: Position) -> Result<(), SyntaxError> {
        let sources = match value.content {
            Content::Map(source) => vec![source],
            Content::Seq(items) => items
                .into_iter()
                .map(|item| match item.content {
                    Content::Map(source) => Ok(source),
                    _ => self.refuse(item.at, "`<<` takes mappings"),
                })
                .collect::<Result<_, _>>()?,
            _ => return self.refuse(at, "`<<` takes a mapping or a list of mappings"),
        };
        for source in sources {
            for (name, node) in source {
                map.entry(name).or_insert(node);
            }
        }
        Ok(())
    }
}

fn compose_tag(tag: Option<&YamlTag>) -> Tag {
    match tag.map(YamlTag::parts) {
        Some(("!", "reset")) => Tag::Reset,
        Some(("!", "override")) => Tag::Override,
        _ => Tag::None,
    }
}

/// How many collections are in each other.
fn height(node: &Node) -> usize {
    match &node.content {
        Content::Seq(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Content::Map(map) => 1 + BTreeMap::values(map).map(height).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Node {
        documents(text, 0).unwrap().pop().unwrap()
    }

    fn refusal(text: &str) -> (u32, u32, String) {
        let error = documents(text, 0).unwrap_err();
        (error.at.line, error.at.column, error.message)
    }

    #[test]
    fn names_and_values_know_where_they_stand() {
        let node = only("a:\n  b: 1\n  c:\n    - x\n");
        let b = node.get("a").unwrap().get("b").unwrap();
        assert_eq!((b.name_at.line, b.name_at.column, b.at.line, b.at.column), (2, 3, 2, 6));
        let x = &node.get("a").unwrap().get("c").unwrap().as_seq().unwrap()[0];
        assert_eq!((x.at.line, x.at.column, x.name_at.line), (4, 7, 0));
    }

    #[test]
    fn a_merge_key_gives_only_what_is_missing() {
        let node = only("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\n");
        let c = node.get("c").unwrap().to_value();
        let number = |name| c.get(name).cloned();
        assert_eq!(number("x"), Some(Value::Int(3)));
        assert_eq!(number("y"), Some(Value::Int(1)));
        assert_eq!(number("z"), Some(Value::Int(2)));
    }

    #[test]
    fn tags_of_compose_are_kept() {
        let node = only("a: !reset null\nb: !override [1]\nc: !reset {}\nd: !other 5\n");
        let tag = |name| node.get(name).unwrap().tag;
        assert_eq!(
            (tag("a"), tag("b"), tag("c"), tag("d")),
            (Tag::Reset, Tag::Override, Tag::Reset, Tag::None)
        );
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_with_both_lines() {
        let (line, column, message) = refusal("a: 1\nb: 2\na: 3\n");
        assert_eq!((line, column), (3, 1));
        assert_eq!(message, "mapping key \"a\" already defined at line 1");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
        }
        assert_eq!(refusal(&text).2, "more than 500000 values, with aliases expanded");
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(documents(&"[".repeat(20_000), 0).is_err());
        assert_eq!(refusal(&"a: {".repeat(150)).2, "more than 100 levels deep");
    }

    #[test]
    fn an_alias_inside_its_own_anchor_is_refused() {
        assert!(documents("a: &a\n  b: *a\n", 0).is_err());
    }

    use crate::value::Value;
}
