//! The words of Docker's classic builder. Steps are told in the Dockerfile's order though they run at the same time: a later
//! step's lines wait for the earlier ones' end.

use std::collections::{BTreeMap, HashMap};

use minke_build::{BuildError, BuildResult, Event, LogStream, Vertex, Warning};
use minke_model::Digest;
use serde_json::{Value, json};

/// Most bytes of a later step's log that wait.
const MOST_WAITING: usize = 4 << 20;
/// Bytes that a piece of it takes beside its own.
const PIECE: usize = 64;

/// Tells one build.
pub(super) struct Printer {
    quiet: bool,
    remove: bool,
    /// The step that is being told.
    current: usize,
    steps: BTreeMap<usize, Told>,
    numbers: HashMap<Digest, usize>,
    warnings: Vec<Warning>,
    is_silent: bool,
}

/// A step as far as it is known.
struct Told {
    vertex: Vertex,
    is_begun: bool,
    waiting: Waiting,
}

/// What a step has said and nobody was told yet.
#[derive(Default)]
struct Waiting {
    pieces: Vec<(LogStream, Vec<u8>)>,
    /// Bytes, with what each piece takes beside its own.
    size: usize,
}

impl Waiting {
    /// Keeps what the step says for later, but for what is too much.
    fn keep(&mut self, stream: LogStream, bytes: &[u8]) {
        if self.size >= MOST_WAITING {
            return;
        }
        self.size += bytes.len();
        match self.pieces.last_mut() {
            Some((last, text)) if *last == stream => text.extend_from_slice(bytes),
            _ => {
                self.size += PIECE;
                self.pieces.push((stream, bytes.to_vec()));
            }
        }
    }

    fn told(&mut self) -> impl Iterator<Item = Value> + use<> {
        std::mem::take(self).pieces.into_iter().map(|(stream, bytes)| log(stream, &bytes))
    }
}

impl Printer {
    pub(super) fn new(quiet: bool, remove: bool) -> Self {
        Self {
            quiet,
            remove,
            current: 1,
            steps: BTreeMap::new(),
            numbers: HashMap::new(),
            warnings: Vec::new(),
            is_silent: true,
        }
    }

    /// Whether nothing was told yet.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    pub(super) fn event(&mut self, event: &Event) -> Vec<Value> {
        let mut lines = Vec::new();
        match event {
            Event::Vertex(vertex) => {
                if let Some(step) = &vertex.step {
                    self.numbers.insert(vertex.digest, step.number);
                    let told = self.steps.entry(step.number).or_insert_with(|| Told {
                        vertex: vertex.clone(),
                        is_begun: false,
                        waiting: Waiting::default(),
                    });
                    told.vertex = vertex.clone();
                    self.advance(&mut lines);
                }
            }
            Event::Log { vertex, stream, bytes, .. } => {
                let Some(number) = self.numbers.get(vertex) else { return lines };
                let Some(told) = self.steps.get_mut(number) else { return lines };
                if *number == self.current && told.is_begun {
                    lines.push(log(*stream, bytes));
                } else {
                    told.waiting.keep(*stream, bytes);
                }
            }
            // What was done at once has no progress: its words are in the end's own.
            Event::Status(status) if status.name.is_empty() => {}
            Event::Status(status) => lines.push(json!({
                "status": capitalised(&status.name),
                "progressDetail": { "current": status.current, "total": status.total },
                "id": status.id,
            })),
            Event::Warning(warning) => self.warnings.push(warning.clone()),
        }
        self.shown(lines)
    }

    fn shown(&mut self, lines: Vec<Value>) -> Vec<Value> {
        if self.quiet {
            return Vec::new();
        }
        self.is_silent &= lines.is_empty();
        lines
    }

    /// Tells the current step as far as it is, and those after it that are done.
    fn advance(&mut self, lines: &mut Vec<Value>) {
        while let Some(told) = self.steps.get_mut(&self.current) {
            let Some(step) = &told.vertex.step else { return };
            let is_done = told.vertex.completed.is_some();
            if !told.is_begun && (told.vertex.started.is_some() || is_done) {
                told.is_begun = true;
                lines.push(stream(format!("Step {}/{} : {}", step.number, step.total, step.text)));
                lines.push(stream("\n"));
                if step.text.starts_with("RUN") && !told.vertex.cached {
                    lines.push(stream(format!(" ---> Running in {}\n", &told.vertex.digest.hex()[..12])));
                }
            }
            if !told.is_begun {
                return;
            }
            lines.extend(told.waiting.told());
            if !is_done {
                return;
            }
            if told.vertex.error.is_empty() {
                let is_run = step.text.starts_with("RUN");
                if told.vertex.cached && step.number > 1 && !step.text.starts_with("FROM") {
                    lines.push(stream(" ---> Using cache\n"));
                } else if is_run && self.remove {
                    let id = &told.vertex.digest.hex()[..12];
                    lines.push(stream(format!(" ---> Removed intermediate container {id}\n")));
                }
                let image = step.image.unwrap_or(told.vertex.digest);
                lines.push(stream(format!(" ---> {}\n", &image.hex()[..12])));
            }
            self.current += 1;
        }
    }

    /// What is told in the end.
    pub(super) fn end(&mut self, result: &BuildResult) -> Vec<Value> {
        let Some(id) = &result.image else { return vec![stream("Build complete, no image was made\n")] };
        if self.quiet {
            return vec![stream(format!("{id}\n"))];
        }
        let mut lines = Vec::new();
        self.advance(&mut lines);
        for warning in &self.warnings {
            lines.push(stream(format!("[Warning] {}\n", warning.short)));
        }
        if !result.unused_args.is_empty() {
            let unused = result.unused_args.join(" ");
            lines.push(stream(format!("[Warning] One or more build-args [{unused}] were not consumed\n")));
        }
        lines.push(json!({ "aux": { "ID": id } }));
        let digits = id.trim_start_matches("sha256:");
        lines.push(stream(format!("Successfully built {}\n", digits.get(..12).unwrap_or(digits))));
        lines.extend(result.names.iter().map(|name| stream(format!("Successfully tagged {name}\n"))));
        lines
    }

    /// Why it failed; what later steps had said comes before it.
    pub(super) fn failure(&mut self, failure: &BuildError) -> Vec<Value> {
        let mut lines = Vec::new();
        // The step that failed may be another than the one being told.
        for told in self.steps.values_mut().filter(|told| !told.vertex.error.is_empty()) {
            if !told.is_begun
                && let Some(step) = &told.vertex.step
            {
                lines.push(stream(format!("Step {}/{} : {}\n", step.number, step.total, step.text)));
            }
            lines.extend(told.waiting.told());
        }
        let mut lines = self.shown(lines);
        lines.push(match failure.root() {
            BuildError::Step { command, code, .. } => {
                error(&format!("The command '{command}' returned a non-zero code: {code}"), Some(*code))
            }
            other => error(&other.to_string(), None),
        });
        lines
    }
}

