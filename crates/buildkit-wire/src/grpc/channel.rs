//! Calling the gRPC services of whoever is at the other end of a connection.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::{Messages, Status, WINDOWS, frame};
use crate::pb::Empty;

/// Messages that may wait to be sent in one call.
const WAITING: usize = 16;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A connection to a gRPC server; clones share it.
#[derive(Debug, Clone)]
pub struct Channel {
    sender: SendRequest<Body>,
}

impl Channel {
    /// Speaks HTTP/2 on `io`, whose server begins to listen now. The returned future is the connection: it ends with it.
    ///
    /// # Errors
    /// When the other side doesn't speak it.
    pub async fn open(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(Self, impl Future<Output = hyper::Result<()>> + Send), hyper::Error> {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .handshake(TokioIo::new(io))
            .await?;
        Ok((Self { sender }, connection))
    }

    /// One message for another.
    ///
    /// # Errors
    /// How the call ended.
    pub async fn unary<T: Message + Default>(&self, path: &str, request: &impl Message) -> Result<T, Status> {
        let body = Full::new(frame(request)).boxed_unsync();
        let answer = self.send(path, HeaderMap::new(), body)?;
        read(answer.await)?.only().await
    }

    /// A call with messages both ways. Dropping what is returned breaks it off.
    ///
    /// # Errors
    /// When the headers can't be sent.
    pub fn call(&self, path: &str, headers: HeaderMap) -> Result<Call, Status> {
        let (sender, receiver) = mpsc::channel::<Bytes>(WAITING);
        let messages = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|message| (Ok(Frame::data(message)), receiver))
        });
        let answer = self.send(path, headers, UnsyncBoxBody::new(StreamBody::new(messages)))?;
        Ok(Call { sender: Some(sender), answer: Answer::Awaited(answer), is_served: false })
    }

    fn send(&self, path: &str, headers: HeaderMap, body: Body) -> Result<AwaitedAnswer, Status> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("http://localhost{path}")
            .parse()
            .map_err(|error| Status::invalid(format!("calling {path}: {error}")))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        request
            .headers_mut()
            .insert(HeaderName::from_static("user-agent"), HeaderValue::from_static("minke"));
        Ok(Box::pin(self.sender.clone().send_request(request)))
    }
}

type AwaitedAnswer = BoxFuture<'static, hyper::Result<Response<Incoming>>>;

fn read(answer: hyper::Result<Response<Incoming>>) -> Result<Messages, Status> {
    let answer = answer.map_err(|_| Status::gone("calling the other side"))?;
    if let Some(Err(status)) = Status::read(answer.headers()) {
        return Err(status);
    }
    match answer.status().is_success() {
        true => Ok(Messages::of_answer(answer.into_body())),
        false => Err(Status::unknown(format!("the other side answered HTTP {}", answer.status()))),
    }
}

/// A call in progress, seen from either side.
pub struct Call {
    sender: Option<mpsc::Sender<Bytes>>,
    answer: Answer,
    is_served: bool,
}

enum Answer {
    /// The other side may send its headers as late as with its last message.
    Awaited(AwaitedAnswer),
    Read(Messages),
}

impl Call {
    /// The serving side: what came so far and will come, and whom what is said goes to.
    pub(super) fn served(messages: Messages) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender: Some(sender), answer: Answer::Read(messages), is_served: true }, receiver)
    }

    /// Sends a message, as soon as there is room.
    ///
    /// # Errors
    /// Why the other side takes no more.
    pub async fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        let sender = self.sender.as_ref().ok_or_else(|| Status::gone("sending to the other side"))?;
        match sender.send(frame(message)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.reason().await),
        }
    }

    /// What sends [`frame`]s beside whoever reads.
    pub fn sender(&self) -> Option<mpsc::Sender<Bytes>> {
        self.sender.clone()
    }

    /// Tells that no more will be sent.
    pub fn close(&mut self) {
        self.sender = None;
    }

    /// Ends a call in which all is said. Whoever made it waits for its end; whoever serves it ends it by returning, and must
    /// not wait for the other side, which may wait as well.
    ///
    /// # Errors
    /// How it ended, to whoever made it.
    pub async fn finish(&mut self) -> Result<(), Status> {
        self.close();
        while !self.is_served && self.next::<Empty>().await?.is_some() {}
        Ok(())
    }

    /// The next message; `None` when the call has ended well.
    ///
    /// # Errors
    /// How it ended.
    pub async fn next<T: Message + Default>(&mut self) -> Result<Option<T>, Status> {
        if let Answer::Awaited(answer) = &mut self.answer {
            self.answer = Answer::Read(read(answer.await)?);
        }
        match &mut self.answer {
            Answer::Read(messages) => messages.next().await,
            Answer::Awaited(_) => Ok(None),
        }
    }

    /// Why sending failed: what the other side said last.
    async fn reason(&mut self) -> Status {
        self.close();
        loop {
            match self.next::<Empty>().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::gone("sending to the other side"),
                Err(status) => return status,
            }
        }
    }
}
