//! What proves who the user is at a registry: read from and kept in `config.json`, or by a credential helper that it
//! names, and told to the engine in headers.
//!
//! ```text
//!   login ──▶ keep ──┬─▶ config.json: auths                        X-Registry-Auth ──▶ pull, push, search
//!   logout ─▶ drop ──┴─▶ docker-credential-<name>  ──▶ of(server) ─┘
//! ```

mod builds;
mod helper;
pub(crate) mod server;

use std::{collections::BTreeMap, path::Path};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use minke_docker_client::{Client, HeaderMap};
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use self::builds::UserLogins;
use self::helper::{Helper, HelperError};
use crate::config_file::{
    AuthEntry, ConfigFile,
    edit::{self, EditError},
};

/// Credentials in the form of the Docker Engine API ("AuthConfig").
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) struct Credentials {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) password: String,
    /// What the registry gave out in exchange for a password.
    #[serde(rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    pub(crate) identity_token: String,
    /// A bearer token that is sent as it is.
    #[serde(rename = "registrytoken", skip_serializing_if = "String::is_empty")]
    pub(crate) registry_token: String,
    /// The registry they are for.
    #[serde(rename = "serveraddress", skip_serializing_if = "String::is_empty")]
    pub(crate) server: String,
}

impl std::fmt::Debug for Credentials {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?} at {:?})", self.username, self.server)
    }
}

/// Why credentials were not read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// A helper can't, or there is none of this name.
    #[error(transparent)]
    Helper(#[from] HelperError),
    /// The file can't be rewritten.
    #[error(transparent)]
    File(#[from] EditError),
    /// An entry of the file makes no sense.
    #[error("the entry {server:?} of auths in config.json is not user:password in base64")]
    Entry { server: String },
}

impl Credentials {
    /// Whether there is nothing to show to a registry.
    pub(crate) fn is_empty(&self) -> bool {
        [&self.username, &self.password, &self.identity_token, &self.registry_token]
            .iter()
            .all(|part| part.is_empty())
    }

    fn of_entry(server: &str, entry: &AuthEntry) -> Result<Self, CredentialError> {
        let (username, password) = match entry.auth.as_str() {
            "" => (entry.username.clone(), entry.password.clone()),
            text => decoded(text).ok_or_else(|| CredentialError::Entry { server: server.to_owned() })?,
        };
        Ok(Self {
            username,
            password,
            identity_token: entry.identitytoken.clone(),
            registry_token: entry.registrytoken.clone(),
            server: server.to_owned(),
        })
    }
}

/// `user:password`; old versions of docker ended it with a zero byte.
fn decoded(text: &str) -> Option<(String, String)> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':').filter(|(user, _)| !user.is_empty())?;
    Some((user.to_owned(), password.trim_matches('\0').to_owned()))
}

/// Reading and keeping, by the registry's key (see [`server`]).
impl ConfigFile {
    /// What the user is known by at `server`; empty where there is nothing.
    ///
    /// # Errors
    /// When a helper fails or an entry makes no sense.
    pub(crate) fn credentials(&self, server: &str) -> Result<Credentials, CredentialError> {
        match self.helper(server) {
            Some(helper) => Ok(helper.get(server)?.unwrap_or_default()),
            None => match server::find(&self.auths, server) {
                Some(entry) => Credentials::of_entry(server, entry),
                None => Ok(Credentials::default()),
            },
        }
    }

    /// The same for every registry that this file or a helper knows. What can't be read is left out.
    pub(crate) fn all_credentials(&self) -> BTreeMap<String, Credentials> {
        let mut servers: Vec<String> = self.auths.keys().chain(self.cred_helpers.keys()).cloned().collect();
        if let Some(helper) = Helper::named(&self.creds_store) {
            servers.extend(helper.list().unwrap_or_default());
        }
        let known = servers.into_iter().filter_map(|server| {
            let credentials = self.credentials(&server).ok().filter(|found| !found.is_empty())?;
            Some((server, credentials))
        });
        known.collect()
    }

    /// Keeps credentials; those that a helper has leave only the registry's name in the file, as with docker.
    ///
    /// # Errors
    /// When the helper or the file refuses.
    pub(crate) fn keep(&self, credentials: &Credentials) -> Result<(), CredentialError> {
        let server = credentials.server.clone();
        let helper = self.helper(&server);
        if let Some(helper) = &helper {
            helper.store(credentials)?;
        }
        edit::auths(self.path.as_deref(), |auths| {
            let old = auths.get(&server).and_then(Value::as_object).cloned().unwrap_or_default();
            let shown = helper.is_none().then_some(credentials);
            auths.insert(server, entry(old, shown).into());
        })?;
        Ok(())
    }

    /// Forgets the credentials of every registry of these keys, also under names that only stand for them.
    ///
    /// # Errors
    /// When the helper or the file refuses.
    pub(crate) fn forget(&self, server: &str) -> Result<(), CredentialError> {
        let erased = self.helper(server).map(|helper| helper.erase(server));
        edit::auths(self.path.as_deref(), |auths| {
            auths.retain(|key, _| key != server && server::hostname(key) != server);
        })?;
        Ok(erased.transpose().map(drop)?)
    }

    /// Where credentials are kept in clear: this file, unless a helper has them.
    pub(crate) fn keeps_in_clear(&self, server: &str) -> Option<&Path> {
        self.path.as_deref().filter(|_| self.helper(server).is_none())
    }

    fn helper(&self, server: &str) -> Option<Helper> {
        match self.cred_helpers.get(server) {
            Some(name) => Helper::named(name),
            None => Helper::named(&self.creds_store),
        }
    }
}

/// The file's entry of a registry, with the fields that minke doesn't know; without secrets where a helper has them.
fn entry(old: Map<String, Value>, credentials: Option<&Credentials>) -> Map<String, Value> {
    let secrets = ["auth", "username", "password", "identitytoken", "registrytoken"];
    let mut entry: Map<_, _> =
        old.into_iter().filter(|(field, _)| !secrets.contains(&field.as_str())).collect();
    let mut set = |field: &str, value: String| {
        if !value.is_empty() {
            entry.insert(field.to_owned(), value.into());
        }
    };
    if let Some(Credentials { username, password, identity_token, registry_token, .. }) = credentials {
        if !username.is_empty() || !password.is_empty() {
            set("auth", BASE64_STANDARD.encode(format!("{username}:{password}")));
        }
        set("identitytoken", identity_token.clone());
        set("registrytoken", registry_token.clone());
    }
    entry
}

/// `X-Registry-Auth`, which docker sends also where it has nothing to say.
pub(crate) fn auth_header(credentials: &Credentials) -> Result<HeaderMap, minke_docker_client::Error> {
    Client::headers(&[("x-registry-auth", &encoded(credentials))])
}

/// `X-Registry-Config`: the credentials of all registries, for a build that may pull from any.
pub(crate) fn config_header(
    all: &BTreeMap<String, Credentials>,
) -> Result<HeaderMap, minke_docker_client::Error> {
    Client::headers(&[("x-registry-config", &encoded(all))])
}

/// JSON in base64 for URLs (Docker Engine API, "Authentication").
fn encoded(value: &impl Serialize) -> String {
    // Structures of texts always have a JSON form.
    BASE64_URL_SAFE.encode(serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests;
