//! Streams of JSON values, one after the other: events, stats, progress.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures_util::Stream;
use serde::de::DeserializeOwned;

use crate::{ByteStream, Error};

/// The largest single value that is waited for; a progress line or an event has a few hundred bytes.
const LIMIT: usize = 16 * 1024 * 1024;

/// Reads a body as JSON values. Docker separates them by line breaks of either kind; none are needed. The
/// stream ends after its first error.
pub fn json_lines<T: DeserializeOwned>(
    body: ByteStream,
) -> impl Stream<Item = Result<T, Error>> + Send + Unpin {
    JsonLines { body: Some(body), buffer: BytesMut::new(), value: PhantomData }
}

struct JsonLines<T> {
    body: Option<ByteStream>,
    buffer: BytesMut,
    /// `fn() -> T` keeps the stream `Send` and `Unpin` whatever `T` is.
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Stream for JsonLines<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let at_end = this.body.is_none();
            match next_value(&mut this.buffer, at_end) {
                Ok(Some(value)) => return Poll::Ready(Some(Ok(value))),
                Ok(None) => {}
                Err(source) => {
                    this.buffer.clear();
                    this.body = None;
                    return Poll::Ready(Some(Err(Error::Decode { request: NAME.to_owned(), source })));
                }
            }
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_next(cx)) {
                Some(Ok(chunk)) => this.buffer.extend_from_slice(&chunk),
                Some(Err(source)) => {
                    this.buffer.clear();
                    this.body = None;
                    return Poll::Ready(Some(Err(Error::Io { request: NAME.to_owned(), source })));
                }
                None => this.body = None,
            }
        }
    }
}

const NAME: &str = "the stream of JSON values";

/// Takes the next whole value off the buffer; `None` when it isn't all there yet.
fn next_value<T: DeserializeOwned>(buffer: &mut BytesMut, at_end: bool) -> serde_json::Result<Option<T>> {
    let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<T>();
    let (value, used) = match values.next() {
        None => (None, buffer.len()),
        Some(Ok(value)) => (Some(value), values.byte_offset()),
        Some(Err(error)) if error.is_eof() && !at_end && buffer.len() < LIMIT => (None, 0),
        Some(Err(error)) => return Err(error),
    };
    buffer.advance(used);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn values_are_found_whatever_stands_between_them() {
        let mut buffer = BytesMut::from(&b"{\"a\":1}\r\n{\"b\":2}{\"c\""[..]);
        assert_eq!(next_value::<Value>(&mut buffer, false).unwrap(), Some(json!({"a": 1})));
        assert_eq!(next_value::<Value>(&mut buffer, false).unwrap(), Some(json!({"b": 2})));
        assert_eq!(next_value::<Value>(&mut buffer, false).unwrap(), None);
        buffer.extend_from_slice(b":3}\n");
        assert_eq!(next_value::<Value>(&mut buffer, false).unwrap(), Some(json!({"c": 3})));
        assert_eq!(next_value::<Value>(&mut buffer, true).unwrap(), None);
    }

    #[test]
    fn a_value_cut_off_by_the_end_is_an_error() {
        assert!(next_value::<Value>(&mut BytesMut::from(&b"{\"a\":"[..]), true).is_err());
        assert!(next_value::<Value>(&mut BytesMut::from(&b"nonsense"[..]), false).is_err());
    }
}
