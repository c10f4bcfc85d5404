//! Recognising hijack requests that don't ask for an upgrade (moby#33262): old clients just go on with raw
//! bytes after the head.
//!
//! hyper hands a connection over only when the request has an `Upgrade` header, so the first bytes of a
//! connection are looked at before hyper gets them. Such clients always open a connection of their own for
//! it, therefore only the first request matters.

use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};

/// The longest head, and the longest JSON body, that is looked at.
pub(crate) const LIMIT: usize = 64 * 1024;

/// What the beginning of a connection is.
#[derive(Debug)]
pub(crate) enum Sniffed {
    /// Not enough bytes yet.
    More,
    /// Something for hyper.
    Http,
    /// A hijack without an upgrade.
    Raw(RawRequest),
}

/// A request that takes over its connection without saying so.
#[derive(Debug)]
pub(crate) struct RawRequest {
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Where its body ends; what follows is raw.
    pub(crate) end: usize,
}

/// Looks at the first bytes of a connection.
pub(crate) fn sniff(bytes: &[u8]) -> Sniffed {
    // What begins like no method (TLS, say) is told so at once: it may never bring a line to its end.
    let may_be_http = bytes.first().is_none_or(u8::is_ascii_alphabetic);
    if may_be_http && !bytes.contains(&b'\n') && bytes.len() < LIMIT {
        return Sniffed::More;
    }
    let method = b"POST ";
    let seen = bytes.len().min(method.len());
    if bytes[..seen] != method[..seen] {
        return Sniffed::Http;
    }
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) if bytes.len() < LIMIT && may_hijack(request.path) => {
            return Sniffed::More;
        }
        _ => return Sniffed::Http,
    };
    let target = request.path.unwrap_or_default();
    let Some(headers) = is_hijack(target).then(|| header_map(request.headers)).flatten() else {
        return Sniffed::Http;
    };
    if headers.contains_key(UPGRADE) {
        return Sniffed::Http;
    }
    raw_request(bytes, head, target, headers)
}

/// The first bytes with what a target must not have in it percent-encoded: people type
/// `filters={"status":["exited"]}` after `curl` as it stands in Docker's documentation, Go's server takes
/// that, and hyper doesn't (RFC 3986, 2.1).
pub(crate) fn with_clean_target(bytes: BytesMut) -> BytesMut {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    if !bytes[..line].iter().any(|byte| needs_escape(*byte)) {
        return bytes;
    }
    let mut clean = BytesMut::with_capacity(bytes.len() + 64);
    for byte in &bytes[..line] {
        match needs_escape(*byte) {
            true => clean.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            false => clean.extend_from_slice(&[*byte]),
        }
    }
    clean.extend_from_slice(&bytes[line..]);
    clean
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') || byte >= 0x80
}

fn raw_request(bytes: &[u8], head: usize, target: &str, headers: HeaderMap) -> Sniffed {
    let attach = target.split('?').next().unwrap_or_default().ends_with("/attach");
    let length = match headers.get(CONTENT_LENGTH) {
        // An attach has no body: what a client announces as such is stdin already.
        _ if attach => 0,
        Some(length) => match length.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(length) if length <= LIMIT => length,
            _ => return Sniffed::Http,
        },
        None if headers.contains_key(TRANSFER_ENCODING) => return Sniffed::Http,
        None => 0,
    };
    let end = head + length;
    match bytes.get(head..end) {
        None => Sniffed::More,
        Some(body) => Sniffed::Raw(RawRequest {
            target: target.to_owned(),
            headers,
            body: Bytes::copy_from_slice(body),
            end,
        }),
    }
}

/// Whether waiting for the rest of the head is worth it: the path is not known yet, or it is one that
/// hijacks.
fn may_hijack(path: Option<&str>) -> bool {
    path.is_none_or(is_hijack)
}

fn is_hijack(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    (path.contains("/containers/") && path.ends_with("/attach"))
        || (path.contains("/exec/") && path.ends_with("/start"))
}

fn header_map(headers: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        map.append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_attach_without_upgrade_is_taken_over() {
        let wire = b"POST /v1.24/containers/x/attach?stream=1 HTTP/1.1\r\nHost: d\r\n\r\ninput";
        let Sniffed::Raw(raw) = sniff(wire) else { panic!("not recognised") };
        assert_eq!(raw.target, "/v1.24/containers/x/attach?stream=1");
        assert_eq!(&wire[raw.end..], b"input");
    }

    #[test]
    fn an_exec_start_waits_for_its_body() {
        let wire = b"POST /exec/x/start HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}in";
        let Sniffed::Raw(raw) = sniff(wire) else { panic!("not recognised") };
        assert_eq!((&raw.body[..], &wire[raw.end..]), (&b"{}"[..], &b"in"[..]));
        for cut in 1..wire.len() - 3 {
            assert!(matches!(sniff(&wire[..cut]), Sniffed::More), "{cut}");
        }
    }

    #[test]
    fn json_in_a_target_is_encoded_and_nothing_else() {
        let clean =
            |text: &str| String::from_utf8(with_clean_target(text.as_bytes().into()).to_vec()).unwrap();
        assert_eq!(
            clean("GET /x?filters={\"a\":[\"b\"]} HTTP/1.1\r\nX: \"{}\"\r\n\r\n{\"body\":1}"),
            "GET /x?filters=%7B%22a%22:[%22b%22]%7D HTTP/1.1\r\nX: \"{}\"\r\n\r\n{\"body\":1}"
        );
        assert_eq!(clean("GET /x?a=%22 HTTP/1.1\r\n\r\n"), "GET /x?a=%22 HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn everything_else_is_hypers() {
        for wire in [
            "GET / HTTP/1.1\r\n\r\n",
            "\x16\x03\x01",
            "POST /containers/x/attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n",
            "POST /containers/x/start HTTP/1.1\r\n\r\n",
            "POST /containers/create HTTP/1.1\r\nHost",
            "POST /exec/x/start HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /exec/x/start HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        ] {
            assert!(matches!(sniff(wire.as_bytes()), Sniffed::Http), "{wire}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = sniff(&bytes);
            let _ = sniff(&[b"POST /containers/x/attach", bytes.as_slice()].concat());
        }
    }
}
