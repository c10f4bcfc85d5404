//! One table for each object of the specification: its attributes' names, types and documentation.
//!
//! The table gives the type itself, its reading from a loaded tree, and its writing. How a value is left out when it is
//! empty follows what `docker compose` prints, since the hash of a service is over that text.

use std::collections::BTreeMap;

use super::{Extensions, Mapping};
use crate::{
    load::error::Fault,
    render::natural,
    tree::{Content, Node, path::Path},
    value::Value,
};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For the hash and `--format json`: without `x-` names, with objects that are part of another even if empty.
    Json,
    /// For people: without whatever is empty.
    Yaml,
}

/// What an attribute's value can be read from and written to.
pub(crate) trait Attribute: Sized {
    /// Reads the value of a node of the canonical tree.
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault>;

    /// The value to write; `None` where the attribute is left out.
    fn write(&self, form: Form) -> Option<Value>;

    /// The value to write in a list, where nothing is left out.
    fn item(&self, form: Form) -> Value {
        self.write(form).unwrap_or_default()
    }
}

/// An error about a node's type.
pub(crate) fn wrong<T>(node: &Node, path: &Path, expected: &str) -> Result<T, Fault> {
    Err(Fault::new(node.at, path, format!("must be {expected}, not {}", node.kind())))
}

