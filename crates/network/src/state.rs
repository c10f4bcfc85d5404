//! What an engine remembers of what it made, in one small file in its state folder.
//!
//! The folder is gone at boot, as bridges are, so it is written without a sync.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::NetworkSpec;

/// What survives an engine's restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// The bridges that this engine made and that are there as far as it knows.
    pub(crate) bridges: BTreeSet<String>,
    /// The default network as it is, while its bridge is there.
    pub(crate) default_network: Option<NetworkSpec>,
    /// Whether an engine turned the host's forwarding on. The host was no router before, so the
    /// firewall keeps it from routing for others.
    pub(crate) enabled_forwarding: bool,
    /// The same for IPv6.
    pub(crate) enabled_forwarding_ipv6: bool,
}

/// Where the state is.
#[derive(Debug)]
pub(crate) struct StateFile(PathBuf);

impl StateFile {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.join("network.json"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.clone()
    }

    /// What was remembered; a file that is absent or unreadable as JSON reads as nothing.
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub(crate) fn read(&self) -> io::Result<State> {
        let bytes = match fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(error),
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.0.display(), "damaged network state is ignored");
            State::default()
        }))
    }

    /// Replaces what is remembered; remembering nothing removes the file.
    ///
    /// # Errors
    /// When the folder can't be made or written.
    pub(crate) fn write(&self, state: &State) -> io::Result<()> {
        if *state == State::default() {
            return match fs::remove_file(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        if let Some(folder) = self.0.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = self.0.with_extension("json.new");
        fs::write(&temporary, serde_json::to_vec(state)?)?;
        fs::rename(temporary, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::new(&dir.path().join("state"));
        assert_eq!(file.read().unwrap(), State::default());
        let bridges = ["minke0".to_owned()].into();
        let state = State { bridges, enabled_forwarding: true, ..State::default() };
        file.write(&state).unwrap();
        assert_eq!(file.read().unwrap(), state);
        file.write(&State::default()).unwrap();
        file.write(&State::default()).unwrap();
        assert!(!file.path().exists());
    }

    #[test]
    fn a_damaged_file_reads_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::new(dir.path());
        fs::write(file.path(), "{\"bridges\":\"nonsense").unwrap();
        assert_eq!(file.read().unwrap(), State::default());
    }
}
