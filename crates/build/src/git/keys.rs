//! What a client lends for one repository: a token or a header for https, its ssh agent.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use base64::Engine as _;
use minke_dockerfile::evaluate::GitSource;

use super::names;
use crate::{BuildError, Client, ssh::Forward};

/// What every `git` here is told, whatever its host's own files say: no hook, no helper, no repository within a repository,
/// and large files are never whole in memory.
const SETTINGS: &str = "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tsymlinks = true\n\tbigFileThreshold = 64m\n\
    [credential]\n\thelper =\n[safe]\n\tbareRepository = explicit\n[submodule]\n\trecurse = false\n\
    [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[advice]\n\tdetachedHead = false\n\
    [http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = 60\n";

/// Writes the one file of settings that `git` reads, which only root may: tokens are in it.
pub(super) async fn write_settings(
    path: &Path,
    source: &GitSource,
    client: &Client,
) -> Result<(), BuildError> {
    let mut text = SETTINGS.to_owned();
    if let Some((scope, header)) = header(source, client).await? {
        // git takes the header along to wherever the first answer leads, another host as well.
        text.push_str(&format!(
            "[http {}]\n\tfollowRedirects = false\n\textraHeader = {}\n",
            quoted(&scope),
            quoted(&format!("Authorization: {header}"))
        ));
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| BuildError::Failed(format!("write git's settings: {error}")))
}

/// What authorises, and for which URLs: a secret for a host is meant for all of the host, one without for this repository.
async fn header(source: &GitSource, client: &Client) -> Result<Option<(String, String)>, BuildError> {
    let (Some(secrets), Some(origin)) = (&client.secrets, names::origin(&source.remote)) else {
        return Ok(None);
    };
    if !origin.starts_with("http") {
        return Ok(None);
    }
    let host = names::host(&source.remote);
    for (suffix, scope) in [(format!(".{host}"), origin), (String::new(), source.remote.clone())] {
        for (name, is_token) in [("GIT_AUTH_HEADER", false), ("GIT_AUTH_TOKEN", true)] {
            let id = format!("{name}{suffix}");
            let Some(secret) = secrets.secret(&id).await? else { continue };
            let text = String::from_utf8(secret).map(|text| text.trim_end().to_owned());
            let text = text.ok().filter(|text| !text.contains(char::is_control));
            let text =
                text.ok_or_else(|| BuildError::Invalid(format!("secret {id} is not one line of text")))?;
            let header = match is_token {
                true => {
                    let pair = format!("x-access-token:{text}");
                    format!("basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
                }
                false => text,
            };
            return Ok(Some((scope, header)));
        }
    }
    Ok(None)
}

/// A value or a name as git's settings have them between quotes. Nothing here has a line's end in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The client's agent for `ssh`, as long as this lives.
pub(super) struct Agent {
    _forward: Forward,
    _directory: fs::File,
    /// Where it listens, in a form that no path is too long for.
    pub(super) socket: String,
}

/// Forwards the client's agent, if `ssh` is spoken and there is one.
pub(super) async fn agent(
    directory: &Path,
    source: &GitSource,
    client: &Client,
) -> Result<Option<Agent>, BuildError> {
    use std::os::fd::AsRawFd;
    let Some(agents) = client.ssh.as_ref().filter(|_| names::is_ssh(&source.remote)) else { return Ok(None) };
    if !agents.has("default").await? {
        return Ok(None);
    }
    let failed = |error: std::io::Error| BuildError::Failed(format!("forward an ssh agent: {error}"));
    let forward =
        Forward::start(&directory.join("agent"), std::sync::Arc::clone(agents), "default".to_owned());
    let forward = forward.map_err(failed)?;
    let handle = fs::File::open(directory).map_err(failed)?;
    let socket = format!("/proc/{}/fd/{}/agent", std::process::id(), handle.as_raw_fd());
    Ok(Some(Agent { _forward: forward, _directory: handle, socket }))
}

/// `ssh` with no settings, keys or prompts of the host's own; a host is trusted as it was when it was first seen.
pub(super) fn ssh_command(known_hosts: &Path) -> String {
    let options = [
        "BatchMode=yes",
        "ConnectTimeout=60",
        "ServerAliveInterval=30",
        "ForwardAgent=no",
        "IdentityFile=none",
        "GSSAPIAuthentication=no",
        "LogLevel=ERROR",
        "StrictHostKeyChecking=accept-new",
    ];
    let mut command = "ssh -F /dev/null".to_owned();
    for option in options {
        command.push_str(" -o ");
        command.push_str(option);
    }
    let file = format!("UserKnownHostsFile=\"{}\"", known_hosts.display()).replace('\'', "'\\''");
    format!("{command} -o '{file}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_does_not_end_a_value() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert!(ssh_command(Path::new("/a'b c")).ends_with(r#"-o 'UserKnownHostsFile="/a'\''b c"'"#));
    }
}
