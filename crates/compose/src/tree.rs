//! The tree of a YAML document, in which every node knows where it stands.
//!
//! The loader interpolates, extends, merges and checks trees; only what is left in the end becomes a
//! [`Project`](crate::model::Project). Every node keeps its place through all of that, so that an error in the merge of
//! three files still shows the one line that is wrong.

pub(crate) mod parse;
pub(crate) mod path;
pub(crate) mod scalar;

use std::collections::BTreeMap;

use crate::value::Value;

/// Where a node stands: the file's number and the line and column, both from 1. A line of 0 is nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// The names of a mapping and their nodes. YAML's order has no meaning in Compose; the names' order gives the same
/// result everywhere.
pub(crate) type Map = BTreeMap<String, Node>;

/// What a node is.
#[derive(Debug, Clone, Default)]
pub(crate) enum Content {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Seq(Vec<Node>),
    Map(Map),
}

/// The tags that Compose gives a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tag {
    #[default]
    None,
    /// `!reset`: what other files say about this is gone.
    Reset,
    /// `!override`: this takes the place of what other files say, and isn't merged with it.
    Override,
}

/// A node of the tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) content: Content,
    /// Where its value begins.
    pub(crate) at: Position,
    /// Where its name in the mapping around it begins; nowhere for what has none.
    pub(crate) name_at: Position,
    pub(crate) tag: Tag,
}

impl Node {
    pub(crate) fn new(content: Content, at: Position) -> Self {
        Self { content, at, ..Self::default() }
    }

    /// The same place with another content.
    pub(crate) fn with(&self, content: Content) -> Self {
        Self { content, at: self.at, name_at: self.name_at, tag: Tag::None }
    }

    /// A text in the same place.
    pub(crate) fn text(&self, text: impl Into<String>) -> Self {
        self.with(Content::Str(text.into()))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.content {
            Content::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.content {
            Content::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_seq(&self) -> Option<&[Self]> {
        match &self.content {
            Content::Seq(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// The member of that name, where this is a mapping with one.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.as_map()?.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.as_map_mut()?.get_mut(name)
    }

    /// The text of the member of that name.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Where an error about this node points: to its name where it has one.
    pub(crate) fn place(&self) -> Position {
        if self.name_at.line > 0 { self.name_at } else { self.at }
    }

    /// The word for what it is.
    pub(crate) fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "null",
            Content::Bool(_) => "a boolean",
            Content::Int(_) | Content::Float(_) => "a number",
            Content::Str(_) => "a string",
            Content::Seq(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }

    /// A scalar as the text that it becomes where texts are expected.
    pub(crate) fn to_text(&self) -> Option<String> {
        Some(match &self.content {
            Content::Str(text) => text.clone(),
            Content::Bool(value) => value.to_string(),
            Content::Int(value) => value.to_string(),
            Content::Float(value) => crate::render::number::general(*value),
            Content::Null | Content::Seq(_) | Content::Map(_) => return None,
        })
    }

    /// The same without places.
    pub(crate) fn to_value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Int(value) => Value::Int(*value),
            Content::Float(value) => Value::Float(*value),
            Content::Str(text) => Value::Str(text.clone()),
            Content::Seq(items) => Value::Seq(items.iter().map(Self::to_value).collect()),
            Content::Map(map) => {
                Value::Map(map.iter().map(|(name, node)| (name.clone(), node.to_value())).collect())
            }
        }
    }
}

/// A mapping of texts in the place of a short form.
pub(crate) fn mapping<const N: usize>(origin: &Node, members: [(&str, Content); N]) -> Node {
    let members = members.into_iter().map(|(name, content)| (name.to_owned(), origin.with(content)));
    origin.with(Content::Map(members.collect()))
}
