//! One container's actor: takes messages one after the other, asks the state machine what follows, and does
//! it.
//!
//! It holds the engine only while it handles a message, so that an engine that nobody uses any more goes
//! away.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use minke_supervisor::{LogPlace, Streams, Supervisor, Target};
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use super::{
    Container, Phase, Record, RestartPolicy, RunView,
    launch::{self, LaunchError, Launched},
    machine::{Command, Event, Machine, Refusal, SIGKILL},
    ready::Ready,
    requests::{Message, Reply, Wire},
    waits::Waits,
};
use crate::{Changed, Error, RemoveOptions, engine::Inner, metrics::ContainerAction};

/// A start that takes longer has gone wrong.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// What another engine left of a container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adopted {
    /// The policy wants it to run although it doesn't.
    pub(crate) start: bool,
    /// `--rm`, and it ended while no engine was there.
    pub(crate) remove: bool,
}

pub(super) struct Actor {
    pub(super) container: Arc<Container>,
    pub(super) machine: Machine,
    /// What the machine's times are since.
    epoch: Instant,
    /// Counts runs, so that the end of an earlier one is not taken for that of the present one.
    pub(super) run: u64,
    pub(super) waits: Waits,
    /// Clients that attached before the start.
    pending: Vec<(Streams, oneshot::Sender<UnixStream>)>,
    pub(super) stops: Vec<Reply<Changed>>,
    pub(super) kills: Vec<Reply<()>>,
    pub(super) restarts: Vec<Reply<()>>,
    pub(super) removes: Vec<Reply<()>>,
    pub(super) remove_options: RemoveOptions,
    pub(super) health: Option<AbortHandle>,
    /// What the event about the end of the last run says, until it is sent.
    pub(super) died: Option<[(String, String); 2]>,
    /// The container is gone; so is the actor, soon.
    pub(super) gone: bool,
}

impl Container {
    /// Makes a container's actor: for a new one, or for one that an opening engine found in this state
    /// (`run`).
    pub(crate) fn spawn(inner: &Arc<Inner>, record: Record, run: Option<RunView>) -> Arc<Self> {
        let (mailbox, messages) = mpsc::unbounded_channel();
        let policy = RestartPolicy::parse(&record.host).unwrap_or_default();
        let run = run.unwrap_or_else(RunView::unstarted);
        let mut machine = Machine::new(run.phase, policy, record.host.auto_remove.unwrap_or(false));
        machine.stopped_by_hand = record.stopped_by_hand;
        let container = Arc::new(Container {
            id: record.id.clone(),
            mailbox,
            record: Arc::new(record).into(),
            run: run.into(),
            sessions: watch::channel(0).0,
            files: Arc::default(),
            layers: Arc::default(),
            ready: Ready::default(),
        });
        let actor = Actor {
            container: Arc::clone(&container),
            machine,
            epoch: Instant::now(),
            run: 0,
            waits: Waits::default(),
            pending: Vec::new(),
            stops: Vec::new(),
            kills: Vec::new(),
            restarts: Vec::new(),
            removes: Vec::new(),
            remove_options: RemoveOptions::default(),
            health: None,
            died: None,
            gone: false,
        };
        tokio::spawn(actor.live(Arc::downgrade(inner), messages));
        container
    }

    /// Goes on with what another engine left; sent when all containers are known, since one may need another.
    pub(crate) fn resume(&self, adopted: Adopted) {
        let _ = self.mailbox.send(Message::Resume(Box::new(adopted)));
    }

    /// Ends the actor; the container lives on.
    pub(crate) fn leave(&self) {
        let _ = self.mailbox.send(Message::Leave);
    }
}

impl Actor {
    async fn live(mut self, engine: Weak<Inner>, mut messages: mpsc::UnboundedReceiver<Message>) {
        while !self.gone {
            let Some(message) = messages.recv().await else { break };
            let Some(inner) = engine.upgrade() else { break };
            if matches!(message, Message::Leave) {
                break;
            }
            self.handle(&inner, message).await;
        }
        self.stop_health();
    }

