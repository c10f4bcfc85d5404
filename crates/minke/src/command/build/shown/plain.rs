//! A build line by line, as BuildKit's plain progress: each vertex has a number, each line of its log the seconds since it began.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
};

use minke_build_client::{BuildEvent, Log, Vertex};
use time::OffsetDateTime;

/// Lines of a step's log that are kept for when it fails.
const TAIL: usize = 20;
/// A line longer than this is printed in pieces.
const LONGEST: usize = 64 << 10;

/// What was printed so far.
#[derive(Debug, Default)]
pub(super) struct Plain {
    steps: HashMap<String, Step>,
    begun: usize,
}

#[derive(Debug, Default)]
struct Step {
    name: String,
    number: usize,
    started: Option<OffsetDateTime>,
    is_done: bool,
    failed: bool,
    tail: VecDeque<String>,
    rest: Vec<u8>,
}

impl Plain {
    /// The lines that tell what happened.
    pub(super) fn event(&mut self, event: &BuildEvent) -> Vec<String> {
        match event {
            BuildEvent::Vertex(vertex) => self.vertex(vertex),
            BuildEvent::Log(log) => self.log(log),
            BuildEvent::Warning(warning) => vec![format!("WARNING: {}", warning.short)],
            // Transfers come many times a second.
            BuildEvent::Status(_) => Vec::new(),
        }
    }

    fn vertex(&mut self, told: &Vertex) -> Vec<String> {
        let step = self.steps.entry(told.digest.clone()).or_default();
        told.name.clone_into(&mut step.name);
        if told.started.is_none() && told.completed.is_none() || step.is_done {
            return Vec::new();
        }
        let mut lines = Vec::new();
        if step.number == 0 {
            self.begun += 1;
            step.number = self.begun;
            step.started = told.started;
            lines.push(format!("#{} {}", step.number, step.name));
        }
        if let Some(completed) = told.completed {
            step.is_done = true;
            step.failed = !told.error.is_empty();
            let took = step.started.map_or(0.0, |started| (completed - started).as_seconds_f64());
            let mut how = format!("#{} ", step.number);
            let _ = match (step.failed, told.cached) {
                (true, _) => writeln!(how, "ERROR: {}", told.error),
                (_, true) => writeln!(how, "CACHED"),
                _ => writeln!(how, "DONE {took:.1}s"),
            };
            lines.push(how);
        }
        lines
    }

    fn log(&mut self, told: &Log) -> Vec<String> {
        let Some(step) = self.steps.get_mut(&told.vertex) else { return Vec::new() };
        let seconds = match (step.started, told.time) {
            (Some(started), Some(now)) => (now - started).as_seconds_f64(),
            _ => 0.0,
        };
        let mut lines = Vec::new();
        for part in told.data.split_inclusive(|byte| *byte == b'\n') {
            step.rest.extend_from_slice(part);
            if !part.ends_with(b"\n") && step.rest.len() <= LONGEST {
                continue;
            }
            let line = std::mem::take(&mut step.rest);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            lines.push(format!("#{} {seconds:.3} {line}", step.number));
            step.tail.push_back(line.to_owned());
            if step.tail.len() > TAIL {
                step.tail.pop_front();
            }
        }
        lines
    }

    /// The steps that failed, with the end of what they said.
    pub(super) fn failed(&self) -> impl Iterator<Item = (&str, &VecDeque<String>)> {
        let failed = self.steps.values().filter(|step| step.failed && !step.tail.is_empty());
        failed.map(|step| (step.name.as_str(), &step.tail))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use minke_build_client::LogStream;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn each_line_has_the_number_of_its_step_and_the_time_since_it_began() {
        let mut plain = Plain::default();
        let started = Some(datetime!(2026-01-01 00:00 UTC));
        let vertex = Vertex { digest: "a".into(), name: "RUN x".into(), started, ..Vertex::default() };
        assert_eq!(plain.event(&BuildEvent::Vertex(vertex.clone())), ["#1 RUN x"]);
        let time = Some(datetime!(2026-01-01 00:00:01.5 UTC));
        let data = Bytes::from_static(b"one\ntwo\r\nthr");
        let log = Log { vertex: "a".into(), stream: LogStream::Stderr, data, time };
        assert_eq!(plain.event(&BuildEvent::Log(log)), ["#1 1.500 one", "#1 1.500 two"]);
        let failed = Vertex { completed: time, error: "exit code: 2".into(), ..vertex };
        assert_eq!(plain.event(&BuildEvent::Vertex(failed)), ["#1 ERROR: exit code: 2\n"]);
        let (name, tail) = plain.failed().next().unwrap();
        assert_eq!((name, tail.len(), tail[0].as_str(), tail[1].as_str()), ("RUN x", 2, "one", "two"));
    }
}
