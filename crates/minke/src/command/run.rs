//! `minke run`: create, attach, wait, start, connect the user's streams, exit with the container's code.

use std::time::Duration;

use bollard_stubs::models::ContainerCreateBody;
use clap::Parser;
use minke_docker_client::Client;

use super::create;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
    run::{
        FlagError,
        detach_keys::DetachKeys,
        options::ContainerOptions,
        session::{End, Session, Wiring},
        signals,
        waiting::Waiting,
    },
    terminal,
};

/// Flags of `run`.
#[derive(Debug, Parser)]
pub(crate) struct Run {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Proxy received signals to the process
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    sig_proxy: bool,
    #[command(flatten)]
    options: ContainerOptions,
    /// The image
    image: String,
    /// What to run instead of the image's command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(crate) static RUN: Verb = client_verb!(
    Run,
    run,
    Arity::AtLeast(1),
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    false
);

/// How long a container that failed to start may take to be removed before `run --rm` reports the failure anyway.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(5);

async fn run(context: &Context, args: Run) -> Result<(), Failure> {
    let mut body = create::request(context, &args.options, &args.image, &args.command)
        .map_err(|failure| failure.of_run("run").with_code(crate::failure::USAGE))?;
    if args.detach {
        if !args.options.attach.is_empty() {
            return Err(Failure::new("conflicting options: cannot specify both --attach and --detach"));
        }
        (body.attach_stdin, body.attach_stdout, body.attach_stderr) = (Some(false), Some(false), Some(false));
        body.stdin_once = Some(false);
    }
    let keys = detach_keys(context, args.detach_keys.as_deref())?;
    let wiring = wiring(&body);
    check_terminal(wiring)?;
    let client = context.client().map_err(|failure| failure.of_run("run"))?;
    let id = create::make(context, &args.options, &body).await.map_err(|failure| failure.of_run("run"))?;
    if !(wiring.stdin || wiring.stdout || wiring.stderr) {
        let path = format!("/containers/{id}/start");
        let started = client.post_empty::<()>(&path, &[]).await;
        // The id comes first: a container that could not start is still there.
        output::line(&id)?;
        return started.map_err(|error| Failure::from(error).of_run("run"));
    }
    foreground(client, &id, &args, wiring, keys).await
}

/// Connects first, then starts, so that no output and no exit is missed.
async fn foreground(
    client: &Client,
    id: &str,
    args: &Run,
    wiring: Wiring,
    keys: KeysText,
) -> Result<(), Failure> {
    let _proxy = args.sig_proxy.then(|| signals::proxy(client, id));
    let condition = if args.options.rm { "removed" } else { "next-exit" };
    let (connection, waiting) =
        tokio::join!(attach(client, id, wiring, &keys.text), Waiting::register(client, id, condition));
    let (session, waiting) = (Session::new(connection?, wiring, keys.keys)?, waiting?);
    if let Err(error) = client.post_empty::<()>(&format!("/containers/{id}/start"), &[]).await {
        drop(session);
        if args.options.rm {
            // What comes of it doesn't matter: the start's failure is the news.
            let _ = tokio::time::timeout(REMOVAL_PATIENCE, waiting.settled()).await;
        }
        return Err(Failure::from(error).of_run("run"));
    }
    let _size = (wiring.tty && terminal::stdout_is_terminal())
        .then(|| signals::follow_size(client, format!("/containers/{id}/resize")));
    finish(session, waiting, wiring).await
}

/// Copies until the output's end, then exits as the container did.
pub(crate) async fn finish(session: Session, waiting: Waiting, wiring: Wiring) -> Result<(), Failure> {
    let session = session.run();
    let code = waiting.exit_code();
    tokio::pin!(session, code);
    let code = tokio::select! {
        biased;
        end = &mut session => match end? {
            End::Detached => return Ok(()),
            End::Output => code.await,
        },
        // The container has ended; what it said is still on its way, unless nobody listens.
        status = &mut code => {
            if wiring.stdout || wiring.stderr {
                session.await?;
            }
            status
        }
    };
    if code == 0 { Ok(()) } else { Err(Failure::exit(code)) }
}

/// Takes over a connection to the container's streams.
pub(crate) async fn attach(
    client: &Client,
    id: &str,
    wiring: Wiring,
    keys: &str,
) -> Result<minke_docker_client::Hijacked, Failure> {
    let flag = |on: bool| u8::from(on).to_string();
    let mut query = vec![
        ("stream", flag(true)),
        ("stdin", flag(wiring.stdin)),
        ("stdout", flag(wiring.stdout)),
        ("stderr", flag(wiring.stderr)),
    ];
    if !keys.is_empty() {
        query.push(("detachKeys", keys.to_owned()));
    }
    Ok(client.hijack::<()>(&format!("/containers/{id}/attach"), &query, None).await?)
}

/// The detach keys as text for the engine, and as the client watches for them.
pub(crate) struct KeysText {
    pub(crate) text: String,
    pub(crate) keys: DetachKeys,
}

/// `--detach-keys`, else the user's configuration.
///
/// # Errors
/// For a key that there is not.
pub(crate) fn detach_keys(context: &Context, flag: Option<&str>) -> Result<KeysText, Failure> {
    let text = match flag {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => context.config().detach_keys.clone(),
    };
    let keys = DetachKeys::parse(&text).map_err(|FlagError(problem)| Failure::new(problem))?;
    Ok(KeysText { text, keys })
}

fn wiring(body: &ContainerCreateBody) -> Wiring {
    Wiring {
        tty: body.tty == Some(true),
        stdin: body.attach_stdin == Some(true),
        stdout: body.attach_stdout == Some(true),
        stderr: body.attach_stderr == Some(true),
    }
}

/// A container's terminal fed from a pipe would swallow its end.
///
/// # Errors
/// Where standard input is to be connected to a terminal and is none.
pub(super) fn check_terminal(wiring: Wiring) -> Result<(), Failure> {
    if wiring.tty && wiring.stdin && !terminal::stdin_is_terminal() {
        return Err(Failure::new("the input device is not a TTY"));
    }
    Ok(())
}
