//! The STATUS column: `Up 5 minutes (healthy)`, `Exited (0) 2 hours ago`.

use bollard_stubs::models::HealthStatusEnum;
use time::{Duration, OffsetDateTime};

use super::{Phase, RunView};
use crate::time_text;

/// Docker's one-line status.
pub(super) fn status(run: &RunView, now: OffsetDateTime) -> String {
    let since = |time: &str| time_text::parse(time).map_or_else(String::new, |time| human(now - time));
    match run.phase {
        Phase::Created => "Created".to_owned(),
        Phase::Running => format!("Up {}{}", since(&run.started_at), health(run)),
        Phase::Paused => format!("Up {} (Paused)", since(&run.started_at)),
        Phase::Restarting => format!("Restarting ({}) {} ago", run.exit_code, since(&run.finished_at)),
        Phase::Removing => "Removal In Progress".to_owned(),
        Phase::Dead => "Dead".to_owned(),
        Phase::Exited => format!("Exited ({}) {} ago", run.exit_code, since(&run.finished_at)),
    }
}

fn health(run: &RunView) -> &'static str {
    match run.health.as_ref().map(|health| health.status) {
        Some(HealthStatusEnum::STARTING) => " (health: starting)",
        Some(HealthStatusEnum::HEALTHY) => " (healthy)",
        Some(HealthStatusEnum::UNHEALTHY) => " (unhealthy)",
        _ => "",
    }
}

/// A length of time in one word, as Docker's tables have it.
fn human(time: Duration) -> String {
    let seconds = time.whole_seconds().max(0);
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..=59 => format!("{seconds} seconds"),
        60..=119 => "About a minute".to_owned(),
        120..=3599 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 14 => format!("{} days", hours / 24),
        _ if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_docker_does() {
        let told = |seconds: i64| human(Duration::seconds(seconds));
        assert_eq!(told(0), "Less than a second");
        assert_eq!(told(59), "59 seconds");
        assert_eq!(told(61), "About a minute");
        assert_eq!(told(600), "10 minutes");
        assert_eq!(told(4000), "About an hour");
        assert_eq!(told(3 * 3600), "3 hours");
        assert_eq!(told(3 * 86_400), "3 days");
        assert_eq!(told(21 * 86_400), "3 weeks");
    }

    #[test]
    fn a_status_has_the_exit_code_or_the_health() {
        let now = OffsetDateTime::now_utc();
        let mut run = RunView::new(Phase::Exited);
        run.exit_code = 137;
        run.finished_at = time_text::format(now - Duration::minutes(5));
        assert_eq!(status(&run, now), "Exited (137) 5 minutes ago");
        run.phase = Phase::Running;
        run.started_at = time_text::format(now - Duration::seconds(5));
        assert_eq!(status(&run, now), "Up 5 seconds");
    }
}
