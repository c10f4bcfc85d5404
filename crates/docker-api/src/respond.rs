//! Answers: JSON, nothing, bytes that stream, and errors.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response as HttpResponse, StatusCode};
use minke_engine::Changed;
use serde::Serialize;
use serde_json::Value;

use crate::body::ResponseBody;
use crate::error::ApiError;
use crate::shape::{Filled, Shape};

/// An answer.
pub(crate) type Response = HttpResponse<ResponseBody>;

/// What every handler returns.
pub(crate) type Outcome = Result<Response, ApiError>;

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    with_body(status, Empty::new().map_err(|never| match never {}).boxed_unsync())
}

/// 204, or 304 when nothing had to change.
pub(crate) fn changed(changed: Changed) -> Response {
    empty(match changed {
        Changed::Yes => StatusCode::NO_CONTENT,
        Changed::No => StatusCode::NOT_MODIFIED,
    })
}

/// An answer that is in memory.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    let body = Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync();
    typed(with_body(status, body), content_type)
}

/// A JSON answer. Ends in a line break as Go's encoder writes it, which makes `curl` pleasant.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Outcome {
    Ok(bytes(status, "application/json", json_line(value)?))
}

/// A JSON answer in which Docker's zero values are filled in.
pub(crate) fn shaped<T: Serialize>(status: StatusCode, shape: &Shape, value: &T) -> Outcome {
    json(status, &Filled::new(shape, &to_value(value)?))
}

/// A list as a JSON answer, each entry changed and filled in by itself: a thousand need the memory of one.
pub(crate) fn json_list<T: Serialize>(entries: &[T], shape: &Shape, change: impl Fn(&mut Value)) -> Outcome {
    let mut body = vec![b'['];
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        let mut value = to_value(entry)?;
        change(&mut value);
        serde_json::to_writer(&mut body, &Filled::new(shape, &value)).map_err(unwritable)?;
    }
    body.extend_from_slice(b"]\n");
    Ok(bytes(StatusCode::OK, "application/json", body))
}

/// A value as JSON, to be changed before it is sent. Keys are sorted, as Go's encoder sorts those of its
/// maps: two answers about the same thing are the same.
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, ApiError> {
    let mut value = serde_json::to_value(value).map_err(unwritable)?;
    value.sort_all_objects();
    Ok(value)
}

/// A value as one line of JSON.
pub(crate) fn json_line<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, ApiError> {
    let mut line = serde_json::to_vec(value).map_err(unwritable)?;
    line.push(b'\n');
    Ok(line)
}

fn unwritable(error: serde_json::Error) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("writing the answer as JSON: {error}"))
}

/// An answer that is sent while it is made; each chunk goes out at once.
pub(crate) fn stream(
    content_type: &'static str,
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response {
    let body = StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync();
    typed(with_body(StatusCode::OK, body), content_type)
}

/// JSON values, one a line, each sent at once.
pub(crate) fn json_stream<T: Serialize>(values: impl Stream<Item = T> + Send + 'static) -> Response {
    let lines = values.map(|value| match json_line(&value) {
        Ok(line) => Ok(line.into()),
        Err(error) => Err(io::Error::other(error.message)),
    });
    stream("application/json", lines)
}

/// `{"message": …}`; nothing but the status for 304, which has no body.
pub(crate) fn error(error: &ApiError) -> Response {
    #[derive(Serialize)]
    struct Message<'a> {
        message: &'a str,
    }
    if error.status == StatusCode::NOT_MODIFIED {
        return empty(error.status);
    }
    let line = json_line(&Message { message: &error.message }).unwrap_or_default();
    bytes(error.status, "application/json", line)
}

/// Sets the `Content-Type`.
pub(crate) fn typed(mut response: Response, content_type: &'static str) -> Response {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn with_body(status: StatusCode, body: ResponseBody) -> Response {
    let mut response = HttpResponse::new(body);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn maps_are_written_in_the_order_of_their_keys() {
        let ports: HashMap<String, u16> = (0..50).map(|port| (format!("{port:03}/tcp"), port)).collect();
        let value = to_value(&HashMap::from([("Ports", &ports)])).unwrap();
        let keys: Vec<&String> = value["Ports"].as_object().unwrap().keys().collect();
        assert!(keys.is_sorted());
    }
}
