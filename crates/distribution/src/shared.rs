//! What all handles of one [`Distribution`](crate::Distribution) share: connections, tokens, and what was
//! learnt about hosts.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use minke_tls::Trust;
use reqwest::header::HeaderMap;
use tokio::{task::spawn_blocking, time::Instant};
use url::Url;

use crate::{
    Credentials, RegistrySettings, SettingsError,
    auth::Auth,
    certificates::{self, Found},
    endpoint::{self, Endpoint, HUB, Plan, SHUNNED},
    insecure::{InsecureRegistries, Judgement, authority},
    session::Session,
    transport::Transport,
};

/// See the module.
pub(crate) struct Shared {
    pub(crate) settings: RegistrySettings,
    insecure: InsecureRegistries,
    mirrors: Vec<Url>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) auth: Auth,
    /// Insecure hosts that turned out not to speak TLS.
    plain: Mutex<HashSet<String>>,
    /// Stand-ins that failed, and since when.
    shunned: Mutex<HashMap<Url, Instant>>,
}

impl Shared {
    pub(crate) fn new(settings: RegistrySettings) -> Result<Self, SettingsError> {
        let (insecure, mirrors) = settings.parsed()?;
        let transport = Arc::new(Transport::new(&settings)?);
        Ok(Self {
            settings,
            insecure,
            mirrors,
            transport,
            auth: Auth::default(),
            plain: Mutex::default(),
            shunned: Mutex::default(),
        })
    }

    /// The endpoints of a registry (`docker.io`, `host[:port]`), as the files of this host say now.
    pub(crate) async fn endpoints(
        self: &Arc<Self>,
        registry: &str,
    ) -> Result<Vec<Arc<Endpoint>>, SettingsError> {
        let (shared, name) = (self.clone(), registry.to_owned());
        let prepared = self.blocking(registry, move || shared.prepare(&name)).await?;
        let mut endpoints = Vec::new();
        for prepared in prepared {
            endpoints.push(Arc::new(self.complete(prepared).await));
        }
        Ok(endpoints)
    }

    /// One endpoint at an address of its own, trusted as its host's folder says.
    pub(crate) async fn endpoint_at(self: &Arc<Self>, plan: Plan) -> Result<Endpoint, SettingsError> {
        let (shared, host) = (self.clone(), authority(&plan.base));
        let name = host.clone();
        let trust = self.blocking(&name, move || shared.read_trust(&host)).await?.unwrap_or_default();
        Ok(self.complete(Prepared { plan, trust, headers: HeaderMap::new() }).await)
    }

