//! Which endpoint a request is for, and its query.
//!
//! A repository's name has slashes, and may have words like `blobs` in it, so a path is read from its end.

use crate::{RepositoryName, error::ApiError};

/// The endpoints of the specification (section "Endpoints") and Docker's catalog. What stands at a digest's
/// or tag's place is checked by whoever needs it: a wrong one is a 404 for some and a 400 for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Ping,
    Catalog,
    Tags(RepositoryName),
    Referrers(RepositoryName, String),
    Manifest(RepositoryName, String),
    Blob(RepositoryName, String),
    Uploads(RepositoryName),
    Upload(RepositoryName, String),
}

impl Route {
    /// Reads a request's path.
    pub(crate) fn of(path: &str) -> Result<Self, ApiError> {
        let path = decode(path, false).ok_or(ApiError::NoRoute)?;
        let path = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Self::Ping),
            Some("/_catalog") => return Ok(Self::Catalog),
            Some(rest) => rest.strip_prefix('/').ok_or(ApiError::NoRoute)?,
            None => return Err(ApiError::NoRoute),
        };
        let (rest, last) = path.rsplit_once('/').ok_or(ApiError::NoRoute)?;
        let (rest, kind) = rest.rsplit_once('/').ok_or(ApiError::NoRoute)?;
        let name = |name: &str| name.parse::<RepositoryName>().map_err(|_| ApiError::NameInvalid);
        let last = last.to_owned();
        match kind {
            "manifests" => Ok(Self::Manifest(name(rest)?, last)),
            "referrers" => Ok(Self::Referrers(name(rest)?, last)),
            "tags" if last == "list" => Ok(Self::Tags(name(rest)?)),
            "blobs" if last == "uploads" => Ok(Self::Uploads(name(rest)?)),
            "blobs" => Ok(Self::Blob(name(rest)?, last)),
            "uploads" => match rest.rsplit_once('/') {
                Some((rest, "blobs")) if last.is_empty() => Ok(Self::Uploads(name(rest)?)),
                Some((rest, "blobs")) => Ok(Self::Upload(name(rest)?, last)),
                _ => Err(ApiError::NoRoute),
            },
            _ => Err(ApiError::NoRoute),
        }
    }
}

/// A request's query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands after the question mark. What can't be decoded is left out.
    pub(crate) fn of(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(key, true)?, decode(value, true)?))
        });
        Self(decoded.collect())
    }

    /// The first value of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Every value of this key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Percent-decodes; in queries `+` is a space.
fn decode(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// Encodes what is no unreserved character (RFC 3986, 2.3), for a value in a `Link`.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn every_endpoint_has_its_path() {
        let cases = [
            ("/v2/", Route::Ping),
            ("/v2", Route::Ping),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/b/tags/list", Route::Tags(name("a/b"))),
            ("/v2/a/manifests/latest", Route::Manifest(name("a"), "latest".to_owned())),
            ("/v2/a/blobs/sha256%3Aaa", Route::Blob(name("a"), "sha256:aa".to_owned())),
            ("/v2/a/referrers/sha256:aa", Route::Referrers(name("a"), "sha256:aa".to_owned())),
            ("/v2/a/blobs/uploads/", Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads", Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads/1-2", Route::Upload(name("a"), "1-2".to_owned())),
            ("/v2/blobs/uploads/manifests/x", Route::Manifest(name("blobs/uploads"), "x".to_owned())),
            ("/v2/tags/list/tags/list", Route::Tags(name("tags/list"))),
        ];
        for (path, route) in cases {
            assert_eq!(Route::of(path).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn a_path_that_climbs_is_no_name() {
        for path in [
            "/v2/../manifests/x",
            "/v2/a/%2e%2e/b/blobs/x",
            "/v2/a/..%2f..%2fetc/manifests/x",
            "/v2//manifests/x",
        ] {
            assert!(matches!(Route::of(path), Err(ApiError::NameInvalid)), "{path}");
        }
        for path in [
            "/",
            "/v1/",
            "/v2x",
            "/v2/a",
            "/v2/a/b",
            "/v2/a/tags/x",
            "/v2/%zz/tags/list",
            "/v2/a%ff/tags/list",
        ] {
            assert!(matches!(Route::of(path), Err(ApiError::NoRoute)), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_path_and_a_query_are_they_are_read_or_refused(path in ".*", query in ".*") {
            let route = Route::of(&format!("/v2/{path}/blobs/x"));
            if let Ok(Route::Blob(name, _) | Route::Upload(name, _)) = route {
                assert!(name.as_str().split('/').all(|part| !part.is_empty() && part != ".."), "{name}");
            }
            let decoded = Query::of(Some(&query));
            assert!(decoded.0.len() <= query.split('&').count());
        }
    }

    #[test]
    fn a_query_is_decoded_and_keeps_every_value() {
        let query = Query::of(Some("tag=a&tag=b%2Bc&n=5&flag&%zz=1&d=x+y"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b+c"]);
        assert_eq!((query.get("n"), query.get("flag"), query.get("none")), (Some("5"), Some(""), None));
        assert_eq!(query.get("d"), Some("x y"));
        assert_eq!(encode("a/b c"), "a%2Fb%20c");
    }
}
