//! An archive from the client's standard input as the build's files: `docker build - < context.tar`.

use std::io;
use std::sync::Arc;

use futures_util::stream;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use minke_engine::ByteStream;

use super::Session;
use crate::grpc::{Call, Status};
use crate::pb::session::BytesMessage;

/// How such a context is named.
const PREFIX: &str = "http://buildkit-session/";

/// Whether a context is an upload; its id if so.
pub(crate) fn id(context: &str) -> Option<&str> {
    context.strip_prefix(PREFIX)
}

/// The bytes of an upload.
///
/// # Errors
/// When the client offers none.
pub(crate) fn pull(session: &Arc<Session>, id: &str) -> Result<ByteStream, Status> {
    let path = HeaderValue::from_str(&format!("/{id}"))
        .map_err(|_| Status::invalid("an upload's id has impossible characters"))?;
    let headers = HeaderMap::from_iter([
        (HeaderName::from_static("urlpath"), path),
        (HeaderName::from_static("urlhost"), HeaderValue::from_static("buildkit-session")),
    ]);
    let call = session.call("/moby.upload.v1.Upload/Pull", headers)?;
    Ok(Box::pin(stream::try_unfold(call, |mut call: Call| async move {
        let message = call.next::<BytesMessage>().await.map_err(io::Error::other)?;
        Ok(message.map(|message| (message.data, call)))
    })))
}
