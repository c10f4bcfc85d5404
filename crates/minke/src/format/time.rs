//! Times: Docker's timestamps in API answers, ages in tables, and `--since 10m`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use minke_model::quantity;
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

use crate::failure::Failure;

/// Now.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// `About a minute ago`, from seconds since 1970.
pub(crate) fn ago(created: i64, now: OffsetDateTime) -> String {
    let seconds = u64::try_from(now.unix_timestamp() - created).unwrap_or(0);
    format!("{} ago", quantity::human_duration(Duration::from_secs(seconds)))
}

/// The same from an RFC 3339 time; `N/A` where it is none.
pub(crate) fn ago_of(text: &str) -> String {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_or_else(|_| "N/A".to_owned(), |time| ago(time.unix_timestamp(), now()))
}

/// `2026-01-31 10:20:30 +0000 UTC`, from seconds since 1970, as Go prints a time. Times are shown in UTC: a
/// static program doesn't read the system's time zone files.
pub(crate) fn stamp(seconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] +0000 UTC");
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(format).unwrap_or_default()
}

/// RFC 3339 with nine digits of nanoseconds, as events are printed.
pub(crate) fn nano_stamp(nanoseconds: i128) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z");
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(format).unwrap_or_default()
}

/// An RFC 3339 time as [`stamp`] shows it, with the fraction of its second; what is no time stays as it is.
pub(crate) fn restamp(text: &str) -> String {
    let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) else { return text.to_owned() };
    let fraction = format!("{:09}", time.nanosecond());
    let whole = stamp(time.unix_timestamp());
    match (fraction.trim_end_matches('0'), whole.split_once(" +")) {
        ("", _) | (_, None) => whole,
        (digits, Some((time, zone))) => format!("{time}.{digits} +{zone}"),
    }
}

/// `--since` and `--until` as the API wants them, in seconds since 1970: a duration back from now (`10m`), a date
/// or time (`2026-01-31`, `2026-01-31T10:20:30Z`; without a zone it is UTC), or seconds as they are.
///
/// # Errors
/// When the text is none of these.
pub(crate) fn moment(flag: &str, text: &str) -> Result<String, Failure> {
    if text.is_empty() || is_seconds(text) {
        return Ok(text.to_owned());
    }
    if let Ok(back) = quantity::parse_duration_nanos(text) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let then = i128::try_from(now).unwrap_or_default() - i128::from(back);
        return Ok(format!("{}.{:09}", then.div_euclid(1_000_000_000), then.rem_euclid(1_000_000_000)));
    }
    let time = parse_time(text).ok_or_else(|| {
        Failure::new(format!(
            "minke: --{flag}: {text:?} is neither a time (2026-01-31T10:20:30Z) nor a duration (10m)"
        ))
    })?;
    Ok(format!("{}.{:09}", time.unix_timestamp(), time.nanosecond()))
}

fn is_seconds(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(decimals)
}

fn parse_time(text: &str) -> Option<OffsetDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time);
    }
    let padded = match text.len() {
        10 => format!("{text}T00:00:00"),
        13 => format!("{text}:00:00"),
        16 => format!("{text}:00"),
        _ => text.trim_end_matches('Z').to_owned(),
    };
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]");
    PrimitiveDateTime::parse(&padded, format).ok().map(PrimitiveDateTime::assume_utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_docker_prints_them() {
        assert_eq!(stamp(1_700_000_000), "2023-11-14 22:13:20 +0000 UTC");
        assert_eq!(nano_stamp(1_700_000_000_000_000_042), "2023-11-14T22:13:20.000000042Z");
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_100).unwrap();
        assert_eq!(ago(1_700_000_000, now), "About a minute ago");
        assert_eq!(ago(1_800_000_000, now), "Less than a second ago");
        assert_eq!(restamp("2023-11-14T22:13:20.5Z"), "2023-11-14 22:13:20.5 +0000 UTC");
        assert_eq!(restamp("2023-11-14T23:13:20+01:00"), "2023-11-14 22:13:20 +0000 UTC");
        assert_eq!(restamp(""), "");
    }

    #[test]
    fn moments_are_times_durations_or_seconds() {
        for (text, expected) in [
            ("1700000000", "1700000000"),
            ("1700000000.5", "1700000000.5"),
            ("2023-11-14T22:13:20Z", "1700000000.000000000"),
            ("2023-11-14T22:13:20", "1700000000.000000000"),
            ("2023-11-14T23:13:20+01:00", "1700000000.000000000"),
            ("2023-11-14T22:13", "1699999980.000000000"),
            ("2023-11-14", "1699920000.000000000"),
            ("", ""),
        ] {
            assert_eq!(moment("since", text).unwrap(), expected, "{text}");
        }
        let before: f64 = moment("since", "10m").unwrap().parse().unwrap();
        assert!((now().unix_timestamp() as f64 - before - 600.0).abs() < 5.0);
        assert!(moment("since", "yesterday").unwrap_err().message.contains("--since"));
    }
}
