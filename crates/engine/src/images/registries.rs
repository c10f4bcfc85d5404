//! The registries as this engine reaches them: its settings, and the calls that only ask.

use std::sync::OnceLock;

use bollard_stubs::models::{
    AuthResponse, DistributionInspect, ImageSearchResponseItem, OciDescriptor, OciPlatform,
};
use minke_distribution::{
    Distribution, HttpClient, ProxySettings, Refusal, RegistrySettings, Repository, SearchFilters, Target,
};
use minke_image::{manifest::Document, pull::LONGEST_DOCUMENT};
use minke_model::{Descriptor, Platform, Reference};

use crate::{Credentials, Engine, Error, ErrorKind, Filters, error::chain};

/// The client of registries. It reads the host's certificates when it is needed first: most engines of tests and
/// laptops never do, and that takes time and memory.
#[derive(Debug)]
pub(crate) struct Registries {
    settings: RegistrySettings,
    client: OnceLock<Result<Distribution, Error>>,
}

impl Registries {
    pub(crate) fn new(settings: RegistrySettings) -> Self {
        Self { settings, client: OnceLock::new() }
    }

    /// # Errors
    /// `InvalidParameter` when the settings make no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.client().map(drop)
    }

    fn client(&self) -> Result<&Distribution, Error> {
        let make = || {
            Distribution::new(self.settings.clone())
                .map_err(|error| Error::invalid(format!("the settings of registries: {}", chain(&error))))
        };
        self.client.get_or_init(make).as_ref().map_err(Clone::clone)
    }

    pub(super) fn repository(
        &self,
        name: &Reference,
        credentials: Option<Credentials>,
    ) -> Result<Repository, Error> {
        Ok(self.client()?.repository(name, credentials))
    }
}

/// How many blobs a push sends at the same time unless the configuration says otherwise; as Docker.
pub(crate) const UPLOADS_AT_ONCE: usize = 5;

/// How many layers come at the same time unless the configuration says otherwise. Docker's three leave a fast disk idle.
pub(crate) const DOWNLOADS_AT_ONCE: usize = 6;

impl Engine {
    /// The client of files by URL, as reached with this engine's settings. The first call reads the host's certificate
    /// authorities, and blocks.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] when the settings make no sense.
    pub fn http_client(&self) -> Result<HttpClient, Error> {
        let live = self.inner().live();
        let client = live.registries.client()?.downloads();
        client.map_err(|error| Error::invalid(format!("download files: {}", chain(&error))))
    }

    /// The proxies between this engine and the world.
    pub fn proxies(&self) -> ProxySettings {
        self.inner().live().settings.registries.proxies.clone()
    }

    /// A repository of a registry, as reached with this engine's settings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] when the settings make no sense.
    pub fn registry_repository(
        &self,
        name: &Reference,
        credentials: Option<Credentials>,
    ) -> Result<Repository, Error> {
        self.inner().live().registries.repository(name, credentials)
    }

    /// Checks credentials with a registry (`POST /auth`).
    ///
    /// # Errors
    /// [`ErrorKind::Unauthorized`] when the registry refuses them, [`ErrorKind::Internal`] when it can't be reached.
    pub async fn registry_login(
        &self,
        server: &str,
        credentials: &Credentials,
    ) -> Result<AuthResponse, Error> {
        let login = self.inner().live().registries.client()?.login(server, credentials).await;
        let login = login.map_err(|error| match &error {
            // In Docker's words, which programs look for.
            minke_distribution::Error::Unauthorized(refusal) if refusal.request.ends_with("/v2/") => {
                let url = refusal.request.split_once(' ').map_or(&*refusal.request, |(_, url)| url);
                let text =
                    format!("login attempt to {url} failed with status: {} Unauthorized", refusal.status);
                Error::new(ErrorKind::Unauthorized, text)
            }
            error => registry_error("log in", error),
        })?;
        Ok(AuthResponse {
            status: login.status,
            identity_token: Some(login.identity_token.unwrap_or_default()),
        })
    }

