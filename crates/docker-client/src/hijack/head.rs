//! The head of an HTTP/1.1 answer, and chunked bodies: just what a hijacked connection's beginning needs (RFC
//! 9112).

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

/// Where the head ends, once it is all there.
pub(super) fn end_of(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a head that [`end_of`] found.
pub(super) fn parse(head: &[u8]) -> Result<(StatusCode, HeaderMap), &'static str> {
    let text = std::str::from_utf8(head).map_err(|_| "its answer's head is no text")?;
    let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
    let status = lines.next().ok_or("its answer has no status line")?;
    let mut words = status.splitn(3, ' ');
    if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        return Err("its answer is not HTTP");
    }
    let status = words.next().and_then(|code| code.parse().ok()).ok_or("its answer has no status")?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("its answer has a header without a colon")?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "its answer has a bad header name")?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| "its answer has a bad header")?;
        headers.append(name, value);
    }
    Ok((status, headers))
}

/// The content of a chunked body, or `None` while its last chunk is missing.
pub(super) fn dechunk(mut wire: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = wire.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&wire[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        wire = &wire[line + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(wire.get(..size)?);
        wire = wire.get(size.checked_add(2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_and_read() {
        let wire = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: a/b\r\nX: y:z\r\n\r\nrest";
        let end = end_of(wire).unwrap();
        assert_eq!(&wire[end..], b"rest");
        let (status, headers) = parse(&wire[..end]).unwrap();
        assert_eq!(status, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(headers["content-type"], "a/b");
        assert_eq!(headers["x"], "y:z");
        assert_eq!(end_of(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for wire in
            ["SSH-2.0 x\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200\r\nx\r\n\r\n"]
        {
            assert!(parse(wire.as_bytes()).is_err(), "{wire}");
        }
    }

    #[test]
    fn chunks_are_joined_and_lies_are_not_believed() {
        assert_eq!(dechunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n").unwrap(), b"abcde");
        assert_eq!(dechunk(b"3\r\nab"), None);
        assert_eq!(dechunk(b"ffffffffffffffff\r\nab\r\n0\r\n"), None);
    }
}
