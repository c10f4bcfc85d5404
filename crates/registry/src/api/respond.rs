//! Answers: their bodies and what most of them have in common.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Response, StatusCode, body::Frame, header, http::response::Builder};

use super::joined;
use crate::Digest;

/// Any answer's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Bytes of a file that are read at a time.
const PIECE: usize = 256 << 10;

/// An answer with a text.
pub(super) fn text(status: StatusCode, media_type: &str, text: impl Into<Bytes>) -> Response<Body> {
    finish(Response::builder().status(status).header(header::CONTENT_TYPE, media_type), full(text))
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode, headers: &[(&str, &str)]) -> Response<Body> {
    let builder = headers
        .iter()
        .fold(Response::builder().status(status), |builder, (name, value)| builder.header(*name, *value));
    finish(builder, full(Bytes::new()))
}

/// The answer that a builder was given parts for. Every part comes from checked names and digests.
pub(super) fn finish(builder: Builder, body: Body) -> Response<Body> {
    builder.body(body).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer could not be put together");
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A part of a file, read on a blocking thread while it is sent.
pub(super) fn file(file: File, range: Range<u64>) -> Body {
    let pieces = stream::try_unfold((file, range), |(mut file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let read = move || -> io::Result<(Bytes, File)> {
            let length = usize::try_from(range.end - range.start).map_or(PIECE, |left| left.min(PIECE));
            let mut piece = vec![0; length];
            file.seek(SeekFrom::Start(range.start))?;
            file.read_exact(&mut piece)?;
            Ok((piece.into(), file))
        };
        let (piece, file) = joined(tokio::task::spawn_blocking(read).await)?;
        let rest = range.start + piece.len() as u64..range.end;
        Ok::<_, io::Error>(Some((piece, (file, rest))))
    });
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

/// An `ETag` of content that is named by its digest.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether an `If-None-Match` or `If-Range` names this digest.
pub(super) fn names(header: &str, digest: &Digest) -> bool {
    let tag = etag(digest);
    header.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
