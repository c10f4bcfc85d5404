//! API versions: `1.51` as a pair of numbers, and which one two sides agree on.

use std::fmt;
use std::str::FromStr;

/// A version of the Docker Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The part before the dot; always 1 so far.
    pub major: u16,
    /// The part after the dot.
    pub minor: u16,
}

impl ApiVersion {
    /// The newest version this client speaks.
    pub const NEWEST: Self = Self::new(1, 51);
    /// What an engine speaks that doesn't say so (Docker 1.12, which had no negotiation yet).
    pub const UNSTATED: Self = Self::new(1, 24);

    /// A version from its two numbers.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// The version to use with an engine that offers `server` at most.
    pub fn agreed(server: Option<Self>) -> Self {
        Self::NEWEST.min(server.unwrap_or(Self::UNSTATED))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is no API version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no API version, which looks like \"1.51\"")]
pub struct ApiVersionError(pub String);

impl FromStr for ApiVersion {
    type Err = ApiVersionError;

    /// Accepts a leading `v`, as people write it in `DOCKER_API_VERSION`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ApiVersionError(text.to_owned());
        let digits = text.strip_prefix('v').unwrap_or(text);
        let (major, minor) = digits.split_once('.').ok_or_else(error)?;
        let number = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
            true => part.parse().map_err(|_| error()),
            false => Err(error()),
        };
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_not_by_text() {
        assert!("1.9".parse::<ApiVersion>().unwrap() < "1.24".parse().unwrap());
        assert_eq!("v1.51".parse::<ApiVersion>().unwrap(), ApiVersion::NEWEST);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "1", "1.", ".1", "1.2.3", "1.x", "1.+2", "latest"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_older_side_decides() {
        assert_eq!(ApiVersion::agreed(Some(ApiVersion::new(1, 41))), ApiVersion::new(1, 41));
        assert_eq!(ApiVersion::agreed(Some(ApiVersion::new(1, 99))), ApiVersion::NEWEST);
        assert_eq!(ApiVersion::agreed(None), ApiVersion::UNSTATED);
    }
}
