//! `minke attach`.

use clap::Parser;
use serde::Deserialize;

use super::run;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    run::{
        session::{Session, Wiring},
        signals,
        waiting::Waiting,
    },
    terminal,
};

/// Flags of `attach`.
#[derive(Debug, Parser)]
pub(crate) struct Attach {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    pub(crate) detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    pub(crate) sig_proxy: bool,
    /// The container
    pub(crate) container: String,
}

pub(crate) static ATTACH: Verb = client_verb!(
    Attach,
    attach,
    Arity::Exactly(1),
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container"
);

/// What a session needs to know of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Inspected {
    pub(super) id: String,
    pub(super) config: Config,
    pub(super) host_config: HostConfig,
    state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    pub(super) tty: bool,
    pub(super) open_stdin: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    pub(super) auto_remove: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
    paused: bool,
    restarting: bool,
}

impl State {
    fn check(&self) -> Result<(), Failure> {
        let problem = match self {
            Self { running: false, .. } => "You cannot attach to a stopped container, start it first",
            Self { paused: true, .. } => "You cannot attach to a paused container, unpause it first",
            Self { restarting: true, .. } => {
                "You cannot attach to a restarting container, wait until it is running"
            }
            _ => return Ok(()),
        };
        Err(Failure::new(problem))
    }
}

pub(crate) async fn attach(context: &Context, args: Attach) -> Result<(), Failure> {
    let keys = run::detach_keys(context, args.detach_keys.as_deref())?;
    let client = context.client()?;
    let container: Inspected = client.get(&format!("/containers/{}/json", args.container), &[]).await?;
    container.state.check()?;
    let wiring = Wiring {
        tty: container.config.tty,
        stdin: !args.no_stdin && container.config.open_stdin,
        stdout: true,
        stderr: true,
    };
    run::check_terminal(wiring)?;
    let id = &container.id;
    let _proxy = (args.sig_proxy && !wiring.tty).then(|| signals::proxy(client, id));
    let (connection, waiting) = tokio::join!(
        run::attach(client, id, wiring, &keys.text),
        Waiting::register(client, id, "not-running")
    );
    let session = Session::new(connection?, wiring, keys.keys)?;
    if wiring.tty {
        redraw(client, id).await;
    }
    let _size = (wiring.tty && terminal::stdout_is_terminal())
        .then(|| signals::follow_size(client, format!("/containers/{id}/resize")));
    run::finish(session, waiting?, wiring).await
}

/// A program redraws its screen when its size changes: so it changes by one for a moment, or the user would face
/// an empty screen until the next key.
async fn redraw(client: &minke_docker_client::Client, id: &str) {
    if let Some((columns, rows)) = terminal::size() {
        let query = [("h", (rows + 1).to_string()), ("w", (columns + 1).to_string())];
        // Only a matter of looks.
        let _ = client.post_empty::<()>(&format!("/containers/{id}/resize"), &query).await;
    }
}
