//! Values without a type of their own: what stands under `x-` names, and what a project is rendered from.

/// One value of a document. The members of a map keep their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A number of single precision: it is written shorter.
    Single(f32),
    /// A text.
    Str(String),
    /// A list.
    Seq(Vec<Value>),
    /// Names and their values, in the order in which they are written.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The member of that name, where this is a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, where this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}
