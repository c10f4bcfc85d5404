//! The handle on one living supervisor: every request of the protocol as a method.

use std::path::{Path, PathBuf};

use minke_model::runtime_spec;
use minke_oci_runtime::supervise::protocol::{ExitRecord, LogPlace, Reply, Request, Streams, Target};
use tokio::net::UnixStream;

use crate::{
    call::{self, CallError},
    exit_record::read_exit_record,
};

/// A supervisor, by its socket. Cloning is cheap; holding one keeps nothing open.
#[derive(Clone, Debug)]
pub struct Supervisor {
    pub(crate) socket: PathBuf,
    pub(crate) exit_record: Option<PathBuf>,
}

/// What a supervisor says of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The first process, in the host's pid namespace.
    pub pid: i32,
    /// Its start time, field 22 of proc_pid_stat(5).
    pub start_time: u64,
    /// Whether the user's program was started.
    pub started: bool,
    /// Whether the container is frozen.
    pub paused: bool,
}

/// A further process that runs in the container.
#[derive(Debug)]
pub struct ExecStarted {
    /// Its pid in the host's pid namespace.
    pub pid: i32,
    /// Its raw stream; `None` when it was detached.
    pub stream: Option<UnixStream>,
}

impl Supervisor {
    /// The supervisor that listens on `socket`; `None` when nobody does (any more).
    ///
    /// # Errors
    /// Those of [`Supervisor::status`], which is asked to make sure that it is one.
    pub async fn find(socket: &Path) -> Result<Option<Self>, CallError> {
        match call::call(socket, &Request::Status).await {
            Ok((Reply::Status { exit_record, .. }, _)) => {
                Ok(Some(Self { socket: socket.to_owned(), exit_record }))
            }
            Ok((reply, _)) => Err(CallError::unexpected(socket, "status", &reply)),
            // It is on its way out: it answers, and its container has ended.
            Err(CallError::Refused(_)) => Ok(Some(Self { socket: socket.to_owned(), exit_record: None })),
            Err(CallError::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What is going on.
    ///
    /// # Errors
    /// As every call: [`CallError`].
    pub async fn status(&self) -> Result<Status, CallError> {
        match self.call(&Request::Status).await? {
            (Reply::Status { pid, start_time, started, paused, .. }, _) => {
                Ok(Status { pid, start_time, started, paused })
            }
            (reply, _) => Err(self.unexpected("status", &reply)),
        }
    }

    /// Lets the created process execute the user's program; returns once execve(2) has succeeded.
    ///
    /// # Errors
    /// [`CallError::Refused`] with the kinds `NotFound` and `NotExecutable` when the program can't
    /// be executed; the supervisor then ends with an exit record that says the same.
    pub async fn start(&self) -> Result<(), CallError> {
        match self.call(&Request::Start).await? {
            (Reply::Started { .. }, _) => Ok(()),
            (reply, _) => Err(self.unexpected("start", &reply)),
        }
    }

    /// Connects to the first process's streams; also before it is started, and then no byte is missed.
    ///
    /// # Errors
    /// As every call: [`CallError`].
    pub async fn attach(&self, streams: Streams) -> Result<UnixStream, CallError> {
        self.attach_behind(streams).await.map(|(stream, _)| stream)
    }

    /// The same, with the place in the log that the stream goes on from, where the supervisor knows it.
    ///
    /// # Errors
    /// As every call: [`CallError`].
    pub async fn attach_behind(&self, streams: Streams) -> Result<(UnixStream, Option<LogPlace>), CallError> {
        match self.call(&Request::Attach(streams)).await? {
            (Reply::Attached, stream) => Ok((stream, None)),
            (Reply::AttachedBehind(place), stream) => Ok((stream, Some(place))),
            (reply, _) => Err(self.unexpected("attach", &reply)),
        }
    }

    /// Runs a further process in the container under the caller's id; returns once it executes.
    ///
    /// # Errors
    /// [`CallError::Refused`], with the kinds of [`Supervisor::start`].
    pub async fn exec(
        &self,
        id: &str,
        process: runtime_spec::Process,
        streams: Streams,
        detach: bool,
    ) -> Result<ExecStarted, CallError> {
        let request = Request::Exec { id: id.to_owned(), process: Box::new(process), streams, detach };
        match self.call(&request).await? {
            (Reply::Started { pid }, stream) => Ok(ExecStarted { pid, stream: (!detach).then_some(stream) }),
            (reply, _) => Err(self.unexpected("exec", &reply)),
        }
    }

    /// Sets a terminal's size, in columns and rows.
    ///
    /// # Errors
    /// [`CallError::Refused`] when the process has no terminal or is gone.
    pub async fn resize(&self, target: Target, width: u16, height: u16) -> Result<(), CallError> {
        self.command("resize", &Request::Resize { target, width, height }).await
    }

    /// Sends a signal by its number.
    ///
    /// # Errors
    /// [`CallError::Refused`] with the kind `NotRunning` when the process is gone.
    pub async fn signal(&self, target: Target, signal: i32) -> Result<(), CallError> {
        self.command("signal", &Request::Signal { target, signal }).await
    }

    /// Freezes every process of the container.
    ///
    /// # Errors
    /// As every call: [`CallError`].
    pub async fn pause(&self) -> Result<(), CallError> {
        self.command("pause", &Request::Pause).await
    }

    /// Lets the frozen processes go on.
    ///
    /// # Errors
    /// As every call: [`CallError`].
    pub async fn resume(&self) -> Result<(), CallError> {
        self.command("resume", &Request::Resume).await
    }

    /// Changes limits of the living container; what is `None` stays as it is.
    ///
    /// # Errors
    /// [`CallError::Refused`] when the kernel refuses a value.
    pub async fn update(&self, resources: runtime_spec::Resources) -> Result<(), CallError> {
        self.command("update", &Request::Update(Box::new(resources))).await
    }

    /// Closes the sockets by which it keeps the host's ports reserved.
    ///
    /// # Errors
    /// As every call: [`CallError`].
    pub async fn release_held(&self) -> Result<(), CallError> {
        self.command("release the ports", &Request::ReleaseHeld).await
    }

    /// Ends when the process has ended and its output is complete. When the supervisor has left
    /// already, the exit record that it wrote answers for the first process.
    ///
    /// # Errors
    /// [`CallError::Gone`] when the supervisor died without a record (it was killed), or when a
    /// further process is asked about after the container's end.
    pub async fn wait(&self, target: Target) -> Result<ExitRecord, CallError> {
        let is_init = target == Target::Init;
        match self.call(&Request::Wait(target)).await {
            Ok((Reply::Exited(record), _)) => Ok(record),
            Ok((reply, _)) => Err(self.unexpected("wait", &reply)),
            Err(CallError::Gone { socket }) if is_init => {
                self.recorded_exit()?.ok_or(CallError::Gone { socket })
            }
            Err(error) => Err(error),
        }
    }

    /// A stream that carries one byte whenever the log has grown (several writes may share one) and
    /// ends after the last.
    ///
    /// # Errors
    /// [`CallError::Refused`] when no log is kept.
    pub async fn follow_log(&self) -> Result<UnixStream, CallError> {
        match self.call(&Request::FollowLog).await? {
            (Reply::Done, stream) => Ok(stream),
            (reply, _) => Err(self.unexpected("follow log", &reply)),
        }
    }

    async fn command(&self, name: &'static str, request: &Request) -> Result<(), CallError> {
        match self.call(request).await? {
            (Reply::Done, _) => Ok(()),
            (reply, _) => Err(self.unexpected(name, &reply)),
        }
    }

    async fn call(&self, request: &Request) -> Result<(Reply, UnixStream), CallError> {
        call::call(&self.socket, request).await
    }

    fn recorded_exit(&self) -> Result<Option<ExitRecord>, CallError> {
        let Some(path) = &self.exit_record else { return Ok(None) };
        read_exit_record(path)
            .map_err(|source| CallError::Io { action: format!("read {}", path.display()), source })
    }

    fn unexpected(&self, request: &'static str, reply: &Reply) -> CallError {
        CallError::unexpected(&self.socket, request, reply)
    }
}