/// What a step's program writes; to its standard error in red, as the classic builder has it.
fn log(from: LogStream, bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    match from {
        LogStream::Stderr => stream(format!("\x1b[91m{text}\x1b[0m")),
        LogStream::Stdout => stream(text),
    }
}

fn stream(text: impl Into<String>) -> Value {
    json!({ "stream": text.into() })
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// An error in Docker's form.
pub(super) fn error(message: &str, code: Option<i64>) -> Value {
    match code {
        Some(code) => json!({ "errorDetail": { "code": code, "message": message }, "error": message }),
        None => json!({ "errorDetail": { "message": message }, "error": message }),
    }
}

#[cfg(test)]
mod tests {
    use minke_build::Step;
    use time::OffsetDateTime;

    use super::*;

    fn step(number: u8, text: &str, done: bool) -> Event {
        let now = OffsetDateTime::UNIX_EPOCH;
        Event::Vertex(Vertex {
            digest: Digest::from_bytes([number; 32]),
            inputs: Vec::new(),
            name: text.to_owned(),
            started: Some(now),
            completed: done.then_some(now),
            cached: false,
            error: String::new(),
            step: Some(Step { number: number.into(), total: 2, text: text.to_owned(), image: None }),
        })
    }

    fn log(number: u8, text: &str) -> Event {
        Event::Log {
            vertex: Digest::from_bytes([number; 32]),
            stream: LogStream::Stdout,
            bytes: text.as_bytes().to_vec(),
            time: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn text(lines: Vec<Value>) -> String {
        lines.iter().filter_map(|line| line["stream"].as_str()).collect()
    }

    #[test]
    fn steps_that_run_at_the_same_time_are_told_in_order() {
        let mut printer = Printer::new(false, true);
        let mut told = String::new();
        for event in
            [step(2, "RUN b", false), log(2, "b\n"), step(1, "FROM x", false), step(2, "RUN b", true)]
        {
            told += &text(printer.event(&event));
        }
        assert_eq!(told, "Step 1/2 : FROM x\n");
        let rest = text(printer.event(&step(1, "FROM x", true)));
        assert_eq!(
            rest,
            " ---> 010101010101\nStep 2/2 : RUN b\n ---> Running in 020202020202\nb\n ---> Removed intermediate container 020202020202\n ---> 020202020202\n"
        );
    }

    #[test]
    fn what_comes_on_standard_error_is_red_whenever_it_is_told() {
        let mut printer = Printer::new(false, true);
        let red = |number: u8, text: &str| Event::Log {
            vertex: Digest::from_bytes([number; 32]),
            stream: LogStream::Stderr,
            bytes: text.as_bytes().to_vec(),
            time: OffsetDateTime::UNIX_EPOCH,
        };
        let mut told = String::new();
        for event in [
            step(1, "RUN a", false),
            red(1, "now\n"),
            step(2, "RUN b", false),
            log(2, "out\n"),
            red(2, "later\n"),
            step(1, "RUN a", true),
        ] {
            told += &text(printer.event(&event));
        }
        assert!(told.contains("\u{1b}[91mnow\n\u{1b}[0m"), "{told}");
        assert!(told.contains("out\n\u{1b}[91mlater\n\u{1b}[0m"), "{told}");
    }

    #[test]
    fn arguments_that_nobody_reads_are_told() {
        let unused_args = vec!["A".to_owned(), "B".to_owned()];
        let result =
            BuildResult { image: Some("sha256:abc".to_owned()), unused_args, ..BuildResult::default() };
        let told = text(Printer::new(false, true).end(&result));
        assert!(told.starts_with("[Warning] One or more build-args [A B] were not consumed\n"), "{told}");
    }

    #[test]
    fn a_quiet_build_says_the_id_alone() {
        let mut printer = Printer::new(true, true);
        assert!(printer.event(&step(1, "FROM x", true)).is_empty() && printer.is_silent());
        let result = BuildResult { image: Some("sha256:abc".to_owned()), ..BuildResult::default() };
        assert_eq!(text(printer.end(&result)), "sha256:abc\n");
    }
}
