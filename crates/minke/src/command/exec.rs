//! `minke exec`.

use std::path::PathBuf;

use bollard_stubs::models::ExecConfig;
use clap::Parser;
use minke_docker_client::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::run;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    run::{
        FlagError, environment,
        session::{End, Session, Wiring},
        signals,
    },
    terminal,
};

/// Flags of `exec`.
#[derive(Debug, Parser)]
pub(crate) struct Exec {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    pub(crate) detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "string")]
    pub(crate) user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    pub(crate) workdir: Option<String>,
    /// The container
    pub(crate) container: String,
    /// What to run in it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

pub(crate) static EXEC: Verb = client_verb!(
    Exec,
    exec,
    Arity::AtLeast(2),
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    false
);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ended {
    exit_code: Option<i64>,
}

pub(crate) async fn exec(context: &Context, args: Exec) -> Result<(), Failure> {
    let keys = run::detach_keys(context, args.detach_keys.as_deref())?;
    let wiring = Wiring {
        tty: args.tty,
        stdin: args.interactive && !args.detach,
        stdout: !args.detach,
        stderr: !args.detach,
    };
    run::check_terminal(wiring)?;
    let config = request(&args, &keys.text, wiring)?;
    let client = context.client()?;
    let created: Created =
        client.post(&format!("/containers/{}/exec", args.container), &[], Some(&config)).await?;
    let path = format!("/exec/{}", created.id);
    let mut start = json!({"Detach": args.detach, "Tty": args.tty});
    if let Some(size) = &config.console_size {
        start["ConsoleSize"] = json!(size);
    }
    if args.detach {
        client.post::<Value, Value>(&format!("{path}/start"), &[], Some(&start)).await?;
        return Ok(());
    }
    let connection = client.hijack(&format!("{path}/start"), &[], Some(&start)).await?;
    let session = Session::new(connection, wiring, keys.keys)?;
    let _size = (wiring.tty && terminal::stdin_is_terminal())
        .then(|| signals::follow_size(client, format!("{path}/resize")));
    match session.run().await? {
        End::Detached => Ok(()),
        End::Output => exit_as(client, &path).await,
    }
}

fn request(args: &Exec, keys: &str, wiring: Wiring) -> Result<ExecConfig, Failure> {
    let env = environment::variables(&args.env_file, &args.env, &environment::own)
        .map_err(|FlagError(problem)| Failure::new(problem))?;
    let size = args.tty.then(terminal::size).flatten();
    Ok(ExecConfig {
        attach_stdin: Some(wiring.stdin),
        attach_stdout: Some(wiring.stdout),
        attach_stderr: Some(wiring.stderr),
        console_size: size.map(|(columns, rows)| vec![usize::from(rows), usize::from(columns)]),
        detach_keys: (!keys.is_empty()).then(|| keys.to_owned()),
        tty: Some(args.tty),
        env: (!env.is_empty()).then_some(env),
        cmd: Some(args.command.clone()),
        privileged: Some(args.privileged),
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
    })
}

/// Ends with the command's own exit code.
async fn exit_as(client: &Client, path: &str) -> Result<(), Failure> {
    let ended: Ended = client.get(&format!("{path}/json"), &[]).await?;
    match ended.exit_code.and_then(|code| i32::try_from(code).ok()) {
        None | Some(0) => Ok(()),
        Some(code) => Err(Failure::exit(code)),
    }
}
