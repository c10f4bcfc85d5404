//! What the engine says of a path in a container, in the header `X-Docker-Container-Path-Stat` (Docker Engine API,
//! "Get information about files in a container"): base64 of JSON, with the mode as Go's os.FileMode.

use minke_docker_client::{Client, HeaderMap};
use serde::Deserialize;

use crate::failure::Failure;

/// Go's os.ModeDir.
const DIRECTORY: u32 = 1 << 31;
/// Go's os.ModeSymlink.
const SYMLINK: u32 = 1 << 27;

/// A path in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PathStat {
    mode: u32,
    pub(super) link_target: String,
}

impl PathStat {
    pub(super) fn is_directory(&self) -> bool {
        self.mode & DIRECTORY != 0
    }

    pub(super) fn is_link(&self) -> bool {
        self.mode & SYMLINK != 0
    }

    /// Reads the header.
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let malformed = || Failure::new("the engine's answer doesn't say what the path is");
        let header = headers.get("x-docker-container-path-stat").ok_or_else(malformed)?;
        let json = decode_base64(header.as_bytes()).ok_or_else(malformed)?;
        serde_json::from_slice(&json).map_err(|_| malformed())
    }
}

/// Asks for a path; `None` where there is no such path.
///
/// # Errors
/// The engine's own, among them that there is no such container.
pub(super) async fn stat(client: &Client, container: &str, path: &str) -> Result<Option<PathStat>, Failure> {
    let found = client.head(&format!("/containers/{container}/archive"), &[("path", path.to_owned())]).await;
    match found {
        Ok(headers) => PathStat::of(&headers).map(Some),
        // A missing container is a 404 too; the copy itself will say so.
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// RFC 4648, the standard or the URL alphabet, with or without padding.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for &c in text.iter().filter(|c| **c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_directories_and_links() {
        let headers = Client::headers(&[(
            "x-docker-container-path-stat",
            "eyJuYW1lIjoibGluayIsInNpemUiOjMsIm1vZGUiOjEzNDIxODIzOSwibXRpbWUiOiIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsImxpbmtUYXJnZXQiOiIvZXRjIn0=",
        )])
        .unwrap();
        let stat = PathStat::of(&headers).unwrap();
        assert!(stat.is_link() && !stat.is_directory());
        assert_eq!(stat.link_target, "/etc");
        assert!(PathStat::of(&HeaderMap::new()).is_err());
    }

    #[test]
    fn base64_is_decoded() {
        for (text, expected) in
            [("", Some("")), ("YQ==", Some("a")), ("YWI", Some("ab")), ("YWJj", Some("abc")), ("!", None)]
        {
            assert_eq!(
                decode_base64(text.as_bytes()),
                expected.map(|text| text.as_bytes().to_vec()),
                "{text}"
            );
        }
    }
}
