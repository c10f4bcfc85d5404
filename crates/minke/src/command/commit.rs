//! `minke commit`: an image of what a container has changed.

use clap::Parser;
use serde::Deserialize;

use super::images::split_tag;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
};

/// Flags of `commit`.
#[derive(Debug, Parser)]
pub(crate) struct Commit {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string")]
    pub(crate) author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    pub(crate) change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "string")]
    pub(crate) message: Option<String>,
    /// Pause container during commit
    #[arg(short, long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    pub(crate) pause: bool,
    /// The container
    pub(crate) container: String,
    /// The image's name
    pub(crate) reference: Option<String>,
}

pub(crate) static COMMIT: Verb = client_verb!(
    Commit,
    commit,
    Arity::Between(1, 2),
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes"
);

#[derive(Debug, Deserialize)]
struct Made {
    #[serde(rename = "Id")]
    id: String,
}

pub(crate) async fn commit(context: &Context, args: Commit) -> Result<(), Failure> {
    let mut query = vec![("container", args.container), ("pause", u8::from(args.pause).to_string())];
    if let Some(reference) = &args.reference {
        let (repository, tag) = split_tag(reference);
        query.push(("repo", repository.to_owned()));
        query.push(("tag", tag.to_owned()));
    }
    query.extend(args.author.map(|author| ("author", author)));
    query.extend(args.message.map(|message| ("comment", message)));
    query.extend(args.change.into_iter().map(|change| ("changes", change)));
    let made: Made = context.client()?.post_empty("/commit", &query).await?;
    output::line(&made.id)
}