    /// How a host is trusted that is none of the endpoints; `None` where its folder doesn't say.
    pub(crate) async fn trust_of(self: &Arc<Self>, host: String) -> Result<Option<Trust>, SettingsError> {
        let (shared, name) = (self.clone(), host.clone());
        self.blocking(&name, move || shared.read_trust(&host)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        registry: &str,
        read: impl FnOnce() -> Result<T, SettingsError> + Send + 'static,
    ) -> Result<T, SettingsError> {
        let read = spawn_blocking(read).await;
        read.unwrap_or_else(|_| Err(SettingsError::Thread(registry.to_owned())))
    }

    fn read_trust(&self, host: &str) -> Result<Option<Trust>, SettingsError> {
        self.transport.system_roots();
        certificates::trust_of(&self.settings.certificate_folders, host)
    }

    /// Reads what there is about a registry. Blocks.
    fn prepare(&self, registry: &str) -> Result<Vec<Prepared>, SettingsError> {
        self.transport.system_roots();
        let folders = &self.settings.certificate_folders;
        let found = match certificates::find(folders, registry)? {
            Found::Nothing if registry == HUB => {
                certificates::find(folders, &authority(&endpoint::itself(registry)?.base))?
            }
            found => found,
        };
        match found {
            Found::HostsToml(folder, file) => self.with_file(registry, &folder, file),
            Found::Certificates(trust) => self.with_trust(registry, trust),
            Found::Nothing => self.with_trust(registry, Trust::default()),
        }
    }

    fn with_trust(&self, registry: &str, trust: Trust) -> Result<Vec<Prepared>, SettingsError> {
        let plans =
            endpoint::plan(registry, &self.mirrors, None, |_| SettingsError::Host(registry.to_owned()));
        let prepare = |plan: Plan| match plan.is_registry {
            true => Ok(Prepared { plan, trust: trust.clone(), headers: HeaderMap::new() }),
            false => self.prepare_mirror(plan),
        };
        plans?.into_iter().map(prepare).collect()
    }

    fn with_file(
        &self,
        registry: &str,
        folder: &Path,
        file: crate::hosts_toml::HostsToml,
    ) -> Result<Vec<Prepared>, SettingsError> {
        let path: PathBuf = folder.join("hosts.toml");
        let wrong = |reason| SettingsError::Address { path: path.clone(), reason };
        let prepare = |plan: Plan| {
            let Some(options) = &plan.options else { return self.prepare_mirror(plan) };
            let trust = certificates::trust(folder, options)?;
            let headers = endpoint::headers(options, wrong)?;
            Ok(Prepared { plan, trust, headers })
        };
        endpoint::plan(registry, &self.mirrors, Some(file), wrong)?.into_iter().map(prepare).collect()
    }

    fn prepare_mirror(&self, plan: Plan) -> Result<Prepared, SettingsError> {
        let folders = &self.settings.certificate_folders;
        let trust = certificates::trust_of(folders, &authority(&plan.base))?.unwrap_or_default();
        Ok(Prepared { plan, trust, headers: HeaderMap::new() })
    }

    async fn complete(&self, Prepared { plan, mut trust, headers }: Prepared) -> Endpoint {
        let (unverified, networks) = match self.insecure.judge(&plan.base) {
            Judgement::Secure => (false, Arc::default()),
            Judgement::Insecure => (true, Arc::default()),
            Judgement::ByAddress if self.leads_into_networks(&plan.base).await => {
                (true, self.insecure.networks())
            }
            Judgement::ByAddress => (false, Arc::default()),
        };
        trust.verify &= !unverified;
        Endpoint {
            insecure: unverified || plan.base.scheme() == "http",
            either_scheme: unverified && !plan.scheme_is_given,
            dial_timeout: plan.options.and_then(|options| options.dial_timeout),
            base: plan.base,
            capabilities: plan.capabilities,
            is_registry: plan.is_registry,
            trust,
            networks,
            headers,
            has_answered: AtomicBool::new(false),
        }
    }

    /// Whether a host's name leads into the insecure networks. A proxy looks names up by itself, so with one
    /// nothing is known.
    async fn leads_into_networks(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        if self.settings.proxies.of(url).is_some() {
            return false;
        }
        let found = self.transport.names.lookup(host).await.unwrap_or_default();
        found.into_iter().any(|address| self.insecure.contains(address))
    }

    /// Whether an address that is no endpoint's was named insecure.
    pub(crate) fn is_insecure(&self, url: &Url) -> bool {
        self.insecure.judge(url) == Judgement::Insecure
    }

    /// Somebody who speaks to an endpoint. The credentials are for the registry itself alone.
    pub(crate) fn session(
        self: &Arc<Self>,
        endpoint: Arc<Endpoint>,
        credentials: Option<&Arc<Credentials>>,
    ) -> Session {
        let credentials = credentials.filter(|_| endpoint.is_registry).cloned();
        Session { shared: self.clone(), endpoint, credentials }
    }

    /// Whether an insecure host is known not to speak TLS.
    pub(crate) fn is_plain(&self, url: &Url) -> bool {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner).contains(&authority(url))
    }

    /// Remembers, or forgets, that an insecure host does not speak TLS.
    pub(crate) fn set_plain(&self, url: &Url, is_plain: bool) {
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        match is_plain {
            true => plain.insert(authority(url)),
            false => plain.remove(&authority(url)),
        };
    }

    /// Leaves a stand-in alone for a while.
    pub(crate) fn shun(&self, endpoint: &Endpoint) {
        let mut shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned.insert(endpoint.base.clone(), Instant::now());
    }

    /// Whether a stand-in failed a short while ago.
    pub(crate) fn is_shunned(&self, endpoint: &Endpoint) -> bool {
        let mut shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned.retain(|_, since| since.elapsed() < SHUNNED);
        shunned.contains_key(&endpoint.base)
    }
}

/// An endpoint before its name is looked up.
struct Prepared {
    plan: Plan,
    trust: Trust,
    headers: HeaderMap,
}
