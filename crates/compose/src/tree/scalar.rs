//! What a plain scalar is: a number, a boolean, nothing or a text, as the YAML that Compose files are written for says.

use granit_parser::Tag;

use super::Content;

/// The content of a plain scalar.
pub(crate) fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Bool(true),
        "false" | "False" | "FALSE" => Content::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Content::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Content::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Content::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Content::Str(text.to_owned())),
    }
}

/// The content of a scalar with a tag of YAML itself; `None` where the two don't fit.
pub(crate) fn tagged(text: &str, tag: &Tag) -> Option<Content> {
    let resolved = plain(text);
    Some(match (tag.core_suffix(), resolved) {
        (Some("str"), _) | (None, _) => Content::Str(text.to_owned()),
        (Some("null"), content @ Content::Null)
        | (Some("bool"), content @ Content::Bool(_))
        | (Some("int"), content @ Content::Int(_))
        | (Some("float"), content @ Content::Float(_)) => content,
        #[expect(clippy::cast_precision_loss, reason = "a float was asked for")]
        (Some("float"), Content::Int(value)) => Content::Float(value as f64),
        _ => return None,
    })
}

fn number(text: &str) -> Option<Content> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).map(Content::Int).or_else(|| float(&digits).map(Content::Float))
}

/// Decimal, `0x`, `0o`, `0b`, and octal by a leading zero.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mantissa_end = unsigned.find(['e', 'E']).unwrap_or(unsigned.len());
    let (mantissa, exponent) = unsigned.split_at(mantissa_end);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let dots = mantissa.bytes().filter(|byte| *byte == b'.').count();
    let exponent_is_good = exponent.is_empty() || {
        let digits = exponent[1..].strip_prefix(['-', '+']).unwrap_or(&exponent[1..]);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_one = digits > 0 && dots <= 1 && digits + dots == mantissa.len() && exponent_is_good;
    is_one.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match plain(text) {
            Content::Str(text) => format!("text {text}"),
            Content::Int(value) => format!("int {value}"),
            Content::Float(value) => format!("float {value}"),
            Content::Bool(value) => format!("bool {value}"),
            _ => "null".to_owned(),
        }
    }

    #[test]
    fn numbers_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("12", "int 12"),
            ("-0x1F", "int -31"),
            ("0o17", "int 15"),
            ("0755", "int 493"),
            ("0b101", "int 5"),
            ("1_000", "int 1000"),
            ("0", "int 0"),
            ("08", "float 8"),
            ("1.5e3", "float 1500"),
            (".5", "float 0.5"),
            ("1e3", "float 1000"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_number_is_a_text() {
        for text in
            ["1.2.3", "22:22", "-", "+", ".", "1e", "0x", "12px", "--1", "+-1", "2020-01-01", "yes", "on"]
        {
            assert_eq!(shown(text), format!("text {text}"));
        }
    }
}
