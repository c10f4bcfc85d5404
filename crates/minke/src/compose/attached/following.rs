//! What the containers of an `up` in the foreground say, and which of them run: events of the engine and lines of logs.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use minke_compose::{
    plan::{Observed, labels},
    run::{self, logs},
};
use minke_docker_client::{StreamResponse, json_lines};
use serde::Deserialize;
use tokio::{sync::mpsc, time::Instant};

use super::{
    super::{looks, printer::Printer, session::Session},
    Abort, Attachment, End,
};
use crate::{failure::Failure, format::time, output};

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "Actor", default)]
    actor: Actor,
}

#[derive(Debug, Default, Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: BTreeMap<String, String>,
}

/// Containers that are followed.
pub(super) struct Following<'s> {
    session: &'s Session<'s>,
    attachment: &'s Attachment,
    pub(super) printer: Printer,
    sink: Option<mpsc::Sender<logs::Line>>,
    pub(super) lines: mpsc::Receiver<logs::Line>,
    /// Names of containers that run, by ids.
    alive: BTreeMap<String, String>,
    /// How many starts were told, and how many are to come at least.
    starts: usize,
    pub(super) expected: usize,
}

impl<'s> Following<'s> {
    pub(super) fn new(
        session: &'s Session<'s>,
        attachment: &'s Attachment,
        observed: &Observed,
    ) -> Result<Self, Failure> {
        let containers = observed.containers.iter().filter(|container| !container.is_oneoff());
        let shown = containers.filter(|container| attachment.shown.contains(container.service()));
        let names = shown.map(|container| looks::short_name(&session.project.name, container.name()));
        let printer = Printer::new(session.flags(), attachment.prefix, attachment.colours, names);
        let (sink, lines) = mpsc::channel(256);
        Ok(Self {
            session,
            attachment,
            printer,
            sink: Some(sink),
            lines,
            alive: BTreeMap::new(),
            starts: 0,
            expected: 0,
        })
    }

    /// Names those that are shown, and follows those that run already.
    pub(super) fn announce(&mut self, observed: &Observed) -> Result<(), Failure> {
        let mut names = Vec::new();
        for container in observed.containers.iter().filter(|container| !container.is_oneoff()) {
            let ours = self.session.project.services.contains_key(container.service());
            let shown = ours && self.attachment.shown.contains(container.service());
            if shown {
                names.push(looks::short_name(&self.session.project.name, container.name()));
            }
            if ours && container.is_running() {
                self.alive.insert(container.id.clone(), container.name().to_owned());
                if shown {
                    self.follow(&container.id, container.name(), None)?;
                }
            }
        }
        names.sort();
        output::line(&format!("Attaching to {}", names.join(", ")))
    }

    /// Follows a container's log: from a start on, or from now on.
    fn follow(&self, id: &str, name: &str, since: Option<String>) -> Result<(), Failure> {
        let Some(sink) = self.sink.clone() else { return Ok(()) };
        let tail = since.is_none().then(|| "0".to_owned());
        let wanted =
            logs::Wanted { follow: true, since, tail, timestamps: self.attachment.timestamps, until: None };
        let (client, id) = (self.session.client()?.clone(), id.to_owned());
        let shown = looks::short_name(&self.session.project.name, name);
        tokio::spawn(async move {
            // A log that can't be read (driver `none`) is not shown.
            let _ = logs::copy(&client, &id, &shown, &wanted, sink).await;
        });
        Ok(())
    }

    pub(super) async fn until_end(
        &mut self,
        events: StreamResponse,
        starting: impl Future<Output = Result<(), Failure>>,
    ) -> Result<End, Failure> {
        let mut events = json_lines::<Event>(events.body);
        let mut started = false;
        tokio::pin!(starting);
        loop {
            // A container may have ended before its start was told: all starts are waited for.
            let seems_over = started && self.starts >= self.expected && self.alive.is_empty();
            if seems_over && !self.session.changing.get() {
                // What a watch has restarted may run before that is told.
                self.note_running().await?;
                if self.alive.is_empty() {
                    return Ok(End::All);
                }
            }
            tokio::select! {
                result = &mut starting, if !started => {
                    result?;
                    started = true;
                    self.note_running().await?;
                }
                Some(line) = self.lines.recv() => self.printer.line(&line)?,
                event = events.next() => match event {
                    Some(event) => {
                        if let Some(end) = self.event(event?).await? {
                            return Ok(end);
                        }
                    }
                    None => return Err(Failure::new("the engine ended the stream of its events")),
                },
            }
        }
    }

