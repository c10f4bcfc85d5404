//! What `--log-opt labels`, `env` and `tag` add to each line, shown by `logs --details`. It is the same for
//! every line of a container, so it is not kept with the lines but made when somebody asks.

use std::collections::BTreeMap;

use crate::{Filters, container::Record};

/// `key=value,key=value`, sorted and percent-encoded as in a form, as Docker's clients expect it.
pub(super) fn of(record: &Record) -> String {
    let options = record.host.log_config.as_ref().and_then(|log| log.config.as_ref());
    let option = |name: &str| options.and_then(|options| options.get(name)).map_or("", String::as_str);
    let wanted = |names: &str, pattern: &str, key: &str| {
        option(names).split(',').any(|name| name.trim() == key)
            || (!option(pattern).is_empty() && Filters::pattern_matches(option(pattern), key))
    };
    let mut all = BTreeMap::new();
    for (key, value) in record.config.labels.iter().flatten() {
        if wanted("labels", "labels-regex", key) {
            all.insert(key.as_str(), value.clone());
        }
    }
    for (key, value) in record.config.env.iter().flatten().filter_map(|entry| entry.split_once('=')) {
        if wanted("env", "env-regex", key) {
            all.insert(key, value.to_owned());
        }
    }
    if !option("tag").is_empty() {
        all.insert("tag", tag(option("tag"), record));
    }
    let pairs: Vec<_> = all.iter().map(|(key, value)| format!("{}={}", form(key), form(value))).collect();
    pairs.join(",")
}

/// Docker's fields of a tag; anything else between braces stays as it is.
fn tag(template: &str, record: &Record) -> String {
    let image = record.image.to_string();
    let short = image.trim_start_matches("sha256:").chars().take(12).collect();
    let fields = [
        ("ID", record.id.short().to_owned()),
        ("FullID", record.id.to_string()),
        ("Name", record.name.clone()),
        ("ImageID", short),
        ("ImageFullID", image),
        ("ImageName", record.image_name().to_owned()),
        ("DaemonName", "docker".to_owned()),
    ];
    let mut text = template.to_owned();
    for (name, value) in fields {
        for written in [format!("{{{{.{name}}}}}"), format!("{{{{ .{name} }}}}")] {
            text = text.replace(&written, &value);
        }
    }
    text
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
