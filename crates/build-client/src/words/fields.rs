//! `type=local,dest=out`: fields as a line of CSV (RFC 4180), each `KEY=VALUE`.

use super::WordError;

/// The fields of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Option<String>)>);

impl Fields {
    /// The value of a field, the last one's if there are several; empty without.
    pub fn text(&self, key: &str) -> &str {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.and_then(|(_, value)| value.as_deref()).unwrap_or_default()
    }

    /// All of them; a field without `=` has no value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }
}

/// Reads a line; keys in lower case.
///
/// # Errors
/// For a quote that isn't closed.
pub fn fields(what: &'static str, text: &str) -> Result<Fields, WordError> {
    let split = split(text).ok_or_else(|| WordError::new(what, text, "a quote is not closed"))?;
    let field = |field: String| match field.split_once('=') {
        Some((key, value)) => (key.trim().to_lowercase(), Some(value.to_owned())),
        None => (field.trim().to_owned(), None),
    };
    Ok(Fields(split.into_iter().map(field).collect()))
}

fn split(text: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = characters.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_at_commas_outside_of_quotes() {
        let read = fields("x", "Type=local,\"dest=a,\"\"b\"\"\",flag").unwrap();
        assert_eq!((read.text("type"), read.text("dest"), read.text("none")), ("local", "a,\"b\"", ""));
        assert_eq!(read.iter().last(), Some(("flag", None)));
        assert!(fields("x", "\"a").is_err());
    }
}
