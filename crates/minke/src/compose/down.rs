//! `compose down`.

use std::time::Duration;

use clap::Parser;
use minke_compose::plan::{self, Down, RemovedImages};

use super::{flags::switched_on, session::Session};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
};

/// Flags of `down`.
#[derive(Debug, Parser)]
pub(crate) struct DownArgs {
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Remove images used by services. "local" remove only images that don't have a custom tag ("local"|"all")
    #[arg(long, value_name = "string")]
    rmi: Option<String>,
    /// Specify a shutdown timeout in seconds
    #[arg(short, long, value_name = "int")]
    timeout: Option<u64>,
    /// Remove named volumes declared in the "volumes" section of the Compose file and anonymous volumes attached to containers
    #[arg(short, long)]
    volumes: bool,
    /// The services
    services: Vec<String>,
}

pub(crate) static DOWN: Verb =
    client_verb!(DownArgs, down, Arity::Any, "[OPTIONS] [SERVICES]", "Stop and remove containers, networks");

async fn down(context: &Context, args: DownArgs) -> Result<(), Failure> {
    let images = match args.rmi.as_deref() {
        None => RemovedImages::None,
        Some("local") => RemovedImages::Local,
        Some("all") => RemovedImages::All,
        Some(other) => {
            return Err(Failure::new(format!("invalid value for --rmi: {other:?}, want all or local")));
        }
    };
    let session = Session::of_name(context).await?;
    if session.from_files {
        session.check_services(&args.services)?;
    }
    let observed = session.observe().await?;
    let options = Down {
        services: args.services,
        volumes: args.volumes,
        images,
        remove_orphans: args.remove_orphans || switched_on("COMPOSE_REMOVE_ORPHANS"),
        timeout: args.timeout.map(Duration::from_secs),
    };
    let plan = plan::down(&session.project, &observed, &options)?;
    if plan.is_empty() {
        output::note(&format!(
            "WARNING: No resource found to remove for project {:?}.",
            session.project.name
        ));
    }
    session.carry_out(&plan, &observed).await
}
