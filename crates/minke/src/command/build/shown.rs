//! How a build is shown: each vertex has a number, each line of its log the seconds since it began; a failed step's last lines
//! come again in the end.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
};

use minke_build_client::{BuildEvent, Log, Vertex as Told};
use serde_json::Value;
use time::OffsetDateTime;

use super::Built;
use crate::{failure::Failure, output};

/// Lines of a failed step's log that are shown again.
const TAIL: usize = 20;

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// The same as plain.
    Auto,
    /// Line by line.
    Plain,
    /// Nothing but the image's id.
    Quiet,
    /// The engine's messages.
    Rawjson,
}

/// A build as far as it was told.
pub(super) struct Shown {
    mode: Mode,
    vertices: HashMap<String, Vertex>,
    begun: usize,
    built: Built,
    failure: Option<Failure>,
}

#[derive(Default)]
struct Vertex {
    name: String,
    number: usize,
    started: Option<OffsetDateTime>,
    is_done: bool,
    failed: bool,
    tail: VecDeque<String>,
    rest: String,
}

impl Shown {
    pub(super) fn new(mode: Mode) -> Self {
        let built = Built::default();
        Self { mode, vertices: HashMap::new(), begun: 0, built, failure: None }
    }

    /// An event, whichever way the build takes.
    pub(super) fn event(&mut self, event: &BuildEvent) -> Result<(), Failure> {
        if self.mode == Mode::Rawjson {
            return output::line(&event.to_json().to_string());
        }
        match event {
            BuildEvent::Vertex(vertex) => self.vertex(vertex),
            BuildEvent::Log(log) => self.log(log),
            BuildEvent::Warning(warning) => self.say(&format!("WARNING: {}", warning.short)),
            BuildEvent::Status(_) => {}
        }
        Ok(())
    }

    /// A line of the classic call.
    pub(super) fn message(&mut self, message: &Value) -> Result<(), Failure> {
        if let Some(event) = BuildEvent::of_trace(message) {
            return self.event(&event);
        }
        if self.mode == Mode::Rawjson {
            output::line(&message.to_string())?;
        }
        if let Some(result) = message.get("result") {
            self.built.image = result.get("image").and_then(Value::as_str).map(str::to_owned);
            self.built.metadata = result.get("response").cloned().unwrap_or_default();
        } else if let Some(failure) = message.get("failure") {
            let code = failure.get("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
            self.failure = Some(Failure::new(text(failure, "message")).with_code(code.unwrap_or(1)));
        } else {
            self.classic(message)?;
        }
        Ok(())
    }

    /// A line of another engine's classic builder.
    fn classic(&mut self, message: &Value) -> Result<(), Failure> {
        if let Some(id) = message.pointer("/aux/ID").and_then(Value::as_str) {
            self.built.image = Some(id.to_owned());
        }
        if let Some(stream) = message.get("stream").and_then(Value::as_str)
            && matches!(self.mode, Mode::Auto | Mode::Plain)
        {
            output::print(stream)?;
        }
        if let Some(error) = message.get("error").and_then(Value::as_str) {
            let code = message.pointer("/errorDetail/code").and_then(Value::as_i64);
            let code = code.and_then(|code| i32::try_from(code).ok()).unwrap_or(1);
            self.failure = Some(Failure::new(error).with_code(code));
        }
        Ok(())
    }

    fn say(&self, line: &str) {
        if matches!(self.mode, Mode::Auto | Mode::Plain) {
            output::note(line);
        }
    }

    fn vertex(&mut self, told: &Told) {
        let (started, completed) = (told.started, told.completed);
        let vertex = self.vertices.entry(told.digest.clone()).or_default();
        vertex.name.clone_from(&told.name);
        if started.is_none() && completed.is_none() || vertex.is_done {
            return;
        }
        let mut lines = String::new();
        if vertex.number == 0 {
            self.begun += 1;
            vertex.number = self.begun;
            vertex.started = started;
            let _ = write!(lines, "#{} {}", vertex.number, vertex.name);
        }
        if let Some(completed) = completed {
            vertex.is_done = true;
            let separator = if lines.is_empty() { "" } else { "\n" };
            let took = vertex.started.map_or(0.0, |started| (completed - started).as_seconds_f64());
            let how = match (told.cached, told.error.as_str()) {
                (_, error) if !error.is_empty() => format!("ERROR: {error}"),
                (true, _) => "CACHED".to_owned(),
                _ => format!("DONE {took:.1}s"),
            };
            vertex.failed = !told.error.is_empty();
            let _ = writeln!(lines, "{separator}#{} {how}", vertex.number);
        }
        if !lines.is_empty() {
            self.say(&lines);
        }
    }

    fn log(&mut self, told: &Log) {
        let now = told.time;
        let Some(vertex) = self.vertices.get_mut(&told.vertex) else { return };
        vertex.rest.push_str(&String::from_utf8_lossy(&told.data));
        let mut lines = Vec::new();
        while let Some((line, rest)) = vertex.rest.split_once('\n') {
            let seconds = match (vertex.started, now) {
                (Some(started), Some(now)) => (now - started).as_seconds_f64(),
                _ => 0.0,
            };
            lines.push(format!("#{} {seconds:.3} {}", vertex.number, line.trim_end_matches('\r')));
            vertex.tail.push_back(line.to_owned());
            if vertex.tail.len() > TAIL {
                vertex.tail.pop_front();
            }
            vertex.rest = rest.to_owned();
        }
        for line in lines {
            self.say(&line);
        }
    }

    /// What it came to.
    ///
    /// # Errors
    /// The build's failure; a failed step's last lines are shown before.
    pub(super) fn finish(mut self) -> Result<Built, Failure> {
        match self.failure.take() {
            None => Ok(self.built),
            Some(failure) => Err(self.failed(failure)),
        }
    }

    /// A build's failure, once what the failed step said is shown.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        if self.mode != Mode::Rawjson {
            for vertex in self.vertices.values().filter(|vertex| vertex.failed && !vertex.tail.is_empty()) {
                output::note(&format!("------\n > {}:", vertex.name));
                vertex.tail.iter().for_each(|line| output::note(line));
                output::note("------");
            }
        }
        failure
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_step_keeps_its_last_lines_and_its_code() {
        let mut shown = Shown::new(Mode::Quiet);
        let vertex =
            json!({ "vertex": { "digest": "a", "name": "RUN x", "started": "2026-01-01T00:00:00Z" } });
        shown.message(&vertex).unwrap();
        shown.message(&json!({ "log": { "vertex": "a", "data": "one\ntwo\nthr" } })).unwrap();
        assert_eq!(shown.vertices["a"].tail, ["one", "two"]);
        shown.message(&json!({ "failure": { "message": "no", "code": 7 } })).unwrap();
        assert_eq!(shown.finish().unwrap_err().code, 7);
    }
}
