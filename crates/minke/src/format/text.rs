//! Shortened ids, quoted commands and other small texts that several listings share.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// The first 12 digits of an id, without its algorithm.
pub(crate) fn short_id(id: &str) -> String {
    id.split_once(':').map_or(id, |(_, digits)| digits).chars().take(12).collect()
}

/// At most `most` characters, the last of them `…` where some were cut.
pub(crate) fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Go's strconv.Quote: what isn't printable becomes an escape, so that no container can write control codes to a terminal.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() && u32::from(c) < 0x80 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads `null` as the type's default: Go's API writes null for an empty list or map.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Labels or other texts by name.
pub(crate) type Texts = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_texts() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("0123456789abcdef"), "0123456789ab");
        assert_eq!(ellipsis("docker-entrypoint.sh nginx", 20), "docker-entrypoint.s…");
        assert_eq!(ellipsis("short", 20), "short");
        assert_eq!(quote("sh -c \"x\ty\" \u{1b}[31m é"), "\"sh -c \\\"x\\ty\\\" \\x1b[31m é\"");
    }
}
