//! `--ssh`.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use minke_model::chain;

use super::WordError;
use crate::keys::Keys;
use crate::options::{Agent, AgentSource};

/// `default`, `ID`, `ID=SOCKET` or `ID=KEY[,KEY…]`: the agent of `SSH_AUTH_SOCK`, one of its own, or private keys of files,
/// read now.
///
/// # Errors
/// Without an agent there, and for files that have no key to lend.
pub fn agent(text: &str) -> Result<Agent, WordError> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    let id = if id.is_empty() { "default" } else { id };
    let source = match paths {
        "" => of_environment(),
        paths => named(&paths.split(',').map(Path::new).collect::<Vec<_>>()),
    };
    match source {
        Ok(source) => Ok(Agent { id: id.to_owned(), source }),
        Err(reason) => Err(WordError::new("ssh", text, reason)),
    }
}

fn of_environment() -> Result<AgentSource, String> {
    let socket = env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from);
    let socket = socket.ok_or(
        "there is no SSH agent: SSH_AUTH_SOCK is not set; start one with ssh-agent and add keys, or name a private key's file, ID=FILE",
    )?;
    match is_socket(&socket)? {
        true => Ok(AgentSource::Socket(socket)),
        false => Err(format!("{} of SSH_AUTH_SOCK is no agent's socket", socket.display())),
    }
}

fn named(paths: &[&Path]) -> Result<AgentSource, String> {
    if paths.iter().any(|path| path.as_os_str().is_empty()) {
        return Err("a path is empty; expected ID=SOCKET or ID=KEY[,KEY…]".to_owned());
    }
    let mut sockets = Vec::new();
    for path in paths {
        if is_socket(path)? {
            sockets.push(*path);
        }
    }
    match (&sockets[..], paths.len() - sockets.len()) {
        ([], _) => Keys::read(paths.iter().copied())
            .map(Arc::new)
            .map(AgentSource::Keys)
            .map_err(|error| chain(&error)),
        ([socket], 0) => Ok(AgentSource::Socket(socket.to_path_buf())),
        (_, 0) => Err("there are several sockets; name one agent, and others by other ids".to_owned()),
        ([socket, ..], _) => Err(format!(
            "{} is an agent's socket beside files of keys; name it by another id, or add the keys to it with ssh-add",
            socket.display()
        )),
    }
}

fn is_socket(path: &Path) -> Result<bool, String> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.file_type().is_socket()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        agent(text).unwrap_err().to_string()
    }

    #[test]
    fn an_agents_socket_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, file) = (folder.path().join("s"), folder.path().join("k"));
        let (socket, file) = (socket.display(), file.display());
        let _listener = std::os::unix::net::UnixListener::bind(socket.to_string()).unwrap();
        std::fs::write(file.to_string(), "").unwrap();
        let found = agent(&format!("k={socket}")).unwrap();
        assert_eq!(found.id, "k");
        assert!(matches!(found.source, AgentSource::Socket(path) if path.ends_with("s")));
        assert_eq!(agent(&format!("={socket}")).unwrap().id, "default");
        assert!(told(&format!("k={socket},{socket}")).ends_with("name one agent, and others by other ids"));
        assert!(
            told(&format!("k={file},{socket}")).contains(&format!("{socket} is an agent's socket beside"))
        );
        assert!(told(&format!("k={socket},")).contains("a path is empty"));
    }

    #[test]
    fn what_has_no_key_is_named_and_told_what_to_do() {
        assert_eq!(
            told("k=/nowhere"),
            "ssh \"k=/nowhere\": /nowhere: No such file or directory (os error 2)"
        );
        assert!(told("k=/etc").contains("ssh key /etc: it is a directory; name the file of a private key"));
        assert!(told("k=/etc/passwd").contains("ssh key /etc/passwd: it is no private key"));
        assert!(told("k=/dev/zero").contains("ssh key /dev/zero: it is larger than a key can be"));
    }
}
