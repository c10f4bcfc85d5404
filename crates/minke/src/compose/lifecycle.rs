//! `compose start`, `stop`, `restart`, `kill`, `pause` and `unpause`.

use std::time::Duration;

use clap::Parser;
use futures_util::future::try_join_all;
use minke_compose::{
    model::Select,
    plan::{self, Container},
    run::{Event, Phase, Surroundings as _},
};

use super::session::Session;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
};

/// Flags of `start`.
#[derive(Debug, Parser)]
pub(crate) struct Start {
    /// Wait for services to be running|healthy. Implies detached mode
    #[arg(long)]
    wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "int")]
    wait_timeout: Option<u64>,
    /// The services
    services: Vec<String>,
}

/// Flags of `stop`.
#[derive(Debug, Parser)]
pub(crate) struct Stop {
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    /// The services
    services: Vec<String>,
}

/// Flags of `restart`.
#[derive(Debug, Parser)]
pub(crate) struct Restart {
    /// Don't restart dependent services
    #[arg(long)]
    no_deps: bool,
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    /// The services
    services: Vec<String>,
}

/// Flags of `kill`.
#[derive(Debug, Parser)]
pub(crate) struct Kill {
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// SIGNAL to send to the container
    #[arg(short, long, value_name = "string", default_value = "SIGKILL")]
    signal: String,
    /// The services
    services: Vec<String>,
}

/// `pause` and `unpause` have no flags.
#[derive(Debug, Parser)]
pub(crate) struct Services {
    /// The services
    services: Vec<String>,
}

pub(crate) static START: Verb =
    client_verb!(Start, start, Arity::Any, "[OPTIONS] [SERVICE...]", "Start services");
pub(crate) static STOP: Verb =
    client_verb!(Stop, stop, Arity::Any, "[OPTIONS] [SERVICE...]", "Stop services");
pub(crate) static RESTART: Verb =
    client_verb!(Restart, restart, Arity::Any, "[OPTIONS] [SERVICE...]", "Restart service containers");
pub(crate) static KILL: Verb =
    client_verb!(Kill, kill, Arity::Any, "[OPTIONS] [SERVICE...]", "Force stop service containers");
pub(crate) static PAUSE: Verb = client_verb!(Services, pause, Arity::Any, "[SERVICE...]", "Pause services");
pub(crate) static UNPAUSE: Verb =
    client_verb!(Services, unpause, Arity::Any, "[SERVICE...]", "Unpause services");

async fn start(context: &Context, args: Start) -> Result<(), Failure> {
    let mut session = Session::of_name(context).await?;
    session.check_services(&args.services)?;
    session.select(&args.services, Select::WithDependencies)?;
    let observed = session.observe().await?;
    let plan = plan::start(session.origin(&observed), &args.services, args.wait)?;
    let starting = session.carry_out(&plan, &observed);
    match args.wait_timeout {
        None => starting.await,
        Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), starting)
            .await
            .map_err(|_| Failure::new(format!("application not healthy after {seconds}s")))?,
    }
}

async fn stop(context: &Context, args: Stop) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    session.check_services(&args.services)?;
    let observed = session.observe().await?;
    let timeout = args.timeout.map(Duration::from_secs);
    let plan = plan::stop(&session.project, &observed, &args.services, timeout)?;
    session.carry_out(&plan, &observed).await
}

async fn restart(context: &Context, args: Restart) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    session.check_services(&args.services)?;
    let observed = session.observe().await?;
    let timeout = args.timeout.map(Duration::from_secs);
    let plan = plan::restart(&session.project, &observed, &args.services, !args.no_deps, timeout)?;
    if plan.is_empty() {
        return Err(Failure::new(format!("no container found for project {:?}", session.project.name)));
    }
    session.carry_out(&plan, &observed).await
}

async fn kill(context: &Context, args: Kill) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let mut containers = session.containers(&args.services, false).await?;
    let known = |container: &Container| session.project.services.contains_key(container.service());
    if !args.remove_orphans {
        containers.retain(known);
    }
    if containers.is_empty() {
        output::note("no container to kill");
    }
    each(&session, &containers, "kill", &[("signal", args.signal.clone())], ["Killing", "Killed"]).await
}

async fn pause(context: &Context, args: Services) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let mut containers = session.containers(&args.services, false).await?;
    containers.retain(|container| container.state == "running");
    each(&session, &containers, "pause", &[], ["Pausing", "Paused"]).await
}

async fn unpause(context: &Context, args: Services) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let mut containers = session.containers(&args.services, false).await?;
    containers.retain(|container| container.state == "paused");
    each(&session, &containers, "unpause", &[], ["Unpausing", "Unpaused"]).await
}

/// The same request for all containers at once.
async fn each(
    session: &Session<'_>,
    containers: &[Container],
    verb: &str,
    query: &[(&str, String)],
    [before, after]: [&str; 2],
) -> Result<(), Failure> {
    if session.flags().dry_run {
        let lines = containers
            .iter()
            .map(|container| format!("DRY-RUN MODE -  {verb} container {}\n", container.name()));
        return output::print(&lines.collect::<String>());
    }
    let client = session.client()?;
    let requests = containers.iter().map(|container| async move {
        let resource = format!("Container {}", container.name());
        session.screen.report(Event::new(&resource, before, Phase::Working));
        let path = format!("/containers/{}/{verb}", container.id);
        match client.post_empty::<()>(&path, query).await {
            Ok(()) => session.screen.report(Event::new(resource, after, Phase::Done)),
            Err(error) => {
                session.screen.report(Event::new(resource, "Error", Phase::Failed));
                return Err(Failure::from(error));
            }
        }
        Ok(())
    });
    session.screen.during(try_join_all(requests)).await.map(drop)
}
