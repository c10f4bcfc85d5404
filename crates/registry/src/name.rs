//! Names of repositories and tags, checked against the specification's grammar before anything else sees
//! them.
//!
//! OCI distribution specification 1.1, "Pulling manifests". A name is a key of the database and never a path.

use std::{fmt, str::FromStr};

use minke_model::reference::{LONGEST_PATH, is_path, is_tag};

use crate::Digest;

/// The name of a repository, `team/app`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Box<str>);

/// A tag, `v1.2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

/// What stands after `manifests/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A tag.
    Tag(Tag),
    /// A digest.
    Digest(Digest),
}

/// Neither a name nor a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the grammar of the OCI distribution specification does not allow this name")]
pub struct NameError;

impl RepositoryName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.len() <= LONGEST_PATH && is_path(text) {
            true => Ok(Self(text.into())),
            false => Err(NameError),
        }
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match is_tag(text) {
            true => Ok(Self(text.into())),
            false => Err(NameError),
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_grammar_are_accepted() {
        for name in ["a", "alpine", "library/alpine", "a.b_c__d-e---f/0", "a/b/c/d/e", &"a".repeat(255)] {
            assert_eq!(name.parse::<RepositoryName>().unwrap().as_str(), name);
        }
        for tag in ["latest", "V1.2-rc_3", "_x", &"t".repeat(128)] {
            assert_eq!(tag.parse::<Tag>().unwrap().as_str(), tag);
        }
    }

    #[test]
    fn all_else_is_refused() {
        let names = [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "..", "a/../b", ".a", "a.", "a___b", "a._b", "a\0",
            "ä", "a b", "-a",
        ];
        for name in names {
            assert!(name.parse::<RepositoryName>().is_err(), "{name:?}");
        }
        assert!("a".repeat(256).parse::<RepositoryName>().is_err());
        for tag in ["", ".a", "-a", "a/b", "a b", "sha256:aa", &"t".repeat(129)] {
            assert!(tag.parse::<Tag>().is_err(), "{tag:?}");
        }
    }
}
