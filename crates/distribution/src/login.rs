//! `docker login`: whether credentials are good, and the identity token that may stand for them.

use std::{fmt, sync::Arc};

use reqwest::{Method, StatusCode, header::HeaderValue};

use crate::{
    Credentials, Error, SettingsError,
    challenge::{Bearer, Challenge, challenges},
    endpoint::HUB,
    scope::Scopes,
    session::{Ask, Carried, Session, checked},
    shared::Shared,
};

/// The names under which users know Docker Hub when they log in.
const HUB_NAMES: [&str; 3] = [HUB, "index.docker.io", "registry-1.docker.io"];

/// The credentials are good.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// What the user is told.
    pub status: String,
    /// What should be kept instead of the password, where the registry gives such a thing.
    pub identity_token: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.identity_token.as_ref().map(|_| "…");
        f.debug_struct("Login").field("status", &self.status).field("identity_token", &token).finish()
    }
}

/// The registry that a user names, who may write `https://index.docker.io/v1/` or nothing at all.
pub(crate) fn registry(server: &str) -> &str {
    let host = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    if host.is_empty() || HUB_NAMES.contains(&host) { HUB } else { host }
}

/// Tries credentials.
pub(crate) async fn login(
    shared: &Arc<Shared>,
    server: &str,
    credentials: &Credentials,
) -> Result<Login, Error> {
    let registry = registry(server);
    let endpoints = shared.endpoints(registry).await?;
    let own = endpoints.into_iter().rfind(|endpoint| endpoint.is_registry);
    let own =
        own.ok_or_else(|| SettingsError::NoEndpoint { registry: registry.to_owned(), action: "log in" })?;
    let session = shared.session(own, Some(&Arc::new(credentials.clone())));
    session.retrying(|| session.login()).await
}

impl Session {
    async fn login(&self) -> Result<Login, Error> {
        let ask = Ask::new(self, Method::GET, self.endpoint.base.clone(), Scopes::none());
        if let Some(Credentials::RegistryToken(token)) = self.credentials.as_deref() {
            return self.prove(&ask, self.bearer(token)?, None).await;
        }
        let answer = self.follow(&ask, &Carried::default()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return checked(answer).await.map(|_| succeeded(None));
        }
        for challenge in challenges(answer.all("www-authenticate")) {
            match challenge {
                Challenge::Bearer(bearer) => return self.login_by_token(&ask, &bearer).await,
                Challenge::Basic => {
                    if let Some(proof) = self.basic() {
                        return self.prove(&ask, proof.header, None).await;
                    }
                }
            }
        }
        Err(answer.refusal().await)
    }

    async fn login_by_token(&self, ask: &Ask<'_>, bearer: &Bearer) -> Result<Login, Error> {
        let key = self.token_key(bearer, Scopes::none())?;
        let mut answer = self.fetch(&key, true).await?;
        let identity = answer.refresh_token.take().filter(|token| !token.is_empty());
        let token = self.token_of(&key, answer)?;
        self.prove(ask, self.bearer(&token.value)?, identity).await
    }

    async fn prove(
        &self,
        ask: &Ask<'_>,
        authorization: HeaderValue,
        identity: Option<String>,
    ) -> Result<Login, Error> {
        let carried = Carried { authorization: Some(authorization), ..Carried::default() };
        checked(self.follow(ask, &carried).await?).await.map(|_| succeeded(identity))
    }
}

fn succeeded(identity_token: Option<String>) -> Login {
    Login { status: "Login Succeeded".to_owned(), identity_token }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_has_many_names() {
        for server in
            ["", "docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"]
        {
            assert_eq!(registry(server), "docker.io", "{server}");
        }
        assert_eq!(registry("https://r.example:5000/v2/"), "r.example:5000");
        assert_eq!(registry("r.example/x"), "r.example");
    }

    #[test]
    fn an_identity_token_is_not_printed() {
        assert!(!format!("{:?}", succeeded(Some("hush".to_owned()))).contains("hush"));
    }
}
