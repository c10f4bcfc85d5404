//! Progress of `minke load` on a terminal: what is sent, then what the engine unpacks. Nothing of it stays on the
//! screen. Called by [`super::LOAD`] alone.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::io::{AsyncRead, ReadBuf};

use crate::failure::Failure;

/// Counts what the engine has taken of an archive: it unpacks nothing before it has all, which for gigabytes takes
/// a while.
pub(super) struct Counted<R> {
    inner: R,
    bar: ProgressBar,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R, bar: ProgressBar) -> Self {
        Self { inner, bar }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer));
        match buffer.filled().len() - before {
            0 => self.bar.finish_and_clear(),
            count => self.bar.inc(count as u64),
        }
        Poll::Ready(result)
    }
}

/// Shows a line of the engine's progress.
pub(super) fn step(bar: &ProgressBar, status: &str, current: Option<u64>, total: Option<u64>) {
    bar.set_message(status.to_owned());
    if let Some(total) = total.filter(|total| *total > 0) {
        bar.set_length(total);
    }
    match current {
        Some(current) => bar.set_position(current),
        None => bar.finish_and_clear(),
    }
}

/// The bars of a terminal, or nothing.
pub(super) struct Bars(Option<MultiProgress>);

impl Bars {
    pub(super) fn new(quiet: bool) -> Self {
        Self((!quiet).then(MultiProgress::new))
    }

    /// The bar of a layer, whose size comes with its first step.
    pub(super) fn add(&self, id: &str) -> ProgressBar {
        self.show(id, "", Some(0), "{prefix}: {msg} [{wide_bar}] {bytes}/{total_bytes}")
    }

    /// The bar of what is sent; without `size` it counts only.
    pub(super) fn sent(&self, size: Option<u64>) -> ProgressBar {
        match size {
            Some(_) => {
                self.show("archive", "Sending", size, "{prefix}: {msg} [{wide_bar}] {bytes}/{total_bytes}")
            }
            None => self.show("archive", "Sending", None, "{prefix}: {msg} {bytes}"),
        }
    }

    fn show(&self, prefix: &str, message: &str, size: Option<u64>, template: &str) -> ProgressBar {
        let Some(all) = &self.0 else { return ProgressBar::hidden() };
        // Drawn only once it is complete: what it draws before it is added stays on the screen.
        let mut bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::hidden())
            .with_prefix(prefix.to_owned())
            .with_message(message.to_owned());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar = bar.with_style(style.progress_chars("=> "));
        }
        all.add(bar)
    }

    /// Takes all bars off the screen.
    pub(super) fn clear(&self) {
        if let Some(all) = &self.0 {
            // Where the terminal is gone there is nothing to clear.
            let _ = all.clear();
        }
    }

    /// Prints lines while no bar is in the way.
    pub(super) fn above(&self, print: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        match &self.0 {
            Some(all) => all.suspend(print),
            None => print(),
        }
    }
}
