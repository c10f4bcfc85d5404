//! The client of all registries.

use std::{fmt, sync::Arc};

use minke_model::Reference;

use crate::{
    Credentials, Error, Login, RegistrySettings, Repository, SearchFilters, SearchResult, SettingsError,
    login, search, shared::Shared,
};

/// A client. Clones share connections, tokens and what was learnt about hosts.
#[derive(Clone)]
pub struct Distribution {
    shared: Arc<Shared>,
}

impl Distribution {
    /// A client with these settings. Nothing is read or connected yet.
    ///
    /// # Errors
    /// [`SettingsError`] when the settings themselves are wrong; files that they name are read later.
    pub fn new(settings: RegistrySettings) -> Result<Self, SettingsError> {
        Ok(Self { shared: Arc::new(Shared::new(settings)?) })
    }

    /// The repository of this name, as seen by whoever the credentials are of. Tag and digest of the
    /// reference don't matter. Mirrors and other stand-ins never get the credentials.
    pub fn repository(&self, name: &Reference, credentials: Option<Credentials>) -> Repository {
        Repository::new(self.shared.clone(), name, credentials)
    }

    /// Tries whether a registry takes these credentials. `server` is `host[:port]`, with or without scheme
    /// and path; empty or `https://index.docker.io/v1/` is Docker Hub.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] when it does not; [`Error`] when it could not be asked.
    pub async fn login(&self, server: &str, credentials: &Credentials) -> Result<Login, Error> {
        login::login(&self.shared, server, credentials).await
    }

    /// The client of files by URL, with these settings' proxies, names and patience. The first call reads the host's
    /// certificate authorities, and blocks.
    ///
    /// # Errors
    /// [`SettingsError`] when TLS can't be prepared.
    pub fn downloads(&self) -> Result<reqwest::Client, SettingsError> {
        self.shared.transport.plain()
    }

    /// Looks for repositories: at most `limit`, 25 if that is not said, and never more than 100. The term may
    /// begin with a registry, `host:port/term`; else it is Docker Hub that is asked.
    ///
    /// # Errors
    /// [`Error`], most often because the registry has no search.
    pub async fn search(
        &self,
        term: &str,
        limit: Option<u32>,
        filters: &SearchFilters,
        credentials: Option<Credentials>,
    ) -> Result<Vec<SearchResult>, Error> {
        search::search(&self.shared, term, limit, filters, credentials).await
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution").finish_non_exhaustive()
    }
}
