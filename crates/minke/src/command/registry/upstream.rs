//! Another registry, as the one that this one is the cache of.

use std::{io, path::Path};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use minke_distribution::{
    Credentials, Distribution, Error, ProxySettings, RegistrySettings, Repository, Target,
};
use minke_registry::{
    Digest, Reference, RepositoryName, Upstream, UpstreamBlob, UpstreamError, UpstreamManifest,
};

use crate::{daemon::CERTIFICATE_FOLDERS, failure::Failure};

/// The registry behind a cache.
pub(super) struct Remote {
    client: Distribution,
    host: String,
    credentials: Option<Credentials>,
}

impl Remote {
    /// The registry `address`: a host as image names have it, or with `https://` or `http://` before it. The password is
    /// in a file, so that it is in no list of processes.
    ///
    /// # Errors
    /// When the address is none, or the file can't be read.
    pub(super) fn new(address: &str, user: Option<String>, password: Option<&Path>) -> Result<Self, Failure> {
        let (scheme, host) = address.split_once("://").unwrap_or(("https", address));
        let host = host.trim_end_matches('/').to_owned();
        let wrong = |what: String| Failure::new(format!("minke registry: --cache-of {address}: {what}"));
        if !matches!(scheme, "https" | "http") || name(&host, "x").is_err() {
            return Err(wrong(
                "want a registry such as docker.io or https://registry.example:5000".to_owned(),
            ));
        }
        let insecure = if scheme == "http" { vec![host.clone()] } else { Vec::new() };
        let settings = RegistrySettings {
            insecure_registries: insecure,
            certificate_folders: CERTIFICATE_FOLDERS.map(Into::into).into(),
            proxies: ProxySettings::from_environment().map_err(|error| wrong(error.to_string()))?,
            // A client waits for each answer.
            retries: 2,
            ..RegistrySettings::default()
        };
        let client = Distribution::new(settings).map_err(|error| wrong(error.to_string()))?;
        let credentials = match (user, password) {
            (Some(user), Some(path)) => {
                let password = std::fs::read_to_string(path).map_err(|error| {
                    Failure::doing(format!("minke registry: read {}", path.display()), error)
                })?;
                Some(Credentials::password(user, password.trim_end_matches(['\r', '\n'])))
            }
            (None, None) => None,
            _ => {
                let problem = "minke registry: --upstream-user and --upstream-password-file need each other";
                return Err(Failure::new(problem));
            }
        };
        Ok(Self { client, host, credentials })
    }

    fn repository(&self, repository: &RepositoryName) -> Result<Repository, UpstreamError> {
        let name = name(&self.host, repository.as_str())
            .map_err(|error| fault(format!("name {repository} at {}", self.host), error))?;
        Ok(self.client.repository(&name, self.credentials.clone()))
    }
}

fn name(host: &str, path: &str) -> Result<minke_model::Reference, minke_model::ReferenceError> {
    // Docker Hub's own images are below `library/` there, and asked for without it.
    format!("{host}/{path}").parse()
}

fn fault(action: String, error: impl std::error::Error + Send + Sync + 'static) -> UpstreamError {
    UpstreamError { action, source: Box::new(error) }
}

/// This client knows sha256 only; what is named otherwise is as good as not there.
fn sha256(digest: &Digest) -> Option<minke_model::Digest> {
    digest.to_string().parse().ok()
}

fn theirs(digest: minke_model::Digest) -> Option<Digest> {
    digest.to_string().parse().ok()
}

/// `None` for "there is no such thing".
fn found<T>(result: Result<T, Error>, action: impl FnOnce() -> String) -> Result<Option<T>, UpstreamError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(fault(action(), error)),
    }
}

impl Upstream for Remote {
    fn resolve<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Option<Digest>, UpstreamError>> {
        async move {
            let target = match reference {
                Reference::Tag(tag) => Target::Tag(tag.to_string()),
                Reference::Digest(digest) => match sha256(digest) {
                    Some(digest) => Target::Digest(digest),
                    None => return Ok(None),
                },
            };
            let descriptor = self.repository(repository)?.resolve(&target).await;
            let action = || format!("ask {} for {repository}:{reference}", self.host);
            Ok(found(descriptor, action)?.and_then(|descriptor| theirs(descriptor.digest)))
        }
        .boxed()
    }

    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
        _limit: usize,
    ) -> BoxFuture<'a, Result<Option<UpstreamManifest>, UpstreamError>> {
        async move {
            let Some(wanted) = sha256(digest) else { return Ok(None) };
            // Longer ones than it keeps, this client doesn't take either.
            let fetched = self.repository(repository)?.manifest(&Target::Digest(wanted)).await;
            let fetched = found(fetched, || format!("fetch {repository}@{digest} from {}", self.host))?;
            Ok(fetched
                .map(|fetched| UpstreamManifest { media_type: fetched.media_type, bytes: fetched.bytes }))
        }
        .boxed()
    }

    fn blob<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Option<UpstreamBlob>, UpstreamError>> {
        async move {
            let Some(wanted) = sha256(digest) else { return Ok(None) };
            let repository = self.repository(repository)?;
            let size =
                found(repository.blob_size(&wanted).await, || format!("ask {} for {digest}", self.host))?;
            let Some(size) = size.flatten() else { return Ok(None) };
            let content = repository.blob(&wanted, size).map(|piece| piece.map_err(io::Error::other));
            Ok(Some(UpstreamBlob { size, content: content.boxed() }))
        }
        .boxed()
    }
}
