//! `minke wait`.

use clap::Parser;
use serde_json::Value;

use super::batch;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
};

/// `wait` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Wait {
    /// The containers
    containers: Vec<String>,
}

pub(crate) static WAIT: Verb = client_verb!(
    Wait,
    wait,
    Arity::AtLeast(1),
    "CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes"
);

async fn wait(context: &Context, args: Wait) -> Result<(), Failure> {
    let client = context.client()?;
    batch::each(&args.containers, async |name| {
        let ended: Value = client.post_empty(&format!("/containers/{name}/wait"), &[]).await?;
        match ended["Error"]["Message"].as_str().filter(|message| !message.is_empty()) {
            Some(message) => Err(Failure::new(message)),
            None => Ok(ended["StatusCode"].to_string()),
        }
    })
    .await
}
