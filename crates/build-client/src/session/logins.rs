//! Who the user is at registries: the engine pulls and pushes for them.

use std::fmt;
use std::sync::Arc;

use minke_buildkit_wire::grpc::Status;
use minke_buildkit_wire::pb::session::{CredentialsRequest, CredentialsResponse};

/// By what name engines ask for Docker Hub, and under which its login is kept.
const DOCKER_HUB: (&str, &str) = ("registry-1.docker.io", "https://index.docker.io/v1/");

/// What proves who the user is.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user's name; empty where the secret is an identity token.
    pub user: String,
    /// The password or the token.
    pub secret: String,
}

impl fmt::Debug for Login {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?})", self.user)
    }
}

/// Whoever knows the user's logins.
pub trait Logins: Send + Sync {
    /// The login at a registry, under the key of Docker's `config.json`; may block.
    ///
    /// # Errors
    /// Why it can't be had, in a sentence.
    fn login(&self, registry: &str) -> Result<Option<Login>, String>;
}

/// Answers the engine.
pub(super) async fn credentials(
    logins: Option<Arc<dyn Logins>>,
    asked: CredentialsRequest,
) -> Result<CredentialsResponse, Status> {
    let Some(logins) = logins else { return Ok(CredentialsResponse::default()) };
    let host = asked.host;
    let find = move || {
        let key = if host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { &host };
        logins.login(key).map_err(|error| Status::unknown(format!("credentials for {host}: {error}")))
    };
    let found = tokio::task::spawn_blocking(find).await;
    let found =
        found.map_err(|error| Status::unknown(format!("looking for credentials broke: {error}")))??;
    let login = found.map(|Login { user, secret }| CredentialsResponse { username: user, secret });
    Ok(login.unwrap_or_default())
}
