//! `compose exec` and `attach`: one container of a service, then as the verbs of the same names do.

use clap::Parser;

use super::session::Session;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    command,
    context::Context,
    failure::Failure,
    terminal,
};

/// Flags of `exec`.
#[derive(Debug, Parser)]
pub(crate) struct Exec {
    /// Detached mode: Run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Set environment variables
    #[arg(short, long, value_name = "stringArray")]
    env: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Keep STDIN open even if not attached
    #[arg(short, long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    interactive: bool,
    /// Disable pseudo-TTY allocation. By default 'docker compose exec' allocates a TTY.
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    no_tty: bool,
    /// Allocate a pseudo-TTY (the default)
    #[arg(short, long, hide = true)]
    tty: bool,
    /// Give extended privileges to the process
    #[arg(long)]
    privileged: bool,
    /// Run the command as this user
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Path to workdir directory for this command
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    /// The service
    service: String,
    /// What to run
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Flags of `attach`.
#[derive(Debug, Parser)]
pub(crate) struct Attach {
    /// Override the key sequence for detaching from a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    sig_proxy: bool,
    /// The service
    service: String,
}

pub(crate) static EXEC: Verb = client_verb!(
    Exec,
    exec,
    Arity::AtLeast(2),
    "[OPTIONS] SERVICE COMMAND [ARGS...]",
    "Execute a command in a running container",
    false
);
pub(crate) static ATTACH: Verb = client_verb!(
    Attach,
    attach,
    Arity::Exactly(1),
    "[OPTIONS] SERVICE",
    "Attach local standard input, output, and error streams to a service's running container"
);

async fn exec(context: &Context, args: Exec) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let container = session.container(&args.service, args.index, false).await?;
    let tty = !args.no_tty && terminal::stdin_is_terminal() && terminal::stdout_is_terminal();
    let exec = command::exec::Exec {
        detach: args.detach,
        detach_keys: None,
        env: args.env,
        env_file: Vec::new(),
        interactive: args.interactive,
        privileged: args.privileged,
        tty,
        user: args.user,
        workdir: args.workdir,
        container: container.id,
        command: args.command,
    };
    command::exec::exec(context, exec).await
}

async fn attach(context: &Context, args: Attach) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let container = session.container(&args.service, args.index, false).await?;
    let attach = command::attach::Attach {
        detach_keys: args.detach_keys,
        no_stdin: args.no_stdin,
        sig_proxy: args.sig_proxy,
        container: container.id,
    };
    command::attach::attach(context, attach).await
}
