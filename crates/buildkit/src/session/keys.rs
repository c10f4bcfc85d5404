//! What only the client has and is asked for: secrets, agents, credentials.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use minke_build::{AgentStream, Auth, ContextError, Secrets, SshAgents};
use minke_engine::Credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::Session;
use crate::grpc::{Call, Code, Status};
use crate::pb::Empty;
use crate::pb::session::{
    BytesMessage, CheckAgentRequest, CredentialsRequest, CredentialsResponse, GetSecretRequest,
    GetSecretResponse,
};

/// The most bytes of a secret, as in BuildKit.
const SECRET_LIMIT: usize = 500 * 1024;
/// The bytes on their way to or from an agent.
const AGENT_BUFFER: usize = 32 * 1024;
/// Which agent a connection is for.
const AGENT_ID: HeaderName = HeaderName::from_static("buildkit.ssh.id");
/// By what name clients know the registry of `docker.io`.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// The keys of a client.
#[derive(Debug, Clone)]
pub(crate) struct Keys(pub(crate) Arc<Session>);

pub(crate) fn context_error(status: &Status) -> ContextError {
    match status.code {
        Code::InvalidArgument | Code::NotFound | Code::Unimplemented | Code::PermissionDenied => {
            ContextError::invalid(&status.message)
        }
        _ => ContextError::failed(&status.message),
    }
}

/// The other way round.
pub(crate) fn context_status(error: &ContextError) -> Status {
    match error.is_callers_fault {
        true => Status::invalid(&error.message),
        false => Status::unknown(&error.message),
    }
}

impl Secrets for Keys {
    fn secret(&self, id: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, ContextError>> {
        let request = GetSecretRequest { id: id.to_owned(), ..GetSecretRequest::default() };
        Box::pin(async move {
            let path = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
            match self.0.ask::<GetSecretResponse>(path, &request).await {
                Ok(secret) if secret.data.len() > SECRET_LIMIT => {
                    let text = format!(
                        "secret {}: {} bytes are more than {SECRET_LIMIT}",
                        request.id,
                        secret.data.len()
                    );
                    Err(ContextError::invalid(text))
                }
                Ok(secret) => Ok(Some(secret.data.to_vec())),
                Err(status) if matches!(status.code, Code::NotFound | Code::Unimplemented) => Ok(None),
                Err(status) => Err(context_error(&status.context(&format!("secret {}", request.id)))),
            }
        })
    }
}

impl Auth for Keys {
    fn credentials(&self, registry: &str) -> BoxFuture<'_, Result<Option<Credentials>, ContextError>> {
        let host = if matches!(registry, "docker.io" | "index.docker.io") { DOCKER_HUB } else { registry };
        let request = CredentialsRequest { host: host.to_owned() };
        Box::pin(async move {
            let path = "/moby.filesync.v1.Auth/Credentials";
            match self.0.ask::<CredentialsResponse>(path, &request).await {
                Ok(found) => Ok(credentials(found)),
                Err(status) if status.code == Code::Unimplemented => Ok(None),
                Err(status) => {
                    Err(context_error(&status.context(&format!("credentials for {}", request.host))))
                }
            }
        })
    }
}

/// A secret without a name is an identity token.
fn credentials(found: CredentialsResponse) -> Option<Credentials> {
    match (found.username.is_empty(), found.secret.is_empty()) {
        (_, true) => None,
        (true, false) => Some(Credentials::IdentityToken(found.secret)),
        (false, false) => Some(Credentials::password(found.username, found.secret)),
    }
}

impl SshAgents for Keys {
    fn has(&self, id: &str) -> BoxFuture<'_, Result<bool, ContextError>> {
        let request = CheckAgentRequest { id: id.to_owned() };
        Box::pin(async move {
            match self.0.ask::<Empty>("/moby.sshforward.v1.SSH/CheckAgent", &request).await {
                Ok(Empty {}) => Ok(true),
                // The client's own word for an id that it doesn't know has no code.
                Err(status)
                    if matches!(status.code, Code::Unimplemented | Code::NotFound | Code::Unknown) =>
                {
                    Ok(false)
                }
                Err(status) => Err(context_error(&status.context("ssh agent"))),
            }
        })
    }

    fn connect(&self, id: &str) -> BoxFuture<'_, Result<Box<dyn AgentStream>, ContextError>> {
        let id = HeaderValue::from_str(id);
        Box::pin(async move {
            let id = id.map_err(|_| ContextError::invalid("an ssh agent's id has impossible characters"))?;
            let headers = HeaderMap::from_iter([(AGENT_ID, id)]);
            let call = self.0.call("/moby.sshforward.v1.SSH/ForwardAgent", headers);
            let call = call.map_err(|status| context_error(&status.context("ssh agent")))?;
            let (near, far) = tokio::io::duplex(AGENT_BUFFER);
            tokio::spawn(forward(call, far));
            Ok(Box::new(near) as Box<dyn AgentStream>)
        })
    }
}

/// Carries bytes both ways until either side ends.
async fn forward(mut call: Call, mut io: DuplexStream) {
    let mut buffer = vec![0; AGENT_BUFFER];
    loop {
        tokio::select! {
            count = io.read(&mut buffer) => match count {
                Ok(count) if count > 0 => {
                    let message = BytesMessage { data: Bytes::copy_from_slice(&buffer[..count]) };
                    if call.send(&message).await.is_err() { return; }
                }
                _ => return call.close(),
            },
            message = call.next::<BytesMessage>() => match message {
                Ok(Some(message)) => if io.write_all(&message.data).await.is_err() { return; },
                _ => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_a_password_a_token_or_none() {
        let found = |username: &str, secret: &str| {
            credentials(CredentialsResponse { username: username.into(), secret: secret.into() })
        };
        assert_eq!(found("", ""), None);
        assert_eq!(found("me", "x"), Some(Credentials::password("me", "x")));
        assert_eq!(found("", "token"), Some(Credentials::IdentityToken("token".into())));
    }
}
