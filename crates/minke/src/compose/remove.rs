//! `compose rm`.

use clap::Parser;
use minke_compose::plan::{self, Container};

use super::session::Session;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output, prompt,
};

/// Flags of `rm`.
#[derive(Debug, Parser)]
pub(crate) struct Rm {
    /// Deprecated: no effect
    #[arg(short, long, hide = true)]
    all: bool,
    /// Don't ask to confirm removal
    #[arg(short, long)]
    force: bool,
    /// Stop the containers, if required, before removing
    #[arg(short, long)]
    stop: bool,
    /// Remove any anonymous volumes attached to containers
    #[arg(short, long)]
    volumes: bool,
    /// The services
    services: Vec<String>,
}

pub(crate) static RM: Verb =
    client_verb!(Rm, rm, Arity::Any, "[OPTIONS] [SERVICE...]", "Removes stopped service containers");

async fn rm(context: &Context, args: Rm) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let containers = session.containers(&args.services, true).await?;
    let wanted = |container: &&Container| !container.is_oneoff() && (args.stop || !container.is_running());
    let chosen: Vec<_> = containers.iter().filter(wanted).collect();
    if chosen.is_empty() {
        output::note("No stopped containers");
        return Ok(());
    }
    let names: Vec<_> = chosen.iter().map(|container| container.name()).collect();
    if !args.force && !session.flags().dry_run {
        let question = format!("Going to remove {}\nAre you sure? [yN] ", names.join(", "));
        let answer = prompt::line(&question).await?;
        if !matches!(answer.to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
    }
    let plan = plan::rm(&chosen, args.stop, args.volumes);
    let observed = plan::Observed { containers: containers.clone(), ..plan::Observed::default() };
    session.carry_out(&plan, &observed).await
}
