//! Durations as Go writes them, `1h30m` or `1.5s`: the only form that `HEALTHCHECK` takes.

use crate::quote::quoted;

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The nanoseconds of a duration.
pub(super) fn nanoseconds(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quoted(text));
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let (mut rest, mut sum) = (unsigned, 0_i64);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if !number.contains(|c: char| c.is_ascii_digit()) {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quoted(text)));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, factor) = known
            .ok_or_else(|| format!("time: unknown unit {} in duration {}", quoted(unit), quoted(text)))?;
        sum = scaled(number, *factor).and_then(|part| sum.checked_add(part)).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(if text.starts_with('-') { -sum } else { sum })
}

/// A decimal number of units.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let (mut part, mut scale) = (0_i64, unit);
    for digit in fraction.bytes() {
        scale /= 10;
        part += i64::from(digit - b'0') * scale;
    }
    whole.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_sum_of_numbers_with_units() {
        assert_eq!(nanoseconds("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(nanoseconds("1.5s"), Ok(1_500_000_000));
        assert_eq!(nanoseconds(".5ms"), Ok(500_000));
        assert_eq!(nanoseconds("-3s"), Ok(-3_000_000_000));
        assert_eq!(nanoseconds("0"), Ok(0));
    }

    #[test]
    fn anything_else_is_refused_in_go_words() {
        assert_eq!(nanoseconds("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(
            nanoseconds("5parsec").unwrap_err(),
            "time: unknown unit \"parsec\" in duration \"5parsec\""
        );
        for text in ["", "-", "s", "1.2.3s", "9999999999999999999h", ".s"] {
            assert!(nanoseconds(text).unwrap_err().starts_with("time: invalid duration"), "{text}");
        }
    }
}