    async fn take_over(&mut self, inner: &Arc<Inner>, adopted: Adopted) {
        let run = self.container.run();
        if run.phase.is_alive() {
            self.machine.adopt(run.phase == Phase::Paused, Duration::ZERO);
            self.watch(inner, run.supervisor);
            self.start_health(inner);
        } else if adopted.remove {
            let _ = self.event(inner, Event::Remove { force: true }).await;
        } else if adopted.start
            && let Err(error) = self.event(inner, Event::Start).await
        {
            tracing::warn!(container = self.container.id.short(), ?error, "could not start again");
        }
    }

    async fn handle(&mut self, inner: &Arc<Inner>, message: Message) {
        match message {
            Message::Start(reply) => {
                let result = self.event(inner, Event::Start).await;
                let _ = reply.send(self.changed(result, "start"));
            }
            Message::Stop { signal, patience, reply } => self.stop(inner, signal, patience, reply).await,
            Message::Kill { signal, ends, reply } => self.kill(inner, signal, ends, reply).await,
            Message::Restart { signal, patience, reply } => {
                self.restart(inner, signal, patience, reply).await;
            }
            Message::Pause(reply) => {
                let result = self.event(inner, Event::Pause).await;
                let _ = reply.send(result.map_err(|failure| self.explain(failure, "pause")));
            }
            Message::Unpause(reply) => {
                let result = self.event(inner, Event::Unpause).await;
                let _ = reply.send(result.map_err(|failure| self.explain(failure, "unpause")));
            }
            Message::Remove { options, reply } => self.remove_asked(inner, options, reply).await,
            Message::Replace { edit, reply } => {
                let replaced = self.replace(inner, edit).await;
                // Its name may be another one.
                if let Some(attachment) = self.container.look(|run| run.attachment.clone()) {
                    inner.make_named(&self.container.record(), &attachment);
                }
                let _ = reply.send(replaced);
            }
            Message::Update { host, policy, reply } => {
                self.machine.policy = policy;
                let _ = reply.send(self.replace(inner, Box::new(move |record| record.host = *host)).await);
            }
            Message::Connect { network, settings, reply } => {
                let _ = reply.send(self.connect(inner, &network, *settings).await);
            }
            Message::Disconnect { network, force, reply } => {
                let _ = reply.send(self.disconnect(inner, &network, force).await);
            }
            Message::Attach { streams, reply } => {
                let _ = reply.send(self.attach(streams).await);
            }
            Message::Wait(request) => {
                let alive = self.container.phase() != Phase::Created && self.is_active();
                self.waits.add(request, alive, self.outcome());
            }
            Message::Exited { run, exit } if run == self.run => self.exited(inner, exit).await,
            Message::OutOfPatience { generation } => {
                let _ = self.event(inner, Event::OutOfPatience { generation }).await;
            }
            Message::Elapsed { generation } => {
                let _ = self.event(inner, Event::Elapsed { generation }).await;
            }
            Message::Health(report) => self.health_reported(inner, report),
            Message::Resume(adopted) => self.take_over(inner, *adopted).await,
            Message::Exited { .. } | Message::Leave => {}
        }
    }

    /// It runs, or its policy is about to start it again.
    fn is_active(&self) -> bool {
        self.machine.phase.is_alive() || self.machine.phase == Phase::Restarting
    }

    async fn stop(
        &mut self,
        inner: &Arc<Inner>,
        signal: i32,
        patience: Option<Duration>,
        reply: Reply<Changed>,
    ) {
        match self.event(inner, Event::Stop { signal, patience }).await {
            Ok(()) if self.machine.phase.is_alive() => self.stops.push(reply),
            result => {
                let _ = reply.send(self.changed(result, "stop"));
            }
        }
    }

