//! `print`, `println` and `printf` with Go's verbs (package fmt, "Printing").

use serde_json::Value;

use super::display;

/// The widest field; more is taken as this, so that a template can't ask for gigabytes.
const MAX_WIDTH: usize = 4096;

/// Operands with spaces between those of which neither is a string.
pub(super) fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 && !value.is_string() && !values[i - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&display::plain(value));
    }
    out
}

/// Operands with spaces between all, and a newline.
pub(super) fn println(values: &[Value]) -> String {
    let mut line = values.iter().map(display::plain).collect::<Vec<_>>().join(" ");
    line.push('\n');
    line
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// Formats `values` by `format`; misuse is shown in the text, as Go does (`%!d(string=hi)`).
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut characters = format.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let spec = spec(&mut characters);
        match characters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&padded(verb_text(verb, value, &spec), &spec)),
            },
        }
    }
    let extra: Vec<_> =
        values.map(|value| format!("{}={}", display::kind(value), display::plain(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn spec(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Spec {
    let mut spec = Spec::default();
    while let Some(flag) = characters.next_if(|c| "-0+# ".contains(*c)) {
        spec.left |= flag == '-';
        spec.zero |= flag == '0';
        spec.plus |= flag == '+';
    }
    let number = |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        let mut number = 0_usize;
        while let Some(digit) = characters.next_if(char::is_ascii_digit) {
            number = (number * 10 + digit.to_digit(10).unwrap_or_default() as usize).min(MAX_WIDTH);
        }
        number
    };
    spec.width = number(characters);
    if characters.next_if_eq(&'.').is_some() {
        spec.precision = Some(number(characters));
    }
    spec
}

fn verb_text(verb: char, value: &Value, spec: &Spec) -> String {
    let plus = |text: String| if spec.plus && !text.starts_with('-') { format!("+{text}") } else { text };
    let text = match (verb, value) {
        ('v', Value::Number(_)) => Some(plus(display::plain(value))),
        ('v', _) => Some(display::plain(value)),
        ('s', Value::String(_) | Value::Array(_) | Value::Object(_)) => Some(display::plain(value)),
        ('q', Value::String(text)) => Some(format!("{text:?}")),
        ('t', Value::Bool(value)) => Some(value.to_string()),
        ('d', Value::Number(number)) if !number.is_f64() => Some(plus(number.to_string())),
        ('c', Value::Number(_)) => {
            value.as_u64().and_then(|code| char::from_u32(u32::try_from(code).ok()?)).map(String::from)
        }
        ('x', Value::String(text)) => Some(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ('x' | 'X' | 'o' | 'b', Value::Number(_)) => value.as_i64().map(|number| radix(verb, number)),
        ('f' | 'F', Value::Number(number)) if number.is_f64() => {
            number.as_f64().map(|float| plus(format!("{float:.*}", spec.precision.unwrap_or(6))))
        }
        ('g', Value::Number(number)) if number.is_f64() => number.as_f64().map(display::float_text),
        _ => None,
    };
    match text {
        None => format!("%!{verb}({}={})", display::kind(value), display::plain(value)),
        Some(text) => match spec.precision {
            Some(most) if matches!(verb, 's' | 'v') && value.is_string() => text.chars().take(most).collect(),
            _ => text,
        },
    }
}

fn radix(verb: char, number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let magnitude = number.unsigned_abs();
    match verb {
        'x' => format!("{sign}{magnitude:x}"),
        'X' => format!("{sign}{magnitude:X}"),
        'o' => format!("{sign}{magnitude:o}"),
        _ => format!("{sign}{magnitude:b}"),
    }
}

fn padded(text: String, spec: &Spec) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if spec.left {
        return text + &" ".repeat(missing);
    }
    match (spec.zero, text.strip_prefix('-')) {
        (true, Some(digits)) => format!("-{}{digits}", "0".repeat(missing)),
        (true, None) => "0".repeat(missing) + &text,
        _ => " ".repeat(missing) + &text,
    }
}
