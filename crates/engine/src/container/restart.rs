//! Whether and when a container is started again after it ended (Docker, "restart policies"). Pure.

use std::time::Duration;

use bollard_stubs::models::{HostConfig, RestartPolicyNameEnum};

use crate::Error;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A container that ran this long is healthy enough to start over with the first delay.
const HEALTHY: Duration = Duration::from_secs(10);

/// `--restart`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whatever happened.
    Always,
    /// Whatever happened; not by a new engine if it was stopped by hand.
    UnlessStopped,
    /// If it failed, at most so many times (0: any number).
    OnFailure(u32),
}

/// What a container's restarts were like so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// How often it was started again since it was last started by hand.
    pub(crate) count: u32,
    delay: Option<Duration>,
}

impl RestartPolicy {
    /// Reads `HostConfig.RestartPolicy` and checks it against `AutoRemove`.
    ///
    /// # Errors
    /// `InvalidParameter` with Docker's messages.
    pub(crate) fn parse(host: &HostConfig) -> Result<Self, Error> {
        let Some(policy) = &host.restart_policy else { return Ok(Self::No) };
        let retries = policy.maximum_retry_count.unwrap_or(0);
        let parsed = match policy.name.unwrap_or(RestartPolicyNameEnum::NO) {
            RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO => Self::No,
            RestartPolicyNameEnum::ALWAYS => Self::Always,
            RestartPolicyNameEnum::UNLESS_STOPPED => Self::UnlessStopped,
            RestartPolicyNameEnum::ON_FAILURE => Self::OnFailure(u32::try_from(retries).map_err(|_| {
                Error::invalid("invalid restart policy: maximum retry count cannot be negative")
            })?),
        };
        if retries != 0 && !matches!(parsed, Self::OnFailure(_)) {
            return Err(Error::invalid(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            ));
        }
        if parsed != Self::No && host.auto_remove == Some(true) {
            return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
        }
        Ok(parsed)
    }

    /// Whether a stop by hand must be remembered beyond a reboot.
    pub(crate) fn remembers_stop(self) -> bool {
        matches!(self, Self::Always | Self::UnlessStopped)
    }

    /// Whether a new engine starts a container that does not run: one that was started before, `count` times of them
    /// by the policy, and ended with `code`.
    pub(crate) fn wants_start_on_open(self, code: i64, stopped_by_hand: bool, count: u32) -> bool {
        match self {
            Self::No => false,
            Self::Always => true,
            Self::UnlessStopped => !stopped_by_hand,
            Self::OnFailure(most) => code != 0 && !stopped_by_hand && (most == 0 || count < most),
        }
    }
}

impl Backoff {
    /// After an end with `code` that nobody asked for: how long to wait before the next start, if there is
    /// one.
    pub(crate) fn after_exit(&mut self, policy: RestartPolicy, code: i64, ran: Duration) -> Option<Duration> {
        let again = match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure(most) => code != 0 && (most == 0 || self.count < most),
        };
        if !again {
            return None;
        }
        let delay = match self.delay {
            Some(last) if ran < HEALTHY => (last * 2).min(LONGEST_DELAY),
            _ => FIRST_DELAY,
        };
        self.delay = Some(delay);
        self.count += 1;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::RestartPolicy as Wire;

    use super::*;

    fn parse(name: RestartPolicyNameEnum, retries: i64, auto_remove: bool) -> Result<RestartPolicy, Error> {
        RestartPolicy::parse(&HostConfig {
            restart_policy: Some(Wire { name: Some(name), maximum_retry_count: Some(retries) }),
            auto_remove: Some(auto_remove),
            ..HostConfig::default()
        })
    }

    #[test]
    fn policies_are_read_and_contradictions_refused() {
        assert_eq!(parse(RestartPolicyNameEnum::ON_FAILURE, 3, false).unwrap(), RestartPolicy::OnFailure(3));
        assert_eq!(parse(RestartPolicyNameEnum::NO, 0, true).unwrap(), RestartPolicy::No);
        assert!(parse(RestartPolicyNameEnum::ALWAYS, 3, false).is_err());
        assert!(parse(RestartPolicyNameEnum::ALWAYS, 0, true).is_err());
        assert!(parse(RestartPolicyNameEnum::ON_FAILURE, -1, false).is_err());
    }

    #[test]
    fn delays_double_to_a_minute_and_start_over_after_ten_seconds_of_running() {
        let mut backoff = Backoff::default();
        let mut next = |seconds| {
            backoff.after_exit(RestartPolicy::Always, 0, Duration::from_secs(seconds)).unwrap().as_millis()
        };
        assert_eq!([next(0), next(0), next(0)], [100, 200, 400]);
        assert_eq!((0..10).map(|_| next(0)).last(), Some(60_000));
        assert_eq!([next(11), next(1)], [100, 200]);
    }

    #[test]
    fn on_failure_counts_and_success_ends_it() {
        let mut backoff = Backoff::default();
        let policy = RestartPolicy::OnFailure(2);
        assert!(backoff.after_exit(policy, 0, Duration::ZERO).is_none());
        assert!(backoff.after_exit(policy, 1, Duration::ZERO).is_some());
        assert!(backoff.after_exit(policy, 1, Duration::ZERO).is_some());
        assert!(backoff.after_exit(policy, 1, Duration::ZERO).is_none());
        assert!(Backoff::default().after_exit(RestartPolicy::No, 1, Duration::ZERO).is_none());
    }

    #[test]
    fn a_new_engine_starts_what_was_not_stopped_by_hand() {
        assert!(RestartPolicy::Always.wants_start_on_open(0, true, 0));
        assert!(!RestartPolicy::UnlessStopped.wants_start_on_open(0, true, 0));
        assert!(RestartPolicy::UnlessStopped.wants_start_on_open(0, false, 0));
        assert!(RestartPolicy::OnFailure(0).wants_start_on_open(1, false, 0));
        assert!(!RestartPolicy::OnFailure(0).wants_start_on_open(0, false, 0));
        assert!(!RestartPolicy::No.wants_start_on_open(1, false, 0));
        assert!(RestartPolicy::OnFailure(3).wants_start_on_open(1, false, 2));
        assert!(!RestartPolicy::OnFailure(3).wants_start_on_open(1, false, 3));
    }
}
