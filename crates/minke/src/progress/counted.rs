//! A stream that counts what goes through it: an engine takes all of an archive before it says anything, which for gigabytes
//! takes a while.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use indicatif::ProgressBar;
use tokio::io::{AsyncRead, ReadBuf};

/// A reader with the line that counts it.
pub(crate) struct Counted<R> {
    inner: R,
    bar: ProgressBar,
}

impl<R> Counted<R> {
    pub(crate) fn new(inner: R, bar: ProgressBar) -> Self {
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
