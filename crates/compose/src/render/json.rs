//! JSON as Go's library writes it: `<`, `>` and `&` escaped, maps in the order of their names.

use super::number;
use crate::value::Value;

/// In one line, as hashes are over.
pub(super) fn compact(value: &Value) -> String {
    let mut text = String::new();
    Writer { text: &mut text, indent: None }.value(value, 0);
    text
}

/// Over several lines.
pub(super) fn indented(value: &Value) -> String {
    let mut text = String::new();
    Writer { text: &mut text, indent: Some("  ") }.value(value, 0);
    text
}

struct Writer<'a> {
    text: &'a mut String,
    indent: Option<&'static str>,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Value::Int(value) => self.text.push_str(&value.to_string()),
            Value::Float(value) => self.text.push_str(&number::json(*value)),
            Value::Single(value) => self.text.push_str(&number::json_single(*value)),
            Value::Str(text) => string(self.text, text),
            Value::Seq(items) => {
                self.all("[", "]", items, depth, |writer, item, depth| writer.value(item, depth));
            }
            Value::Map(members) => self.all("{", "}", members, depth, |writer, (name, value), depth| {
                string(writer.text, name);
                writer.text.push_str(if writer.indent.is_some() { ": " } else { ":" });
                writer.value(value, depth);
            }),
        }
    }

    fn all<T>(
        &mut self,
        open: &str,
        close: &str,
        items: &[T],
        depth: usize,
        write: impl Fn(&mut Self, &T, usize),
    ) {
        self.text.push_str(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.line(depth + 1);
            write(self, item, depth + 1);
        }
        if !items.is_empty() {
            self.line(depth);
        }
        self.text.push_str(close);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.text.push('\n');
            self.text.push_str(&indent.repeat(depth));
        }
    }
}

fn string(to: &mut String, text: &str) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{8}' => to.push_str("\\b"),
            '\u{c}' => to.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                to.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => to.push(c),
        }
    }
    to.push('"');
}
