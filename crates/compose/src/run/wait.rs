//! Waiting for a service's containers: what `depends_on` and `--wait` ask for.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::{
    changes::Subscription,
    error::RunError,
    execute::Execution,
    report::{Event, Phase},
};
use crate::plan::command::{Condition, Wait};

/// How long a wait trusts the engine's events; some engines and proxies lose them.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an inspection says of a container's state.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    id: String,
    state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    status: String,
    exit_code: i64,
    health: Option<Health>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Health {
    status: String,
}

/// What a state means for a wait.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pending,
    Reached,
    Never(Reason),
}

#[derive(Debug, PartialEq, Eq)]
enum Reason {
    Unhealthy,
    Exited(i64),
    NoHealthcheck,
    NotCompleted(i64),
}

fn judge(condition: Condition, state: &State) -> Verdict {
    use Verdict::{Never, Pending, Reached};
    let ended = matches!(state.status.as_str(), "exited" | "dead");
    if condition == Condition::Completed {
        return match (ended, state.exit_code) {
            (false, _) => Pending,
            (true, 0) => Reached,
            (true, code) => Never(Reason::NotCompleted(code)),
        };
    }
    if ended {
        return Never(Reason::Exited(state.exit_code));
    }
    let health = state.health.as_ref().map(|health| health.status.as_str());
    match health.filter(|health| !matches!(*health, "" | "none")) {
        Some("healthy") => Reached,
        Some("unhealthy") => Never(Reason::Unhealthy),
        Some(_) => Pending,
        None if condition == Condition::Healthy => Never(Reason::NoHealthcheck),
        None if state.status == "running" => Reached,
        None => Pending,
    }
}

impl Execution<'_> {
    /// Waits for all containers of a service.
    pub(super) async fn wait(&self, wait: &Wait) -> Result<(), RunError> {
        for name in &wait.containers {
            let resource = format!("Container {name}");
            self.report(Event::new(&resource, "Waiting", Phase::Working));
        }
        let each = wait.containers.iter().map(|name| self.wait_for_one(wait, name));
        match futures_util::future::try_join_all(each).await {
            Ok(_) => Ok(()),
            Err(error) if wait.required => Err(error),
            Err(error) => {
                for name in &wait.containers {
                    let text = format!("Skipped: optional dependency {:?}: {error}", wait.service);
                    self.report(Event::new(format!("Container {name}"), text, Phase::Warning));
                }
                Ok(())
            }
        }
    }

    async fn wait_for_one(&self, wait: &Wait, name: &str) -> Result<(), RunError> {
        let mut changes = self.changes().await?.subscribe();
        loop {
            let inspected: Inspected = self.client.get(&format!("/containers/{name}/json"), &[]).await?;
            match judge(wait.condition, &inspected.state) {
                Verdict::Reached => {
                    let text = if wait.condition == Condition::Completed { "Exited" } else { "Healthy" };
                    self.report(Event::new(format!("Container {name}"), text, Phase::Done));
                    return Ok(());
                }
                Verdict::Pending => next_change(&mut changes, &inspected.id).await,
                Verdict::Never(reason) => {
                    let error = failure(reason, wait, name);
                    self.report(Event::new(format!("Container {name}"), "Error", Phase::Failed));
                    return Err(error);
                }
            }
        }
    }
}

async fn next_change(changes: &mut Subscription, id: &str) {
    // When nothing comes for a while, the next question is asked all the same.
    let _ = timeout(PATIENCE, changes.of_container(id)).await;
}

fn failure(reason: Reason, wait: &Wait, name: &str) -> RunError {
    let name = name.to_owned();
    match reason {
        Reason::Unhealthy => RunError::Unhealthy { name },
        Reason::Exited(code) => RunError::Exited { name, code },
        Reason::NoHealthcheck => RunError::NoHealthcheck { name },
        Reason::NotCompleted(code) => RunError::NotCompleted { service: wait.service.clone(), code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: &str, exit_code: i64, health: Option<&str>) -> State {
        let health = health.map(|status| Health { status: status.to_owned() });
        State { status: status.to_owned(), exit_code, health }
    }

    #[test]
    fn a_health_check_decides_unless_the_container_has_ended() {
        let of = |status, code, health| judge(Condition::Healthy, &state(status, code, health));
        assert_eq!(of("running", 0, Some("starting")), Verdict::Pending);
        assert_eq!(of("running", 0, Some("healthy")), Verdict::Reached);
        assert_eq!(of("running", 0, Some("unhealthy")), Verdict::Never(Reason::Unhealthy));
        assert_eq!(of("exited", 1, Some("starting")), Verdict::Never(Reason::Exited(1)));
        assert_eq!(of("running", 0, None), Verdict::Never(Reason::NoHealthcheck));
        assert_eq!(of("running", 0, Some("none")), Verdict::Never(Reason::NoHealthcheck));
    }

    #[test]
    fn without_a_health_check_running_is_enough_for_wait() {
        let of = |status, health| judge(Condition::RunningOrHealthy, &state(status, 0, health));
        assert_eq!(of("running", None), Verdict::Reached);
        assert_eq!(of("created", None), Verdict::Pending);
        assert_eq!(of("running", Some("starting")), Verdict::Pending);
        assert_eq!(of("exited", None), Verdict::Never(Reason::Exited(0)));
    }

    #[test]
    fn completion_wants_an_end_with_code_0() {
        let of = |status, code| judge(Condition::Completed, &state(status, code, None));
        assert_eq!(of("running", 0), Verdict::Pending);
        assert_eq!(of("exited", 0), Verdict::Reached);
        assert_eq!(of("exited", 2), Verdict::Never(Reason::NotCompleted(2)));
    }
}
