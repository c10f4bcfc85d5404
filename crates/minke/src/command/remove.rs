//! `minke rm`.

use clap::Parser;

use super::batch;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
};

/// Flags of `rm`.
#[derive(Debug, Parser)]
pub(crate) struct Rm {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove the specified link
    #[arg(short, long)]
    link: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    /// The containers
    containers: Vec<String>,
}

pub(crate) static RM: Verb = client_verb!(
    Rm,
    rm,
    Arity::AtLeast(1),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers"
);

async fn rm(context: &Context, args: Rm) -> Result<(), Failure> {
    let client = context.client()?;
    let flags = [("force", args.force), ("link", args.link), ("v", args.volumes)];
    let query: Vec<_> =
        flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "1".to_owned())).collect();
    batch::each(&args.containers, async |name| {
        let name = name.trim_matches('/');
        if name.is_empty() {
            return Err(Failure::new("container name cannot be empty"));
        }
        match client.delete::<()>(&format!("/containers/{name}"), &query).await {
            Ok(()) => Ok(name.to_owned()),
            // `rm -f` of what isn't there has reached its goal.
            Err(error) if args.force && error.is_not_found() => {
                crate::output::note(&error.to_string());
                Ok(String::new())
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}
