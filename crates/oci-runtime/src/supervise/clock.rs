//! The time as logs and exit records carry it.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Now, RFC 3339 with nanoseconds (trailing zeros left out, as Go writes it), UTC.
pub(super) fn now() -> String {
    // A year beyond 9999 is the only thing that can't be formatted.
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_utc_and_reads_back() {
        let text = now();
        assert!(text.ends_with('Z'), "{text}");
        assert!(OffsetDateTime::parse(&text, &Rfc3339).unwrap() <= OffsetDateTime::now_utc());
    }
}
