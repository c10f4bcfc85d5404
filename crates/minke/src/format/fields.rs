//! The placeholders of one row.

use std::ops::Index;

use serde_json::{Map, Value};

/// Names and values in the order they were given; a dozen at most, so they are searched one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// Sets a placeholder.
    pub(crate) fn insert(&mut self, name: &'static str, value: impl Into<Value>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value.into(),
            None => self.0.push((name, value.into())),
        }
    }

    /// The value of a placeholder.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// As an object, its keys sorted: Docker's rows are Go maps.
    pub(crate) fn into_sorted(mut self) -> Map<String, Value> {
        self.0.sort_unstable_by_key(|(name, _)| *name);
        self.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl FromIterator<(&'static str, Value)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'static str, Value)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

/// Panics where there is no such placeholder, as a map does.
impl Index<&str> for Fields {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        match self.get(name) {
            Some(value) => value,
            None => panic!("a row has no placeholder {name}"),
        }
    }
}
