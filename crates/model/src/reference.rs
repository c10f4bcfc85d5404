//! Image references: `redis`, `ghcr.io/a/b:1`, `name@sha256:…`.
//!
//! The grammar is the distribution project's (its `reference` package; OCI distribution specification
//! 1.1, "Pulling manifests") and the normalisation Docker's: no domain means `docker.io`, no organisation
//! there means `library/`, no tag means `latest` where a tag is needed. Every crate that takes a name from
//! a user parses it here, so that all of them mean the same image.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, excerpt::excerpt};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// The longest path of a repository, in characters.
pub const LONGEST_PATH: usize = 255;
/// The longest host name (RFC 1035, 2.3.4, as written), a colon and a port.
const LONGEST_DOMAIN: usize = 253 + 6;
const LONGEST_TAG: usize = 128;

/// A normalised reference: it always has a domain and a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What a user may write where an image is wanted: a name or an id in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyReference {
    /// 64 hexadecimal digits, with or without `sha256:`.
    Digest(Digest),
    /// A name.
    Named(Reference),
}

/// Why a string, or what begins so, is not a reference; the words are the ones Docker's users search for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It does not follow the grammar.
    #[error("invalid reference format: {0:?}")]
    Format(String),
    /// The repository has capital letters.
    #[error("invalid reference format: repository name ({}) must be lowercase", .0.escape_debug())]
    Uppercase(String),
    /// It looks like an id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// The repository is too long.
    #[error("repository name must not be more than {LONGEST_PATH} characters")]
    TooLong,
    /// The registry's name is too long for a host's.
    #[error("registry name must not be more than {LONGEST_DOMAIN} characters")]
    LongDomain,
    /// The digest uses another algorithm than sha256 or has the wrong length.
    #[error("invalid reference format: {0:?} is not a sha256 digest")]
    Digest(String),
}

impl Reference {
    /// The registry, `docker.io` by default, with its port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, `library/redis`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, as far as one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, as far as one was given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Domain and path, `docker.io/library/redis`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// Whether there is neither a tag nor a digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The same with the tag `latest` where there is neither a tag nor a digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same name with this tag instead of tag and digest.
    ///
    /// # Errors
    /// [`ReferenceError::Format`] when `tag` is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Format(excerpt(tag)));
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same name with this digest instead of tag and digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The name as users know it: `redis` for `docker.io/library/redis`. A form that would be read as something else
    /// is none: the organisation `localhost` of Docker Hub keeps its domain, an image called like an id its `library/`.
    pub fn familiar_name(&self) -> String {
        let short = self.path.strip_prefix(OFFICIAL).unwrap_or(&self.path);
        match self.domain.as_str() {
            DEFAULT_DOMAIN if split_domain(&self.path).1 != self.path => self.name(),
            DEFAULT_DOMAIN if short.contains('/') || Digest::from_hex(short).is_ok() => self.path.clone(),
            DEFAULT_DOMAIN => short.to_owned(),
            _ => self.name(),
        }
    }

    /// The whole reference as users know it: `redis:7`, `redis@sha256:…`.
    pub fn familiar(&self) -> String {
        let familiar = format!("{}{}", self.familiar_name(), self.suffix());
        // The image `sha256` with 64 digits for a tag.
        if familiar.parse::<Digest>().is_ok() { self.to_string() } else { familiar }
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let format = || ReferenceError::Format(excerpt(text));
        if Digest::from_hex(text).is_ok() {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (domain, rest) = split_domain(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(excerpt(path)));
        }
        let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
            format!("{OFFICIAL}{path}")
        } else {
            path.to_owned()
        };
        if !is_domain(domain) || !is_path(&path) || !tag.is_none_or(is_tag) {
            return Err(format());
        }
        if path.len() > LONGEST_PATH {
            return Err(ReferenceError::TooLong);
        }
        if domain.len() > LONGEST_DOMAIN {
            return Err(ReferenceError::LongDomain);
        }
        let digest = digest.map(parse_digest).transpose()?;
        Ok(Self { domain: domain.to_owned(), path, tag: tag.map(str::to_owned), digest })
    }
}

impl FromStr for AnyReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match Digest::from_hex(text).or_else(|_| text.parse()) {
            Ok(digest) => Ok(Self::Digest(digest)),
            Err(_) => text.parse().map(Self::Named),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The part before the first slash is a domain only if it looks like one: a dot, a port, `localhost`, or a
/// capital letter (which no path may have).
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((LEGACY_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    text.parse().map_err(|_| ReferenceError::Digest(excerpt(text)))
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            if address.is_empty() || !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => return is_port(port),
                None => return rest.is_empty(),
            }
        }
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Whether `path` follows the grammar of a repository's path, `library/redis`, whatever its length.
pub fn is_path(path: &str) -> bool {
    path.split('/').all(is_component)
}

/// `[a-z0-9]+` joined by one dot, one or two underscores, or any number of dashes.
fn is_component(component: &str) -> bool {
    let separator_ok = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    let mut rest = component;
    loop {
        let word = rest.bytes().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit()).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let run = rest.bytes().take_while(|b| matches!(b, b'.' | b'_' | b'-')).count();
        if run == 0 || !separator_ok(&rest[..run]) {
            return false;
        }
        rest = &rest[run..];
    }
}

/// Whether `tag` follows the grammar of a tag, `v1.2`.
pub fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=LONGEST_TAG).contains(&tag.len())
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests;
