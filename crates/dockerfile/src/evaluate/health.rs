//! A health check as BuildKit's history shows it, which is how Go prints the structure.

use std::fmt::Write as _;

use minke_model::image_config::Healthcheck;

use crate::quote::listed;

/// `{Test:[CMD-SHELL true] Interval:30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}`.
pub(super) fn shown(check: &Healthcheck) -> String {
    format!(
        "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        listed(&check.test),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        check.retries
    )
}

/// Nanoseconds as Go prints a duration: `1h30m0s`, `1.5s`, `100ms`.
fn duration(nanoseconds: i64) -> String {
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanoseconds, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanoseconds, 1_000_000)),
        _ => {
            let (minutes, rest) = (nanoseconds / 60_000_000_000, nanoseconds % 60_000_000_000);
            let (hours, minutes) = (minutes / 60, minutes % 60);
            let mut out = String::new();
            // Writing to a string can't fail.
            if hours > 0 {
                let _ = write!(out, "{hours}h");
            }
            if hours > 0 || minutes > 0 {
                let _ = write!(out, "{minutes}m");
            }
            let _ = write!(out, "{}s", decimal(rest, 1_000_000_000));
            out
        }
    }
}

/// Without zeros at the end.
fn decimal(value: i64, unit: i64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.to_string().len() - 1;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_does() {
        for (nanoseconds, wanted) in [
            (0, "0s"),
            (1_500_000_000, "1.5s"),
            (100_000_000, "100ms"),
            (1_500, "1.5µs"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_661_000_000_001, "1h1m1.000000001s"),
        ] {
            assert_eq!(duration(nanoseconds), wanted);
        }
    }
}
