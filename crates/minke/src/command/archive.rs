//! `minke cp` and `minke export`.

use std::path::PathBuf;

use clap::Parser;
use minke_docker_client::{Body, HeaderMap, Method};

use super::image_archive::write_stream;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    copy::{self, Request, path::Side},
    failure::Failure,
};

/// Flags of `cp`.
#[derive(Debug, Parser)]
pub(crate) struct Cp {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy (there is none)
    #[arg(short, long)]
    quiet: bool,
    /// CONTAINER:PATH, a path, or - for standard input
    source: String,
    /// CONTAINER:PATH, a path, or - for standard output
    destination: String,
}

/// Flags of `export`.
#[derive(Debug, Parser)]
pub(crate) struct Export {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    pub(crate) output: Option<PathBuf>,
    /// The container
    pub(crate) container: String,
}

pub(crate) static CP: Verb = client_verb!(
    Cp,
    cp,
    Arity::Exactly(2),
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        minke cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem"
);

pub(crate) static EXPORT: Verb = client_verb!(
    Export,
    export,
    Arity::Exactly(1),
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive"
);

async fn cp(context: &Context, args: Cp) -> Result<(), Failure> {
    let request = |container, inside, outside| Request {
        container,
        inside,
        outside,
        follow_link: args.follow_link,
        keep_owners: args.archive,
    };
    match (copy::path::side(&args.source), copy::path::side(&args.destination)) {
        (Side::Container { name, path }, Side::Host(outside)) => {
            copy::from_container(context.client()?, &request(name, path, outside)).await
        }
        (Side::Host(outside), Side::Container { name, path }) => {
            copy::to_container(context.client()?, &request(name, path, outside)).await
        }
        (Side::Container { .. }, Side::Container { .. }) => {
            Err(Failure::new("copying between containers is not supported"))
        }
        (Side::Host(_), Side::Host(_)) => Err(Failure::new("must specify at least one container source")),
    }
}

pub(crate) async fn export(context: &Context, args: Export) -> Result<(), Failure> {
    let path = format!("/containers/{}/export", args.container);
    write_stream(args.output.as_deref(), "export", async || {
        Ok(context.client()?.stream(Method::GET, &path, &[], Body::Empty, HeaderMap::new()).await?)
    })
    .await
}
