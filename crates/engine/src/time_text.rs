//! Times as text: RFC 3339 with nanoseconds, UTC, as Docker's API has them.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Docker's "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// Now.
pub(crate) fn now() -> String {
    format(OffsetDateTime::now_utc())
}

/// Some moment.
pub(crate) fn format(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| NEVER.to_owned())
}

/// Reads it back.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// How long ago that was; nothing for a time in the future.
pub(crate) fn since(text: &str) -> Option<Duration> {
    (OffsetDateTime::now_utc() - parse(text)?).try_into().ok()
}

/// A duration as Go writes it: `1m30s`, `1.5s`, `100ms`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let decimal = |nanos: u128, unit: u128| {
        let fraction = format!("{:09}", nanos % unit * (1_000_000_000 / unit));
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { (nanos / unit).to_string() } else { format!("{}.{fraction}", nanos / unit) }
    };
    let nanos = duration.as_nanos();
    match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => return format!("{}\u{b5}s", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => return format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {}
    }
    let minutes = duration.as_secs() / 60;
    let rest = decimal(nanos % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// A point in the past as prune filters name it: RFC 3339, seconds since 1970, or how long ago (`24h`,
/// `1h30m`).
///
/// # Errors
/// `InvalidParameter`.
pub fn until(text: &str) -> Result<OffsetDateTime, crate::Error> {
    let error = || crate::Error::invalid(format!("invalid filter 'until={text}': want a time or a duration"));
    if let Some(time) = parse(text) {
        return Ok(time);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if let (Ok(seconds), true) = (seconds.parse::<i64>(), is_number) {
        let nanoseconds: i64 = format!("{fraction:0<9.9}").parse().map_err(|_| error())?;
        let time = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| error())?;
        return time.checked_add(time::Duration::nanoseconds(nanoseconds)).ok_or_else(error);
    }
    let mut rest = text;
    let mut ago = time::Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let number: f64 = rest[..digits].parse().map_err(|_| error())?;
        let unit =
            rest[digits..].len() - rest[digits..].trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let seconds = match &rest[digits..digits + unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(error()),
        };
        let part = time::Duration::checked_seconds_f64(number * seconds).ok_or_else(error)?;
        ago = ago.checked_add(part).ok_or_else(error)?;
        rest = &rest[digits + unit..];
    }
    OffsetDateTime::now_utc().checked_sub(ago).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_a_round_trip() {
        let now = OffsetDateTime::now_utc();
        assert_eq!(parse(&format(now)), Some(now));
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let written = |nanos: u64| go_duration(Duration::from_nanos(nanos));
        let expected = [
            (0, "0s"),
            (1_500_000, "1.5ms"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ];
        for (nanos, text) in expected {
            assert_eq!(written(nanos), text);
        }
        assert!(since(&format(OffsetDateTime::now_utc() - Duration::from_secs(5))).unwrap().as_secs() >= 5);
        assert_eq!(since(&format(OffsetDateTime::now_utc() + Duration::from_secs(5))), None);
    }

    #[test]
    fn the_past_is_named_by_time_or_by_distance() {
        assert_eq!(until("1700000000").unwrap().unix_timestamp(), 1_700_000_000);
        assert_eq!(until("1700000000.25").unwrap().nanosecond(), 250_000_000);
        assert_eq!(until("1700000000.000000001").unwrap().nanosecond(), 1);
        let ago = |text| {
            let then = until(text).unwrap();
            (OffsetDateTime::now_utc() - then).whole_minutes()
        };
        assert_eq!([ago("1.5h"), ago("90m500ms")], [90, 90]);
        assert!(until("1.-5").is_err());
        let hour = until("1h30m").unwrap() - OffsetDateTime::now_utc();
        assert_eq!(hour.whole_minutes(), -90);
        for text in ["soon", "5x", "h", "-1h"] {
            assert!(until(text).is_err(), "{text}");
        }
    }
}
