//! The time as logs and exit records carry it.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A time, and its text.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// In UTC.
    pub(super) at: OffsetDateTime,
    /// RFC 3339 with nanoseconds (trailing zeros left out, as Go writes it), UTC.
    pub(super) text: String,
}

impl Moment {
    /// Of a time in UTC.
    pub(super) fn of(at: OffsetDateTime) -> Self {
        // A year beyond 9999 is the only thing that can't be formatted.
        Self { at, text: at.format(&Rfc3339).unwrap_or_default() }
    }

    pub(super) fn now() -> Self {
        Self::of(OffsetDateTime::now_utc())
    }
}

/// The text of [`Moment::now`].
pub(super) fn now() -> String {
    Moment::now().text
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
