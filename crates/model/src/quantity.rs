//! Sizes, CPU shares and durations as users write and read them: `512m`, `1.5` CPUs, `1m30s`, `27.8MB`, `2 hours`.
//!
//! The forms are those of Docker's command line and Compose, so that a script's flags mean here what they mean
//! there: sizes in flags count in 1024s whatever their suffix; sizes in tables count in 1000s (`MB`) or, where
//! memory is meant, in 1024s (`MiB`).

use std::time::Duration;

/// A text that is no quantity of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a size.
    #[error("invalid size: '{0}'")]
    Size(String),
    /// Not a number of CPUs.
    #[error("invalid number of CPUs: '{0}'")]
    Cpus(String),
    /// A number of CPUs with more than nine decimals.
    #[error("value is too precise: '{0}' has more than 9 decimals")]
    Precision(String),
    /// Not a duration.
    #[error("invalid duration: '{0}' (want for example 1m30s, 500ms)")]
    Duration(String),
}

/// Reads a size in bytes: digits, optional decimals, an optional unit `b k m g t p` in either case, optionally
/// followed by `b` or `ib`; every unit is a power of 1024. `-1` is not read here: where it means "unlimited", the flag says so.
///
/// # Errors
/// [`QuantityError::Size`] for anything else, and for sizes beyond 2^63 - 1.
pub fn parse_bytes(text: &str) -> Result<i64, QuantityError> {
    let error = || QuantityError::Size(text.to_owned());
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let letter = unit.strip_suffix('b').unwrap_or(&unit);
    let letter = if letter.len() == 2 { letter.strip_suffix('i').ok_or_else(error)? } else { letter };
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(error()),
    };
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return Err(error());
    }
    let factor = 1_i64 << (10 * power);
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(factor).ok_or_else(error);
    }
    let bytes = number.parse::<f64>().map_err(|_| error())? * factor as f64;
    if bytes < i64::MAX as f64 { Ok(bytes as i64) } else { Err(error()) }
}

/// Reads a number of CPUs such as `1.5` and returns billionths of one.
///
/// # Errors
/// [`QuantityError::Cpus`] where it is no decimal number, [`QuantityError::Precision`] beyond nine decimals.
pub fn parse_nano_cpus(text: &str) -> Result<i64, QuantityError> {
    let error = || QuantityError::Cpus(text.to_owned());
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let decimals = decimals.trim_end_matches('0');
    if (whole.is_empty() && decimals.is_empty())
        || !whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return Err(error());
    }
    if decimals.len() > 9 {
        return Err(QuantityError::Precision(text.to_owned()));
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| error())? };
    let nanos: i64 = format!("{decimals:0<9}").parse().map_err(|_| error())?;
    let total =
        whole.checked_mul(1_000_000_000).and_then(|nano| nano.checked_add(nanos)).ok_or_else(error)?;
    Ok(if negative { -total } else { total })
}

/// What keeps a text from being a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDuration<'a> {
    /// It has no numbers, a number is none, or the sum is beyond 292 years.
    Invalid,
    /// A number has no unit.
    NoUnit,
    /// A unit is none.
    Unit(&'a str),
}

/// Units of durations, in nanoseconds.
const DURATION_UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration in Go's form (`1h2m3.5s`, `100ms`, `0`) and returns nanoseconds; it may be negative.
///
/// # Errors
/// [`QuantityError::Duration`] for anything else, and beyond 292 years.
pub fn parse_duration_nanos(text: &str) -> Result<i64, QuantityError> {
    duration_nanos(text, &[]).map_err(|_| QuantityError::Duration(text.to_owned()))
}

/// The same with further units, by their name and nanoseconds.
///
/// # Errors
/// [`NoDuration`], for those who say what is wrong in words of their own.
pub fn duration_nanos<'a>(text: &'a str, more: &[(&str, i64)]) -> Result<i64, NoDuration<'a>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(NoDuration::Invalid);
    }
    let (mut rest, mut sum) = (unsigned, 0_i64);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if !number.contains(|c: char| c.is_ascii_digit()) {
            return Err(NoDuration::Invalid);
        }
        if unit.is_empty() {
            return Err(NoDuration::NoUnit);
        }
        let known = DURATION_UNITS.iter().chain(more).find(|(name, _)| *name == unit);
        let (_, factor) = known.ok_or(NoDuration::Unit(unit))?;
        let part = units(number, *factor).and_then(|part| sum.checked_add(part));
        sum = part.ok_or(NoDuration::Invalid)?;
        rest = after;
    }
    Ok(if text.starts_with('-') { -sum } else { sum })
}

/// A decimal number of units.
fn units(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Fifteen digits are exact to a nanosecond of a week.
    let (digits, scale) = fraction.bytes().take(15).fold((0_i128, 1_i128), |(digits, scale), digit| {
        (digits * 10 + i128::from(digit - b'0'), scale * 10)
    });
    let part = i64::try_from(digits * i128::from(unit) / scale).ok()?;
    whole.checked_mul(unit)?.checked_add(part)
}

