//! An object of a request, in which what is empty is left out: an engine takes its own default there.

use serde::Serialize;
use serde_json::{Map, Value};

/// The fields so far.
#[derive(Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Sets a field, unless the value is empty, zero, false or null.
    pub(crate) fn set(&mut self, name: &str, value: impl Serialize) {
        // Texts, numbers, lists and maps with texts as keys always have a JSON form.
        let value = serde_json::to_value(value).unwrap_or_default();
        let empty = match &value {
            Value::Null => true,
            Value::Bool(flag) => !flag,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
        };
        if !empty {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// Sets a field to a value that counts also where it is empty, zero or false.
    pub(crate) fn given(&mut self, name: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        }
    }
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Self {
        Self::Object(fields.0)
    }
}
