//! The host's `git`, run with nothing of the host's settings, and ended when nobody waits for it any more.
//!
//! Settings come from one file of the run's own; the environment is empty but for the search path, the engine's proxies and
//! certificates. Only transports over a network are allowed, for submodules too. What is fetched is a stranger's: memory and the
//! size of files are limited, and the disk's end is a failure as any other.

use std::{ffi::OsString, io, path::PathBuf, process::Stdio, sync::Arc};

use minke_dockerfile::evaluate::GitSource;
use minke_engine::{ProxySettings, Workspace};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

use super::{
    Repositories,
    keys::{self, Agent},
    names,
};
use crate::BuildError;

/// What is passed on of the engine's environment.
const PASSED: [&str; 7] =
    ["PATH", "all_proxy", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_EXEC_PATH"];
/// No `file`, no `ext`.
const TRANSPORTS: &str = "git:http:https:ssh";
/// Bytes of memory of each process: a tree of trees that names a thousand million files has to end.
const MEMORY: u64 = 2 << 30;
/// Bytes of a pack, or of a file that is checked out.
const LARGEST: u64 = 16 << 30;
/// Bytes of an answer that are read; there are few lines in one.
const LONGEST_ANSWER: u64 = 1 << 20;
/// Bytes of messages that are kept, the last.
const LONGEST_MESSAGE: usize = 16 << 10;
/// Lines of a message that are shown.
const MOST_LINES: usize = 10;

/// `git` for one source, in a workspace of its own.
pub(super) struct Git {
    workspace: Arc<Workspace>,
    settings: PathBuf,
    home: PathBuf,
    ssh_command: String,
    agent: Option<Agent>,
    proxies: ProxySettings,
    remote: String,
}

/// Why `git` failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    #[error(
        "the engine's host has no program `git` in its PATH, which fetches repositories: install it there"
    )]
    Missing,
    #[error("run git")]
    Run(#[source] io::Error),
    /// What it said.
    #[error("{0}")]
    Failed(String),
}

impl GitError {
    /// Whether the server can't give a single commit, but may give all.
    pub(super) fn asks_for_all(&self) -> bool {
        const SAID: [&str; 4] =
            ["unadvertised object", "shallow", "not our ref", "remote error: upload-pack"];
        matches!(self, Self::Failed(message) if SAID.iter().any(|words| message.contains(words)))
    }
}

/// A `git` with what it has started; all of it ends when nobody waits any more. Its files are only deleted after that.
struct Running {
    child: Option<Child>,
    workspace: Arc<Workspace>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(group) = group(&child) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let workspace = Arc::clone(&self.workspace);
        tokio::spawn(async move {
            let _ = child.wait().await;
            drop(workspace);
        });
    }
}

fn group(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

impl Git {
    /// A workspace where `origin` is the source.
    pub(super) async fn prepare(from: &Repositories, source: &GitSource) -> Result<Self, BuildError> {
        let workspace = Arc::new(from.engine.build_workspace()?);
        let known_hosts = from.engine.build_directory("git")?.join("known_hosts");
        let settings = workspace.volatile().join("gitconfig");
        keys::write_settings(&settings, source, &from.client).await?;
        let home = workspace.volatile().join("home");
        std::fs::create_dir(&home)
            .map_err(|error| BuildError::Failed(format!("make a home for git: {error}")))?;
        let agent = keys::agent(workspace.volatile(), source, &from.client).await?;
        let ssh_command = keys::ssh_command(&known_hosts);
        let proxies = from.engine.proxies();
        Ok(Self { workspace, settings, home, ssh_command, agent, proxies, remote: source.remote.clone() })
    }

    /// The files of the checkout.
    pub(super) fn directory(&self) -> PathBuf {
        self.workspace.upper()
    }

    /// Ends the agent and forgets the keys.
    pub(super) fn finish(self) -> Arc<Workspace> {
        self.workspace
    }

    /// Runs `git` in the workspace; gives what it printed.
    pub(super) async fn run(&self, words: &[&str]) -> Result<Vec<u8>, GitError> {
        let spawned = self.command(words).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => GitError::Missing,
            _ => GitError::Run(error),
        })?;
        let mut running = Running { child: None, workspace: Arc::clone(&self.workspace) };
        let child = running.child.insert(spawned);
        if let Some(pid) = group(child) {
            limit(pid).map_err(GitError::Run)?;
        }
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (answer, message) =
            tokio::try_join!(read_all(stdout), read_last(stderr)).map_err(GitError::Run)?;
        let status = child.wait().await.map_err(GitError::Run)?;
        running.child = None;
        match status.success() {
            true => Ok(answer),
            false => Err(GitError::Failed(self.explained(&message, status))),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(words).current_dir(self.directory()).env_clear();
        command.envs(PASSED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        command.envs(self.proxies.environment());
        let own: [(&str, OsString); 13] = [
            ("HOME", self.home.clone().into()),
            ("XDG_CONFIG_HOME", self.home.clone().into()),
            ("LC_ALL", "C".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_GLOBAL", self.settings.clone().into()),
            ("GIT_ATTR_NOSYSTEM", "1".into()),
            ("GIT_ALLOW_PROTOCOL", TRANSPORTS.into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_SSH_COMMAND", self.ssh_command.clone().into()),
            ("GIT_CEILING_DIRECTORIES", self.workspace.directory().into()),
            // Other than a file's settings, these are not those of submodules, too.
            ("GIT_CONFIG_COUNT", "1".into()),
            ("GIT_CONFIG_KEY_0", "remote.origin.url".into()),
            ("GIT_CONFIG_VALUE_0", self.remote.clone().into()),
        ];
        command.envs(own);
        if let Some(agent) = &self.agent {
            command.env("SSH_AUTH_SOCK", &agent.socket);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// What it said, without what says how far it was, and what may help.
    fn explained(&self, message: &[u8], status: std::process::ExitStatus) -> String {
        let text = String::from_utf8_lossy(message);
        let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
        let lines: Vec<&str> = lines.filter(|line| !line.contains("% (")).collect();
        let said = lines[lines.len().saturating_sub(MOST_LINES)..].join("\n");
        let said = if said.is_empty() { format!("git ended with {status}") } else { said };
        match names::is_ssh(&self.remote) && self.agent.is_none() {
            true => format!("{said}\n(no ssh agent was forwarded: --ssh default forwards the client's)"),
            false => said,
        }
    }
}

/// For a process and all that it starts from now on.
fn limit(pid: Pid) -> io::Result<()> {
    let most = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    for (resource, bytes) in [(Resource::Data, MEMORY), (Resource::Fsize, LARGEST), (Resource::Core, 0)] {
        match prlimit(Some(pid), resource, most(bytes)) {
            // It may have ended already.
            Ok(_) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn read_all(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(from) = from else { return Ok(bytes) };
    from.take(LONGEST_ANSWER + 1).read_to_end(&mut bytes).await?;
    match bytes.len() as u64 > LONGEST_ANSWER {
        true => Err(io::Error::other("its answer is too long")),
        false => Ok(bytes),
    }
}

/// Reads to the end and keeps the last bytes.
async fn read_last(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut last = Vec::new();
    let Some(mut from) = from else { return Ok(last) };
    loop {
        if from.read_buf(&mut last).await? == 0 {
            return Ok(last);
        }
        let surplus = last.len().saturating_sub(LONGEST_MESSAGE);
        last.drain(..surplus);
    }
}
