//! What an engine of minke's tells of a build (`trace=1`), message by message, and what any other's classic builder says.

use minke_build_client::{BuildEvent, Snippet};
use serde_json::Value;

use super::{
    Built,
    shown::{self, Display, Mode},
};
use crate::{failure::Failure, output};

/// A build as far as it was told.
pub(super) struct Trace {
    mode: Mode,
    /// The Dockerfile, where it is here: its name and its text.
    dockerfile: Option<(String, String)>,
    display: Option<Display>,
    built: Built,
    failure: Option<Failure>,
    failed_lines: Option<(u32, u32)>,
}

impl Trace {
    pub(super) fn new(mode: Mode, dockerfile: Option<(String, String)>) -> Self {
        let built = Built::default();
        Self { mode, dockerfile, display: None, built, failure: None, failed_lines: None }
    }

    pub(super) fn message(&mut self, message: &Value) -> Result<(), Failure> {
        if self.mode == Mode::Rawjson {
            output::line(&message.to_string())?;
        }
        if let Some(event) = BuildEvent::of_trace(message) {
            // Only now is it known that the engine tells events, not lines.
            self.display.get_or_insert_with(|| Display::new(self.mode)).event(&event);
        } else if let Some(result) = message.get("result") {
            self.built.image = result.get("image").and_then(Value::as_str).map(str::to_owned);
            self.built.metadata = result.get("response").cloned().unwrap_or_default();
        } else if let Some(failure) = message.get("failure") {
            self.failure = Some(Failure::new(text(failure, "message")).with_code(code(failure.get("code"))));
            self.failed_lines = lines(&failure["lines"]);
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
            && !matches!(self.mode, Mode::Quiet | Mode::Rawjson)
        {
            output::print(stream)?;
        }
        if let Some(error) = message.get("error").and_then(Value::as_str) {
            self.failure = Some(Failure::new(error).with_code(code(message.pointer("/errorDetail/code"))));
        }
        Ok(())
    }

    /// What it came to.
    ///
    /// # Errors
    /// The build's failure; a failed step's last lines and its place in the Dockerfile are shown before.
    pub(super) fn finish(mut self) -> Result<Built, Failure> {
        if let Some(display) = self.display.take() {
            display.finish(self.failure.is_some());
        }
        let Some(failure) = self.failure else { return Ok(self.built) };
        if let (Some((name, text)), Some(lines), true) =
            (&self.dockerfile, self.failed_lines, self.mode != Mode::Rawjson)
        {
            let (name, text) = (name.clone(), text.clone());
            shown::snippet(&Snippet { name, text, lines: vec![lines] });
        }
        Err(failure)
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn code(value: Option<&Value>) -> i32 {
    let code = value.and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
    code.unwrap_or(1)
}

/// The first and the last line of two.
fn lines(value: &Value) -> Option<(u32, u32)> {
    let number = |at: usize| u32::try_from(value.get(at)?.as_u64()?).ok();
    Some((number(0)?, number(1)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_build_has_the_steps_code() {
        let mut trace = Trace::new(Mode::Quiet, None);
        let vertex =
            json!({ "vertex": { "digest": "a", "name": "RUN x", "started": "2026-01-01T00:00:00Z" } });
        trace.message(&vertex).unwrap();
        trace.message(&json!({ "log": { "vertex": "a", "data": "one\ntwo\nthr" } })).unwrap();
        let failure = json!({ "failure": { "message": "no", "code": 7, "lines": [2, 3] } });
        trace.message(&failure).unwrap();
        assert_eq!(trace.failed_lines, Some((2, 3)));
        assert_eq!(trace.finish().unwrap_err().code, 7);
    }

    #[test]
    fn a_classic_builder_is_understood_too() {
        let mut trace = Trace::new(Mode::Quiet, None);
        trace.message(&json!({ "stream": "Step 1/1 : FROM x\n" })).unwrap();
        trace.message(&json!({ "aux": { "ID": "sha256:1" } })).unwrap();
        assert_eq!(trace.finish().unwrap().image.as_deref(), Some("sha256:1"));
    }
}