    /// As in Docker, whose clients go on with a removal, the answer to SIGKILL comes with the end.
    async fn kill(&mut self, inner: &Arc<Inner>, signal: i32, ends: bool, reply: Reply<()>) {
        match self.event(inner, Event::Kill { signal, ends }).await {
            Ok(()) if signal == SIGKILL && self.machine.phase.is_alive() => self.kills.push(reply),
            result => {
                let _ = reply.send(result.map_err(|failure| self.explain(failure, "kill")));
            }
        }
    }

    async fn restart(
        &mut self,
        inner: &Arc<Inner>,
        signal: i32,
        patience: Option<Duration>,
        reply: Reply<()>,
    ) {
        let was_alive = self.machine.phase.is_alive();
        match self.event(inner, Event::Restart { signal, patience }).await {
            // Answered when it runs again.
            Ok(()) if was_alive => self.restarts.push(reply),
            Ok(()) => {
                inner.container_event(&self.container, "restart", []);
                let _ = reply.send(Ok(()));
            }
            Err(failure) => {
                let _ = reply.send(Err(self.explain(failure, "restart")));
            }
        }
    }

    async fn remove_asked(&mut self, inner: &Arc<Inner>, options: RemoveOptions, reply: Reply<()>) {
        let before = self.remove_options;
        self.remove_options = options;
        self.removes.push(reply);
        if let Err(failure) = self.event(inner, Event::Remove { force: options.force }).await {
            self.remove_options = before;
            let error = self.explain(failure, "remove");
            if let Some(reply) = self.removes.pop() {
                let _ = reply.send(Err(error));
            }
        }
    }

    async fn attach(&mut self, streams: Streams) -> Result<(Wire, Option<LogPlace>), Error> {
        let run = self.container.run();
        if let Some(supervisor) = run.supervisor {
            let connected = supervisor.attach_behind(streams).await;
            let connected = connected
                .map_err(|error| Error::internal(format!("attach to {}", self.container.id.short()), &error));
            return connected.map(|(stream, place)| (Wire::Connected(stream), place));
        }
        let (sender, receiver) = oneshot::channel();
        self.pending.retain(|(_, sender)| !sender.is_closed());
        self.pending.push((streams, sender));
        Ok((Wire::Pending(receiver), None))
    }

    /// Feeds the machine and does what it says.
    pub(super) async fn event(&mut self, inner: &Arc<Inner>, event: Event) -> Result<(), Failed> {
        let before = self.machine.clone();
        let commands = self.machine.handle(event).map_err(Failed::Refused)?;
        let result = self.carry_out(inner, commands).await;
        if let (Err(_), Event::Pause | Event::Unpause) = (&result, event) {
            self.machine = before;
        }
        self.publish();
        result
    }

    async fn carry_out(&mut self, inner: &Arc<Inner>, commands: Vec<Command>) -> Result<(), Failed> {
        let mut commands = VecDeque::from(commands);
        let mut result = Ok(());
        while let Some(command) = commands.pop_front() {
            let done = match command {
                Command::Launch => match self.launch(inner).await {
                    Ok(()) => Ok(()),
                    Err(error) => {
                        commands.extend(self.machine.handle(Event::LaunchFailed).unwrap_or_default());
                        Err(error)
                    }
                },
                Command::Signal(signal) => self.signal(inner, signal).await,
                Command::Freeze => self.freeze(inner, true).await,
                Command::Thaw => self.freeze(inner, false).await,
                Command::KillAfter { patience, generation } => {
                    self.later(patience, Message::OutOfPatience { generation });
                    Ok(())
                }
                Command::LaunchAfter { delay, generation } => {
                    self.later(delay, Message::Elapsed { generation });
                    Ok(())
                }
                Command::Finish => {
                    self.finish(inner).await;
                    Ok(())
                }
                Command::Abandon => {
                    self.release(inner).await;
                    Ok(())
                }
                Command::Remember { stopped } => {
                    self.replace(inner, Box::new(move |record| record.stopped_by_hand = stopped)).await
                }
                Command::Remove => self.remove(inner).await,
            };
            if let Err(error) = done {
                result = result.and(Err(Failed::Error(error)));
            }
        }
        result
    }

