//! `up` in the foreground: containers start while their output is shown, until all have ended or the user has had enough.
//!
//! Where there is a terminal, keys toggle the watch of files and leave the containers running ([`menu`]).
//!
//! ```text
//!   events of the engine ──▶ start: follow the log   die: note the code, perhaps stop all
//!   logs ──▶ lines, each with its container's name
//!   ^C ──▶ stop all in order ──▶ ^C again ──▶ kill
//! ```

mod following;
mod menu;

use std::{collections::BTreeSet, pin::Pin, time::Duration};

use minke_compose::{
    plan::{self, Observed, labels},
    run::watch::Rule,
};
use minke_docker_client::{Body, HeaderMap, Method, StreamResponse};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{
    following::Following,
    menu::{Key, Menu},
};
use super::{session::Session, watch};
use crate::{failure::Failure, output};

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
    /// `--menu`
    pub(super) menu: Option<bool>,
    /// What is watched, when it is.
    pub(super) rules: Vec<Rule>,
    /// It is from the beginning (`--watch`).
    pub(super) watch: bool,
}

/// Ends that the user or a container brought about.
enum End {
    /// All containers have ended by themselves.
    All,
    /// One ended that ends all, with this code.
    Aborted(i32),
    Interrupted,
    /// The user leaves; containers run on.
    Detached,
}

/// Shell's code for a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Starts all containers and shows their output.
///
/// # Errors
/// When a container can't start, or with the code of the one that `--exit-code-from` names.
pub(super) async fn run(session: &Session<'_>, attachment: &Attachment) -> Result<(), Failure> {
    // Before anything starts, so that no start and no end is missed.
    let events = events(session).await?;
    let observed = session.observe().await?;
    let mut following = Following::new(session, attachment, &observed)?;
    following.announce(&observed)?;
    let plan = plan::start(session.origin(&observed), &[], false)?;
    let starts = |step: &&plan::Step| matches!(step.command, plan::Command::StartContainer { .. });
    following.expected = plan.steps.iter().filter(starts).count();
    let execution = session.execution()?;
    execution.know(&observed);
    let starting = async { execution.execute(&plan).await.map_err(Failure::from) };
    let mut interrupts = signals()?;
    let ended = until_end(session, attachment, following.until_end(events, starting), &mut interrupts).await;
    match ended {
        Ok(End::All) => {
            following.drain().await;
            Ok(())
        }
        Ok(End::Detached) => Ok(()),
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

async fn events(session: &Session<'_>) -> Result<StreamResponse, Failure> {
    let project = format!("{}={}", labels::PROJECT, session.project.name);
    let query = [("filters", json!({"type": ["container"], "label": [project]}).to_string())];
    Ok(session.client()?.stream(Method::GET, "/events", &query, Body::Empty, HeaderMap::new()).await?)
}

/// A watch of files that goes on until it fails.
type Watching<'s> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 's>>;

/// Shows what containers say and does what keys ask for, until something ends it.
async fn until_end(
    session: &Session<'_>,
    attachment: &Attachment,
    shown: impl Future<Output = Result<End, Failure>>,
    interrupts: &mut [Signal; 2],
) -> Result<End, Failure> {
    let watch = || -> Watching<'_> { Box::pin(watch::follow(session, attachment.rules.clone())) };
    let mut watching = attachment.watch.then(watch);
    let plain = session.flags().ansi() == Some("never") || session.flags().progress() == Some("plain");
    let wanted = !plain && menu::is_wanted(attachment.menu);
    let mut menu = wanted.then(|| Menu::open(attachment.watch)).flatten();
    tokio::pin!(shown);
    loop {
        let key = tokio::select! {
            ended = &mut shown => return ended,
            () = interrupt(interrupts) => return Ok(End::Interrupted),
            Err(failure) = some(watching.as_mut()) => {
                // One that a key began ends no more than itself.
                let Some(menu) = &mut menu else { return Err(failure) };
                watching = None;
                menu.watching(false);
                output::note(&format!("WARNING: {}", failure.message));
                continue;
            }
            key = async { some(menu.as_mut().map(|menu| Box::pin(menu.key()))).await } => key,
        };
        match key {
            Key::Detach => return Ok(End::Detached),
            Key::Watch => {
                let Some(menu) = &mut menu else { continue };
                if attachment.rules.is_empty() {
                    menu.problem("  Watch is not configured: no service has a 'develop' section");
                    continue;
                }
                watching = if watching.is_some() { None } else { Some(watch()) };
                menu.watching(watching.is_some());
            }
        }
    }
}

/// What comes of something that may not be there, and then never comes.
async fn some<T>(work: Option<impl Future<Output = T> + Unpin>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
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
