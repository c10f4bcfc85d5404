//! Texts between double quotes as Go's `%q` writes them: in error messages and, for good, in images' histories.

use std::fmt::Write as _;

/// One text.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(c),
            _ => escaped(c, &mut out),
        }
    }
    out.push('"');
    out
}

/// `\x01`, `\u0085`, or the character itself where it can be printed.
fn escaped(c: char, out: &mut String) {
    let code = u32::from(c);
    let is_printed = c.escape_debug().next() == Some(c) || is_mark(c);
    // Writing to a string can't fail.
    let _ = match code {
        0..=0x1f | 0x7f => write!(out, "\\x{code:02x}"),
        _ if is_printed && !c.is_whitespace() => write!(out, "{c}"),
        0..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Marks that combine with the letter before: Rust's debug form escapes them, Go's doesn't.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f)
}

/// Several texts, as Go writes a slice with `%q`: `["a" "b"]`.
pub(crate) fn quoted_list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(" "))
}

/// Several texts, as Go writes a slice with `%v`: `[a b]`.
pub(crate) fn listed(texts: &[String]) -> String {
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_those_of_go() {
        assert_eq!(quoted("a \"b\"\\\n\u{1}é\u{85}\u{1f980}\u{7f}"), r#""a \"b\"\\\n\x01é\u0085🦀\x7f""#);
        assert_eq!(quoted_list(&["a b".into(), "c".into()]), r#"["a b" "c"]"#);
        assert_eq!(listed(&["a b".into(), "c".into()]), "[a b c]");
    }
}
