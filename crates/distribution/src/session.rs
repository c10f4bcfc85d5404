//! One request to one endpoint, from the first try to the last: authenticated, redirected, repeated.
//!
//! ```text
//!   ask ─▶ retries ─▶ attempt ─▶ 401? a token, once more ─▶ follow ─▶ redirects, whose secrets stay behind
//!                                                              └─▶ send: TLS, or for insecure hosts without
//! ```

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use minke_model::Digest;
use minke_tls::Trust;
use reqwest::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue},
};
use tokio::time::sleep;
use url::Url;

use crate::{
    Credentials, Error, Refusal, TransportError,
    answer::{self, Answer},
    auth::Proof,
    challenge::{Challenge, challenges},
    endpoint::Endpoint,
    redirect::{self, Redirect},
    retry::Hope,
    scope::Scopes,
    shared::Shared,
    source::{BlobSource, Meter, Part},
    transport::{Profile, Watch, Wire},
};

/// Somebody who asks one endpoint.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) credentials: Option<Arc<Credentials>>,
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload<'a>,
    /// What a token has to be for.
    pub(crate) scopes: Scopes,
    /// How long the headers of the answer may take.
    pub(crate) patience: Duration,
}

/// What is sent.
pub(crate) enum Payload<'a> {
    Empty,
    Bytes(Bytes),
    Part(Sending<'a>),
}

/// A part of a blob that is sent.
pub(crate) struct Sending<'a> {
    pub(crate) digest: Digest,
    pub(crate) source: &'a dyn BlobSource,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) progress: &'a (dyn Fn(u64) + Send + Sync),
}

/// What goes with a request, and where it may go.
#[derive(Default)]
pub(crate) struct Carried<'a> {
    /// The `Authorization`.
    pub(crate) authorization: Option<HeaderValue>,
    /// The token server that it is for; `None`: the endpoint.
    pub(crate) realm: Option<&'a Url>,
    /// Whether the body is a secret too, so that no redirect leads elsewhere.
    pub(crate) stays: bool,
    /// Whether the address was never meant to be the endpoint's, so that it may be plain.
    pub(crate) foreign: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(session: &Session, method: Method, url: Url, scopes: Scopes) -> Self {
        let patience = session.shared.settings.stall_timeout;
        Self { method, url, headers: HeaderMap::new(), body: Payload::Empty, scopes, patience }
    }

    /// With one more header.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    #[must_use]
    pub(crate) fn sending(mut self, body: Payload<'a>) -> Self {
        self.body = body;
        self
    }

    fn name(&self) -> String {
        answer::name(&self.method, &self.url)
    }
}

