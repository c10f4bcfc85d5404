//! Waiting for the start: from the creator on its channel, or, when that is gone, from anyone who
//! connects to the socket in the state directory.
//!
//! Whoever starts learns the outcome on the same connection: it closes when execve succeeds (all
//! descriptors here are close-on-exec), or carries the error.

use std::{
    io::{self, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use minke_kernel::{process as kernel_process, socket};
use minke_model::runtime_spec::Status;
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::Signal,
};

use super::{Plan, container_state, own_pid, process::Ready};
use crate::{
    channel::{self, FromInit, ToInit},
    container::InitError,
    hooks,
};

/// What the process answers to whoever connects, before anything can go wrong.
pub(crate) const ACCEPTED: u8 = b'+';

/// Signals that end a program which has said nothing about them. The kernel keeps them from the first process of a pid
/// namespace, but who ends a container that was never started means it.
const ENDING: [i32; 4] =
    [Signal::HUP.as_raw(), Signal::INT.as_raw(), Signal::QUIT.as_raw(), Signal::TERM.as_raw()];

/// Who started the container.
enum Starter {
    Creator(OwnedFd),
    Connection(UnixStream),
}

/// What keeps a connection from being taken that is worth waiting for another one.
fn may_pass(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

/// Waits, runs the startContainer hooks and becomes the user's program. Returns the exit status when that fails.
///
/// The hooks' programs are the image's, so they run with no more rights than the user's program will have.
pub(super) fn start(plan: &Plan<'_>, channel: OwnedFd, mut ready: Ready) -> i32 {
    let Ok(ending) = kernel_process::signal_fd(&ENDING) else { return 1 };
    let Some(starter) = wait(plan, channel, &ending) else { return 1 };
    drop(ending);
    kernel_process::unblock_signals();
    let error = match ready.drop_privileges().and_then(|()| run_hooks(plan)) {
        Ok(()) => ready.become_program(),
        Err(error) => error,
    };
    starter.report(error);
    1
}

fn wait(plan: &Plan<'_>, channel: OwnedFd, ending: &OwnedFd) -> Option<Starter> {
    let mut channel = Some(channel);
    loop {
        let mut fds = vec![PollFd::new(&plan.listener, PollFlags::IN), PollFd::new(ending, PollFlags::IN)];
        fds.extend(channel.as_ref().map(|channel| PollFd::new(channel, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
        let listener_ready = !fds[0].revents().is_empty();
        if !fds[1].revents().is_empty() {
            return None;
        }
        let channel_ready = fds.get(2).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if listener_ready {
            match socket::accept(plan.listener.as_fd()) {
                Ok(connection) => {
                    let mut connection = UnixStream::from(connection);
                    if connection.write_all(&[ACCEPTED]).is_ok() {
                        return Some(Starter::Connection(connection));
                    }
                }
                Err(error) if may_pass(&error) => {}
                // It would be asked for ever.
                Err(_) => return None,
            }
        }
        if channel_ready && let Some(creator) = channel.take() {
            match channel::receive::<ToInit>(&creator) {
                Ok(Some((ToInit::Start, _))) => return Some(Starter::Creator(creator)),
                // The creator has left, as `create` does: the socket remains.
                _ => drop(creator),
            }
        }
    }
}

fn run_hooks(plan: &Plan<'_>) -> Result<(), InitError> {
    let Some(hooks) = plan.hooks() else { return Ok(()) };
    let state = container_state(plan, Status::Created, own_pid());
    let mut hooks = hooks.start_container.clone();
    // The program's environment, and never the runtime's, which is the host's.
    let inherited = hooks.iter_mut().filter(|hook| hook.env.is_empty());
    inherited.for_each(|hook| hook.env = super::program::environment(plan.process));
    hooks::run_all("startContainer", &hooks, &state).map_err(Into::into)
}

impl Starter {
    /// Tells what went wrong; when nobody listens any more, nobody needs to know.
    fn report(self, error: InitError) {
        let message = FromInit::Failed(error);
        match self {
            Self::Creator(channel) => drop(channel::send(channel, &message, None)),
            Self::Connection(mut connection) => {
                let text = serde_json::to_vec(&message).unwrap_or_default();
                let _ = connection.write_all(&text);
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}
