//! `up` in the foreground: containers start while their output is shown, until all have ended or the user has had enough.
//!
//! ```text
//!   events of the engine ──▶ start: follow the log   die: note the code, perhaps stop all
//!   logs ──▶ lines, each with its container's name
//!   ^C ──▶ stop all in order ──▶ ^C again ──▶ kill
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::StreamExt;
use minke_compose::{
    plan::{self, Observed, labels},
    run::{self, logs, watch::Rule},
};
use minke_docker_client::{Body, HeaderMap, Method, json_lines};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use super::{looks, printer::Printer, session::Session, watch};
use crate::{failure::Failure, format::time, output};

/// When the end of a container is the end of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Abort {
    Never,
    OnExit,
    OnFailure,
    /// And its code is the program's.
    From(String),
}

/// How output is shown and when that ends.
#[derive(Debug)]
pub(super) struct Attachment {
    /// Those whose output is shown.
    pub(super) shown: BTreeSet<String>,
    pub(super) abort: Abort,
    pub(super) timeout: Option<Duration>,
    pub(super) timestamps: bool,
    pub(super) prefix: bool,
    pub(super) colours: bool,
}

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

/// Ends that the user or a container brought about.
enum End {
    /// All containers have ended by themselves.
    All,
    /// One ended that ends all, with this code.
    Aborted(i32),
    Interrupted,
}

/// Shell's code for a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Starts all containers and shows their output.
///
/// # Errors
/// When a container can't start, or with the code of the one that `--exit-code-from` names.
pub(super) async fn run(
    session: &Session<'_>,
    attachment: &Attachment,
    watching: Option<Vec<Rule>>,
) -> Result<(), Failure> {
    let client = session.client()?;
    let filters =
        json!({"type": ["container"], "label": [format!("{}={}", labels::PROJECT, session.project.name)]});
    let query = [("filters", filters.to_string())];
    // Before anything starts, so that no start and no end is missed.
    let events = client.stream(Method::GET, "/events", &query, Body::Empty, HeaderMap::new()).await?;
    let observed = session.observe().await?;
    let mut following = Following::new(session, attachment, &observed)?;
    following.announce(&observed)?;
    let plan = plan::start(session.origin(&observed), &[], false)?;
    let starts = |step: &&plan::Step| matches!(step.command, plan::Command::StartContainer { .. });
    following.expected = plan.steps.iter().filter(starts).count();
    let execution = session.execution()?;
    execution.know(&observed);
    let starting = async { execution.execute(&plan).await.map_err(Failure::from) };
    let watching = async {
        match watching {
            Some(rules) => watch::follow(session, rules).await,
            None => std::future::pending().await,
        }
    };
    let mut interrupts = signals()?;
    let ended = {
        let shown = following.until_end(events, starting);
        tokio::pin!(shown, watching);
        tokio::select! {
            ended = &mut shown => ended,
            Err(failure) = &mut watching => Err(failure),
            () = interrupt(&mut interrupts) => Ok(End::Interrupted),
        }
    };
    match ended {
        Ok(End::All) => {
            following.drain().await;
            Ok(())
        }
        Ok(End::Interrupted) => {
            output::note("\nGracefully stopping... (press Ctrl+C again to force)");
            wind_up(session, attachment, &mut following, &mut interrupts).await?;
            Err(Failure::exit(INTERRUPTED))
        }
        Ok(End::Aborted(code)) => {
            output::note("Aborting on container exit...");
            wind_up(session, attachment, &mut following, &mut interrupts).await?;
            if code == 0 { Ok(()) } else { Err(Failure::exit(code)) }
        }
        Err(failure) => {
            wind_up(session, attachment, &mut following, &mut interrupts).await?;
            Err(failure)
        }
    }
}

/// Stops all in order; another interrupt kills.
async fn wind_up(
    session: &Session<'_>,
    attachment: &Attachment,
    following: &mut Following<'_>,
    interrupts: &mut [Signal; 2],
) -> Result<(), Failure> {
    let observed = session.observe().await?;
    let plan = plan::stop(&session.project, &observed, &[], attachment.timeout)?;
    let stopping = session.carry_out(&plan, &observed);
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            biased;
            stopped = &mut stopping => {
                stopped?;
                break;
            }
            Some(line) = following.lines.recv() => following.printer.line(&line)?,
            () = interrupt(interrupts) => {
                kill_all(session, &observed).await;
                return Err(Failure::exit(INTERRUPTED));
            }
        }
    }
    following.drain().await;
    Ok(())
}

async fn kill_all(session: &Session<'_>, observed: &Observed) {
    let Ok(client) = session.client() else { return };
    let running =
        observed.containers.iter().filter(|container| container.is_running() && !container.is_oneoff());
    let kills = running.map(|container| async move {
        // One that has ended in the meantime needs none.
        let _ = client.post_empty::<()>(&format!("/containers/{}/kill", container.id), &[]).await;
    });
    futures_util::future::join_all(kills).await;
}

fn signals() -> Result<[Signal; 2], Failure> {
    let of = |kind| signal(kind).map_err(|error| Failure::doing("listen for signals", error));
    Ok([of(SignalKind::interrupt())?, of(SignalKind::terminate())?])
}

async fn interrupt([interrupts, terminations]: &mut [Signal; 2]) {
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
    }
}

struct Following<'s> {
    session: &'s Session<'s>,
    attachment: &'s Attachment,
    printer: Printer,
    sink: Option<mpsc::Sender<logs::Line>>,
    lines: mpsc::Receiver<logs::Line>,
    /// Names of containers that run, by ids.
    alive: BTreeMap<String, String>,
    /// How many starts were told, and how many are to come at least.
    starts: usize,
    expected: usize,
}

impl<'s> Following<'s> {
    fn new(
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
    fn announce(&mut self, observed: &Observed) -> Result<(), Failure> {
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

    async fn until_end(
        &mut self,
        events: minke_docker_client::StreamResponse,
        starting: impl Future<Output = Result<(), Failure>>,
    ) -> Result<End, Failure> {
        let mut events = json_lines::<Event>(events.body);
        let mut started = false;
        tokio::pin!(starting);
        loop {
            // A container may have ended before its start was told: all starts are waited for.
            if started && self.starts >= self.expected && self.alive.is_empty() {
                return Ok(End::All);
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
        let oneoff = attribute(labels::ONEOFF).eq_ignore_ascii_case("true");
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
    async fn drain(&mut self) {
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
