//! The user's logins as builds ask for them, while an engine pulls and pushes on the user's behalf.

use minke_build_client::{Login, Logins};

use crate::config_file::ConfigFile;

/// The logins of a `config.json`.
pub(crate) struct UserLogins(pub(crate) ConfigFile);

impl Logins for UserLogins {
    fn login(&self, registry: &str) -> Result<Option<Login>, String> {
        let found = self.0.credentials(registry).map_err(|error| error.to_string())?;
        let (user, secret) = match found.identity_token.is_empty() {
            true => (found.username, found.password),
            false => (String::new(), found.identity_token),
        };
        Ok((!secret.is_empty()).then_some(Login { user, secret }))
    }
}
