//! A registry's "no": the specification's error document, or whatever a proxy in between wrote.
//!
//! OCI distribution specification 1.1, "Error Codes".

use std::{fmt, time::Duration};

use serde::Deserialize;

use crate::Error;

/// The longest message that is shown, in characters.
const LONGEST: usize = 500;

/// An answer with an error status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `GET https://registry.example/v2/a/manifests/b`
    pub request: String,
    /// The HTTP status.
    pub status: u16,
    /// The specification's code, `MANIFEST_UNKNOWN`, where there is one.
    pub code: Option<String>,
    /// The registry's own words, or the status's name where it has none.
    pub message: String,
    /// What else the registry says about it.
    pub detail: Option<serde_json::Value>,
    /// How long it wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (status {}", self.request, self.message, self.status)?;
        self.code.iter().try_for_each(|code| write!(f, ", {code}"))?;
        f.write_str(")")
    }
}

/// What the body of a refusal says.
#[derive(Debug, Default, PartialEq)]
struct Said {
    code: Option<String>,
    message: Option<String>,
    detail: Option<serde_json::Value>,
}

/// The error that a status with this body is.
pub(crate) fn error(request: String, status: u16, retry_after: Option<Duration>, body: &[u8]) -> Error {
    let said = said(body);
    let words = said.message.map(|message| one_line(&message)).filter(|message| !message.is_empty());
    let message = words.unwrap_or_else(|| name(status).to_owned());
    let code = said.code.map(|code| one_line(&code));
    let kind = kind(status, code.as_deref());
    let refusal = Refusal { request, status, code, message, detail: said.detail, retry_after };
    kind(Box::new(refusal))
}

/// The code says more than the status: registries differ in the second.
fn kind(status: u16, code: Option<&str>) -> fn(Box<Refusal>) -> Error {
    match (code.unwrap_or_default(), status) {
        ("MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN", _) => Error::NotFound,
        ("TOOMANYREQUESTS", _) | (_, 429) => Error::TooManyRequests,
        ("DENIED", _) => Error::Denied,
        ("UNAUTHORIZED", _) => Error::Unauthorized,
        (_, 401) => Error::Unauthorized,
        (_, 403) => Error::Denied,
        ("", 404) => Error::NotFound,
        _ => Error::Other,
    }
}

/// Reads the specification's document, or one of those that token servers and object stores write.
fn said(body: &[u8]) -> Said {
    #[derive(Deserialize)]
    struct Document {
        #[serde(default)]
        errors: Vec<Entry>,
        message: Option<String>,
        details: Option<String>,
        error_description: Option<String>,
        error: Option<String>,
    }
    #[derive(Deserialize)]
    struct Entry {
        code: Option<String>,
        message: Option<String>,
        detail: Option<serde_json::Value>,
    }
    let Ok(document) = serde_json::from_slice::<Document>(body) else {
        return Said { message: plain(body), ..Said::default() };
    };
    match document.errors.into_iter().next() {
        Some(first) => {
            let detail = first.detail.filter(|detail| !detail.is_null());
            Said { message: first.message.or_else(|| first.code.clone()), code: first.code, detail }
        }
        None => {
            let words = [document.details, document.message, document.error_description, document.error];
            Said { message: words.into_iter().flatten().next(), ..Said::default() }
        }
    }
}

/// Text that is meant for people; pages of markup are not.
fn plain(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    (!text.is_empty() && !text.starts_with(['<', '{', '['])).then(|| text.to_owned())
}

/// A peer's words on one line, and not too many of them.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn name(status: u16) -> &'static str {
    let known = reqwest::StatusCode::from_u16(status).ok();
    known.and_then(|status| status.canonical_reason()).unwrap_or("unknown status")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Error {
        error("GET https://r/v2/a/manifests/b".to_owned(), status, None, body.as_bytes())
    }

    #[test]
    fn the_specifications_codes_have_types() {
        let document =
            |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"said","detail":{{"x":1}}}}]}}"#);
        for code in ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN"] {
            assert!(of(404, &document(code)).is_not_found(), "{code}");
        }
        assert!(matches!(of(403, &document("DENIED")), Error::Denied(_)));
        assert!(matches!(of(401, &document("DENIED")), Error::Denied(_)));
        assert!(matches!(of(401, &document("UNAUTHORIZED")), Error::Unauthorized(_)));
        assert!(matches!(of(429, &document("TOOMANYREQUESTS")), Error::TooManyRequests(_)));
        assert!(matches!(of(404, &document("BLOB_UPLOAD_UNKNOWN")), Error::Other(_)));
        let error = of(400, &document("DIGEST_INVALID"));
        assert_eq!(error.to_string(), "GET https://r/v2/a/manifests/b: said (status 400, DIGEST_INVALID)");
        assert_eq!(error.refusal().unwrap().detail, Some(serde_json::json!({ "x": 1 })));
    }

    #[test]
    fn without_a_document_the_status_counts() {
        assert!(of(404, "").is_not_found());
        assert!(matches!(of(401, "<html>"), Error::Unauthorized(_)));
        assert!(matches!(of(403, "no"), Error::Denied(_)));
        assert!(matches!(of(429, "You have reached your limit"), Error::TooManyRequests(_)));
        assert!(matches!(of(500, "{}"), Error::Other(_)));
    }

    #[test]
    fn words_are_found_wherever_they_are_and_fit_on_a_line() {
        let message = |body: &str| of(503, body).refusal().unwrap().message.clone();
        assert_eq!(
            message(r#"{"details":"incorrect username or password"}"#),
            "incorrect username or password"
        );
        assert_eq!(message(r#"{"error":"e","error_description":"described"}"#), "described");
        assert_eq!(message("  a\r\n\tb\u{1b}[31mc  "), "a b [31mc");
        assert_eq!(message("<html>x</html>"), "Service Unavailable");
        assert_eq!(message("{\"errors\":[{}]}"), "Service Unavailable");
        assert_eq!(message(&"ü".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
