//! `compose cp`, `export` and `commit`: containers of services, then as the verbs of the same names do.

use std::path::PathBuf;

use clap::Parser;

use super::session::Session;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    command,
    context::Context,
    copy::{self, Request, path::Side},
    failure::Failure,
};

/// Flags of `cp`.
#[derive(Debug, Parser)]
pub(crate) struct Cp {
    /// Include containers created by the run command
    #[arg(long)]
    all: bool,
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// SERVICE:PATH, a path, or - for standard input
    source: String,
    /// SERVICE:PATH, a path, or - for standard output
    destination: String,
}

/// Flags of `export`.
#[derive(Debug, Parser)]
pub(crate) struct Export {
    /// index of the container if service has multiple replicas.
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// The service
    service: String,
}

/// Flags of `commit`.
#[derive(Debug, Parser)]
pub(crate) struct Commit {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string")]
    author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// index of the container if service has multiple replicas.
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Commit message
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Pause container during commit
    #[arg(short, long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    pause: bool,
    /// The service
    service: String,
    /// The image's name
    repository: Option<String>,
}

pub(crate) static CP: Verb = client_verb!(
    Cp,
    cp,
    Arity::Exactly(2),
    "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n        minke compose cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
    "Copy files/folders between a service container and the local filesystem"
);
pub(crate) static EXPORT: Verb = client_verb!(
    Export,
    export,
    Arity::Exactly(1),
    "[OPTIONS] SERVICE",
    "Export a service container's filesystem as a tar archive"
);
pub(crate) static COMMIT: Verb = client_verb!(
    Commit,
    commit,
    Arity::Between(1, 2),
    "[OPTIONS] SERVICE [REPOSITORY[:TAG]]",
    "Create a new image from a service container's changes"
);

async fn cp(context: &Context, args: Cp) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let client = session.client()?;
    let containers = async |service: &str| {
        let mut containers = session.containers(&[service.to_owned()], true).await?;
        containers.retain(|container| {
            (args.all || !container.is_oneoff()) && args.index.is_none_or(|index| container.number() == index)
        });
        match containers.is_empty() {
            true => Err(Failure::new(format!("no container found for service {service:?}"))),
            false => Ok(containers),
        }
    };
    let (follow_link, keep_owners) = (args.follow_link, args.archive);
    match (copy::path::side(&args.source), copy::path::side(&args.destination)) {
        (Side::Container { name, path: inside }, Side::Host(outside)) => {
            let container = &containers(name).await?[0].id;
            copy::from_container(client, &Request { container, inside, outside, follow_link, keep_owners })
                .await
        }
        // What goes in goes into all of them.
        (Side::Host(outside), Side::Container { name, path: inside }) => {
            for container in containers(name).await? {
                let container = &container.id;
                copy::to_container(client, &Request { container, inside, outside, follow_link, keep_owners })
                    .await?;
            }
            Ok(())
        }
        (Side::Container { .. }, Side::Container { .. }) => {
            Err(Failure::new("copying between services is not supported"))
        }
        (Side::Host(_), Side::Host(_)) => Err(Failure::new("unknown copy direction")),
    }
}

async fn export(context: &Context, args: Export) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let container = session.container(&args.service, args.index, true).await?;
    command::archive::export(
        context,
        command::archive::Export { output: args.output, container: container.id },
    )
    .await
}

async fn commit(context: &Context, args: Commit) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let container = session.container(&args.service, args.index, true).await?;
    let commit = command::commit::Commit {
        author: args.author,
        change: args.change,
        message: args.message,
        pause: args.pause,
        container: container.id,
        reference: args.repository,
    };
    command::commit::commit(context, commit).await
}
