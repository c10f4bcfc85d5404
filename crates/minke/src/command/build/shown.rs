//! How a build is shown on standard error: as a tree on a terminal, line by line elsewhere.
//!
//! [`Display`] is told the events, whichever way the build takes; it never fails, since there is nowhere to tell it.

mod live;
mod plain;
mod tree;

use minke_build_client::{BuildEvent, Snippet};

use self::{live::Live, plain::Plain, tree::Stand};
use crate::{output, paint::clean, terminal};

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// As a tree where standard error is a terminal, else plain.
    Auto,
    /// As a tree.
    Tty,
    /// Line by line.
    Plain,
    /// Nothing but the image's id.
    Quiet,
    /// The engine's messages.
    Rawjson,
}

/// A build on the screen.
#[derive(Debug)]
pub(super) struct Display(Shape);

#[derive(Debug)]
enum Shape {
    Live(Live),
    Plain(Plain),
    Silent,
}

impl Display {
    /// Begins to show a build; in a tree, its time begins now.
    pub(super) fn new(mode: Mode) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        Self(match mode {
            Mode::Tty => Shape::Live(Live::begin()),
            Mode::Auto if terminal::stderr_is_terminal() && !dumb => Shape::Live(Live::begin()),
            Mode::Auto | Mode::Plain => Shape::Plain(Plain::default()),
            Mode::Quiet | Mode::Rawjson => Shape::Silent,
        })
    }

    /// Shows what happened.
    pub(super) fn event(&mut self, event: &BuildEvent) {
        match &mut self.0 {
            Shape::Live(live) => live.event(event),
            Shape::Plain(plain) => plain.event(event).iter().for_each(|line| output::note(line)),
            Shape::Silent => {}
        }
    }

    /// Ends it. The last lines of steps that failed come again.
    pub(super) fn finish(self, failed: bool) {
        match self.0 {
            Shape::Live(live) => {
                let stand = if failed { Stand::Failed } else { Stand::Done };
                live.finish(stand, |name, lines| said(name, lines));
            }
            Shape::Plain(plain) => {
                for (name, tail) in plain.failed() {
                    said(name, &mut tail.iter().map(String::as_str));
                }
            }
            Shape::Silent => {}
        }
    }
}

/// Lines of the Dockerfile that a failure is about.
pub(super) fn snippet(snippet: &Snippet) {
    snippet.shown().lines().for_each(|line| output::note(&clean(line)));
}

/// The end of what a step said.
fn said(name: &str, lines: &mut dyn Iterator<Item = &str>) {
    output::note(&format!("------\n > {}:", clean(name)));
    lines.for_each(|line| output::note(&clean(line)));
    output::note("------");
}
