//! `minke start`.

use clap::Parser;

use super::{attach::Inspected, run};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
    run::{
        session::{Session, Wiring},
        signals,
        waiting::Waiting,
    },
    terminal,
};

/// Flags of `start`.
#[derive(Debug, Parser)]
pub(crate) struct Start {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Restore from this checkpoint (not supported yet)
    #[arg(long, value_name = "string", hide = true)]
    checkpoint: Option<String>,
    /// Use a custom checkpoint storage directory (not supported yet)
    #[arg(long, value_name = "string", hide = true)]
    checkpoint_dir: Option<String>,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    /// The containers
    containers: Vec<String>,
}

pub(crate) static START: Verb = client_verb!(
    Start,
    start,
    Arity::AtLeast(1),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers"
);

async fn start(context: &Context, args: Start) -> Result<(), Failure> {
    if args.checkpoint.is_some() || args.checkpoint_dir.is_some() {
        return Err(Failure::new("minke start: --checkpoint is not supported yet"));
    }
    if args.attach || args.interactive {
        return attached(context, &args).await;
    }
    let client = context.client()?;
    let mut failed = Vec::new();
    for name in &args.containers {
        match client.post_empty::<()>(&format!("/containers/{name}/start"), &[]).await {
            Ok(()) => output::line(name)?,
            Err(error) => {
                output::note(&error.to_string());
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("Error: failed to start containers: {}", failed.join(", "))))
}

/// As `run` does, with a container that is there already.
async fn attached(context: &Context, args: &Start) -> Result<(), Failure> {
    let [name] = args.containers.as_slice() else {
        return Err(Failure::new("you cannot start and attach multiple containers at once"));
    };
    let keys = run::detach_keys(context, args.detach_keys.as_deref())?;
    let client = context.client()?;
    let container: Inspected = client.get(&format!("/containers/{name}/json"), &[]).await?;
    let wiring = Wiring {
        tty: container.config.tty,
        stdin: args.interactive && container.config.open_stdin,
        stdout: true,
        stderr: true,
    };
    run::check_terminal(wiring)?;
    let id = &container.id;
    let _proxy = (!wiring.tty).then(|| signals::proxy(client, id));
    let condition = if container.host_config.auto_remove { "removed" } else { "next-exit" };
    let (connection, waiting) =
        tokio::join!(run::attach(client, id, wiring, &keys.text), Waiting::register(client, id, condition));
    let (session, waiting) = (Session::new(connection?, wiring, keys.keys)?, waiting?);
    client.post_empty::<()>(&format!("/containers/{id}/start"), &[]).await?;
    let _size = (wiring.tty && terminal::stdout_is_terminal())
        .then(|| signals::follow_size(client, format!("/containers/{id}/resize")));
    run::finish(session, waiting, wiring).await
}
