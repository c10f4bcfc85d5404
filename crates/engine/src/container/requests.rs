//! What can be asked of a container's actor, and the engine's calls that ask it.

use std::{sync::Arc, time::Duration};

use bollard_stubs::models::{EndpointSettings, HostConfig};
use minke_supervisor::{ExitRecord, LogPlace, Streams, Target};
use tokio::{net::UnixStream, sync::oneshot};

use super::{Adopted, Container, Record, RestartPolicy, RunView, machine::SIGKILL, waits::WaitRequest};
use crate::{Changed, Engine, Error, RemoveOptions, WaitCondition, Waiter, signals, time_text};

/// Where an answer goes; whoever asked may have left.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A message to an actor.
pub(super) enum Message {
    Start(Reply<Changed>),
    Stop {
        signal: i32,
        patience: Option<Duration>,
        reply: Reply<Changed>,
    },
    Kill {
        signal: i32,
        ends: bool,
        reply: Reply<()>,
    },
    Restart {
        signal: i32,
        patience: Option<Duration>,
        reply: Reply<()>,
    },
    Pause(Reply<()>),
    Unpause(Reply<()>),
    Remove {
        options: RemoveOptions,
        reply: Reply<()>,
    },
    /// Replace the record by one that is stored already.
    Replace {
        edit: Box<dyn FnOnce(&mut Record) + Send>,
        reply: Reply<()>,
    },
    /// New limits and a new restart policy.
    Update {
        host: Box<HostConfig>,
        policy: RestartPolicy,
        reply: Reply<()>,
    },
    /// Put it on a network.
    Connect {
        network: String,
        settings: Box<EndpointSettings>,
        reply: Reply<()>,
    },
    /// Take it off a network.
    Disconnect {
        network: String,
        force: bool,
        reply: Reply<()>,
    },
    Attach {
        streams: Streams,
        reply: Reply<(Wire, Option<LogPlace>)>,
    },
    Wait(WaitRequest),
    Exited {
        run: u64,
        exit: ExitRecord,
    },
    OutOfPatience {
        generation: u64,
    },
    Elapsed {
        generation: u64,
    },
    Health(super::health::Report),
    /// Go on with what another engine left.
    Resume(Box<Adopted>),
    /// The engine closes; the container lives on.
    Leave,
}

/// The streams of an attached client: connected, or as soon as the container starts.
pub(crate) enum Wire {
    Connected(UnixStream),
    /// Nothing comes of it if the sender is dropped: the container could not be started or was removed.
    Pending(oneshot::Receiver<UnixStream>),
}