    async fn launch(&mut self, inner: &Arc<Inner>) -> Result<(), Error> {
        let began = Instant::now();
        let launched = tokio::time::timeout(START_TIMEOUT, self.launch_once(inner)).await;
        let result = launched.unwrap_or_else(|_| {
            Err(Error::new(crate::ErrorKind::Internal, "the container did not start in time").into())
        });
        match &result {
            Ok(()) => inner.counts.container(ContainerAction::Start).since(began),
            Err(failure) => {
                self.pending.clear();
                self.launch_failed(inner, failure).await;
            }
        }
        for reply in self.restarts.drain(..) {
            if result.is_ok() {
                inner.container_event(&self.container, "restart", []);
            }
            let _ = reply.send(result.as_ref().copied().map_err(|failure| failure.error.clone()));
        }
        result.map_err(|failure| failure.error)
    }

    async fn launch_once(&mut self, inner: &Arc<Inner>) -> Result<(), LaunchError> {
        let restart_count = self.machine.backoff.count;
        let Launched { spawned, attachment, note } =
            launch::create(inner, &self.container, restart_count).await?;
        self.run += 1;
        let supervisor = spawned.supervisor;
        self.container.edit_run(|run| {
            run.supervisor = Some(supervisor.clone());
            run.process = Some((spawned.pid, spawned.start_time));
            run.attachment = attachment;
            run.restart_count = restart_count;
        });
        for (streams, client) in self.pending.drain(..) {
            match supervisor.attach(streams).await {
                Ok(stream) => drop(client.send(stream)),
                Err(error) => tracing::warn!(%error, "attach a waiting client"),
            }
        }
        let record = self.container.record();
        launch::execute(&supervisor, &record).await?;
        let at = self.epoch.elapsed();
        let _ = self.machine.handle(Event::Launched { at });
        self.container.edit_run(|run| {
            run.phase = Phase::Running;
            run.started_at = note.started_at;
            (run.exit_code, run.oom_killed) = (0, false);
            run.error.clear();
        });
        self.watch(inner, Some(supervisor));
        self.start_health(inner);
        inner.started_events(&self.container);
        Ok(())
    }

    /// Waits for the end in a task of its own.
    fn watch(&self, inner: &Arc<Inner>, supervisor: Option<Supervisor>) {
        let Some(supervisor) = supervisor else { return };
        let (mailbox, run) = (self.container.mailbox.downgrade(), self.run);
        let (inner, id) = (Arc::downgrade(inner), self.container.id.clone());
        tokio::spawn(async move {
            let exit = super::ending::wait_for_end(&inner, &id, &supervisor).await;
            if let Some(mailbox) = mailbox.upgrade() {
                let _ = mailbox.send(Message::Exited { run, exit });
            }
        });
    }

    async fn signal(&self, inner: &Inner, signal: i32) -> Result<(), Error> {
        let Some(supervisor) = self.container.run().supervisor else { return Ok(()) };
        match supervisor.signal(Target::Init, signal).await {
            Ok(()) => {
                inner.container_event(&self.container, "kill", [("signal".to_owned(), signal.to_string())]);
                Ok(())
            }
            // It has just ended; the message about that is on its way.
            Err(error) if super::ending::means_ended(&error) => Ok(()),
            Err(error) => {
                Err(Error::internal(format!("send signal {signal} to {}", self.container.id.short()), &error))
            }
        }
    }

