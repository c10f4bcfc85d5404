//! How a call ended: gRPC's codes, their text, and the details that clients print.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use prost::Message;

use crate::pb::rpc;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The most bytes of details that are sent: clients refuse headers beyond 16 KiB, and a source is in there whole.
const DETAILS_LIMIT: usize = 10 * 1024;
/// The most bytes of a text that are sent.
const TEXT_LIMIT: usize = 4 * 1024;

/// Binary headers: without padding when sent, either way when received.
const BINARY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// gRPC's codes, as far as they are used here; all others are [`Code::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are gRPC's")]
pub enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

impl Code {
    fn of(number: i32) -> Self {
        let all = [
            Self::Ok,
            Self::Canceled,
            Self::InvalidArgument,
            Self::NotFound,
            Self::AlreadyExists,
            Self::PermissionDenied,
            Self::ResourceExhausted,
            Self::Unimplemented,
            Self::Internal,
            Self::Unavailable,
        ];
        all.into_iter().find(|code| *code as i32 == number).unwrap_or(Self::Unknown)
    }
}

/// Something typed beside an error's text, as BuildKit's clients read it: JSON under a type's address.
#[derive(Debug, Clone, PartialEq)]
pub struct Detail {
    /// `github.com/moby/buildkit/errdefs.Source+json`
    pub kind: String,
    /// It.
    pub json: Bytes,
}

/// How a call ended, if not well.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// What kind of end.
    pub code: Code,
    /// Why.
    pub message: String,
    /// What clients print besides.
    pub details: Vec<Detail>,
}

impl Status {
    /// An end.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// An error without a code of its own, as a failed build has.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Code::Unknown, message)
    }

    /// What came makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// What is asked for can't be had here.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(Code::Unimplemented, message)
    }

    /// The other side is gone.
    pub fn gone(what: &str) -> Self {
        Self::new(Code::Unavailable, format!("{what}: the connection has ended"))
    }

    /// With what was going on before its text.
    #[must_use]
    pub fn context(mut self, action: &str) -> Self {
        self.message = format!("{action}: {}", self.message);
        self
    }

    /// With more details.
    #[must_use]
    pub fn with(mut self, details: impl IntoIterator<Item = Detail>) -> Self {
        self.details.extend(details);
        self
    }

    /// As protobuf has it.
    pub fn to_message(&self) -> rpc::Status {
        let details = self.details.iter();
        let details =
            details.map(|detail| rpc::Any { type_url: detail.kind.clone(), value: detail.json.clone() });
        rpc::Status { code: self.code as i32, message: self.message.clone(), details: details.collect() }
    }

    /// From what a client returned.
    pub fn from_message(status: rpc::Status) -> Self {
        let details = status.details.into_iter();
        Self {
            code: Code::of(status.code),
            message: status.message,
            details: details.map(|any| Detail { kind: any.type_url, json: any.value }).collect(),
        }
    }

    /// The trailers that say it.
    pub(super) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert(STATUS, HeaderValue::from(self.code as i32));
        if let Ok(text) = HeaderValue::from_str(&percent(&self.message)) {
            trailers.insert(MESSAGE, text);
        }
        let whole = self.to_message().encode_to_vec();
        if !self.details.is_empty()
            && whole.len() <= DETAILS_LIMIT
            && let Ok(value) = HeaderValue::from_str(&BINARY.encode(whole))
        {
            trailers.insert(DETAILS, value);
        }
        trailers
    }

    /// The trailers of a call that ended well.
    pub(super) fn fine() -> HeaderMap {
        HeaderMap::from_iter([(STATUS, HeaderValue::from(0))])
    }

    /// What trailers, or the headers of an answer without any message, say.
    pub(super) fn read(headers: &HeaderMap) -> Option<Result<(), Self>> {
        let number: i32 = headers.get(STATUS)?.to_str().ok()?.parse().unwrap_or(2);
        if number == 0 {
            return Some(Ok(()));
        }
        let whole = headers.get(DETAILS).and_then(|value| BINARY.decode(value.as_bytes()).ok());
        if let Some(status) = whole.and_then(|bytes| rpc::Status::decode(&*bytes).ok()) {
            return Some(Err(Self::from_message(status)));
        }
        let text = headers.get(MESSAGE).map(|value| unpercent(value.as_bytes())).unwrap_or_default();
        Some(Err(Self::new(Code::of(number), text)))
    }
}

/// gRPC's percent-encoding: all but printable ASCII, and the percent sign.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes().take(TEXT_LIMIT) {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn unpercent(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [high, low, ..]) => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_trailers() {
        let detail = Detail { kind: "x/y+json".into(), json: Bytes::from_static(b"{}") };
        for status in
            [Status::new(Code::NotFound, "100% of «a»\nis gone"), Status::unknown("plain").with([detail])]
        {
            assert_eq!(Status::read(&status.trailers()), Some(Err(status)));
        }
        assert_eq!(Status::read(&Status::fine()), Some(Ok(())));
        assert_eq!(Status::read(&HeaderMap::new()), None);
    }

    #[test]
    fn odd_percent_signs_stand_for_themselves() {
        assert_eq!(unpercent(b"a%4"), "a%4");
        assert_eq!(unpercent(b"%zz%41"), "%zzA");
    }

    #[test]
    fn details_that_no_header_holds_are_left_out() {
        let detail = Detail { kind: "k".into(), json: vec![b'x'; DETAILS_LIMIT].into() };
        let trailers = Status::unknown("big").with([detail]).trailers();
        assert!(!trailers.contains_key(DETAILS));
        assert!(trailers.contains_key(MESSAGE));
    }
}
