//! What the creating process and the container's process say to each other until the user's program runs.
//!
//! ```text
//!  creator                                container's process (init)
//!    │  clone3 ──────────────────────────────▶ │ (waits here already with a new user namespace)
//!    │                                         │ makes its mounts
//!    │  Placed (pid)+doors ──────────────────▶ │ enters its cgroups
//!    │  the filter, which is compiled meanwhile ▶ │ (if there is one)
//!    │ ◀───────────────────────────  Source (i) │ for each bind mount whose source only the creator may reach
//!    │  Source+fd ───────────────────────────▶ │
//!    │ ◀────────────────────────── Terminal+fd │ with a terminal
//!    │ ◀──────────────────────────  MountsDone │ with hooks of the runtime only
//!    │  HooksDone ───────────────────────────▶ │ pivot_root, identity
//!    │ ◀───────────────────────────────  Ready │ waits for Start here, or on the state directory's socket
//!    │  Start ───────────────────────────────▶ │ execve
//!    │ ◀──── end of file, or Failed at any time │
//! ```

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use minke_kernel::{seccomp, socket};
use serde::{Deserialize, Serialize};

use crate::container::InitError;

/// From the creator to the container's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// What only the creator can do is done: ids are mapped, cgroups are made, whose doors come along.
    Placed {
        /// Its pid as the creator sees it.
        pid: i32,
        /// How many doors there are. The kernel drops descriptors in silence where too many are open, and a container that
        /// lacks one would be without its limits.
        doors: usize,
    },
    /// The copy of a mount that was asked for comes along.
    Source,
    /// The runtime's hooks have run.
    HooksDone,
    /// Execute the user's program.
    Start,
}

/// From the container's process to the creator (or whoever starts it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// What a bind mount binds is wanted, by its index.
    Source(usize),
    /// The terminal's master side comes along.
    Terminal,
    /// Everything is mounted: the runtime's hooks may run.
    MountsDone,
    /// Only the start is missing.
    Ready,
    /// The listener of the filter of a process that `exec` adds comes along.
    Listener,
    /// The process that will execute the program of `exec` has been made, and waits for `Start`.
    Made,
    /// It went wrong and the process ends.
    Failed(InitError),
}

/// Sends one message with at most one descriptor.
pub(crate) fn send(channel: impl AsFd, message: &impl Serialize, fd: Option<&OwnedFd>) -> io::Result<()> {
    match fd {
        Some(fd) => send_all(channel, message, &[fd.as_fd()]),
        None => send_all(channel, message, &[]),
    }
}

/// Sends one message with several descriptors.
pub(crate) fn send_all(
    channel: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    socket::send(channel, &serde_json::to_vec(message)?, descriptors)
}

/// Sends a filter. It is a message of its own kind: as JSON it would cost the receiver more than compiling it.
pub(crate) fn send_filter(channel: impl AsFd, filter: &seccomp::Program) -> io::Result<()> {
    socket::send(channel, &filter.to_bytes(), &[])
}

/// Receives what [`send_filter`] sends; `None` when the other side has closed.
pub(crate) fn receive_filter(channel: impl AsFd) -> io::Result<Option<seccomp::Program>> {
    let Some(message) = socket::receive(channel)? else { return Ok(None) };
    let filter = seccomp::Program::from_bytes(&message.bytes);
    filter.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Receives one message; `None` when the other side has closed.
pub(crate) fn receive<T: for<'de> Deserialize<'de>>(
    channel: impl AsFd,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let received = receive_all(channel)?;
    Ok(received.map(|(message, descriptors)| (message, descriptors.into_iter().next())))
}

/// Receives one message with all its descriptors.
pub(crate) fn receive_all<T: for<'de> Deserialize<'de>>(
    channel: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let Some(message) = socket::receive(channel)? else { return Ok(None) };
    Ok(Some((serde_json::from_slice(&message.bytes)?, message.descriptors)))
}