/// Declares an object of the specification.
///
/// An attribute is `name: Type`, or `field as "name": Type` where its name is no Rust name. After `beside` stand
/// members that no file has.
macro_rules! attributes {
    (
        $(#[$about:meta])*
        pub struct $object:ident {
            $( $(#[$doc:meta])* $field:ident $(as $name:literal)? : $kind:ty ),* $(,)?
        }
        $(beside { $( $(#[$beside_doc:meta])* $beside:ident : $beside_kind:ty ),* $(,)? })?
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $object {
            $( $(#[$doc])* pub $field: $kind, )*
            $( $( $(#[$beside_doc])* pub $beside: $beside_kind, )* )?
            /// What stands under names that begin with `x-`.
            pub extensions: $crate::model::Extensions,
        }

        impl $crate::model::attribute::Attribute for $object {
            fn read(
                node: &$crate::tree::Node,
                path: &mut $crate::tree::path::Path,
            ) -> Result<Self, $crate::load::error::Fault> {
                let map = $crate::model::attribute::members(node, path)?;
                let mut object = Self::default();
                $( $crate::model::attribute::member(
                    map,
                    path,
                    $crate::model::attribute::attributes!(@name $field $($name)?),
                    &mut object.$field,
                )?; )*
                object.extensions = $crate::model::attribute::extensions(map);
                Ok(object)
            }

            fn write(
                &self,
                form: $crate::model::attribute::Form,
            ) -> Option<$crate::value::Value> {
                let mut members = Vec::new();
                $( if let Some(value) = $crate::model::attribute::Attribute::write(&self.$field, form) {
                    members.push((
                        $crate::model::attribute::attributes!(@name $field $($name)?).to_owned(),
                        value,
                    ));
                } )*
                $crate::model::attribute::close(members, &self.extensions, form)
            }

            fn item(
                &self,
                form: $crate::model::attribute::Form,
            ) -> $crate::value::Value {
                $crate::model::attribute::Attribute::write(self, form)
                    .unwrap_or($crate::value::Value::Map(Vec::new()))
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
}

pub(crate) use attributes;

/// The members of an object; one that is null has none.
pub(crate) fn members<'a>(node: &'a Node, path: &Path) -> Result<&'a BTreeMap<String, Node>, Fault> {
    static NONE: BTreeMap<String, Node> = BTreeMap::new();
    match &node.content {
        Content::Map(map) => Ok(map),
        Content::Null => Ok(&NONE),
        _ => wrong(node, path, "a mapping"),
    }
}

/// Reads one member into its field, which keeps its default without it.
pub(crate) fn member<T: Attribute>(
    map: &BTreeMap<String, Node>,
    path: &mut Path,
    name: &str,
    field: &mut T,
) -> Result<(), Fault> {
    if let Some(node) = map.get(name) {
        *field = path.within(name, |path| T::read(node, path))?;
    }
    Ok(())
}

/// What stands under `x-` names.
pub(crate) fn extensions(map: &BTreeMap<String, Node>) -> Extensions {
    let own = map.iter().filter(|(name, _)| name.starts_with("x-"));
    own.map(|(name, node)| (name.clone(), node.to_value())).collect()
}

/// An object of the written members: JSON keeps an empty one, YAML leaves it out.
pub(crate) fn close(mut members: Vec<(String, Value)>, extensions: &Extensions, form: Form) -> Option<Value> {
    if form == Form::Yaml {
        members.extend(sorted(extensions.iter().map(|(name, value)| (name.clone(), yaml_order(value)))));
        if members.is_empty() {
            return None;
        }
    }
    Some(Value::Map(members))
}

/// Names in the order of YAML's writer.
fn sorted(members: impl Iterator<Item = (String, Value)>) -> Vec<(String, Value)> {
    let mut members: Vec<_> = members.collect();
    members.sort_by(|(a, _), (b, _)| natural::compare(a, b));
    members
}

/// The same value with the names of its maps in the order of YAML's writer.
pub(crate) fn yaml_order(value: &Value) -> Value {
    match value {
        Value::Map(map) => {
            Value::Map(sorted(map.iter().map(|(name, value)| (name.clone(), yaml_order(value)))))
        }
        Value::Seq(items) => Value::Seq(items.iter().map(yaml_order).collect()),
        other => other.clone(),
    }
}

/// A map to write, in the form's order.
pub(crate) fn write_map<'a, T: 'a>(
    map: impl Iterator<Item = (&'a String, &'a T)>,
    form: Form,
    write: impl Fn(&T) -> Value,
) -> Value {
    let members = map.map(|(name, value)| (name.clone(), write(value)));
    Value::Map(if form == Form::Yaml { sorted(members) } else { members.collect() })
}

impl Attribute for String {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Null => Ok(Self::new()),
            _ => node.to_text().map_or_else(|| wrong(node, path, "a string"), Ok),
        }
    }

    fn write(&self, _: Form) -> Option<Value> {
        (!self.is_empty()).then(|| Value::Str(self.clone()))
    }

    fn item(&self, _: Form) -> Value {
        Value::Str(self.clone())
    }
}

impl Attribute for bool {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Bool(value) => Ok(*value),
            Content::Null => Ok(false),
            Content::Str(text) => {
                boolean(text).ok_or_else(|| Fault::new(node.at, path, format!("invalid boolean: {text}")))
            }
            _ => wrong(node, path, "a boolean"),
        }
    }

    fn write(&self, _: Form) -> Option<Value> {
        self.then_some(Value::Bool(true))
    }
}

/// A text that stands for a boolean.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "y" | "yes" | "on" => Some(true),
        "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A whole number of a node.
pub(crate) fn integer(node: &Node, path: &Path) -> Result<i64, Fault> {
    match &node.content {
        Content::Int(value) => Ok(*value),
        Content::Null => Ok(0),
        #[expect(clippy::cast_possible_truncation, reason = "the fraction is 0 and the range was compared")]
        Content::Float(value) if value.fract() == 0.0 && value.abs() < 9e18 => Ok(*value as i64),
        Content::Str(text) => {
            text.parse().map_err(|_| Fault::new(node.at, path, format!("invalid integer: {text:?}")))
        }
        _ => wrong(node, path, "an integer"),
    }
}

macro_rules! integers {
    ($($kind:ty),*) => { $(
        impl Attribute for $kind {
            fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
                let value = integer(node, path)?;
                Self::try_from(value).map_err(|_| Fault::new(node.at, path, format!("{value} is out of range")))
            }

            fn write(&self, _: Form) -> Option<Value> {
                (*self != 0).then(|| self.item(Form::Json))
            }

            fn item(&self, _: Form) -> Value {
                Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }
    )* };
}

integers!(i64, u64, u32, u16);

impl Attribute for f32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "single precision is asked for"
    )]
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Int(value) => Ok(*value as Self),
            Content::Float(value) => Ok(*value as Self),
            Content::Null => Ok(0.0),
            Content::Str(text) => text
                .trim()
                .parse()
                .map_err(|_| Fault::new(node.at, path, format!("invalid number: {text:?}"))),
            _ => wrong(node, path, "a number"),
        }
    }

    fn write(&self, _: Form) -> Option<Value> {
        (*self != 0.0).then_some(Value::Single(*self))
    }
}

/// What may be absent is written whenever it is there, even if it is 0 or has no members.
macro_rules! optional {
    ($($kind:ty),*) => { $(
        impl Attribute for Option<$kind> {
            fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
                if node.is_null() { Ok(None) } else { <$kind>::read(node, path).map(Some) }
            }

            fn write(&self, form: Form) -> Option<Value> {
                self.as_ref().map(|value| value.item(form))
            }
        }
    )* };
}

optional!(
    i64,
    u64,
    super::Duration,
    super::FileMode,
    super::Build,
    super::Develop,
    super::Blkio,
    super::CredentialSpec,
    super::Deploy,
    super::Extends,
    super::Provider,
    super::Healthcheck,
    super::Logging,
    super::UpdateConfig,
    super::Resource,
    super::RestartPolicy,
    super::DiscreteResource,
    super::BindOptions,
    super::VolumeOptions,
    super::TmpfsOptions,
    super::ImageOptions,
    super::ServiceNetwork,
    super::ServiceModel
);

impl Attribute for Option<bool> {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        if node.is_null() { Ok(None) } else { bool::read(node, path).map(Some) }
    }

    fn write(&self, _: Form) -> Option<Value> {
        self.map(Value::Bool)
    }
}

/// A command: a text is split as a shell would, an empty one is a command of no words, and null is none. JSON has it always.
impl Attribute for Option<Vec<String>> {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Null => Ok(None),
            Content::Str(text) => match crate::load::words::split(text) {
                Ok(words) => Ok(Some(words)),
                Err(error) => Err(Fault::new(node.at, path, error.to_string())),
            },
            _ => Vec::read(node, path).map(Some),
        }
    }

    fn write(&self, form: Form) -> Option<Value> {
        match self {
            Some(words) => Some(Value::Seq(words.iter().map(|word| word.item(form)).collect())),
            None => (form == Form::Json).then_some(Value::Null),
        }
    }
}

