//! The messages of one direction of a call, as they come.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;

use super::frame::next;
use super::{Code, Status};

/// A stream of messages from the other side.
#[derive(Debug)]
pub struct Messages {
    body: Option<Incoming>,
    pending: BytesMut,
    /// An answer's messages end with trailers that say how it went; a request's don't.
    answer: bool,
}

impl Messages {
    pub(super) fn of_request(body: Incoming) -> Self {
        Self { body: Some(body), pending: BytesMut::new(), answer: false }
    }

    pub(super) fn of_answer(body: Incoming) -> Self {
        Self { body: Some(body), pending: BytesMut::new(), answer: true }
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// How the call ended if not well, what is no gRPC, and a message that is none of its type.
    pub async fn next<T: Message + Default>(&mut self) -> Result<Option<T>, Status> {
        let Some(bytes) = self.next_bytes().await? else { return Ok(None) };
        T::decode(bytes).map(Some).map_err(|error| Status::invalid(format!("reading a message: {error}")))
    }

    /// The only message.
    ///
    /// # Errors
    /// As [`Messages::next`], and when there is none.
    pub async fn only<T: Message + Default>(&mut self) -> Result<T, Status> {
        let message = self.next().await?.ok_or_else(|| Status::invalid("a message is missing"))?;
        if self.answer && self.next_bytes().await?.is_some() {
            return Err(Status::invalid("one message was expected and more came"));
        }
        Ok(message)
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = next(&mut self.pending)? {
                return Ok(Some(message));
            }
            let Some(body) = &mut self.body else { return Ok(None) };
            match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.pending.extend_from_slice(&data),
                    Err(frame) => {
                        self.body = None;
                        let trailers = frame.into_trailers().unwrap_or_default();
                        Status::read(&trailers).unwrap_or(Ok(()))?;
                    }
                },
                Some(Err(error)) => {
                    self.body = None;
                    return Err(Status::new(
                        Code::Unavailable,
                        format!("reading from the connection: {error}"),
                    ));
                }
                None => return self.end(),
            }
        }
    }

    fn end(&mut self) -> Result<Option<Bytes>, Status> {
        self.body = None;
        match (self.answer, self.pending.is_empty()) {
            (true, _) => Err(Status::gone("reading an answer")),
            (false, true) => Ok(None),
            (false, false) => Err(Status::invalid("a message breaks off")),
        }
    }
}