impl Session {
    /// Asks until there is an answer that is no refusal, or no hope.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        self.retrying(|| self.attempt(ask)).await
    }

    /// Repeats what may succeed the next time. Stand-ins get one try: something comes after them.
    pub(crate) async fn retrying<T, F: Future<Output = Result<T, Error>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, Error> {
        let policy = self.shared.settings.retry_policy();
        let policy = if self.endpoint.is_registry { policy } else { policy.once() };
        let mut failed = 0;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failed += 1;
            let hope = if self.is_in_vain(&error) { Hope::None } else { error.hope() };
            let Some(pause) = policy.pause(failed, hope, fastrand::f64()) else { return Err(error) };
            tracing::debug!(error = &error as &dyn std::error::Error, ?pause, "trying again");
            sleep(pause).await;
        }
    }

    /// Whether nobody listens where nobody ever did, or no name server answers (each is asked more than once): a wrong
    /// address, or a host without a network, told at once. One who answered before is on its way back.
    fn is_in_vain(&self, error: &Error) -> bool {
        let refused = matches!(
            error,
            Error::Transport { source: TransportError::Refused(_) | TransportError::Lookup(_), .. }
        );
        refused && !self.endpoint.has_answered.load(Ordering::Relaxed)
    }

    /// Asks once, and once more with a new token where the first one was not enough.
    pub(crate) async fn attempt(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let proof = self.prior(&ask.scopes).await?;
        let answer = self.follow(ask, &carried(proof.as_ref())).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !self.endpoint.owns(&answer.url) {
            return checked(answer).await;
        }
        match self.meet(&answer, &ask.scopes, proof.as_ref()).await? {
            Some(renewed) => checked(self.follow(ask, &carried(Some(&renewed))).await?).await,
            None => {
                let lacks_credentials = self.credentials.is_none()
                    && challenges(answer.all("www-authenticate")).contains(&Challenge::Basic);
                Err(match answer.refusal().await {
                    // Docker's words, which programs look for, whatever the registry says about it.
                    Error::Unauthorized(refusal) if lacks_credentials => {
                        let message = "no basic auth credentials".to_owned();
                        Error::Unauthorized(Box::new(Refusal { message, ..*refusal }))
                    }
                    error => error,
                })
            }
        }
    }

    /// Sends, and goes where it is sent to. What is carried goes only to whom it is for.
    pub(crate) async fn follow(&self, ask: &Ask<'_>, carried: &Carried<'_>) -> Result<Answer, Error> {
        let (mut url, mut method) = (ask.url.clone(), ask.method.clone());
        for _ in 0..=redirect::MOST {
            let hop = Hop { ask, method: &method, url: &url, carried };
            let answer = self.hop(hop).await?;
            let location = answer.header("location");
            let next = redirect::of(answer.status, location, &answer.url, &method);
            let refused = |reason| Error::Redirect { request: answer.request.clone(), reason };
            let to = match next.map_err(refused)? {
                Redirect::None => return Ok(answer),
                Redirect::To(to) => to,
                Redirect::Get(to) => {
                    method = Method::GET;
                    to
                }
            };
            if carried.stays && !redirect::same_origin(&to, &answer.url) {
                return Err(refused("credentials are not sent to another host".to_owned()));
            }
            url = to;
        }
        let reason = format!("there are more than {} redirects in a row", redirect::MOST);
        Err(Error::Redirect { request: ask.name(), reason })
    }

    /// One request and its answer. An insecure host that doesn't speak TLS is asked without it.
    async fn hop(&self, hop: Hop<'_, '_>) -> Result<Answer, Error> {
        let own = self.endpoint.owns(hop.url);
        let Some(plain) = self.without_tls(hop.url, own) else { return self.send(&hop, hop.url, own).await };
        if self.shared.is_plain(hop.url) {
            let answer = self.send(&hop, &plain, own).await;
            // It may have learnt TLS since.
            self.shared.set_plain(hop.url, answer.is_ok());
            return answer;
        }
        match self.send(&hop, hop.url, own).await {
            Err(Error::Transport { source, .. }) if source.may_be_plain() => {
                tracing::debug!(%source, "asking {} without TLS", self.endpoint.host());
                let answer = self.send(&hop, &plain, own).await?;
                self.shared.set_plain(hop.url, true);
                Ok(answer)
            }
            other => other,
        }
    }

    /// The same address without TLS, where it may be asked for.
    fn without_tls(&self, url: &Url, own: bool) -> Option<Url> {
        let mut plain = url.clone();
        (own && self.endpoint.either_scheme && url.scheme() == "https").then_some(())?;
        plain.set_scheme("http").ok()?;
        Some(plain)
    }

    async fn send(&self, hop: &Hop<'_, '_>, url: &Url, own: bool) -> Result<Answer, Error> {
        let name = hop.name(url);
        if url.scheme() == "http" && !self.endpoint.insecure && !hop.carried.foreign {
            // The credentials of a token request were refused before.
            if hop.carried.realm.is_none_or(|realm| !redirect::same_origin(realm, url)) {
                let reason = "it leads from TLS to plain HTTP".to_owned();
                return Err(Error::Redirect { request: name, reason });
            }
        }
        let wire = self.wire(url, own).await?;
        let meter = Meter::new();
        let request = self.request(hop, url, own, &meter).await?;
        let watch = match &hop.ask.body {
            Payload::Part(part) => Some(Watch {
                meter: &meter,
                offset: part.offset,
                length: part.length,
                progress: part.progress,
            }),
            Payload::Empty | Payload::Bytes(_) => None,
        };
        let transport = &self.shared.transport;
        let sent = transport.send(&wire, request, hop.ask.patience, watch).await;
        match (sent, meter.failure(), &hop.ask.body) {
            (_, Some(source), Payload::Part(part)) => Err(Error::Source { digest: part.digest, source }),
            (Err(source), ..) => Err(Error::Transport { request: name, source }),
            (Ok(response), ..) => {
                tracing::debug!("{name}: {}", response.status());
                if own {
                    self.endpoint.has_answered.store(true, Ordering::Relaxed);
                }
                let stall = self.shared.settings.stall_timeout;
                Ok(Answer::new(name, url.clone(), response, stall))
            }
        }
    }

    /// The client for an address: the endpoint's own, or that of wherever it was redirected to. There the
    /// registry's authorities count where nothing else is said, but this client doesn't say who it is.
    async fn wire(&self, url: &Url, own: bool) -> Result<Wire, Error> {
        let transport = &self.shared.transport;
        let host = crate::insecure::authority(url);
        if own {
            return Ok(transport.wire(&host, self.endpoint.profile())?);
        }
        let mut trust = match self.shared.trust_of(host.clone()).await? {
            Some(trust) => trust,
            None if url.host() == self.endpoint.base.host() => self.endpoint.trust.clone(),
            None => Trust { identity: None, ..self.endpoint.trust.clone() },
        };
        trust.verify &= !self.shared.is_insecure(url);
        let profile = Profile { trust, networks: Arc::default(), dial_timeout: self.endpoint.dial_timeout };
        Ok(transport.wire(&host, profile)?)
    }

    /// Whether the `Authorization` may go to an address.
    fn is_meant_for(&self, carried: &Carried<'_>, url: &Url, own: bool) -> bool {
        match carried.realm {
            Some(realm) => redirect::same_origin(realm, url) || own && self.endpoint.owns(realm),
            None => own,
        }
    }

    async fn request(
        &self,
        hop: &Hop<'_, '_>,
        url: &Url,
        own: bool,
        meter: &Arc<Meter>,
    ) -> Result<Request, Error> {
        let mut url = url.clone();
        // Whoever writes an address does not choose who asks.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        let mut request = Request::new(hop.method.clone(), url.clone());
        let headers = request.headers_mut();
        headers.extend(hop.ask.headers.clone());
        if own {
            headers.extend(self.endpoint.headers.clone());
        }
        if self.is_meant_for(hop.carried, &url, own)
            && let Some(authorization) = &hop.carried.authorization
        {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        // A server that waits for a length should not have to.
        if matches!(hop.ask.body, Payload::Empty)
            && matches!(*hop.method, Method::POST | Method::PUT | Method::PATCH)
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.body_mut() = body(&hop.ask.body, meter).await?;
        Ok(request)
    }
}

