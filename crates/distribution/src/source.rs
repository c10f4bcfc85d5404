//! What is pushed, and how it becomes the body of a request.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncSeekExt, ReadBuf},
    sync::Notify,
    time::Instant,
};

/// How much is read at a time: a file is read on another thread, and each time costs a switch.
const PIECE: usize = 256 << 10;

/// Content that can be read from any place, as often as a push needs it.
pub trait BlobSource: Send + Sync {
    /// Opens it `offset` bytes from its beginning.
    fn open(&self, offset: u64) -> BoxFuture<'_, io::Result<BlobReader>>;
}

/// Content while it is read.
pub type BlobReader = Pin<Box<dyn AsyncRead + Send + Sync>>;

impl BlobSource for PathBuf {
    fn open(&self, offset: u64) -> BoxFuture<'_, io::Result<BlobReader>> {
        Box::pin(async move {
            let mut file = File::open(self).await?;
            file.set_max_buf_size(PIECE);
            file.seek(io::SeekFrom::Start(offset)).await?;
            Ok(Box::pin(file) as BlobReader)
        })
    }
}

impl BlobSource for Bytes {
    fn open(&self, offset: u64) -> BoxFuture<'_, io::Result<BlobReader>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let rest = io::Cursor::new(self.slice(start..));
        Box::pin(async move { Ok(Box::pin(rest) as BlobReader) })
    }
}

/// A part of a blob, as the body of a request.
pub(crate) struct Part {
    reader: BlobReader,
    buffer: BytesMut,
    left: u64,
    meter: Arc<Meter>,
}

/// What is known about a body while it is sent.
#[derive(Debug)]
pub(crate) struct Meter {
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug)]
struct State {
    taken: u64,
    last: Instant,
    failure: Option<io::Error>,
}

impl Meter {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { taken: 0, last: Instant::now(), failure: None };
        Arc::new(Self { state: Mutex::new(state), moved: Notify::new() })
    }

    /// Bytes that were handed to the connection, and when the last ones were.
    pub(crate) fn read(&self) -> (u64, Instant) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.taken, state.last)
    }

    /// Waits for more to be taken.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Why the content could not be read, if that is what went wrong.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failure.take()
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = Instant::now();
        change(&mut state);
        drop(state);
        self.moved.notify_one();
    }
}

impl Part {
    /// `length` bytes of what `reader` brings.
    pub(crate) fn new(reader: BlobReader, length: u64, meter: Arc<Meter>) -> Self {
        Self { reader, buffer: BytesMut::new(), left: length, meter }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let wanted = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        self.buffer.resize(wanted, 0);
        let mut read = ReadBuf::new(&mut self.buffer);
        ready!(self.reader.as_mut().poll_read(cx, &mut read))?;
        let filled = read.filled().len();
        if filled == 0 {
            let reason = format!("it ends {} bytes too early", self.left);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason)));
        }
        Poll::Ready(Ok(self.buffer.split_to(filled).freeze()))
    }
}

impl http_body::Body for Part {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        match ready!(self.poll_piece(cx)) {
            Ok(piece) => {
                self.left -= piece.len() as u64;
                self.meter.update(|state| state.taken += piece.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => {
                self.left = 0;
                let shown = io::Error::new(error.kind(), error.to_string());
                self.meter.update(|state| state.failure = Some(error));
                Poll::Ready(Some(Err(shown)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    /// Exact, so that the request has a `Content-Length`.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_file_and_bytes_are_read_from_any_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        let sources: [Box<dyn BlobSource>; 2] =
            [Box::new(file.path().to_owned()), Box::new(Bytes::from_static(b"0123456789"))];
        for source in &sources {
            for (offset, wanted) in [(0, "0123456789"), (7, "789"), (10, ""), (99, "")] {
                let mut text = String::new();
                source.open(offset).await.unwrap().read_to_string(&mut text).await.unwrap();
                assert_eq!(text, wanted);
            }
        }
    }

    #[tokio::test]
    async fn a_part_ends_where_it_should_and_a_short_source_is_its_own_fault() {
        let meter = Meter::new();
        let reader = || Box::pin(io::Cursor::new(Bytes::from_static(b"0123456789"))) as BlobReader;
        let part = Part::new(reader(), 4, meter.clone());
        assert_eq!(http_body::Body::size_hint(&part).exact(), Some(4));
        assert_eq!(part.collect().await.unwrap().to_bytes(), "0123");
        assert_eq!((meter.read().0, meter.failure().is_none()), (4, true));
        assert!(Part::new(reader(), 11, meter.clone()).collect().await.is_err());
        assert_eq!(meter.failure().unwrap().to_string(), "it ends 1 bytes too early");
    }
}
