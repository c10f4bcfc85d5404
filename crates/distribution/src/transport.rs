//! The HTTP clients, one for each way of trusting: they pool connections, know proxies and names, and follow
//! nothing by themselves. What they report is turned into words here.

use std::{
    collections::HashMap,
    error::Error as StdError,
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use minke_tls::{Trust, client_config};
use reqwest::{Client, ClientBuilder, Proxy, Request, Response, header::HeaderValue, redirect::Policy};
use rustls_pki_types::CertificateDer;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    RegistrySettings, SettingsError, TransportError,
    names::{NameError, Names, Within},
    pace,
    proxy::ProxySettings,
    source::Meter,
};

/// The most clients that are kept: each new certificate makes one.
const CLIENTS: usize = 64;
/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(60);
/// What may be under way of one HTTP/2 stream: some megabytes, since registries are far.
const STREAM_WINDOW: u32 = 2 << 20;
/// What may be under way of all streams of one connection. It is large, so that streams whose readers pause
/// don't hold the others up.
const CONNECTION_WINDOW: u32 = 128 << 20;

/// The HTTP clients.
pub(crate) struct Transport {
    user_agent: HeaderValue,
    connect_timeout: Duration,
    stall_timeout: Duration,
    proxies: ProxySettings,
    pub(crate) names: Names,
    roots: OnceLock<Vec<CertificateDer<'static>>>,
    wires: Mutex<HashMap<Profile, Wire>>,
    plain: OnceLock<Client>,
}

/// What makes connections differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Profile {
    /// Whom to trust.
    pub(crate) trust: Trust,
    /// The networks that the host's name has to lead to; empty: anywhere.
    pub(crate) networks: Arc<[IpNet]>,
    /// How long a connection may take to be made; `None`: as for all hosts.
    pub(crate) dial_timeout: Option<Duration>,
}

/// A client, and how long its connections may take to be made.
#[derive(Clone)]
pub(crate) struct Wire {
    client: Client,
    connect_timeout: Duration,
}

/// How a body's sending is watched.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    /// What was taken of it.
    pub(crate) meter: &'a Meter,
    /// Where it begins in the whole.
    pub(crate) offset: u64,
    /// How long it is.
    pub(crate) length: u64,
    /// Who wants to know.
    pub(crate) progress: &'a (dyn Fn(u64) + Send + Sync),
}

impl Transport {
    pub(crate) fn new(settings: &RegistrySettings) -> Result<Self, SettingsError> {
        let user_agent = HeaderValue::try_from(&settings.user_agent)
            .map_err(|_| SettingsError::UserAgent(settings.user_agent.clone()))?;
        Ok(Self {
            user_agent,
            connect_timeout: settings.connect_timeout,
            stall_timeout: settings.stall_timeout,
            proxies: settings.proxies.clone(),
            names: Names::new(settings.names.clone()),
            roots: OnceLock::new(),
            wires: Mutex::default(),
            plain: OnceLock::new(),
        })
    }

