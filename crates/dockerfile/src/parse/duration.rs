//! Durations as Go writes them, `1h30m` or `1.5s`, with Go's words for what is none: the only form that `HEALTHCHECK` takes.

use minke_model::quantity::{NoDuration, duration_nanos};

use crate::quote::quoted;

/// The nanoseconds of a duration.
pub(super) fn nanoseconds(text: &str) -> Result<i64, String> {
    duration_nanos(text, &[]).map_err(|problem| match problem {
        NoDuration::Invalid => format!("time: invalid duration {}", quoted(text)),
        NoDuration::NoUnit => format!("time: missing unit in duration {}", quoted(text)),
        NoDuration::Unit(unit) => {
            format!("time: unknown unit {} in duration {}", quoted(unit), quoted(text))
        }
    })
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
