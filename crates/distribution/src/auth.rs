//! Proving who asks: what a registry's challenge wants, with what the user gave.
//!
//! Token authentication is the distribution project's ("Token Authentication Specification", "OAuth2 Token
//! Authentication"). A challenge is remembered by endpoint, so that only the first request of all is refused.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use reqwest::{Method, header::HeaderValue};
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use crate::{
    Credentials, Error,
    answer::{self, Answer},
    challenge::{Bearer, Challenge, challenges},
    scope::Scopes,
    session::{Ask, Carried, Payload, Session, checked},
    token::{Token, TokenAnswer, TokenKey, Tokens},
};

/// What this client calls itself to token servers.
const CLIENT_ID: &str = "minke";
/// Bytes of a token server's answer.
const TOKEN_ANSWER: usize = 1 << 20;

/// What is known about endpoints, and the tokens for them.
#[derive(Default)]
pub(crate) struct Auth {
    known: Mutex<HashMap<Url, Challenge>>,
    tokens: Tokens,
}

/// What goes with a request.
pub(crate) struct Proof {
    /// The `Authorization`.
    pub(crate) header: HeaderValue,
    token: Option<Used>,
}

/// The token that was used.
struct Used {
    key: TokenKey,
    value: String,
    /// Whether it was fetched for this very request, so that the next one would be no better.
    is_new: bool,
}

impl Auth {
    fn known(&self, endpoint: &Url) -> Option<Challenge> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint).cloned()
    }

    fn remember(&self, endpoint: &Url, challenge: &Challenge) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(endpoint.clone(), challenge.clone());
    }

    fn forget(&self, endpoint: &Url) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(endpoint);
    }
}

impl Session {
    /// What the endpoint wanted the last time.
    pub(crate) async fn prior(&self, scopes: &Scopes) -> Result<Option<Proof>, Error> {
        if let Some(Credentials::RegistryToken(token)) = self.credentials.as_deref() {
            return self.bearer(token).map(|header| Some(Proof { header, token: None }));
        }
        match self.shared.auth.known(&self.endpoint.base) {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(self.basic()),
            Some(Challenge::Bearer(bearer)) => {
                let proof = self.token_proof(&bearer, scopes.clone(), None).await;
                if proof.is_err() {
                    // The token server may have moved: the next try asks the endpoint where it is.
                    self.shared.auth.forget(&self.endpoint.base);
                }
                proof.map(Some)
            }
        }
    }

    /// What a refused request should have had; `None` when there is nothing better than what it had.
    pub(crate) async fn meet(
        &self,
        refused: &Answer,
        scopes: &Scopes,
        had: Option<&Proof>,
    ) -> Result<Option<Proof>, Error> {
        if matches!(self.credentials.as_deref(), Some(Credentials::RegistryToken(_))) {
            return Ok(None);
        }
        for challenge in challenges(refused.all("www-authenticate")) {
            let proof = match &challenge {
                Challenge::Basic => self.basic().filter(|new| had.is_none_or(|had| had.header != new.header)),
                Challenge::Bearer(bearer) => {
                    let scopes = scopes.clone().and_challenged(bearer.scope.as_deref());
                    let used = had.and_then(|had| had.token.as_ref());
                    match used {
                        Some(used) if used.is_new && used.key.scopes == scopes => None,
                        used => Some(self.token_proof(bearer, scopes, used.map(|used| &*used.value)).await?),
                    }
                }
            };
            if proof.is_some() {
                self.shared.auth.remember(&self.endpoint.base, &challenge);
                return Ok(proof);
            }
        }
        Ok(None)
    }

    pub(crate) fn basic(&self) -> Option<Proof> {
        let mut header = HeaderValue::try_from(self.credentials.as_deref()?.basic()?).ok()?;
        header.set_sensitive(true);
        Some(Proof { header, token: None })
    }

    pub(crate) fn bearer(&self, token: &str) -> Result<HeaderValue, Error> {
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            let request = answer::name(&Method::GET, &self.endpoint.base);
            Error::answer(request, "the token for it has bytes that no header may have")
        })?;
        header.set_sensitive(true);
        Ok(header)
    }

    async fn token_proof(
        &self,
        bearer: &Bearer,
        scopes: Scopes,
        stale: Option<&str>,
    ) -> Result<Proof, Error> {
        let key = self.token_key(bearer, scopes)?;
        let fetch = async {
            let answer = self.fetch(&key, false).await?;
            self.token_of(&key, answer)
        };
        let (token, is_new) = self.shared.auth.tokens.get(&key, stale, Instant::now(), fetch).await?;
        let header = self.bearer(&token.value)?;
        Ok(Proof { header, token: Some(Used { key, value: token.value, is_new }) })
    }

    /// What a token is asked for with. A token server in the clear gets no credentials, unless its registry
    /// is in the clear itself.
    pub(crate) fn token_key(&self, bearer: &Bearer, scopes: Scopes) -> Result<TokenKey, Error> {
        let request = || answer::name(&Method::GET, &self.endpoint.base);
        let realm = self.endpoint.base.join(&bearer.realm).ok();
        let realm = realm.filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let realm = realm.ok_or_else(|| {
            Error::answer(request(), "the address of its token server is none that can be asked")
        })?;
        if realm.scheme() == "http" && self.credentials.is_some() && !self.endpoint.insecure {
            let host = crate::insecure::authority(&realm);
            let reason = format!("credentials are not sent to the token server {host} without TLS");
            return Err(Error::Redirect { request: request(), reason });
        }
        Ok(TokenKey { realm, service: bearer.service.clone(), scopes, who: self.credentials.clone() })
    }

    /// Asks the token server once. `offline` asks for an identity token as well.
    pub(crate) async fn fetch(&self, key: &TokenKey, offline: bool) -> Result<TokenAnswer, Error> {
        let scopes = key.scopes.words();
        let ask = match key.who.as_deref() {
            Some(Credentials::IdentityToken(token)) => self.refreshing(key, &scopes, token),
            _ => self.getting(key, &scopes, offline),
        };
        let carried = Carried {
            authorization: self.basic().map(|proof| proof.header),
            realm: Some(&key.realm),
            stays: key.who.is_some(),
            ..Carried::default()
        };
        checked(self.follow(&ask, &carried).await?).await?.json(TOKEN_ANSWER).await
    }

    /// The token in an answer.
    pub(crate) fn token_of(&self, key: &TokenKey, answer: TokenAnswer) -> Result<Token, Error> {
        let request = || answer::name(&Method::GET, &key.realm);
        answer.token(Instant::now()).ok_or_else(|| Error::answer(request(), "there is no token in it"))
    }

    fn getting(&self, key: &TokenKey, scopes: &[String], offline: bool) -> Ask<'static> {
        let mut url = key.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(key.service.iter().map(|service| ("service", service)));
            query.extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
            query.append_pair("client_id", CLIENT_ID);
            if let Some(user) = key.who.as_deref().and_then(Credentials::username) {
                query.append_pair("account", user);
            }
            if offline {
                query.append_pair("offline_token", "true");
            }
        }
        Ask::new(self, Method::GET, url, Scopes::none())
    }

    fn refreshing(&self, key: &TokenKey, scopes: &[String], token: &str) -> Ask<'static> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("service", key.service.as_deref().unwrap_or_default());
        form.append_pair("client_id", CLIENT_ID);
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        form.append_pair("refresh_token", token);
        Ask::new(self, Method::POST, key.realm.clone(), Scopes::none())
            .with("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"))
            .sending(Payload::Bytes(form.finish().into()))
    }
}
