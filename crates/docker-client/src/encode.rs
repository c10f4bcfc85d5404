//! Request targets: version, path and query as one percent-encoded line (RFC 3986).

use std::fmt::Write;

use crate::ApiVersion;

/// `/v1.51/containers/json?all=1`; `path` and the query's values are raw text and encoded here.
pub(crate) fn target(
    base: &str,
    version: Option<ApiVersion>,
    path: &str,
    query: &[(&str, String)],
) -> String {
    let mut out = String::with_capacity(base.len() + path.len() + 32);
    push(&mut out, base, is_path);
    if let Some(version) = version {
        let _ = write!(out, "/v{version}");
    }
    if !path.starts_with('/') {
        out.push('/');
    }
    push(&mut out, path, is_path);
    for (at, (name, value)) in query.iter().enumerate() {
        out.push(if at == 0 { '?' } else { '&' });
        push(&mut out, name, is_unreserved);
        out.push('=');
        push(&mut out, value, is_unreserved);
    }
    out
}

fn push(out: &mut String, text: &str, allowed: fn(u8) -> bool) {
    for byte in text.bytes() {
        match allowed(byte) {
            true => out.push(char::from(byte)),
            false => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What RFC 3986 allows in a path; `%` is not among them, so a raw one is encoded.
fn is_path(byte: u8) -> bool {
    is_unreserved(byte) || b"/:@!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_values_are_encoded() {
        let query = [("filters", "{\"a\":[\"b c\"]}".to_owned()), ("all", "1".to_owned())];
        assert_eq!(
            target("", Some(ApiVersion::new(1, 44)), "/images/reg:5000/a b%/json", &query),
            "/v1.44/images/reg:5000/a%20b%25/json?filters=%7B%22a%22%3A%5B%22b%20c%22%5D%7D&all=1"
        );
    }

    #[test]
    fn the_base_goes_first_and_the_version_may_be_missing() {
        assert_eq!(target("/docker", None, "_ping", &[]), "/docker/_ping");
    }
}
