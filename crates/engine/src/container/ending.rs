//! The end of a run: what the supervisor says about it, what is released, who is told.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use minke_model::ContainerId;
use minke_network::Attachment;
use minke_supervisor::{CallError, ExitRecord, FailureKind, Supervisor, Target};

use super::{
    Phase, RunNote,
    actor::Actor,
    launch::{self, LaunchError},
    links,
    machine::Event,
    waits::Outcome,
};
use crate::{
    Changed, engine::Inner, events::About, metrics::NetworkAction, networks::NetworkRecord, time_text,
};

/// The exit code of a container whose supervisor vanished without a record: it was killed.
const KILLED: i32 = 137;
/// After how long a supervisor is asked again that could not be.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Waits until the first process has ended, whatever becomes of its supervisor.
pub(super) async fn wait_for_end(
    inner: &Weak<Inner>,
    id: &ContainerId,
    supervisor: &Supervisor,
) -> ExitRecord {
    loop {
        match supervisor.wait(Target::Init).await {
            Ok(exit) => return exit,
            Err(CallError::Gone { .. }) => {
                tracing::warn!(
                    container = id.short(),
                    "its supervisor was killed, and the container with it"
                );
                if let Some(inner) = inner.upgrade() {
                    clear(&inner, inner.places(id).directory).await;
                }
                break;
            }
            Err(error @ CallError::Io { .. }) => {
                // The engine's own trouble, such as too many open files; the container has none.
                tracing::warn!(%error, container = id.short(), "wait for the end; trying again");
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Err(error) => {
                tracing::warn!(%error, container = id.short(), "wait for the end");
                break;
            }
        }
    }
    ExitRecord { exit_code: KILLED, finished_at: time_text::now(), oom_killed: false, error: None }
}

/// Ends what lives on of the container of a bundle whose supervisor was killed.
pub(crate) async fn clear(inner: &Inner, bundle: PathBuf) {
    let (program, shown) = (inner.config.runtime.clone(), bundle.clone());
    let cleared = tokio::task::spawn_blocking(move || minke_supervisor::clear(&program, &bundle)).await;
    let error: &dyn std::error::Error = match &cleared {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(error) => error,
    };
    tracing::warn!(error, bundle = %shown.display(), "end a container whose supervisor was killed");
}

/// The call failed because the container has just ended.
pub(super) fn means_ended(error: &CallError) -> bool {
    match error {
        CallError::Gone { .. } => true,
        CallError::Refused(failure) => failure.kind == FailureKind::NotRunning,
        _ => false,
    }
}

impl Actor {
    pub(super) async fn exited(&mut self, inner: &Arc<Inner>, exit: ExitRecord) {
        self.stop_health();
        let started = time_text::parse(&self.container.run().started_at);
        let finished = time_text::parse(&exit.finished_at);
        let seconds =
            started.zip(finished).map_or(0, |(started, finished)| (finished - started).whole_seconds());
        let code = i64::from(exit.exit_code);
        self.container.edit_run(|run| {
            run.process = None;
            run.exit_code = code;
            run.finished_at = exit.finished_at;
            run.oom_killed = exit.oom_killed;
        });
        if exit.oom_killed {
            inner.container_event(&self.container, "oom", []);
        }
        let attributes = [
            ("exitCode".to_owned(), code.to_string()),
            ("execDuration".to_owned(), seconds.max(0).to_string()),
        ];
        self.died = Some(attributes);
        let at = self.elapsed();
        if let Err(error) = self.event(inner, Event::Exited { code, at }).await {
            tracing::warn!(container = self.container.id.short(), ?error, "after the end of a container");
        }
    }

    /// Releases what a run had, and tells those who wait for its end.
    pub(super) async fn finish(&mut self, inner: &Arc<Inner>) {
        self.release(inner).await;
        // In Docker's order: what it had goes first.
        if let Some(attributes) = self.died.take() {
            inner.container_event(&self.container, "die", attributes);
        }
        inner.execs.container_ended(self.container.id.as_str());
        if !self.restarts.is_empty() {
            inner.container_event(&self.container, "stop", []);
        }
        for reply in self.stops.drain(..) {
            inner.container_event(&self.container, "stop", []);
            let _ = reply.send(Ok(Changed::Yes));
        }
        for reply in self.kills.drain(..) {
            let _ = reply.send(Ok(()));
        }
        let outcome = self.outcome();
        self.waits.ended(&outcome, self.container.sessions.subscribe());
        inner.idle.touch();
    }

    /// Releases what a run, or an attempt to start one, had.
    pub(super) async fn release(&mut self, inner: &Arc<Inner>) {
        self.publish();
        let run = self.container.run();
        let was_connected = run.attachment.is_some() || run.supervisor.is_some();
        if let Some(attachment) = run.attachment {
            inner.detach(attachment).await;
        }
        if was_connected {
            inner.connected_events("disconnect", &self.container);
        }
        if run.supervisor.is_some() {
            inner.volume_mount_events("unmount", &self.container);
        }
        if launch::volume_names(&self.container.record()).next().is_some() {
            let (inner, user) = (Arc::clone(inner), self.container.id.to_string());
            let released = tokio::task::spawn_blocking(move || inner.volumes.release(&user)).await;
            if let Err(error) = released {
                tracing::warn!(%error, "release a container's volumes");
            }
        }
        self.container.edit_run(|run| {
            run.supervisor = None;
            run.process = None;
            run.attachment = None;
        });
        if was_connected {
            links::close_to(inner, &self.container);
        }
        inner.idle.touch();
    }

    /// What a wait is told.
    pub(super) fn outcome(&self) -> Outcome {
        Outcome::of(&self.container)
    }

    /// Notes why a start failed, where the next engine finds it too.
    pub(super) async fn launch_failed(&mut self, inner: &Arc<Inner>, failure: &LaunchError) {
        let run = self.container.run();
        if let Some(supervisor) = &run.supervisor {
            // Created and then refused to execute: the supervisor ends by itself; its name is free only then.
            let inner = Arc::downgrade(inner);
            let ended = wait_for_end(&inner, &self.container.id, supervisor);
            let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
        }
        let note = RunNote {
            boot: inner.host.boot.clone(),
            error: Some(failure.error.to_string()),
            exit_code: failure.exit_code,
            has_run: run.phase != Phase::Created,
            started_at: run.started_at,
            ..RunNote::default()
        };
        let directory = inner.places(&self.container.id).directory;
        if let Err(error) = note.write(&directory) {
            tracing::warn!(%error, "note a failed start");
        }
        self.container.edit_run(|run| {
            run.exit_code = failure.exit_code;
            run.error = failure.error.to_string();
        });
    }
}

impl Inner {
    /// Takes a container off its networks.
    pub(crate) async fn detach(&self, attachment: Attachment) {
        let began = Instant::now();
        self.forget_named(&attachment);
        self.relays.stop(&attachment.id).await;
        let networks = self.networks.clone();
        let detached = tokio::task::spawn_blocking(move || networks.detach(&attachment)).await;
        match detached {
            Ok(Ok(())) => self.counts.network(NetworkAction::Release).since(began),
            Ok(Err(error)) => tracing::warn!(%error, "detach a container"),
            Err(error) => tracing::warn!(%error, "detach a container"),
        }
    }

    /// An event about a container, with the attributes that Docker gives to each.
    pub(crate) fn container_event(
        &self,
        container: &super::Container,
        action: &str,
        more: impl IntoIterator<Item = (String, String)>,
    ) {
        let record = container.record();
        let mut attributes: Vec<(String, String)> =
            record.config.labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        attributes.push(("image".to_owned(), record.image_name().to_owned()));
        attributes.push(("name".to_owned(), record.name.clone()));
        attributes.extend(more);
        self.events.emit(About::Container, action, container.id.as_str(), attributes);
    }

    pub(super) fn started_events(&self, container: &super::Container) {
        links::refresh(self, container);
        self.volume_mount_events("mount", container);
        self.connected_events("connect", container);
        self.container_event(container, "start", []);
    }

    /// An event for each of a container's networks.
    fn connected_events(&self, action: &str, container: &super::Container) {
        for name in container.record().networks.keys() {
            if let Ok(network) = self.network_table.find(name) {
                self.connected_event(action, &network, container);
            }
        }
    }

    pub(super) fn connected_event(
        &self,
        action: &str,
        network: &NetworkRecord,
        container: &super::Container,
    ) {
        self.network_event(action, network, [("container".to_owned(), container.id.to_string())]);
    }

    pub(super) fn volume_mount_events(&self, action: &str, container: &super::Container) {
        let record = container.record();
        for (name, destination, rw) in launch::mounted_volumes(&record) {
            let mut attributes = vec![
                ("container".to_owned(), container.id.to_string()),
                ("driver".to_owned(), "local".to_owned()),
            ];
            if action == "mount" {
                attributes.push(("destination".to_owned(), destination.to_owned()));
                attributes.push(("read/write".to_owned(), rw.to_string()));
                attributes.push(("propagation".to_owned(), String::new()));
            }
            self.events.emit(About::Volume, action, name, attributes);
        }
    }
}