    /// The certificate authorities of this host. The first call reads them, and blocks.
    pub(crate) fn system_roots(&self) -> &[CertificateDer<'static>] {
        self.roots.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::debug!(%error, "reading this host's certificate authorities");
            }
            if found.certs.is_empty() {
                tracing::warn!("this host has no certificate authorities: install ca-certificates");
            }
            found.certs
        })
    }

    /// The client for a way of connecting; `host` names it in errors.
    pub(crate) fn wire(&self, host: &str, profile: Profile) -> Result<Wire, SettingsError> {
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wire) = wires.get(&profile) {
            return Ok(wire.clone());
        }
        let wire = self.build(host, &profile)?;
        if wires.len() >= CLIENTS {
            wires.clear();
        }
        wires.insert(profile, wire.clone());
        Ok(wire)
    }

    /// The client of files by URL, of anybody's: it goes where it is sent on to, as a browser does. The first call reads the
    /// certificate authorities, and blocks.
    pub(crate) fn plain(&self) -> Result<Client, SettingsError> {
        if let Some(client) = self.plain.get() {
            return Ok(client.clone());
        }
        let client = self
            .builder("a file's server", &Trust::default(), Arc::default())?
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.stall_timeout)
            .build()
            .map_err(SettingsError::Client)?;
        Ok(self.plain.get_or_init(|| client).clone())
    }

    /// What all clients have in common.
    fn builder(
        &self,
        host: &str,
        trust: &Trust,
        networks: Arc<[IpNet]>,
    ) -> Result<ClientBuilder, SettingsError> {
        let tls = client_config(trust, self.system_roots(), &["h2", "http/1.1"])
            .map_err(|source| SettingsError::Tls { host: host.to_owned(), source })?;
        let proxies = self.proxies.clone();
        Ok(Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(self.user_agent.clone())
            .proxy(Proxy::custom(move |url| proxies.of(url).cloned()))
            .dns_resolver(Arc::new(Within { names: self.names.clone(), networks }))
            .pool_idle_timeout(IDLE))
    }

    fn build(&self, host: &str, profile: &Profile) -> Result<Wire, SettingsError> {
        let connect_timeout = profile.dial_timeout.unwrap_or(self.connect_timeout);
        let client = self
            .builder(host, &profile.trust, profile.networks.clone())?
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(connect_timeout)
            // A peer that is gone, or that stopped reading, is noticed by the kernel.
            .tcp_user_timeout(self.stall_timeout)
            .tcp_keepalive(self.stall_timeout)
            // Many streams share one connection: it must not be used again once it is dead.
            .http2_keep_alive_interval(self.stall_timeout / 2)
            .http2_keep_alive_timeout(self.stall_timeout / 2)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .build()
            .map_err(SettingsError::Client)?;
        Ok(Wire { client, connect_timeout })
    }

    /// Sends a request and waits for the headers of its answer: at most `patience`, or until its connection
    /// can't be made any more; with a body that is watched, at most `patience` after it was sent.
    pub(crate) async fn send(
        &self,
        wire: &Wire,
        request: Request,
        patience: Duration,
        watch: Option<Watch<'_>>,
    ) -> Result<Response, TransportError> {
        let answer = wire.client.execute(request);
        let answered = match watch {
            None => {
                let longest = patience.max(wire.connect_timeout);
                timeout(longest, answer).await.map_err(|_| TransportError::Stalled(longest))?
            }
            Some(watch) => self.watched(answer, patience.max(wire.connect_timeout), watch).await?,
        };
        answered.map_err(|error| match error.is_connect() && error.is_timeout() {
            true => TransportError::ConnectTimeout(wire.connect_timeout),
            false => explain(&error),
        })
    }

    async fn watched<T>(
        &self,
        answer: impl Future<Output = T>,
        patience: Duration,
        watch: Watch<'_>,
    ) -> Result<T, TransportError> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let (taken, last) = watch.meter.read();
            let taking = pace::patience_of_sender(self.stall_timeout, taken).max(self.connect_timeout);
            let longest = if taken < watch.length { taking } else { taking.max(patience) };
            tokio::select! {
                answer = answer.as_mut() => {
                    (watch.progress)(watch.offset + watch.meter.read().0);
                    return Ok(answer);
                }
                () = watch.meter.moved() => (watch.progress)(watch.offset + watch.meter.read().0),
                () = sleep_until(last + longest) => {
                    if watch.meter.read().1 + longest <= Instant::now() {
                        return Err(TransportError::Stalled(longest));
                    }
                }
            }
        }
    }
}

/// A failure of the client in words. Its own has the whole address in it, which may be a secret.
pub(crate) fn explain(error: &reqwest::Error) -> TransportError {
    let all: Vec<_> = causes(error).collect();
    if let Some(name) = all.iter().find_map(|cause| cause.downcast_ref::<NameError>()) {
        let text = chain(name);
        return match name {
            NameError::Unknown(host) => TransportError::NoSuchHost(host.clone()),
            NameError::Outside(_) | NameError::NoServers { .. } | NameError::Failed { .. } => {
                TransportError::Lookup(text)
            }
        };
    }
    let root = all.last().map_or_else(String::new, ToString::to_string);
    if let Some(tls) = all.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return match tls {
            rustls::Error::InvalidMessage(_) => TransportError::NoTls(root),
            _ => TransportError::Tls(tls.to_string()),
        };
    }
    if !error.is_connect() {
        return TransportError::Cut(root);
    }
    let io = all.iter().find_map(|cause| cause.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        // Nobody says "connection refused" this way: the handshake was cut short.
        Some(io::ErrorKind::UnexpectedEof) => TransportError::NoTls(root),
        Some(io::ErrorKind::ConnectionRefused) => TransportError::Refused(root),
        _ => TransportError::Connect(root),
    }
}

/// An error and what it comes from. What an I/O error carries is its cause, though it doesn't say so.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        carried.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    let all: Vec<_> = causes(error).map(ToString::to_string).collect();
    all.join(": ")
}
