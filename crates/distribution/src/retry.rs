//! Whether a failed request is worth another try, and when. Pure: the clock and the dice are arguments.

use std::time::{Duration, SystemTime};

/// The longest pause that grows by itself.
const LONGEST_STEP: Duration = Duration::from_secs(30);

/// How often and how patiently requests are repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// Tries after the first one.
    pub(crate) retries: u32,
    /// The pause before the second try; each further one is twice as long.
    pub(crate) first: Duration,
    /// The longest pause that a registry may ask for.
    pub(crate) longest: Duration,
}

/// What a failure says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hope {
    /// The same will happen again.
    None,
    /// The next try may succeed; the registry may have said when.
    After(Option<Duration>),
}

impl RetryPolicy {
    /// The pause before the next try after `failed` ones in a row; `None`: no more tries. `dice` is between 0
    /// and 1.
    ///
    /// Half of the pause is left to chance, so that clients that failed together don't come back together.
    pub(crate) fn pause(&self, failed: u32, hope: Hope, dice: f64) -> Option<Duration> {
        let Hope::After(wished) = hope else { return None };
        if failed > self.retries || wished.is_some_and(|wished| wished > self.longest) {
            return None;
        }
        let step = self.first.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(LONGEST_STEP);
        Some(step.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0).max(wished.unwrap_or_default()))
    }

    /// The same without a second try, for places that others stand in for.
    pub(crate) fn once(self) -> Self {
        Self { retries: 0, ..self }
    }
}

/// What the status of an answer says about trying again.
pub(crate) fn of_status(status: u16, retry_after: Option<Duration>) -> Hope {
    match status {
        408 | 429 | 500 | 502..=504 | 506..=599 => Hope::After(retry_after),
        _ => Hope::None,
    }
}

/// Reads a `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy() -> RetryPolicy {
        RetryPolicy { retries: 3, first: SECOND, longest: 60 * SECOND }
    }

    #[test]
    fn pauses_double_and_half_of_each_is_chance() {
        let pause = |failed, dice| policy().pause(failed, Hope::After(None), dice);
        assert_eq!([1, 2, 3].map(|failed| pause(failed, 1.0)), [1, 2, 4].map(|n| Some(n * SECOND)));
        assert_eq!(pause(1, 0.0), Some(SECOND / 2));
        assert_eq!(pause(4, 0.0), None, "three retries are four tries");
        let patient = RetryPolicy { retries: u32::MAX, ..policy() };
        assert_eq!(patient.pause(u32::MAX, Hope::After(None), 1.0), Some(LONGEST_STEP));
    }

    #[test]
    fn a_registrys_wish_is_followed_up_to_a_bound() {
        let pause = |wished| policy().pause(1, Hope::After(Some(wished)), 1.0);
        assert_eq!(pause(20 * SECOND), Some(20 * SECOND));
        assert_eq!(pause(Duration::ZERO), Some(SECOND), "never faster than without one");
        assert_eq!(pause(61 * SECOND), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(of_status(status, Some(SECOND)), Hope::After(Some(SECOND)), "{status}");
        }
        for status in [400, 401, 403, 404, 416, 501, 505] {
            assert_eq!(of_status(status, None), Hope::None, "{status}");
        }
        assert_eq!(policy().pause(1, Hope::None, 0.5), None);
        assert_eq!(policy().once().pause(1, Hope::After(None), 0.5), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(retry_after(" 120 ", now), Some(120 * SECOND));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(10 * SECOND));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:27 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
