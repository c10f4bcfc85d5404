//! `minke system dial-stdio`: the engine's connection on standard input and output, for clients that come by ssh.

use clap::Parser;
use tokio::io::{AsyncWriteExt, copy, split, stdin, stdout};

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
};

/// It has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Stdio {}

pub(crate) static STDIO: Verb = client_verb!(
    Stdio,
    dial,
    Arity::None,
    "",
    "Proxy the stdio stream to the engine connection. Should not be invoked manually."
);

async fn dial(context: &Context, _: Stdio) -> Result<(), Failure> {
    let (mut output, mut input) = split(context.client()?.dial().await?);
    let sending = async {
        copy(&mut stdin(), &mut input).await?;
        input.shutdown().await?;
        // What the engine has to say after the end of the input still counts.
        std::future::pending::<std::io::Result<()>>().await
    };
    let receiving = async {
        let mut stdout = stdout();
        copy(&mut output, &mut stdout).await?;
        stdout.flush().await
    };
    let done = tokio::select! {
        done = receiving => done,
        failed = sending => failed,
    };
    done.map_err(|error| Failure::doing("hand the engine's connection through", error))
}
