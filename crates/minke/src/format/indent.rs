//! JSON text with line breaks and indentation, otherwise as the engine sent it: no field is lost, reordered or
//! rounded by being read and written again. That is what `inspect` prints.

/// Indents compact or other valid JSON by `indent` per level, as Go's json.Indent does; `prefix` starts each line but the first.
pub(crate) fn indent(json: &str, prefix: &str, indent: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped, mut opened) = (0_usize, false, false, false);
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(prefix);
        out.extend(std::iter::repeat_n(indent, depth));
    };
    for c in json.chars() {
        if in_string {
            out.push(c);
            (in_string, escaped) = match (escaped, c) {
                (true, _) => (true, false),
                (false, '\\') => (true, true),
                (false, c) => (c != '"', false),
            };
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        // An empty object or list stays on its line.
        if opened && !matches!(c, '}' | ']') {
            new_line(&mut out, depth);
        }
        let was_opened = std::mem::take(&mut opened);
        match c {
            '{' | '[' => {
                depth += 1;
                opened = true;
                out.push(c);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !was_opened {
                    new_line(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

/// A list of JSON texts, as `inspect` prints it: `[]` when there are none.
pub(crate) fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let compact: Vec<_> = items.collect();
    indent(&format!("[{}]", compact.join(",")), "", "    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_indented_and_otherwise_untouched() {
        let json = r#"[{"Z":1,"A":"x: {\"y\", [}","Empty":{},"None":[],"Big":12345678901234567890,"F":1.0,"L":[1,[2]]}]"#;
        let expected = concat!(
            "[\n    {\n        \"Z\": 1,\n        \"A\": \"x: {\\\"y\\\", [}\",\n        \"Empty\": {},\n",
            "        \"None\": [],\n        \"Big\": 12345678901234567890,\n        \"F\": 1.0,\n        \"L\": [\n",
            "            1,\n            [\n                2\n            ]\n        ]\n    }\n]"
        );
        assert_eq!(indent(json, "", "    "), expected);
        assert_eq!(indent(expected, "", "    "), expected);
    }

    #[test]
    fn lists_of_nothing_and_of_two() {
        assert_eq!(list([].into_iter()), "[]");
        assert_eq!(list(["{}", "{\"a\":1}"].into_iter()), "[\n    {},\n    {\n        \"a\": 1\n    }\n]");
    }
}