    /// Searches Docker Hub, or the registry that the term begins with.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] for an unknown filter, else what the registry says.
    pub async fn registry_search(
        &self,
        term: &str,
        limit: Option<u32>,
        filters: &Filters,
        credentials: Option<Credentials>,
    ) -> Result<Vec<ImageSearchResponseItem>, Error> {
        filters.expect(&["is-automated", "is-official", "stars"])?;
        let stars = filters.single("stars")?.map(str::parse).transpose();
        let stars = stars.map_err(|_| Error::invalid("invalid filter 'stars': want a number"))?;
        let wanted = SearchFilters {
            is_official: filters.boolean("is-official")?,
            is_automated: filters.boolean("is-automated")?,
            stars: stars.unwrap_or(0),
        };
        let found = self.inner().live().registries.client()?.search(term, limit, &wanted, credentials).await;
        let found = found.map_err(|error| registry_error("search", &error))?;
        let item = |result: minke_distribution::SearchResult| ImageSearchResponseItem {
            description: Some(result.description),
            is_official: Some(result.is_official),
            is_automated: Some(result.is_automated),
            name: Some(result.name),
            star_count: i64::try_from(result.star_count).ok(),
        };
        Ok(found.into_iter().map(item).collect())
    }

    /// What a registry has under a name, without pulling it (`GET /distribution/{name}/json`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] for a bad name, else what the registry says.
    pub async fn registry_inspect(
        &self,
        name: &str,
        credentials: Option<Credentials>,
    ) -> Result<DistributionInspect, Error> {
        let name: Reference = name.parse().map_err(|error| Error::invalid(format!("{error}")))?;
        let name = name.with_default_tag();
        let repository = self.inner().live().registries.repository(&name, credentials)?;
        let told = |error: minke_distribution::Error| {
            registry_error(&format!("inspect {}", name.familiar()), &error)
        };
        let fetched = repository.manifest(&Target::of(&name)).await.map_err(told)?;
        let descriptor = fetched.descriptor();
        let parsed = Document::parse(&descriptor.digest.to_string(), &descriptor.media_type, &fetched.bytes);
        let platforms = match parsed.map_err(|error| Error::internal("read the manifest", &error))? {
            Document::Index(index) => {
                index.manifests().iter().filter_map(|one| one.platform.clone()).collect()
            }
            Document::Manifest(manifest) => {
                let config = manifest.config();
                let config = repository
                    .blob_bytes(&config.digest, config.size, LONGEST_DOCUMENT)
                    .await
                    .map_err(told)?;
                Vec::from_iter(serde_json::from_slice::<Platform>(&config).ok())
            }
        };
        Ok(DistributionInspect {
            descriptor: described(&descriptor),
            platforms: platforms.iter().map(platform).collect(),
        })
    }
}

/// A descriptor in the Docker API's shape.
pub(super) fn described(descriptor: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: Some(descriptor.media_type.clone()),
        digest: Some(descriptor.digest.to_string()),
        size: i64::try_from(descriptor.size).ok(),
        urls: descriptor.urls.clone(),
        annotations: descriptor.annotations.clone().map(|annotations| annotations.into_iter().collect()),
        platform: descriptor.platform.as_ref().map(platform),
        artifact_type: descriptor.artifact_type.clone(),
        ..OciDescriptor::default()
    }
}

/// A platform in the Docker API's shape.
pub(super) fn platform(platform: &Platform) -> OciPlatform {
    OciPlatform {
        architecture: Some(platform.architecture.clone()),
        os: Some(platform.os.clone()),
        variant: platform.variant.clone(),
        ..OciPlatform::default()
    }
}

/// What a registry, or the way to it, said.
pub(super) fn registry_error(action: &str, error: &minke_distribution::Error) -> Error {
    use minke_distribution::Error as Fault;
    let (kind, text) = match error {
        Fault::NotFound(refusal) => (ErrorKind::NotFound, words(refusal)),
        Fault::Denied(refusal) => (ErrorKind::Forbidden, words(refusal)),
        Fault::Unauthorized(refusal) => (ErrorKind::Unauthorized, words(refusal)),
        Fault::TooManyRequests(refusal) => (ErrorKind::TooManyRequests, words(refusal)),
        Fault::Argument { .. } => (ErrorKind::InvalidParameter, chain(error)),
        _ => (ErrorKind::Internal, chain(error)),
    };
    Error::new(kind, format!("{action}: {text}"))
}

/// A refusal as Docker's users know it: `unauthorized: authentication required`, then what was asked.
pub(super) fn words(refusal: &Refusal) -> String {
    let code = match (&refusal.code, refusal.status) {
        (Some(code), _) => code.to_ascii_lowercase().replace('_', " "),
        (None, 401) => "unauthorized".to_owned(),
        (None, 403) => "denied".to_owned(),
        (None, 404) => "not found".to_owned(),
        (None, 429) => "toomanyrequests".to_owned(),
        (None, status) => format!("status {status}"),
    };
    format!("{code}: {} ({})", refusal.message, refusal.request)
}
