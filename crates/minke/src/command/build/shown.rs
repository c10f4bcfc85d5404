//! How a build is shown: each vertex has a number, each line of its log the seconds since it began; a failed step's last lines
//! come again in the end.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
};

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

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

/// What a build came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) image: Option<String>,
    /// What `--metadata-file` gets.
    pub(super) response: Value,
}

/// A build as far as it was told.
pub(super) struct Shown {
    mode: Mode,
    vertices: HashMap<String, Vertex>,
    begun: usize,
    outcome: Outcome,
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
        let outcome = Outcome::default();
        Self { mode, vertices: HashMap::new(), begun: 0, outcome, failure: None }
    }

    pub(super) fn message(&mut self, message: &Value) -> Result<(), Failure> {
        if self.mode == Mode::Rawjson {
            output::line(&message.to_string())?;
        }
        if let Some(vertex) = message.get("vertex") {
            self.vertex(vertex);
        } else if let Some(log) = message.get("log") {
            self.log(log);
        } else if let Some(warning) = message.get("warning") {
            self.say(&format!("WARNING: {}", text(warning, "short")));
        } else if let Some(result) = message.get("result") {
            self.outcome.image = result.get("image").and_then(Value::as_str).map(str::to_owned);
            self.outcome.response = result.get("response").cloned().unwrap_or_default();
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
            self.outcome.image = Some(id.to_owned());
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

    fn vertex(&mut self, told: &Value) {
        let time = |name: &str| OffsetDateTime::parse(&text(told, name), &Rfc3339).ok();
        let (started, completed) = (time("started"), time("completed"));
        let vertex = self.vertices.entry(text(told, "digest")).or_default();
        vertex.name = text(told, "name");
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
            let error = text(told, "error");
            let separator = if lines.is_empty() { "" } else { "\n" };
            let took = vertex.started.map_or(0.0, |started| (completed - started).as_seconds_f64());
            let how = match (told.get("cached").and_then(Value::as_bool), error.as_str()) {
                (_, error) if !error.is_empty() => format!("ERROR: {error}"),
                (Some(true), _) => "CACHED".to_owned(),
                _ => format!("DONE {took:.1}s"),
            };
            vertex.failed = !error.is_empty();
            let _ = writeln!(lines, "{separator}#{} {how}", vertex.number);
        }
        if !lines.is_empty() {
            self.say(&lines);
        }
    }

    fn log(&mut self, told: &Value) {
        let now = OffsetDateTime::parse(&text(told, "time"), &Rfc3339).ok();
        let Some(vertex) = self.vertices.get_mut(&text(told, "vertex")) else { return };
        vertex.rest.push_str(&text(told, "data"));
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
    pub(super) fn finish(self) -> Result<Outcome, Failure> {
        let Some(failure) = self.failure else { return Ok(self.outcome) };
        if self.mode != Mode::Rawjson {
            for vertex in self.vertices.values().filter(|vertex| vertex.failed && !vertex.tail.is_empty()) {
                output::note(&format!("------\n > {}:", vertex.name));
                vertex.tail.iter().for_each(|line| output::note(line));
                output::note("------");
            }
        }
        Err(failure)
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
