//! A supervisor that is started before there is anything to supervise.
//!
//! To start a program, and for its C library to look at the processor, takes as long as half of what a container's network does.
//! Whoever creates a container mostly starts it next, so its supervisor can be started meanwhile.

use std::{ffi::OsStr, fs::File, os::fd::AsFd, os::unix::net::UnixStream, path::Path};

use minke_kernel::socket;
use minke_oci_runtime::supervise::protocol::Begin;

use crate::spawn::{Inherit, SpawnError, config_path, start};

/// More descriptors than this don't fit into one message.
const MAX_HELD: usize = 24;

/// A supervisor that waits; dropped, it ends.
#[derive(Debug)]
pub struct Waiting(UnixStream);

impl Waiting {
    /// Starts `<program> supervise --wait <bundle>/supervisor.json` in a session of its own. To be called where tokio is.
    ///
    /// # Errors
    /// [`SpawnError::ControlSocket`] and [`SpawnError::Execute`].
    pub fn begin(program: &Path, bundle: &Path) -> Result<Self, SpawnError> {
        let file = config_path(bundle);
        let failed = |source| SpawnError::Execute { program: program.to_owned(), source };
        // It has the network namespace's number until that comes, so that nothing else gets it.
        let null = File::open("/dev/null").map_err(failed)?;
        start(program, &[OsStr::new("--wait"), file.as_os_str()], None, Some(null.as_fd()), &[]).map(Self)
    }

    /// Has it read its configuration; returns the first connection, or `None` when there is more than it can be given, or when
    /// it is gone.
    pub(crate) fn go_on(self, diagnosis: &File, inherit: &Inherit) -> Option<UnixStream> {
        if inherit.held.len() > MAX_HELD {
            return None;
        }
        let begin = Begin { netns: inherit.netns.is_some(), held: inherit.held.len() };
        let descriptors: Vec<_> = std::iter::once(diagnosis.as_fd())
            .chain(inherit.netns.iter().map(AsFd::as_fd))
            .chain(inherit.held.iter().map(AsFd::as_fd))
            .collect();
        socket::send(&self.0, &serde_json::to_vec(&begin).ok()?, &descriptors).ok()?;
        Some(self.0)
    }
}
