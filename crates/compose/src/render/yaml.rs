//! YAML as docker compose prints it: block style, two spaces, quotes only where they are needed.

use super::number;
use crate::{
    tree::{Content, scalar},
    value::Value,
};

/// Names longer than this need YAML's explicit form.
const LONGEST_SIMPLE_NAME: usize = 128;

/// A document.
pub(super) fn text(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Map(members) if !members.is_empty() => map(&mut text, members, 0),
        Value::Seq(items) if !items.is_empty() => seq(&mut text, items, 0),
        other => {
            scalar_or_empty(&mut text, other, 0);
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Members, each on a line of its own; the cursor is where the first name begins.
fn map(text: &mut String, members: &[(String, Value)], indent: usize) {
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            pad(text, indent);
        }
        let explicit = name.len() > LONGEST_SIMPLE_NAME || name.contains('\n');
        if explicit {
            text.push_str("? ");
            string(text, name, indent + 2, false);
            end_line(text);
            pad(text, indent);
            text.push(':');
        } else {
            string(text, name, indent, true);
            text.push(':');
        }
        match value {
            Value::Map(members) if !members.is_empty() => {
                text.push(if explicit { ' ' } else { '\n' });
                if !explicit {
                    pad(text, indent + 2);
                }
                map(text, members, indent + 2);
            }
            Value::Seq(items) if !items.is_empty() => {
                text.push('\n');
                pad(text, indent + 2);
                seq(text, items, indent + 2);
            }
            other => {
                text.push(' ');
                scalar_or_empty(text, other, indent + 2);
            }
        }
        end_line(text);
    }
}

/// Items, each on a line of its own; the cursor is where the first dash stands.
fn seq(text: &mut String, items: &[Value], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(text, indent);
        }
        text.push_str("- ");
        match item {
            Value::Map(members) if !members.is_empty() => map(text, members, indent + 2),
            Value::Seq(items) if !items.is_empty() => seq(text, items, indent + 2),
            other => scalar_or_empty(text, other, indent + 2),
        }
        end_line(text);
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn end_line(text: &mut String) {
    if !text.ends_with('\n') {
        text.push('\n');
    }
}

fn scalar_or_empty(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => text.push_str(&value.to_string()),
        Value::Float(value) => text.push_str(&number::general(*value)),
        Value::Single(value) => text.push_str(&number::general_single(*value)),
        Value::Str(value) => string(text, value, indent, false),
        Value::Seq(_) => text.push_str("[]"),
        Value::Map(_) => text.push_str("{}"),
    }
}

/// A text in the least style that keeps it what it is.
fn string(to: &mut String, text: &str, indent: usize, is_name: bool) {
    let allowed = Allowed::of(text);
    if text.contains('\n') {
        if allowed.block && !is_name { literal(to, text, indent) } else { double_quoted(to, text) }
    } else if !reads_as_text(text) {
        double_quoted(to, text);
    } else if allowed.plain && !(text.is_empty() && is_name) {
        to.push_str(text);
    } else if allowed.single {
        to.push('\'');
        to.push_str(&text.replace('\'', "''"));
        to.push('\'');
    } else {
        double_quoted(to, text);
    }
}

/// Whether it would be read as a text without quotes, by old readers too.
fn reads_as_text(text: &str) -> bool {
    let old_boolean = matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
    );
    matches!(scalar::plain(text), Content::Str(_)) && !old_boolean && !base_60(text) && !timestamp(text)
}

/// Numbers such as `22:30`, which older YAML read as minutes.
fn base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let Some((first, rest)) = unsigned.split_once(':') else { return false };
    let is_first = first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let (rest, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let sixty = |part: &str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, ones] => matches!(tens, b'0'..=b'5') && ones.is_ascii_digit(),
        _ => false,
    };
    is_first
        && rest.split(':').all(sixty)
        && fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// Dates, alone or with a time of day.
fn timestamp(text: &str) -> bool {
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(end) => (&text[..end], Some(text[end + 1..].trim_start())),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    if !(year.len() == 4 && digits(year, 4) && digits(month, 2) && digits(day, 2)) {
        return false;
    }
    let Ok(month) = month.parse::<u32>() else { return false };
    let Ok(day) = day.parse::<u32>() else { return false };
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date
        && time
            .is_none_or(|time| time.split(':').count() == 3 && time.starts_with(|c: char| c.is_ascii_digit()))
}