    async fn freeze(&self, inner: &Inner, freeze: bool) -> Result<(), Error> {
        let Some(supervisor) = self.container.run().supervisor else { return Ok(()) };
        let (done, action) = match freeze {
            true => (supervisor.pause().await, "pause"),
            false => (supervisor.resume().await, "unpause"),
        };
        if let Err(error) = done {
            // SIGKILL thaws by itself, and what has ended needs no thawing.
            let thawed = super::ending::means_ended(&error)
                || supervisor.status().await.map_or(true, |status| status.paused == freeze);
            if freeze && super::ending::means_ended(&error) {
                return Err(Error::conflict(format!("container {} is not running", self.container.id)));
            }
            if freeze || !thawed {
                return Err(Error::internal(format!("{action} {}", self.container.id.short()), &error));
            }
        }
        inner.container_event(&self.container, action, []);
        Ok(())
    }

    fn later(&self, delay: Duration, message: Message) {
        let mailbox = self.container.mailbox.downgrade();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Some(mailbox) = mailbox.upgrade() {
                let _ = mailbox.send(message);
            }
        });
    }

    /// Changes the record, durably.
    pub(super) async fn replace(
        &self,
        inner: &Arc<Inner>,
        edit: Box<dyn FnOnce(&mut Record) + Send>,
    ) -> Result<(), Error> {
        let mut record = (*self.container.record()).clone();
        edit(&mut record);
        let (store, stored) = (inner.store.clone(), record.clone());
        tokio::task::spawn_blocking(move || store.put_container(&stored, &[]))
            .await
            .map_err(|error| Error::internal("store a container", &error))??;
        self.container.set_record(record);
        Ok(())
    }

    /// Shows the machine's phase to those who look.
    pub(super) fn publish(&self) {
        let (phase, count) = (self.machine.phase, self.machine.backoff.count);
        self.container.edit_run(|run| {
            run.phase = phase;
            run.restart_count = count;
        });
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn changed(&self, result: Result<(), Failed>, action: &str) -> Result<Changed, Error> {
        match result {
            Ok(()) => Ok(Changed::Yes),
            Err(Failed::Refused(Refusal::NotModified)) => Ok(Changed::No),
            Err(failure) => Err(self.explain(failure, action)),
        }
    }

    /// Docker's words.
    fn explain(&self, failure: Failed, action: &str) -> Error {
        let refusal = match failure {
            Failed::Error(error) => return error,
            Failed::Refused(refusal) => refusal,
        };
        let (id, name) = (&self.container.id, &self.container.record().name);
        let text = match (action, refusal) {
            ("remove", Refusal::Running) => format!(
                "cannot remove container \"{name}\": container is running: stop the container before removing or force remove"
            ),
            ("remove", Refusal::Paused) => {
                format!("cannot remove container \"{name}\": container is paused and must be unpaused first")
            }
            ("remove", Refusal::Restarting) => format!(
                "cannot remove container \"{name}\": container is restarting: stop the container before removing or force remove"
            ),
            ("remove", Refusal::Removing) => format!("removal of container {name} is already in progress"),
            ("kill", Refusal::NotRunning) => {
                format!("cannot kill container: {name}: container {id} is not running")
            }
            (_, Refusal::Removing) => format!("container is marked for removal and cannot be {action}ed")
                .replace("stoped", "stopped"),
            (_, Refusal::Paused) => "cannot start a paused container, try unpause instead".to_owned(),
            (_, Refusal::NotPaused) => format!("Container {id} is not paused"),
            (_, Refusal::AlreadyPaused) => format!("Container {id} is already paused"),
            (_, Refusal::Restarting) => {
                format!("Container {id} is restarting, wait until the container is running")
            }
            (_, Refusal::NotRunning | Refusal::Running | Refusal::NotModified) => {
                format!("container {id} is not running")
            }
        };
        Error::conflict(text)
    }
}

/// Why something that was asked for did not happen.
#[derive(Debug)]
pub(super) enum Failed {
    Refused(Refusal),
    Error(Error),
}
