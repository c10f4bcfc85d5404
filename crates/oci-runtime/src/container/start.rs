//! Starting a created container and learning whether its program was executed.

use std::{
    io::Read,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use minke_kernel::process;
use minke_model::runtime_spec::Status;

use super::{
    InitError, InitErrorKind, StartError,
    state::{Record, StateDir},
};
use crate::{
    channel::{self, FromInit, ToInit},
    hooks,
    init::ACCEPTED,
    step::Step,
};

/// The longest answer that is read, in bytes: the other side may be the container's by now.
const LONGEST_ANSWER: u64 = 64 * 1024;

impl From<InitError> for StartError {
    fn from(error: InitError) -> Self {
        match error.kind {
            InitErrorKind::NotFound => Self::NotFound(error),
            InitErrorKind::NotExecutable => Self::NotExecutable(error),
            InitErrorKind::Other => Self::Init(error),
        }
    }
}

/// Starts over the creator's channel where there is one, else over the socket.
pub(super) fn start(
    record: &Record,
    dir: &StateDir,
    pidfd: &OwnedFd,
    channel: Option<OwnedFd>,
) -> Result<(), StartError> {
    let answer = match channel {
        Some(channel) => over_channel(&channel)?,
        None => over_socket(dir)?,
    };
    if let Some(error) = answer {
        return Err(error.into());
    }
    dir.mark_started().action(|| "remove the start socket".into())?;
    poststart(record, pidfd)
}

fn over_channel(channel: &OwnedFd) -> Result<Option<InitError>, StartError> {
    let step = || "start the container's process".to_owned();
    if let Err(error) = channel::send(channel, &ToInit::Start, None) {
        return match error.kind() {
            std::io::ErrorKind::BrokenPipe => Err(gone()),
            _ => Err(error).action(step)?,
        };
    }
    match channel::receive::<FromInit>(channel).action(step)? {
        None => Ok(None),
        Some((FromInit::Failed(error), _)) => Ok(Some(error)),
        Some((other, _)) => Err(StartError::State(format!("unexpected {other:?}"))),
    }
}

fn over_socket(dir: &StateDir) -> Result<Option<InitError>, StartError> {
    let connection = dir.connect().map_err(|_| gone())?;
    let mut answer = Vec::new();
    let read = UnixStream::from(connection).take(LONGEST_ANSWER).read_to_end(&mut answer);
    match answer.split_first() {
        // Somebody else was first: the process took one connection and dropped the others.
        None | Some((0, _)) => Err(gone()),
        Some((&ACCEPTED, [])) => {
            read.action(|| "start the container's process".into())?;
            Ok(None)
        }
        Some((_, text)) => match serde_json::from_slice(text) {
            Ok(FromInit::Failed(error)) => Ok(Some(error)),
            _ => Err(StartError::State("the container's process answered nonsense".into())),
        },
    }
}

fn gone() -> StartError {
    StartError::State("cannot start a container that has stopped".into())
}

/// A poststart hook that fails ends the container (specification, "Lifecycle", step 9); to remove it is the caller's.
fn poststart(record: &Record, pidfd: &OwnedFd) -> Result<(), StartError> {
    let state = record.state(Status::Running);
    hooks::run_all("poststart", &record.hooks.poststart, &state).map_err(|error| {
        let _ = process::signal(pidfd, rustix::process::Signal::KILL.as_raw());
        StartError::Poststart(error.to_string())
    })
}
