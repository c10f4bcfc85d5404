//! What an engine tells while it loads, imports, pulls or pushes: a stream of JSON messages, shown as docker shows it.
//!
//! ```text
//!   messages ──▶ of a layer? ──yes──▶ on a terminal its line is updated; elsewhere a line per step, none per byte
//!                    │ no
//!                    └──▶ a line of its own, below the layers so far
//! ```
//! An error in the stream is the command's own.

mod bars;
mod counted;
mod message;

use futures_util::StreamExt;
use indicatif::ProgressDrawTarget;
use minke_docker_client::{StreamResponse, json_lines};
use serde_json::Value;

use self::bars::Bars;
pub(crate) use self::counted::Counted;
use self::message::Message;
use crate::{failure::Failure, output, terminal};

/// Where progress is shown.
#[derive(Debug, Clone)]
pub(crate) enum Screen {
    Stdout,
    /// For verbs whose standard output is a result, as `create`.
    Stderr,
    /// `--quiet`
    Nowhere,
    #[cfg(test)]
    Memory(indicatif::InMemoryTerm),
}

impl Screen {
    /// What bars are drawn on, where there is a terminal.
    fn target(&self) -> Option<ProgressDrawTarget> {
        match self {
            Self::Stdout => terminal::stdout_is_terminal().then(ProgressDrawTarget::stdout),
            Self::Stderr => terminal::stderr_is_terminal().then(ProgressDrawTarget::stderr),
            Self::Nowhere => None,
            #[cfg(test)]
            Self::Memory(memory) => Some(ProgressDrawTarget::term_like(Box::new(memory.clone()))),
        }
    }

    fn print(&self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout => output::print(text),
            Self::Stderr => {
                output::note(text.strip_suffix('\n').unwrap_or(text));
                Ok(())
            }
            Self::Nowhere => Ok(()),
            #[cfg(test)]
            Self::Memory(memory) => {
                indicatif::TermLike::write_str(memory, &text.replace('\n', "\r\n")).expect("it is memory");
                Ok(())
            }
        }
    }
}

/// Progress as it is shown.
pub(crate) struct Progress {
    screen: Screen,
    /// The lines of layers that still change; none where there is no terminal.
    bars: Option<Bars>,
}

impl Progress {
    pub(crate) fn new(screen: Screen) -> Self {
        let bars = screen.target().map(Bars::new);
        Self { screen, bars }
    }

    /// Counts what goes through a stream in a line of its own; `None` where nobody looks.
    pub(crate) fn counter(&self, what: &str, doing: &str, size: Option<u64>) -> indicatif::ProgressBar {
        match &self.bars {
            Some(bars) => bars.counter(what, doing, size),
            None => indicatif::ProgressBar::hidden(),
        }
    }

    /// Shows messages until the engine has no more. What it says to programs (`aux`) goes to `aside`.
    ///
    /// # Errors
    /// The engine's own in the stream, or when the connection breaks.
    pub(crate) async fn follow(
        &mut self,
        response: StreamResponse,
        mut aside: impl FnMut(&Value),
    ) -> Result<(), Failure> {
        let mut messages = json_lines::<Message>(response.body);
        while let Some(message) = messages.next().await {
            let message = message?;
            match message.failure() {
                Some(problem) => return Err(Failure::new(problem)),
                None => self.show(&message)?,
            }
            if let Some(aux) = message.aux() {
                aside(aux);
            }
        }
        Ok(())
    }

    fn show(&mut self, message: &Message) -> Result<(), Failure> {
        match &mut self.bars {
            Some(bars) => match message.layer() {
                Some(id) => bars.update(id, message),
                None => {
                    if let Some(line) = message.line() {
                        // What follows is about something else: the lines so far stay as they are.
                        bars.settle();
                        self.screen.print(&line)?;
                    }
                }
            },
            None => {
                if let Some(line) = message.line() {
                    self.screen.print(&line)?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Progress {
    /// Whatever comes next is printed below the lines.
    fn drop(&mut self) {
        if let Some(bars) = &mut self.bars {
            bars.settle();
        }
    }
}

#[cfg(test)]
mod tests;