/// In which styles a text can be written.
struct Allowed {
    plain: bool,
    single: bool,
    block: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self { plain: false, single: true, block: false };
        }
        let (mut breaks, mut special, mut tabs) = (false, false, false);
        let (mut break_space, mut space_break) = (false, false);
        let mut before: Option<char> = None;
        for c in text.chars() {
            match c {
                '\t' => tabs = true,
                c if !printable(c) => special = true,
                _ => {}
            }
            let is_break = matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
            let was_break =
                before.is_some_and(|c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'));
            breaks |= is_break;
            break_space |= c == ' ' && was_break;
            space_break |= is_break && before == Some(' ');
            before = Some(c);
        }
        let edge = |c: Option<char>| {
            c.is_some_and(|c| c == ' ' || matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'))
        };
        let at_edges = edge(text.chars().next()) || edge(text.chars().next_back());
        let quoted_only = space_break || tabs || special;
        Self {
            plain: !(at_edges || break_space || quoted_only || breaks || indicators(text)),
            single: !(break_space || quoted_only),
            block: !(text.ends_with(' ') || space_break || special),
        }
    }
}

/// What the writer takes as printable.
fn printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// Whether something in it has a meaning in YAML.
fn indicators(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut blank_before = true;
    let mut characters = text.chars().peekable();
    let mut first = true;
    while let Some(c) = characters.next() {
        let blank_after = characters.peek().is_none_or(|next| matches!(next, ' ' | '\t' | '\n' | '\r'));
        let found = match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`'
                if first =>
            {
                true
            }
            '?' | '-' if first => blank_after,
            ':' => blank_after,
            '#' => blank_before,
            _ => false,
        };
        if found {
            return true;
        }
        blank_before = matches!(c, ' ' | '\t' | '\n' | '\r');
        first = false;
    }
    false
}

fn literal(to: &mut String, text: &str, indent: usize) {
    to.push('|');
    if text.starts_with([' ', '\n']) {
        to.push('2');
    }
    match text.strip_suffix('\n') {
        None => to.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => to.push('+'),
        Some(_) => {}
    }
    to.push('\n');
    for line in text.split_inclusive('\n') {
        if line != "\n" {
            pad(to, indent);
        }
        to.push_str(line);
    }
}

fn double_quoted(to: &mut String, text: &str) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\0' => to.push_str("\\0"),
            '\u{7}' => to.push_str("\\a"),
            '\u{8}' => to.push_str("\\b"),
            '\t' => to.push_str("\\t"),
            '\n' => to.push_str("\\n"),
            '\u{b}' => to.push_str("\\v"),
            '\u{c}' => to.push_str("\\f"),
            '\r' => to.push_str("\\r"),
            '\u{1b}' => to.push_str("\\e"),
            '\u{85}' => to.push_str("\\N"),
            '\u{2028}' => to.push_str("\\L"),
            '\u{2029}' => to.push_str("\\P"),
            c if printable(c) => to.push(c),
            c => match u32::from(c) {
                code @ 0..=0xff => to.push_str(&format!("\\x{code:02X}")),
                code @ 0x100..=0xffff => to.push_str(&format!("\\u{code:04X}")),
                code => to.push_str(&format!("\\U{code:08X}")),
            },
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        super::text(&Value::Map(vec![("k".to_owned(), text.into())]))
    }

    #[test]
    fn texts_are_quoted_only_where_they_must_be() {
        for (text, expected) in [
            ("plain words", "k: plain words\n"),
            ("", "k: \"\"\n"),
            ("8080", "k: \"8080\"\n"),
            ("yes", "k: \"yes\"\n"),
            ("null", "k: \"null\"\n"),
            ("22:30", "k: \"22:30\"\n"),
            ("2020-01-02", "k: \"2020-01-02\"\n"),
            ("- x", "k: '- x'\n"),
            ("a: b", "k: 'a: b'\n"),
            ("it's #1", "k: 'it''s #1'\n"),
            (" x", "k: ' x'\n"),
            ("a\tb", "k: \"a\\tb\"\n"),
            ("a\nb", "k: |-\n  a\n  b\n"),
            ("a\n\nb\n", "k: |\n  a\n\n  b\n"),
            ("a\n\n", "k: |+\n  a\n\n"),
            (" a\nb", "k: |2-\n   a\n  b\n"),
            ("a \nb", "k: \"a \\nb\"\n"),
            ("grün", "k: grün\n"),
        ] {
            assert_eq!(written(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lists_stand_two_spaces_below_their_name() {
        let inner = Value::Map(vec![("a".to_owned(), Value::Int(1)), ("b".to_owned(), Value::Seq(vec![]))]);
        let value = Value::Map(vec![("l".to_owned(), Value::Seq(vec![inner, Value::Seq(vec!["x".into()])]))]);
        assert_eq!(super::text(&value), "l:\n  - a: 1\n    b: []\n  - - x\n");
    }
}