/// What is sent, anew for each time that it is.
async fn body(payload: &Payload<'_>, meter: &Arc<Meter>) -> Result<Option<reqwest::Body>, Error> {
    match payload {
        Payload::Empty => Ok(None),
        Payload::Bytes(bytes) => Ok(Some(bytes.clone().into())),
        Payload::Part(sending) => {
            let failed = |source: io::Error| Error::Source { digest: sending.digest, source };
            let reader = sending.source.open(sending.offset).await.map_err(failed)?;
            Ok(Some(reqwest::Body::wrap(Part::new(reader, sending.length, meter.clone()))))
        }
    }
}

/// One step on the way to an answer.
struct Hop<'a, 'b> {
    ask: &'a Ask<'b>,
    method: &'a Method,
    url: &'a Url,
    carried: &'a Carried<'a>,
}

impl Hop<'_, '_> {
    fn name(&self, url: &Url) -> String {
        answer::name(self.method, url)
    }
}

fn carried(proof: Option<&Proof>) -> Carried<'static> {
    Carried { authorization: proof.map(|proof| proof.header.clone()), ..Carried::default() }
}

pub(crate) async fn checked(answer: Answer) -> Result<Answer, Error> {
    if answer.status.is_success() { Ok(answer) } else { Err(answer.refusal().await) }
}
