//! What `--log-opt labels`, `env` and `tag` add to each line, shown by `logs --details`. It is the same for
//! every line of a container, so it is not kept with the lines but made when somebody asks.

use std::collections::BTreeMap;

use super::tag;
use crate::{Filters, container::Record};

/// `key=value,key=value`, sorted and percent-encoded as in a form, as Docker's clients expect it.
pub(super) fn of(record: &Record) -> String {
    let mut all = chosen(record);
    if let Some(template) = option(record, "tag") {
        // A template that is not understood, of an older engine, is shown as it is.
        all.insert("tag".to_owned(), tag::of(record, Some(template)).unwrap_or_else(|_| template.to_owned()));
    }
    let pairs: Vec<_> = all.iter().map(|(key, value)| format!("{}={}", form(key), form(value))).collect();
    pairs.join(",")
}

/// The labels and variables of a container that its log options name.
pub(crate) fn chosen(record: &Record) -> BTreeMap<String, String> {
    let wanted = |names: &str, pattern: &str, key: &str| {
        option(record, names).unwrap_or("").split(',').any(|name| name.trim() == key)
            || option(record, pattern).is_some_and(|pattern| Filters::pattern_matches(pattern, key))
    };
    let labels = record.config.labels.iter().flatten();
    let labels = labels.filter(|(key, _)| wanted("labels", "labels-regex", key));
    let env = record.config.env.iter().flatten().filter_map(|entry| entry.split_once('='));
    let env = env.filter(|(key, _)| wanted("env", "env-regex", key));
    let mut all: BTreeMap<_, _> = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
    all.extend(env.map(|(key, value)| (key.to_owned(), value.to_owned())));
    all
}

fn option<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    let options = record.host.log_config.as_ref()?.config.as_ref()?;
    options.get(name).map(String::as_str).filter(|text| !text.is_empty())
}

/// As HTML forms write values.
fn form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_in_forms() {
        assert_eq!(form("a b=c/ü"), "a+b%3Dc%2F%C3%BC");
    }
}