impl<T: Attribute> Attribute for Vec<T> {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        match &node.content {
            Content::Null => Ok(Self::new()),
            Content::Seq(items) => {
                let read = |(index, item)| path.item(index, |path| T::read(item, path));
                items.iter().enumerate().map(read).collect()
            }
            Content::Str(_) => Ok(vec![T::read(node, path)?]),
            _ => wrong(node, path, "a list"),
        }
    }

    fn write(&self, form: Form) -> Option<Value> {
        (!self.is_empty()).then(|| Value::Seq(self.iter().map(|item| item.item(form)).collect()))
    }
}

/// A map of names that the user chooses.
macro_rules! maps {
    ($($kind:ty),*) => { $(
        impl Attribute for BTreeMap<String, $kind> {
            fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
                let members = members(node, path)?.iter();
                let read = |(name, node): (&String, &Node)| {
                    path.within(name, |path| <$kind>::read(node, path)).map(|value| (name.clone(), value))
                };
                members.map(read).collect()
            }

            fn write(&self, form: Form) -> Option<Value> {
                (!self.is_empty()).then(|| write_map(self.iter(), form, |value| value.item(form)))
            }
        }
    )* };
}

maps!(
    super::Dependency,
    super::Ulimit,
    Option<super::ServiceNetwork>,
    Option<super::ServiceModel>,
    super::Service,
    super::Network,
    super::Volume,
    super::Secret,
    super::Config,
    super::Model
);

/// Names and texts: a mapping, or a list of `NAME=TEXT`. What has no text has an empty one.
impl Attribute for Mapping {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        let pairs = pairs(node, path)?;
        Ok(pairs.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect())
    }

    fn write(&self, form: Form) -> Option<Value> {
        (!self.is_empty()).then(|| write_map(self.iter(), form, |text| Value::Str(text.clone())))
    }
}

/// Names and texts: a mapping, or a list of `NAME=TEXT`. What has no text has none.
impl Attribute for super::Environment {
    fn read(node: &Node, path: &mut Path) -> Result<Self, Fault> {
        let pairs = pairs(node, path)?;
        if let Some((name, _)) = pairs.iter().find(|(name, _)| name.ends_with(char::is_whitespace)) {
            let message = format!("environment variable {name} is declared with a trailing space");
            return Err(Fault::new(node.at, path, message));
        }
        Ok(pairs.into_iter().collect())
    }

    fn write(&self, form: Form) -> Option<Value> {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Str);
        (!self.is_empty()).then(|| write_map(self.iter(), form, text))
    }
}

fn pairs(node: &Node, path: &mut Path) -> Result<Vec<(String, Option<String>)>, Fault> {
    let text = |node: &Node, path: &Path| match &node.content {
        Content::Null => Ok(None),
        _ => node.to_text().map_or_else(
            || wrong(node, path, "a string, a number, a boolean or null"),
            |text| Ok(Some(text)),
        ),
    };
    match &node.content {
        Content::Null => Ok(Vec::new()),
        Content::Map(map) => map
            .iter()
            .map(|(name, node)| Ok((name.clone(), path.within(name, |path| text(node, path))?)))
            .collect(),
        Content::Seq(items) => {
            let pair = |(index, item): (usize, &Node)| {
                let line = path.item(index, |path| text(item, path))?.unwrap_or_default();
                Ok(match line.split_once('=') {
                    Some((name, text)) => (name.to_owned(), Some(text.to_owned())),
                    None => (line, None),
                })
            };
            items.iter().enumerate().map(pair).collect()
        }
        _ => wrong(node, path, "a mapping or a list"),
    }
}
