//! The lines of layers on a terminal, each updated in place.

use std::fmt::Write;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use minke_model::quantity;

use super::message::{Message, Share};

/// A layer's line: without a bar, with one that takes what the rest leaves of the width, and with its bytes counted.
const PLAIN: &str = "{prefix}: {msg}";
const PART: &str = "{prefix}: {msg} [{wide_bar}]";
const BYTES: &str = "{prefix}: {msg} [{wide_bar}] {sent}/{whole}";
/// Bytes without an end in sight.
const SENT: &str = "{prefix}: {msg} {sent}";

/// So many layers at most have lines that change; a hostile engine could name millions.
const MOST: usize = 1000;

/// The lines that may still change, and those that stay.
pub(super) struct Bars {
    all: MultiProgress,
    /// From the top of the screen.
    lines: Vec<Line>,
}

struct Line {
    id: String,
    bar: ProgressBar,
    template: &'static str,
}

impl Bars {
    pub(super) fn new(target: ProgressDrawTarget) -> Self {
        Self { all: MultiProgress::with_draw_target(target), lines: Vec::new() }
    }

    /// Shows how far a layer is.
    pub(super) fn update(&mut self, id: &str, message: &Message) {
        let (template, text) = match message.share() {
            Share::Unknown => (PLAIN, message.status.clone()),
            Share::Counted(count) => (PLAIN, format!("{} {count}", message.status)),
            Share::Bytes { .. } => (BYTES, message.status.clone()),
            Share::Part { ref text, .. } => {
                (PART, format!("{} {text}", message.status).trim_end().to_owned())
            }
        };
        let line = self.line(id, &text, template);
        if line.template != template {
            line.bar.set_style(style(template));
            line.template = template;
        }
        if let Share::Bytes { current, total } | Share::Part { current, total, .. } = message.share() {
            line.bar.set_length(total);
            line.bar.set_position(current.min(total));
        }
        line.bar.set_message(text);
    }

    /// The layer's line, made where it has none.
    fn line(&mut self, id: &str, text: &str, template: &'static str) -> &mut Line {
        let at = self.lines.iter().position(|line| line.id == id).unwrap_or_else(|| {
            if self.lines.len() >= MOST {
                self.settle();
            }
            let bar = self.add(id, text, None, template);
            self.lines.push(Line { id: id.to_owned(), bar, template });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// A line that counts bytes; without `size` it has no bar.
    pub(super) fn counter(&self, what: &str, doing: &str, size: Option<u64>) -> ProgressBar {
        self.add(what, doing, size, if size.is_some() { BYTES } else { SENT })
    }

    /// Leaves the lines as they are; what comes next is shown below them.
    pub(super) fn settle(&mut self) {
        // From the top, so that each leaves the terminal's last lines to those that don't fit yet.
        for line in self.lines.drain(..) {
            line.bar.abandon();
        }
    }

    fn add(&self, prefix: &str, text: &str, size: Option<u64>, template: &str) -> ProgressBar {
        // Drawn only once it is complete: what it draws before it is added stays on the screen.
        let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::hidden())
            .with_prefix(prefix.to_owned())
            .with_message(text.to_owned())
            .with_style(style(template));
        self.all.add(bar)
    }
}

fn style(template: &str) -> ProgressStyle {
    let size = |bytes: u64, out: &mut dyn Write| {
        // The line is a text in memory, to which writing can't fail.
        let _ = out.write_str(&quantity::decimal_size(bytes as f64, 4));
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("sent", move |state: &ProgressState, out: &mut dyn Write| size(state.pos(), out))
        .with_key("whole", move |state: &ProgressState, out: &mut dyn Write| {
            size(state.len().unwrap_or(0), out);
        })
        .progress_chars("=> ")
}
