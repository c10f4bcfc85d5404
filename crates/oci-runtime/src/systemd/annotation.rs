//! Properties that the bundle's author sets by annotation: `org.systemd.property.NAME`, with a value in
//! GVariant's text format.

use std::collections::BTreeMap;

use super::wire::{Property, Value};

const PREFIX: &str = "org.systemd.property.";

/// The properties among `annotations`; the error names the annotation.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, String> {
    let given = annotations.iter().filter_map(|(key, text)| Some((key, key.strip_prefix(PREFIX)?, text)));
    given
        .map(|(key, name, text)| {
            let letters = name.len() >= 3 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
            let value = parse(text.trim()).filter(|_| letters);
            let (name, value) = value
                .and_then(|value| in_microseconds(name, value))
                .ok_or_else(|| format!("annotations[{key:?}]: {text:?} is no value of a property"))?;
            Ok((name, value))
        })
        .collect()
}

/// `TimeoutStopSec` is only spelt so in files; the property counts microseconds.
fn in_microseconds(name: &str, value: Value) -> Option<Property> {
    let Some(stem) = name.strip_suffix("Sec").filter(|_| !name.ends_with("USec")) else {
        return Some((name.to_owned(), value));
    };
    let seconds = match value {
        Value::I32(seconds) => u64::try_from(seconds).ok()?,
        Value::I64(seconds) => u64::try_from(seconds).ok()?,
        Value::U32(seconds) => seconds.into(),
        Value::U64(seconds) => seconds,
        _ => return None,
    };
    Some((format!("{stem}USec"), Value::U64(seconds.saturating_mul(1_000_000))))
}

/// A boolean, a number with or without its type, a string, a list of strings.
fn parse(text: &str) -> Option<Value> {
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some(list) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return strings(list).map(Value::Texts);
    }
    if let Some((kind, number)) = text.split_once(' ') {
        let number = number.trim();
        return match kind {
            "uint64" => number.parse().ok().map(Value::U64),
            "uint32" => number.parse().ok().map(Value::U32),
            "int64" => number.parse().ok().map(Value::I64),
            "int32" => number.parse().ok().map(Value::I32),
            _ => string(text).filter(|(_, rest)| rest.is_empty()).map(|(text, _)| Value::Text(text)),
        };
    }
    match text.parse() {
        Ok(number) => Some(Value::I32(number)),
        Err(_) => string(text).filter(|(_, rest)| rest.is_empty()).map(|(text, _)| Value::Text(text)),
    }
}

fn strings(list: &str) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (text, after) = string(rest)?;
        texts.push(text);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => "",
            None => return None,
        };
    }
    Some(texts)
}

/// A quoted string at the beginning, and what follows it.
fn string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let mut content = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => content.push(characters.next()?.1),
            _ if character == quote => return Some((content, &text[at + 1..])),
            _ => content.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Option<Property> {
        let annotations = BTreeMap::from([(format!("{PREFIX}{name}"), text.to_owned())]);
        properties(&annotations).ok().map(|mut all| all.remove(0))
    }

    #[test]
    fn values_are_read_as_managers_write_them() {
        let property = |name: &str, value| Some((name.to_owned(), value));
        assert_eq!(
            one("TimeoutStopUSec", "uint64 10000000"),
            property("TimeoutStopUSec", Value::U64(10_000_000))
        );
        assert_eq!(one("TimeoutStopSec", "3"), property("TimeoutStopUSec", Value::U64(3_000_000)));
        assert_eq!(one("DefaultDependencies", "true"), property("DefaultDependencies", Value::Bool(true)));
        let text = Value::Text("inactive-or-failed".into());
        assert_eq!(one("CollectMode", "'inactive-or-failed'"), property("CollectMode", text));
        let list = Value::Texts(vec!["a.service".into(), "b's".into()]);
        assert_eq!(one("After", "['a.service', \"b's\"]"), property("After", list));
        for bad in ["x", "'x", "['x' 'y']", "uint64 x", ""] {
            assert_eq!(one("Name", bad), None, "{bad:?}");
        }
        assert_eq!(one("N", "true"), None);
        assert_eq!(one("TimeoutStopSec", "'x'"), None);
    }
}
