//! Access tokens: kept until shortly before they expire, and fetched by one task while the others wait for
//! it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use crate::{Credentials, scope::Scopes};

/// How long a token is good for that doesn't say so (the distribution project's token specification).
const USUAL: Duration = Duration::from_secs(60);
/// How long before its end a token is renewed; a quarter of its life if that is less.
const MARGIN: Duration = Duration::from_secs(30);
/// The most tokens that are kept.
const KEPT: usize = 1024;

/// What a token is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    pub(crate) realm: Url,
    pub(crate) service: Option<String>,
    pub(crate) scopes: Scopes,
    pub(crate) who: Option<Arc<Credentials>>,
}

/// What a token server answers, in the words of the distribution project or of OAuth 2.
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    #[serde(default)]
    expires_in: serde_json::Value,
    pub(crate) refresh_token: Option<String>,
}

/// A token and when to ask for the next one.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) value: String,
    renew: Instant,
}

/// The tokens of everybody.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<TokenKey, Slot>>);

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

impl TokenAnswer {
    /// The token, which came at `now`; `None`: there is none.
    pub(crate) fn token(self, now: Instant) -> Option<Token> {
        let value = self.token.or(self.access_token).filter(|token| !token.is_empty())?;
        let life = match &self.expires_in {
            serde_json::Value::Number(seconds) => seconds.as_u64(),
            serde_json::Value::String(seconds) => seconds.parse().ok(),
            _ => None,
        };
        let life = life.filter(|seconds| *seconds > 0).map_or(USUAL, Duration::from_secs);
        // A century is as good as for ever, and a clock can still be moved by it.
        let life = life.min(Duration::from_secs(100 * 365 * 24 * 3600));
        Some(Token { value, renew: now + (life - MARGIN.min(life / 4)) })
    }
}

impl Tokens {
    /// The token for `key`, unless it is `stale` or at `now` about to expire, and whether it was just
    /// fetched.
    pub(crate) async fn get<E>(
        &self,
        key: &TokenKey,
        stale: Option<&str>,
        now: Instant,
        fetch: impl Future<Output = Result<Token, E>>,
    ) -> Result<(Token, bool), E> {
        let slot = self.slot(key, now);
        let mut kept = slot.lock().await;
        match &*kept {
            Some(token) if token.renew > now && Some(token.value.as_str()) != stale => {
                Ok((token.clone(), false))
            }
            _ => {
                *kept = None;
                Ok((kept.insert(fetch.await?).clone(), true))
            }
        }
    }

    fn slot(&self, key: &TokenKey, now: Instant) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEPT {
            let is_good = |slot: &Slot| match slot.try_lock() {
                Ok(kept) => kept.as_ref().is_some_and(|token| token.renew > now),
                Err(_) => true,
            };
            slots.retain(|_, slot| is_good(slot));
            if slots.len() >= KEPT {
                slots.clear();
            }
        }
        slots.entry(key.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    fn key(realm: &str, scopes: Scopes) -> TokenKey {
        TokenKey { realm: realm.parse().unwrap(), service: None, scopes, who: None }
    }

    fn read(json: &str, now: Instant) -> Option<Token> {
        serde_json::from_str::<TokenAnswer>(json).unwrap().token(now)
    }

    #[test]
    fn a_token_is_renewed_before_it_expires() {
        let now = Instant::now();
        let life = |json: &str| read(json, now).unwrap().renew - now;
        assert_eq!(life(r#"{"token":"t"}"#), Duration::from_secs(45));
        assert_eq!(life(r#"{"access_token":"t","expires_in":300}"#), Duration::from_secs(270));
        assert_eq!(life(r#"{"token":"t","expires_in":"8"}"#), Duration::from_secs(6));
        assert_eq!(life(r#"{"token":"t","expires_in":-5}"#), Duration::from_secs(45));
        assert!(life(r#"{"token":"t","expires_in":18446744073709551615}"#) > Duration::from_secs(1 << 30));
        assert!(read(r#"{"token":""}"#, now).is_none() && read("{}", now).is_none());
    }

    #[tokio::test]
    async fn one_task_fetches_and_the_others_wait() {
        let (tokens, fetched) = (Tokens::default(), AtomicU32::new(0));
        let key = key("https://auth/", Scopes::none());
        let now = Instant::now();
        let get = async |stale: Option<&str>, now: Instant| {
            let fetch = async {
                tokio::task::yield_now().await;
                let n = fetched.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(read(&format!(r#"{{"token":"t{n}","expires_in":100}}"#), now).unwrap())
            };
            tokens.get(&key, stale, now, fetch).await.unwrap().0.value
        };
        let (one, two) = tokio::join!(get(None, now), get(None, now));
        assert_eq!((one.as_str(), two.as_str()), ("t0", "t0"));
        let (one, two) = tokio::join!(get(Some("t0"), now), get(Some("t0"), now));
        assert_eq!(
            (one.as_str(), two.as_str()),
            ("t1", "t1"),
            "who comes second takes what the first one got"
        );
        assert_eq!(get(None, now + Duration::from_secs(74)).await, "t1");
        assert_eq!(get(None, now + Duration::from_secs(76)).await, "t2");
    }

    #[tokio::test]
    async fn a_failure_is_not_kept_and_not_everything_is() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let failing = async { Err::<Token, _>("away") };
        let first = key("https://auth/", Scopes::none());
        assert_eq!(tokens.get(&first, None, now, failing).await.err(), Some("away"));
        for n in 0..2 * KEPT {
            let key = key(&format!("https://auth/{n}"), Scopes::none());
            let fetch = async { Ok::<_, Infallible>(read(r#"{"token":"t"}"#, now).unwrap()) };
            tokens.get(&key, None, now, fetch).await.unwrap();
        }
        assert!(tokens.0.lock().unwrap().len() <= KEPT);
    }
}
