//! `events`: what a container uses at intervals, and when its memory runs out, one JSON object a line.

mod shape;

use std::{
    io::Write,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use minke_kernel::cgroup::{Cgroup, OomWatch};
use minke_model::{quantity::parse_duration_nanos, runtime_spec::Status};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    Command, Global, find,
    flags::{Flag, Parsed},
};

pub(super) const COMMAND: Command = Command {
    name: "events",
    summary: "display container events: memory that runs out, and what is used",
    operands: "<container-id>",
    count: 1..=1,
    flags: FLAGS,
    rest: None,
    sealed: false,
    run: events,
    failure: 1,
};

const FLAGS: &[Flag] = &[
    Flag::value("interval", None, "DURATION", "time between two stats, as 500ms or 1m30s (default: 5s)"),
    Flag::switch("stats", None, "display the container's stats once, then exit"),
];

const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

fn events(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let stored = find(global, &parsed)?;
    let interval = match parsed.text("interval")? {
        None => DEFAULT_INTERVAL,
        Some(text) => interval_of(text)?,
    };
    if interval.is_zero() {
        bail!("duration interval must be greater than 0");
    }
    if stored.status() == Status::Stopped {
        bail!("container with id {} is not running", stored.record.id);
    }
    let group = stored.record.cgroup()?.ok_or_else(|| anyhow!("the container has no cgroup"))?;
    let mut printer = Printer { id: &stored.record.id };
    if parsed.has("stats") {
        printer.print("stats", Some(shape::stats(&group)?))?;
        return Ok(0);
    }
    let process = stored.process.as_ref().ok_or_else(|| anyhow!("the container has no process yet"))?;
    let watch = group.watch_oom()?;
    stream(&group, process, watch, interval, &mut printer)?;
    Ok(0)
}

/// A duration as Go's flags take it; what isn't positive is refused by the caller.
fn interval_of(text: &str) -> anyhow::Result<Duration> {
    let nanos = parse_duration_nanos(text).context("--interval")?;
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

/// Prints until the container's first process has ended.
fn stream(
    group: &Cgroup,
    process: impl AsFd,
    mut watch: Option<OomWatch>,
    interval: Duration,
    printer: &mut Printer<'_>,
) -> anyhow::Result<()> {
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = vec![PollFd::new(&process, PollFlags::IN)];
        fds.extend(watch.as_ref().map(|watch| PollFd::new(watch, PollFlags::IN)));
        match poll(&mut fds, Some(&limit)) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error).context("wait for events"),
        }
        let ended = !fds[0].revents().is_empty();
        let told = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        // The last words of one that was killed for memory may not have been told yet.
        if (told || ended) && watch.as_mut().is_some_and(OomWatch::take) {
            printer.print("oom", None)?;
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            // A cgroup that is just being removed has none; the next round sees the end.
            if let Ok(stats) = shape::stats(group) {
                printer.print("stats", Some(stats))?;
            }
            next += interval;
        }
    }
}

/// One line.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

struct Printer<'a> {
    id: &'a str,
}

impl Printer<'_> {
    fn print(&mut self, kind: &str, data: Option<Value>) -> anyhow::Result<()> {
        let event = serde_json::to_string(&Event { kind, id: self.id, data })?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{event}").and_then(|()| output.flush()).context("write to standard output")
    }
}