impl Container {
    /// Asks the actor and waits for its answer.
    pub(super) async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::no_such_container(self.id.as_str());
        self.mailbox.send(message(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Also where in the log the stream goes on from, if that is known.
    pub(crate) async fn attach(&self, streams: Streams) -> Result<(Wire, Option<LogPlace>), Error> {
        self.ask(|reply| Message::Attach { streams, reply }).await
    }

    /// How to end it, unless the caller says otherwise: its stop signal and its patience.
    fn ending(&self, signal: Option<&str>, timeout: Option<i64>) -> Result<(i32, Option<Duration>), Error> {
        let record = self.record();
        let signal = match signal.filter(|signal| !signal.is_empty()) {
            Some(signal) => signals::parse(signal)?,
            None => stop_signal(&record),
        };
        let seconds = timeout.or(record.config.stop_timeout).unwrap_or(10);
        Ok((signal, u64::try_from(seconds).ok().map(Duration::from_secs)))
    }
}

/// How long after its start a program may take until it catches the signals that it means to.
const BEGINNING: Duration = Duration::from_millis(100);

impl Container {
    /// Waits until the program that was started only now catches the signal, or is no longer new.
    ///
    /// The kernel drops a signal to the first process of a PID namespace that doesn't catch it (pid_namespaces(7)), and a
    /// program has no time to say so between a start and a stop that follow each other: the stop would run out of patience.
    async fn let_begin(&self, signal: i32) {
        let is_new = |run: &RunView| time_text::since(&run.started_at).is_some_and(|ran| ran < BEGINNING);
        loop {
            let run = self.run();
            let Some((pid, _)) = run.process.filter(|_| is_new(&run)) else { return };
            if signal == SIGKILL || minke_kernel::process::catches(pid, signal).unwrap_or(true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The signal that `stop` sends first.
fn stop_signal(record: &Record) -> i32 {
    record
        .config
        .stop_signal
        .as_deref()
        .and_then(|signal| signals::parse(signal).ok())
        .unwrap_or(signals::SIGTERM)
}

impl Engine {
    /// Starts a container. Docker's exit codes for a program that can't be executed (127, 126) are in its
    /// state afterwards.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Conflict`] when it is paused or being removed;
    /// [`crate::ErrorKind::InvalidParameter`] when its program can't be executed;
    /// [`crate::ErrorKind::Internal`].
    pub async fn start(&self, name: &str) -> Result<Changed, Error> {
        self.inner().find(name)?.ask(Message::Start).await
    }

    /// Asks a container to end, and kills it after `timeout` seconds (-1: never; `None`: its own, or 10).
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::InvalidParameter`] for an unknown signal.
    pub async fn stop(
        &self,
        name: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<Changed, Error> {
        let container = self.inner().find(name)?;
        let (signal, patience) = container.ending(signal, timeout)?;
        container.let_begin(signal).await;
        container.ask(|reply| Message::Stop { signal, patience, reply }).await
    }

    /// Ends a container as [`Engine::stop`] does, and starts it again.
    ///
    /// # Errors
    /// Those of both.
    pub async fn restart(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<(), Error> {
        let container = self.inner().find(name)?;
        let (signal, patience) = container.ending(signal, timeout)?;
        container.let_begin(signal).await;
        container.ask(|reply| Message::Restart { signal, patience, reply }).await
    }

    /// Sends a signal, by name or number; empty is SIGKILL, whose end is waited for.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] when it does not run,
    /// [`crate::ErrorKind::InvalidParameter`].
    pub async fn kill(&self, name: &str, signal: &str) -> Result<(), Error> {
        let told = |error: Error| Error::new(error.kind(), format!("cannot kill container: {name}: {error}"));
        let container = self.inner().find(name).map_err(told)?;
        let signal = if signal.is_empty() { SIGKILL } else { signals::parse(signal).map_err(told)? };
        let ends = signal == SIGKILL || signal == stop_signal(&container.record());
        container.let_begin(signal).await;
        container.ask(|reply| Message::Kill { signal, ends, reply }).await
    }

    /// Freezes a running container.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] when it does not run or is frozen.
    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        self.inner().find(name)?.ask(Message::Pause).await
    }

    /// Thaws a frozen container.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] when it is not frozen.
    pub async fn unpause(&self, name: &str) -> Result<(), Error> {
        self.inner().find(name)?.ask(Message::Unpause).await
    }

    /// Removes a container.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Conflict`] when it runs and `force` isn't set,
    /// or is being removed.
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<(), Error> {
        self.inner().find(name)?.ask(|reply| Message::Remove { options, reply }).await
    }

    /// Registers a wait; what happens from now on is not missed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub async fn wait(&self, name: &str, condition: WaitCondition) -> Result<Waiter, Error> {
        let container = self.inner().find(name)?;
        let (request, waiter) = WaitRequest::new(condition, Arc::clone(&container), self.busy());
        // A container that goes at this very moment drops the request, and the waiter sees that.
        container.mailbox.send(Message::Wait(request)).map_err(|_| Error::no_such_container(name))?;
        Ok(waiter)
    }

    /// Sets the size of a container's terminal.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`] when it does not run.
    pub async fn resize(&self, name: &str, width: u16, height: u16) -> Result<(), Error> {
        let inner = self.inner();
        let container = inner.find(name)?;
        let supervisor = running(&container)?;
        // Clients ask without looking.
        if !container.record().tty() {
            return Ok(());
        }
        supervisor.resize(Target::Init, width, height).await.map_err(|error| {
            Error::internal(format!("resize the terminal of {}", container.id.short()), &error)
        })?;
        let size = [("height".to_owned(), height.to_string()), ("width".to_owned(), width.to_string())];
        inner.container_event(&container, "resize", size);
        Ok(())
    }
}

/// The supervisor of a container that must run.
pub(crate) fn running(container: &Arc<Container>) -> Result<minke_supervisor::Supervisor, Error> {
    let run = container.run();
    match run.supervisor.filter(|_| run.phase.is_alive()) {
        Some(supervisor) => Ok(supervisor),
        None => Err(Error::conflict(format!("container {} is not running", container.id))),
    }
}
