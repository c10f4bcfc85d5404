//! API versions: which ones are spoken, and how a request's path names one.

use std::fmt;

use crate::error::ApiError;

/// A version of the Docker Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion(
    /// The part before the dot.
    pub u16,
    /// The part after the dot.
    pub u16,
);

impl ApiVersion {
    /// The newest version that is served, and what unversioned paths mean.
    pub const NEWEST: Self = Self(1, 51);
    /// The oldest version that is served.
    pub const OLDEST: Self = Self(1, 24);
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Splits `/v1.44/info` into its version and `/info`. A path without a version means the newest one;
/// something like `/vx` is no version but an unknown path.
///
/// # Errors
/// In Docker's words when the version is not served; its clients show them.
pub(crate) fn split(path: &str) -> Result<(ApiVersion, &str), ApiError> {
    let versioned = path.strip_prefix("/v").and_then(|rest| {
        let (text, rest) = rest.split_at(rest.find('/')?);
        let is_version = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        is_version.then_some((text, rest))
    });
    let Some((text, rest)) = versioned else { return Ok((ApiVersion::NEWEST, path)) };
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(u16::MAX));
    let version = ApiVersion(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < ApiVersion::OLDEST {
        return Err(ApiError::invalid(format!(
            "client version {text} is too old. Minimum supported API version is {}, \
             please upgrade your client to a newer version",
            ApiVersion::OLDEST
        )));
    }
    if version > ApiVersion::NEWEST {
        return Err(ApiError::invalid(format!(
            "client version {text} is too new. Maximum supported API version is {}",
            ApiVersion::NEWEST
        )));
    }
    Ok((version, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_taken_off_the_path() {
        assert_eq!(split("/v1.44/containers/json").unwrap(), (ApiVersion(1, 44), "/containers/json"));
        assert_eq!(split("/version").unwrap(), (ApiVersion::NEWEST, "/version"));
        assert_eq!(split("/volumes").unwrap(), (ApiVersion::NEWEST, "/volumes"));
        assert_eq!(split("/vx/info").unwrap(), (ApiVersion::NEWEST, "/vx/info"));
        assert_eq!(split("/v1.51").unwrap(), (ApiVersion::NEWEST, "/v1.51"));
    }

    #[test]
    fn versions_out_of_range_are_refused_in_dockers_words() {
        let message = |path| split(path).unwrap_err().message;
        assert_eq!(
            message("/v1.52/info"),
            "client version 1.52 is too new. Maximum supported API version is 1.51"
        );
        assert!(
            message("/v1.23/info")
                .starts_with("client version 1.23 is too old. Minimum supported API version is 1.24,")
        );
        assert!(message("/v1/info").contains("too old"));
        assert!(message("/v99999999.1/info").contains("too new"));
    }
}
