//! Reading the JSON of a configuration: a mistake in it is reported with its field.
//!
//! The parser says where in the text it stopped, and `field_at` which field that is. Trackers that wrap
//! a deserializer give the same answer, but double the code of every type that is read, and the runtime is
//! loaded once for each container.

mod shape;

use minke_model::runtime_spec::{Process, Resources, Spec};
use serde::de::DeserializeOwned;

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A field's value.
    #[error("{field}")]
    Field {
        /// The field, as a path into the text: `process.user.uid`, `mounts[3]`.
        field: String,
        /// What is wrong with it.
        #[source]
        reason: serde_json::Error,
    },
    /// The text as a whole.
    #[error(transparent)]
    Text(serde_json::Error),
}

/// Reads a `config.json`.
///
/// # Errors
/// [`ConfigError`].
pub fn spec(text: &[u8]) -> Result<Spec, ConfigError> {
    parse(text, "")
}

/// Reads a process, as `exec --process` takes it.
///
/// # Errors
/// [`ConfigError`].
pub fn process(text: &[u8]) -> Result<Process, ConfigError> {
    parse(text, "process")
}

/// Reads limits, as `update --resources` takes them.
///
/// # Errors
/// [`ConfigError`].
pub fn resources(text: &[u8]) -> Result<Resources, ConfigError> {
    parse(text, "linux.resources")
}

/// Parses what is `part` of a configuration; the empty name is the whole.
fn parse<T: DeserializeOwned>(text: &[u8], part: &str) -> Result<T, ConfigError> {
    let parsed = serde_json::from_slice(text).and_then(|value| match shape::misplaced_list(text, part) {
        None => Ok(value),
        Some(at) => Err(expected_object(text, at)),
    });
    parsed.map_err(|reason| {
        let field = match reason.classify() {
            serde_json::error::Category::Data => field_at(text, offset(text, reason.line(), reason.column())),
            _ => String::new(),
        };
        match field.is_empty() {
            true => ConfigError::Text(reason),
            false => ConfigError::Field { field, reason },
        }
    })
}

/// The parser's own words, with the place of what is wrong in the form that it reads back.
fn expected_object(text: &[u8], at: usize) -> serde_json::Error {
    let line = text[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = at - text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    serde::de::Error::custom(format!("invalid type: sequence, expected a map at line {line} column {column}"))
}

/// How many bytes come before a place that the parser names: its columns count bytes, its lines from 1.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let before: usize =
        text.split_inclusive(|byte| *byte == b'\n').take(line.max(1) - 1).map(<[u8]>::len).sum();
    before + column
}

/// A step into a value.
enum Step {
    Key(String),
    Index(usize),
}

/// The path of the value that ends, or is being read, after `end` bytes of valid JSON.
fn field_at(text: &[u8], end: usize) -> String {
    let text = &text[..end.min(text.len())];
    let mut path: Vec<Step> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                let close = at + 1 + string_length(&text[at + 1..]);
                // A string is a key where a colon follows; the place is never between the two.
                let follows = text.get(close + 1..).unwrap_or_default().trim_ascii_start().first();
                if let (Some(b':'), Some(Step::Key(key))) = (follows, path.last_mut()) {
                    *key = String::from_utf8_lossy(&text[at + 1..close]).into_owned();
                }
                at = close;
            }
            b'{' => path.push(Step::Key(String::new())),
            b'[' => path.push(Step::Index(0)),
            b'}' | b']' => drop(path.pop()),
            b',' => {
                if let Some(Step::Index(index)) = path.last_mut() {
                    *index += 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    show(&path)
}

/// The length of a string's content, up to the quote that ends it (or to where the text ends).
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(text.len())
}

fn show(path: &[Step]) -> String {
    let mut shown = String::new();
    for step in path {
        match step {
            Step::Key(key) if key.is_empty() => {}
            Step::Key(key) if shown.is_empty() => shown.push_str(key),
            Step::Key(key) => shown.extend([".", key.as_str()]),
            Step::Index(index) => shown.push_str(&format!("[{index}]")),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let error = spec(text.as_bytes()).unwrap_err();
        match std::error::Error::source(&error) {
            Some(reason) => format!("{error}: {reason}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn a_wrong_value_is_reported_with_its_field() {
        for (text, field) in [
            (r#"{"ociVersion":1}"#, "ociVersion: invalid type"),
            (r#"{"process":{"args":["a"],"user":{"uid":"x"}}}"#, "process.user.uid: invalid type"),
            (r#"{"process":{"args":["a", 7]}}"#, "process.args[1]: invalid type"),
            (r#"{"process":{"args":"sh"}}"#, "process.args: invalid type"),
            (
                "{\n  \"process\": {\n    \"user\": {\"uid\" : -1, \"gid\": 0}\n}}",
                "process.user.uid: invalid value",
            ),
            (
                r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"none"}]}}"#,
                "linux.namespaces[1].type: unknown variant",
            ),
            (r#"{"annotations":{"a,{\"[":"b","c":[]}}"#, "annotations.c: invalid type"),
            (r#"{"mounts":[{"destination":"/ünï"},5]}"#, "mounts[1]: invalid type"),
        ] {
            assert!(fault(text).starts_with(field), "{text}: {}", fault(text));
        }
    }

    #[test]
    fn what_is_no_json_is_reported_with_its_line() {
        for text in ["", "{", "{} trailing", r#"{"process":{"args":["#] {
            assert!(fault(text).contains("line 1"), "{text}: {}", fault(text));
        }
    }
}
