//! Who asks. Nothing here shows a secret when it is printed.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What a registry knows a user by, as `docker login` keeps it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        username: String,
        /// The password, or an access token that stands for it.
        password: String,
    },
    /// An identity token: what the token server gave for a password, and gives access tokens for.
    IdentityToken(String),
    /// An access token for the registry itself, used as it is.
    RegistryToken(String),
}

impl Credentials {
    /// A name and a password.
    pub fn password(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password { username: username.into(), password: password.into() }
    }

    /// The name, where there is one.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::Password { username, .. } => Some(username),
            Self::IdentityToken(_) | Self::RegistryToken(_) => None,
        }
    }

    /// The value of `Authorization` for a challenge that wants a password (RFC 7617).
    pub(crate) fn basic(&self) -> Option<String> {
        let Self::Password { username, password } = self else { return None };
        Some(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => write!(f, "Password({username:?}, …)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
            Self::RegistryToken(_) => f.write_str("RegistryToken(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let all = [
            Credentials::password("ann", "hush"),
            Credentials::IdentityToken("hush".to_owned()),
            Credentials::RegistryToken("hush".to_owned()),
        ];
        assert!(!format!("{all:?}").contains("hush"));
        assert!(format!("{all:?}").contains("ann"));
    }

    #[test]
    fn only_a_password_answers_a_basic_challenge() {
        assert_eq!(Credentials::password("ann", "a:b").basic().unwrap(), "Basic YW5uOmE6Yg==");
        assert_eq!(Credentials::IdentityToken("x".to_owned()).basic(), None);
    }
}