/// A size in powers of 1000 with `digits` significant digits, as image tables show it: `27.8MB`.
pub fn decimal_size(bytes: f64, digits: usize) -> String {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    scaled(bytes, 1000.0, digits, &UNITS)
}

/// A size in powers of 1024 with four significant digits, as memory is shown: `1.944GiB`.
pub fn binary_size(bytes: f64) -> String {
    const UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
    scaled(bytes, 1024.0, 4, &UNITS)
}

fn scaled(mut number: f64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut unit = 0;
    while number >= base && unit + 1 < units.len() {
        number /= base;
        unit += 1;
    }
    format!("{}{}", significant(number, digits), units[unit])
}

/// C's `%.Ng`: N significant digits, without zeros at the end.
fn significant(number: f64, digits: usize) -> String {
    let magnitude = number.abs();
    // Rounding may carry into a further digit before the point, so it comes first.
    let scientific = format!("{magnitude:.*e}", digits.saturating_sub(1));
    let exponent: i32 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    if exponent >= digits as i32 && magnitude != 0.0 {
        let (mantissa, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
        let mantissa = trim_zeros(mantissa);
        return format!("{mantissa}e+{exponent:02}");
    }
    let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    trim_zeros(&format!("{number:.decimals$}")).to_owned()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A duration in words, as `docker ps` shows ages: `About a minute`, `3 weeks`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, (duration.as_secs_f64() / 3600.0).round() as u64);
    match seconds {
        0 => return "Less than a second".to_owned(),
        1 => return "1 second".to_owned(),
        2..60 => return format!("{seconds} seconds"),
        _ => {}
    }
    match (minutes, hours) {
        (1, _) => "About a minute".to_owned(),
        (2..60, _) => format!("{minutes} minutes"),
        (_, 1) => "About an hour".to_owned(),
        (_, 2..48) => format!("{hours} hours"),
        (_, 48..336) => format!("{} days", hours / 24),
        (_, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_flags_count_in_powers_of_1024() {
        let cases = [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32B", 32),
            ("32k", 32 << 10),
            ("32K", 32 << 10),
            ("32kb", 32 << 10),
            ("32Kib", 32 << 10),
            ("32KIB", 32 << 10),
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("2 gb", 2 << 30),
            ("1t", 1 << 40),
            ("1p", 1 << 50),
            ("32.3kb", 33075),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_by_name() {
        for text in [
            "",
            "hello",
            "-32",
            ".3kB",
            "3.",
            " 32 ",
            "32m b",
            "32bm",
            "1x",
            "1ii",
            "1e3",
            "9999999999999999g",
            "1.2.3",
        ] {
            assert_eq!(parse_bytes(text), Err(QuantityError::Size(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn cpus_are_read_exactly() {
        let cases = [
            ("1", 1_000_000_000),
            ("1.5", 1_500_000_000),
            (".5", 500_000_000),
            ("0.000000001", 1),
            ("2.", 2_000_000_000),
            ("-1", -1_000_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_nano_cpus(text), Ok(expected), "{text}");
        }
        assert!(matches!(parse_nano_cpus("0.0000000001"), Err(QuantityError::Precision(_))));
        for text in ["", ".", "a", "1,5", "1e3", "99999999999"] {
            assert!(matches!(parse_nano_cpus(text), Err(QuantityError::Cpus(_))), "{text}");
        }
    }

    #[test]
    fn durations_are_read_in_gos_form() {
        let cases = [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("100ms", 100_000_000),
            ("-3us", -3000),
            ("7ns", 7),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration_nanos(text), Ok(expected), "{text}");
        }
        for text in ["", "5", "s", "1d", "1.2.3s", "-", "999999999h"] {
            assert!(parse_duration_nanos(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_in_tables_read_as_dockers() {
        let decimal = [
            (0.0, "0B"),
            (999.0, "999B"),
            (1000.0, "1kB"),
            (27_812_345.0, "27.8MB"),
            (1_234_567_890.0, "1.23GB"),
            (999_999.0, "1e+03kB"),
        ];
        for (bytes, expected) in decimal {
            assert_eq!(decimal_size(bytes, 3), expected, "{bytes}");
        }
        let binary = [(0.0, "0B"), (1536.0, "1.5KiB"), (2_087_321_600.0, "1.944GiB"), (65_536.0, "64KiB")];
        for (bytes, expected) in binary {
            assert_eq!(binary_size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn ages_read_as_dockers() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (60, "About a minute"),
            (90, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5399, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (13 * 86400, "13 days"),
            (14 * 86400, "2 weeks"),
            (59 * 86400, "8 weeks"),
            (60 * 86400, "2 months"),
            (729 * 86400, "24 months"),
            (730 * 86400, "2 years"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(human_duration(Duration::from_secs(seconds)), expected, "{seconds}");
        }
    }
}
