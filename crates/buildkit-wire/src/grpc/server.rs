//! Serving gRPC on one connection.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Call, Code, Messages, STREAMS, Status, WINDOWS, frame};

/// The most bytes of a call's headers.
const HEADERS: u32 = 64 * 1024;
/// The most bytes of answers that wait to be written in one call.
const BUFFER: usize = 256 * 1024;

/// A call as its service sees it.
pub struct Request {
    /// `/package.Service/Method`
    pub path: String,
    /// What its caller says besides.
    pub headers: HeaderMap,
    /// What its caller says.
    pub messages: Messages,
}

impl Request {
    /// Answers with messages both ways: `work` speaks, and how it ends is how the call ends. It is dropped when the caller
    /// gives up.
    pub fn converse<F>(self, work: impl FnOnce(Call) -> F) -> Reply
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let (call, said) = Call::served(self.messages);
        let work = Work(tokio::spawn(work(call)));
        Reply::Many(
            HeaderMap::new(),
            stream::unfold(Some((said, work)), |state| async move {
                let (mut said, mut work) = state?;
                if let Some(message) = said.recv().await {
                    return Some((Ok(message), Some((said, work))));
                }
                match (&mut work.0).await {
                    Ok(Ok(())) => None,
                    Ok(Err(status)) => Some((Err(status), None)),
                    Err(error) => Some((Err(Status::new(Code::Internal, error.to_string())), None)),
                }
            })
            .boxed(),
        )
    }
}

/// A task that ends with this.
struct Work(tokio::task::JoinHandle<Result<(), Status>>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a call is answered with.
pub enum Reply {
    /// A message, as [`frame`] writes it.
    One(Bytes),
    /// Headers, and messages until the last or the first error.
    Many(HeaderMap, BoxStream<'static, Result<Bytes, Status>>),
}

impl Reply {
    /// A message.
    pub fn one(message: &impl Message) -> Self {
        Self::One(frame(message))
    }

    /// Messages as they come.
    pub fn many<T: Message>(
        messages: impl futures_util::Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Self {
        Self::many_after(HeaderMap::new(), messages)
    }

    /// Messages as they come, after headers.
    pub fn many_after<T: Message>(
        headers: HeaderMap,
        messages: impl futures_util::Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Self {
        Self::Many(headers, messages.map(|message| message.map(|message| frame(&message))).boxed())
    }
}

/// Whoever answers calls. The future is dropped when the caller gives up.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers a call.
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Reply, Status>>;
}

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// Serves a connection until its client ends it.
///
/// # Errors
/// When the connection breaks, and when what comes is no HTTP/2.
pub async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + Send,
    service: impl Service,
) -> Result<(), hyper::Error> {
    let handler = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(answer(service, request).await) }
    });
    Builder::new(TokioExecutor::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .max_send_buf_size(BUFFER)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .serve_connection(TokioIo::new(io), handler)
        .await
}

async fn answer(service: impl Service, request: hyper::Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let media = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if parts.method != Method::POST || !media.starts_with(b"application/grpc") {
        let mut response = Response::new(StreamBody::new(stream::empty().boxed()));
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let path = parts.uri.path().to_owned();
    tracing::debug!(path, "BuildKit call");
    let request = Request { path, headers: parts.headers, messages: Messages::of_request(body) };
    let frames = match service.call(request).await {
        Ok(Reply::One(message)) => {
            stream::iter([Ok(Frame::data(message)), Ok(Frame::trailers(Status::fine()))]).boxed()
        }
        Ok(Reply::Many(headers, messages)) => {
            let mut response = grpc(streamed(messages));
            response.headers_mut().extend(headers);
            return response;
        }
        // Trailers of their own, not headers: hyper ends an answer with another frame, and Go's client takes headers for the end
        // only when they are the last.
        Err(status) => stream::iter([Ok(Frame::trailers(status.trailers()))]).boxed(),
    };
    grpc(frames)
}

/// Messages and, after the last or the first error, the trailers.
fn streamed(
    messages: BoxStream<'static, Result<Bytes, Status>>,
) -> BoxStream<'static, Result<Frame<Bytes>, Infallible>> {
    stream::unfold(Some(messages), |messages| async move {
        let mut messages = messages?;
        Some(match messages.next().await {
            Some(Ok(message)) => (Ok(Frame::data(message)), Some(messages)),
            Some(Err(status)) => (Ok(Frame::trailers(status.trailers())), None),
            None => (Ok(Frame::trailers(Status::fine())), None),
        })
    })
    .boxed()
}

fn grpc(frames: BoxStream<'static, Result<Frame<Bytes>, Infallible>>) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(frames));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::Channel;
    use crate::pb::session::BytesMessage;

    /// Says back what it hears; refuses `/no`.
    #[derive(Clone)]
    struct Echo;

    impl Service for Echo {
        fn call(&self, mut request: Request) -> BoxFuture<'static, Result<Reply, Status>> {
            Box::pin(async move {
                match &*request.path {
                    "/one" => Ok(Reply::one(&request.messages.only::<BytesMessage>().await?)),
                    "/talk" => Ok(request.converse(|mut call| async move {
                        while let Some(message) = call.next::<BytesMessage>().await? {
                            call.send(&message).await?;
                        }
                        Err(Status::invalid("it has an end"))
                    })),
                    "/many" => Ok(Reply::many(stream::unfold(request.messages, |mut messages| async move {
                        Some((messages.next::<BytesMessage>().await.transpose()?, messages))
                    }))),
                    _ => Err(Status::new(Code::NotFound, "nothing is here\nat all")),
                }
            })
        }
    }

    async fn channel() -> Channel {
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(far, Echo));
        let (channel, connection) = Channel::open(near).await.unwrap();
        tokio::spawn(connection);
        channel
    }

    fn message(size: usize) -> BytesMessage {
        BytesMessage { data: vec![b'x'; size].into() }
    }

    #[tokio::test]
    async fn messages_and_errors_come_back() {
        let channel = channel().await;
        assert_eq!(
            channel.unary::<BytesMessage>("/one", &message(3_000_000)).await.unwrap(),
            message(3_000_000)
        );
        let status = channel.unary::<BytesMessage>("/no", &message(1)).await.unwrap_err();
        assert_eq!((status.code, &*status.message), (Code::NotFound, "nothing is here\nat all"));
    }

    #[tokio::test]
    async fn a_call_goes_both_ways_at_once() {
        let mut call = channel().await.call("/many", HeaderMap::new()).unwrap();
        for size in [0, 1, 100_000] {
            call.send(&message(size)).await.unwrap();
            assert_eq!(call.next::<BytesMessage>().await.unwrap(), Some(message(size)));
        }
        call.close();
        assert_eq!(call.next::<BytesMessage>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn who_is_called_speaks_until_it_says_how_it_ends() {
        let mut call = channel().await.call("/talk", HeaderMap::new()).unwrap();
        for size in [1, 2] {
            call.send(&message(size)).await.unwrap();
            assert_eq!(call.next::<BytesMessage>().await.unwrap(), Some(message(size)));
        }
        call.close();
        assert_eq!(call.next::<BytesMessage>().await.unwrap_err().code, Code::InvalidArgument);
    }
}