    /// Those that run; the end of each is still to be told.
    async fn note_running(&mut self) -> Result<(), Failure> {
        let running =
            run::containers(self.session.client()?, Some(&self.session.project.name), false).await?;
        let ours = running
            .iter()
            .filter(|container| self.session.project.services.contains_key(container.service()));
        let ours: BTreeMap<_, _> = ours
            .filter(|container| !container.is_oneoff())
            .map(|container| (container.id.clone(), container.name().to_owned()))
            .collect();
        self.alive.extend(ours);
        Ok(())
    }

    async fn event(&mut self, event: Event) -> Result<Option<End>, Failure> {
        let attribute = |name: &str| event.actor.attributes.get(name).cloned().unwrap_or_default();
        let (service, name) = (attribute(labels::SERVICE), attribute("name"));
        // What comes before a service's own (`pre_start`) is none of them.
        let oneoff =
            attribute(labels::ONEOFF).eq_ignore_ascii_case("true") || !attribute(labels::HOOK).is_empty();
        if oneoff || !self.session.project.services.contains_key(&service) {
            return Ok(None);
        }
        match event.action.as_str() {
            "start" => {
                self.starts += 1;
                self.alive.insert(event.actor.id.clone(), name.clone());
                if self.attachment.shown.contains(&service) {
                    let since = self.started_at(&event.actor.id).await;
                    self.follow(&event.actor.id, &name, Some(since))?;
                }
                Ok(None)
            }
            "die" => {
                let code = attribute("exitCode").parse().unwrap_or(0);
                self.died(&event.actor.id, &service, &name, code).await
            }
            _ => Ok(None),
        }
    }

    async fn died(&mut self, id: &str, service: &str, name: &str, code: i32) -> Result<Option<End>, Failure> {
        let inspected: serde_json::Value =
            match self.session.client()?.get(&format!("/containers/{id}/json"), &[]).await {
                Ok(inspected) => inspected,
                Err(error) if error.is_not_found() => serde_json::Value::Null,
                Err(error) => return Err(error.into()),
            };
        // One that its policy starts again is not gone.
        let stays = inspected["State"]["Restarting"] == true || inspected["State"]["Running"] == true;
        if !stays {
            self.alive.remove(id);
        }
        let shown = looks::short_name(&self.session.project.name, name);
        if self.attachment.shown.contains(service) {
            // What it said comes before its end; the log's last lines are on their way.
            self.settle().await?;
            output::line(&format!(
                "{shown} exited with code {code}{}",
                if stays { " (restarting)" } else { "" }
            ))?;
        }
        if stays {
            return Ok(None);
        }
        Ok(match &self.attachment.abort {
            Abort::OnExit => Some(End::Aborted(code)),
            Abort::OnFailure if code != 0 => Some(End::Aborted(code)),
            Abort::From(wanted) if wanted == service => Some(End::Aborted(code)),
            Abort::From(_) => {
                // Its code is not the program's, but its end is the others' too.
                let code = self.exit_code_of_wanted().await;
                Some(End::Aborted(code))
            }
            _ => None,
        })
    }

    /// The code of the service that `--exit-code-from` names, if it has ended; it will be stopped now otherwise.
    async fn exit_code_of_wanted(&self) -> i32 {
        let Abort::From(wanted) = &self.attachment.abort else { return 0 };
        let Ok(containers) = self.session.containers(std::slice::from_ref(wanted), true).await else {
            return 1;
        };
        containers.first().map_or(1, |container| i32::try_from(container.exit_code()).unwrap_or(1))
    }

    async fn started_at(&self, id: &str) -> String {
        let inspected = async {
            let client = self.session.client().ok()?;
            client.get::<serde_json::Value>(&format!("/containers/{id}/json"), &[]).await.ok()
        };
        let inspected = inspected.await.unwrap_or_default();
        let text = inspected["State"]["StartedAt"].as_str().unwrap_or_default();
        // Where the engine doesn't say, all is shown.
        time::moment("since", text).unwrap_or_else(|_| "0".to_owned())
    }

    /// Prints what arrives within a moment; others that write without end don't make it longer.
    async fn settle(&mut self) -> Result<(), Failure> {
        const MOMENT: Duration = Duration::from_millis(30);
        const LONGEST: Duration = Duration::from_millis(300);
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + MOMENT).min(latest);
            match tokio::time::timeout_at(quiet, self.lines.recv()).await {
                Ok(Some(line)) => self.printer.line(&line)?,
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    /// Prints what is still on its way, up to a limit: a log that never ends must not hold the program.
    pub(super) async fn drain(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        self.sink = None;
        let printing = async {
            while let Some(line) = self.lines.recv().await {
                if self.printer.line(&line).is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, printing).await;
    }
}
