//! `compose watch`, and `up --watch`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;
use minke_compose::{
    model::Select,
    plan::{Container, Up, images},
    run::{
        BuildFlags, run_in,
        watch::{self, Actions, Rule, Watch},
    },
};

use super::{bring, bring::Images, session::Session};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output, terminal,
};

/// Flags of `watch`.
#[derive(Debug, Parser)]
pub(crate) struct WatchArgs {
    /// Do not build & start services before watching
    #[arg(long)]
    no_up: bool,
    /// Prune dangling images on rebuild (minke's rebuilds leave none: accepted and ignored)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    prune: Option<bool>,
    /// hide build output
    #[arg(long)]
    quiet: bool,
    /// The services
    services: Vec<String>,
}

pub(crate) static WATCH: Verb = client_verb!(
    WatchArgs,
    watch_files,
    Arity::Any,
    "[SERVICE...]",
    "Watch build context for service and rebuild/refresh containers when files are updated"
);

async fn watch_files(context: &Context, args: WatchArgs) -> Result<(), Failure> {
    let mut session = Session::of_files(context)?;
    session.check_services(&args.services)?;
    session.select(&args.services, Select::WithDependencies)?;
    if args.quiet {
        session.screen.quieten_pulls();
    }
    let rules = rules(&session, &args.services)?;
    bring::provide(&mut session).await?;
    if !args.no_up {
        let observed = Images::of_flags("", true, false)?.ensure(&session).await?;
        bring::converge(&session, &observed, Up { start: true, ..Up::default() }, false).await?;
    }
    terminal::unless_ended(follow(&session, rules)).await
}

/// The rules of services.
///
/// # Errors
/// When there are none.
pub(super) fn rules(session: &Session<'_>, named: &[String]) -> Result<Vec<Rule>, Failure> {
    let rules = watch::rules(&session.project, named)?;
    if rules.is_empty() {
        return Err(Failure::new(
            "none of the selected services is configured for watch, consider setting a 'develop' section",
        ));
    }
    Ok(rules)
}

/// Keeps containers up to date until something breaks.
///
/// # Errors
/// When files can't be watched. What a single change brings about may fail: it is told, and the watch goes on.
pub(super) async fn follow(session: &Session<'_>, rules: Vec<Rule>) -> Result<(), Failure> {
    let initial = watch::initial(&rules);
    let mut watch = Watch::begin(rules)?;
    output::line("Watch enabled")?;
    apply(session, &watch::actions(watch.rules(), &initial)).await;
    loop {
        let changed = watch.changes().await?;
        apply(session, &watch::actions(watch.rules(), &changed)).await;
    }
}

async fn apply(session: &Session<'_>, actions: &Actions) {
    let _changing = Changing::begin(session);
    if let Err(failure) = try_apply(session, actions).await {
        output::note(&format!("WARNING: {}", failure.message));
    }
}

/// While it is there, the end of containers is the watch's doing.
struct Changing<'s>(&'s Session<'s>);

impl<'s> Changing<'s> {
    fn begin(session: &'s Session<'s>) -> Self {
        session.changing.set(true);
        Self(session)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.changing.set(false);
    }
}

async fn try_apply(session: &Session<'_>, actions: &Actions) -> Result<(), Failure> {
    let services: BTreeSet<_> =
        actions.copies.keys().chain(&actions.restarts).chain(actions.execs.keys()).cloned().collect();
    let containers = match services.is_empty() {
        true => Vec::new(),
        false => session.containers(&services.into_iter().collect::<Vec<_>>(), false).await?,
    };
    let of = |service: &str| -> Vec<&Container> {
        containers
            .iter()
            .filter(|container| container.service() == service && !container.is_oneoff())
            .collect()
    };
    let client = session.client()?;
    for (service, files) in &actions.copies {
        output::line(&format!("Syncing service {service:?} after {} changes were detected", files.len()))?;
        for container in of(service) {
            watch::sync(client, &container.id, files).await?;
        }
    }
    for (service, hooks) in &actions.execs {
        for container in of(service) {
            for hook in hooks {
                let ran = run_in(client, &container.id, hook).await?;
                output::print(&ran.output)?;
                if ran.code != 0 {
                    output::note(&format!(
                        "WARNING: the command in {} exited with {}",
                        container.name(),
                        ran.code
                    ));
                }
            }
        }
    }
    for service in &actions.restarts {
        for container in of(service) {
            client.post_empty::<()>(&format!("/containers/{}/restart", container.id), &[]).await?;
        }
        output::line(&format!("service {service:?} restarted"))?;
    }
    if !actions.rebuilds.is_empty() {
        rebuild(session, &actions.rebuilds).await?;
    }
    Ok(())
}

async fn rebuild(session: &Session<'_>, services: &BTreeSet<String>) -> Result<(), Failure> {
    let names: Vec<_> = services.iter().cloned().collect();
    output::line(&format!("Rebuilding service(s) {names:?} after changes were detected"))?;
    let whole = session.project.clone();
    let built: BTreeMap<_, _> = whole
        .services
        .iter()
        .filter(|(name, _)| services.contains(*name))
        .map(|(name, service)| (name.clone(), service.clone()))
        .collect();
    let plan = images::builds(&minke_compose::model::Project { services: built, ..whole });
    let observed = session.observe().await?;
    let execution = session.execution()?.with_build(BuildFlags::default());
    session.carry_out_with(&plan, &observed, execution).await?;
    let observed = session.observe().await?;
    bring::converge(session, &observed, Up { services: names, start: true, ..Up::default() }, false).await
}
