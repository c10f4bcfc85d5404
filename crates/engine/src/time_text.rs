//! Times as text: RFC 3339 with nanoseconds, UTC, as Docker's API has them.

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

/// A point in the past as prune filters name it: RFC 3339, seconds since 1970, or how long ago (`24h`,
/// `1h30m`).
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn until(text: &str) -> Result<OffsetDateTime, crate::Error> {
    let error = || crate::Error::invalid(format!("invalid filter 'until={text}': want a time or a duration"));
    if let Some(time) = parse(text) {
        return Ok(time);
    }
    if let Ok(seconds) = text.split('.').next().unwrap_or(text).parse::<i64>() {
        return OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| error());
    }
    let mut rest = text;
    let mut ago = time::Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: i64 = rest[..digits].parse().map_err(|_| error())?;
        let unit =
            rest[digits..].len() - rest[digits..].trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let seconds = match &rest[digits..digits + unit] {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return Err(error()),
        };
        ago += time::Duration::seconds(number.checked_mul(seconds).ok_or_else(error)?);
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
    fn the_past_is_named_by_time_or_by_distance() {
        assert_eq!(until("1700000000").unwrap().unix_timestamp(), 1_700_000_000);
        let hour = until("1h30m").unwrap() - OffsetDateTime::now_utc();
        assert_eq!(hour.whole_minutes(), -90);
        for text in ["soon", "5x", "h", "-1h"] {
            assert!(until(text).is_err(), "{text}");
        }
    }
}
