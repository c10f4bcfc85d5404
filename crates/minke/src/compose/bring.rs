//! What `up`, `create`, `run`, `scale` and `watch` share: images first, then containers.

use minke_compose::{
    plan::{self, Observed, Up, images},
    run::{BuildFlags, Event, Phase, Surroundings as _},
};

use minke_docker_client::Endpoint;
use serde_json::json;

use super::{screen, session::Session};
use crate::{failure::Failure, output, prompt, terminal};

/// Which images are got, and how.
#[derive(Debug, Clone)]
pub(super) struct Images {
    pub(super) pull: images::Pull,
    pub(super) build: images::Build,
    pub(super) flags: BuildFlags,
}

impl Images {
    /// From `--pull`, `--build` and `--no-build`.
    ///
    /// # Errors
    /// For a policy that there is not.
    pub(super) fn of_flags(pull: &str, build: bool, no_build: bool) -> Result<Self, Failure> {
        if build && no_build {
            return Err(Failure::new("--build and --no-build are incompatible"));
        }
        let (pull, always) = match pull {
            "" | "policy" => (images::Pull::Policy, false),
            "always" => (images::Pull::Always, false),
            "missing" => (images::Pull::Missing, false),
            "never" => (images::Pull::Never, false),
            "build" => (images::Pull::Policy, true),
            other => {
                let text = format!("invalid --pull option {other:?}, want always, missing, never or policy");
                return Err(Failure::new(text));
            }
        };
        let build = match (build || always, no_build) {
            (_, true) => images::Build::Never,
            (true, _) => images::Build::Always,
            _ => images::Build::Missing,
        };
        Ok(Self { pull, build, flags: BuildFlags::default() })
    }

    /// Pulls and builds what is needed; returns what there is of the project then.
    ///
    /// # Errors
    /// When an image can't be had.
    pub(super) async fn ensure(&self, session: &Session<'_>) -> Result<Observed, Failure> {
        let observed = session.observe().await?;
        let plan = images::needed(&session.project, &observed, self.pull, self.build);
        if plan.is_empty() {
            return Ok(observed);
        }
        let execution = session.execution()?.with_build(self.flags.clone());
        session.carry_out_with(&plan, &observed, execution).await?;
        if session.flags().dry_run {
            return Ok(observed);
        }
        session.observe().await
    }
}

/// Gives services what is not the project's own: the engine's socket, and what the programs tell that provide services and language
/// models, which goes into the environment of those that depend on them. It comes before containers are planned, which are made anew when that changes.
///
/// # Errors
/// When a provider or docker's plugin for models isn't there or fails.
pub(super) async fn provide(session: &mut Session<'_>) -> Result<(), Failure> {
    if plan::wants_socket(&session.project) {
        let socket = match session.client()?.endpoint() {
            Endpoint::Unix(path) => path.display().to_string(),
            // As the engine's own host has it.
            _ => "/var/run/docker.sock".to_owned(),
        };
        let credentials = json!({"auths": session.context.config().all_credentials()});
        plan::share_socket(&mut session.project, &socket, &credentials.to_string());
    }
    let plan = plan::providers(&session.project)?;
    let has_models = session.project.services.values().any(|service| !service.models.is_empty());
    if session.flags().dry_run || plan.is_empty() && !has_models {
        return session.carry_out(&plan, &Observed::default()).await;
    }
    let execution = session.execution()?;
    let providing = async {
        execution.execute(&plan).await?;
        if has_models { execution.prepare_models().await.map(Some) } else { Ok(None) }
    };
    let models = session.screen.during(providing).await?;
    for (provider, told) in execution.told_by_providers() {
        for warning in plan::inform(&mut session.project, &provider, &told) {
            output::note(&format!("WARNING: {warning}"));
        }
    }
    if let Some(endpoint) = models {
        plan::inform_of_models(&mut session.project, &endpoint);
    }
    Ok(())
}

/// Brings the project's containers about.
///
/// # Errors
/// When the project can't be brought about, or a step fails.
pub(super) async fn converge(
    session: &Session<'_>,
    observed: &Observed,
    mut options: Up,
    assume_yes: bool,
) -> Result<(), Failure> {
    let diverged = plan::diverged_volumes(&session.project, observed);
    if !diverged.is_empty() {
        options.replace_volumes = assume_yes || agreed(&diverged).await?;
    }
    let mut plan = plan::up(session.origin(observed), &options)?;
    if screen::ignores_orphans() {
        plan.warnings.retain(|warning| !warning.starts_with("Found orphan"));
    }
    if plan.is_empty() && options.start && !session.flags().dry_run {
        session.screen.during(async { all_is_well(session, observed) }).await;
    }
    session.carry_out(&plan, observed).await
}

/// Says that containers are as they should be, in the order of their start.
fn all_is_well(session: &Session<'_>, observed: &Observed) {
    // There was a plan, so there is an order.
    let levels = plan::levels(&session.project).unwrap_or_default();
    let mut there = observed.by_service();
    for service in levels.into_iter().flatten() {
        let mut containers = there.remove(service.name.as_str()).unwrap_or_default();
        containers.sort_by_key(|container| container.number());
        for container in containers {
            let resource = format!("Container {}", container.name());
            session.screen.report(Event::new(resource, "Running", Phase::Done));
        }
    }
}

/// Asks whether volumes may be made anew; where nobody can answer they may not.
async fn agreed(diverged: &[String]) -> Result<bool, Failure> {
    let question = format!(
        "Volume {} exists but doesn't match configuration in compose file. Recreate (data will be lost)? (y/N) ",
        diverged.join(", ")
    );
    if !terminal::stdin_is_terminal() {
        output::note(&format!("WARNING: {question}no"));
        return Ok(false);
    }
    let answer = prompt::line(&question).await?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}
