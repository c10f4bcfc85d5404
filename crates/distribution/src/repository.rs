//! A repository of a registry, as one user sees it.

use std::{fmt, sync::Arc};

use minke_model::{Digest, Reference, reference::is_tag};
use tokio::sync::OnceCell;

use crate::{
    Credentials, Error, SettingsError, endpoint::Endpoint, hosts_toml::Capability, retry::Hope,
    session::Session, shared::Shared,
};

/// A repository. Clones share everything, and all methods may run at the same time.
///
/// What the files of this host say about the registry is read once, at the first request.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    name: Reference,
    credentials: Option<Arc<Credentials>>,
    endpoints: OnceCell<Vec<Arc<Endpoint>>>,
}

/// Which manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The one that a tag names now.
    Tag(String),
    /// The one with this digest.
    Digest(Digest),
}

impl Target {
    /// What a reference names: its digest, else its tag, else `latest`.
    pub fn of(reference: &Reference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Self::Digest(digest),
            (None, tag) => Self::Tag(tag.unwrap_or("latest").to_owned()),
        }
    }

    /// The last part of its address.
    pub(crate) fn word(&self) -> Result<String, Error> {
        match self {
            Self::Digest(digest) => Ok(digest.to_string()),
            Self::Tag(tag) if is_tag(tag) => Ok(tag.clone()),
            Self::Tag(tag) => Err(Error::Argument { what: "the tag", text: tag.clone() }),
        }
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Digest(digest) => Some(*digest),
            Self::Tag(_) => None,
        }
    }
}

impl Repository {
    pub(crate) fn new(shared: Arc<Shared>, name: &Reference, credentials: Option<Credentials>) -> Self {
        let (name, credentials) = (name.clone(), credentials.map(Arc::new));
        Self { inner: Arc::new(Inner { shared, name, credentials, endpoints: OnceCell::new() }) }
    }

    /// The name that it was made with.
    pub fn name(&self) -> &Reference {
        &self.inner.name
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    async fn endpoints(&self) -> Result<&[Arc<Endpoint>], Error> {
        let Inner { shared, name, endpoints, .. } = &*self.inner;
        Ok(endpoints.get_or_try_init(|| shared.endpoints(name.domain())).await?)
    }

    /// Those that can be read from, in order. Stand-ins that failed a moment ago are left out.
    pub(crate) async fn readers(&self, capability: Capability) -> Result<Vec<Session>, Error> {
        let all = self.endpoints().await?;
        let mut able: Vec<_> = all.iter().filter(|endpoint| endpoint.can(capability)).cloned().collect();
        let last = able.pop().ok_or_else(|| self.no_endpoint(capability))?;
        able.retain(|endpoint| !self.inner.shared.is_shunned(endpoint));
        able.push(last);
        Ok(able.into_iter().map(|endpoint| self.session(endpoint)).collect())
    }

    /// The one that is written to.
    pub(crate) async fn writer(&self) -> Result<Session, Error> {
        let all = self.endpoints().await?;
        let able = all.iter().find(|endpoint| endpoint.is_registry && endpoint.can(Capability::Push));
        able.map(|endpoint| self.session(endpoint.clone())).ok_or_else(|| self.no_endpoint(Capability::Push))
    }

    /// The registry itself, for what stand-ins know nothing of.
    pub(crate) async fn itself(&self) -> Result<Session, Error> {
        let all = self.endpoints().await?;
        let able = all.iter().rfind(|endpoint| endpoint.is_registry);
        able.map(|endpoint| self.session(endpoint.clone())).ok_or_else(|| self.no_endpoint(Capability::Pull))
    }

    fn session(&self, endpoint: Arc<Endpoint>) -> Session {
        self.inner.shared.session(endpoint, self.inner.credentials.as_ref())
    }

    fn no_endpoint(&self, capability: Capability) -> Error {
        let action = match capability {
            Capability::Pull => "pull",
            Capability::Resolve => "resolve",
            Capability::Push => "push",
        };
        SettingsError::NoEndpoint { registry: self.inner.name.domain().to_owned(), action }.into()
    }

    /// The first answer that is one. What a stand-in can't do is no error, as long as something comes after
    /// it.
    pub(crate) async fn first<T, F: Future<Output = Result<T, Error>>>(
        &self,
        capability: Capability,
        ask: impl Fn(Session) -> F,
    ) -> Result<T, Error> {
        let mut sessions = self.readers(capability).await?.into_iter().peekable();
        loop {
            let Some(session) = sessions.next() else { return Err(self.no_endpoint(capability)) };
            let endpoint = session.endpoint.clone();
            match ask(session).await {
                Err(error) if sessions.peek().is_some() => self.passed_over(&endpoint, &error),
                result => return result,
            }
        }
    }

    /// Notes that the next endpoint is tried instead of this one, which is left alone if it is not well.
    pub(crate) fn passed_over(&self, endpoint: &Endpoint, error: &Error) {
        tracing::debug!(error = error as &dyn std::error::Error, "going on without {}", endpoint.host());
        let unwell = matches!(error, Error::Transport { .. }) || error.hope() != Hope::None;
        if unwell && !endpoint.is_registry {
            self.inner.shared.shun(endpoint);
        }
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Repository").field(&self.inner.name.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_its_digest_before_its_tag() {
        let of = |text: &str| Target::of(&text.parse().unwrap());
        let digest = Digest::from_bytes([7; 32]);
        assert_eq!(of("a"), Target::Tag("latest".to_owned()));
        assert_eq!(of("a:v1"), Target::Tag("v1".to_owned()));
        assert_eq!(of(&format!("a:v1@{digest}")), Target::Digest(digest));
    }

    #[test]
    fn a_tag_is_no_path() {
        let error = Target::Tag("../../x".to_owned()).word().unwrap_err().to_string();
        assert_eq!(error, "the tag \"../../x\" is not what a registry can be asked for");
    }
}
