//! `/_ping`: whether an engine is there, and what it is, told in headers (Docker Engine API, SystemPing).

use hyper::{HeaderMap, Method, StatusCode};

use crate::body::Body;
use crate::client::{Client, request_name, status_error};
use crate::{ApiVersion, Error};

/// What an engine says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ping {
    /// The newest version that the engine speaks; `None` when it doesn't say.
    pub api_version: Option<ApiVersion>,
    /// `"2"` where BuildKit is the default builder, `"1"` or `""` where it is not.
    pub builder_version: String,
    /// `linux`
    pub os_type: String,
    /// Whether experimental features are on.
    pub experimental: bool,
    /// `inactive`, `active/manager`, …; empty when the engine doesn't say.
    pub swarm: String,
    /// The `Server` header, e.g. `Docker/28.5.1 (linux)`.
    pub server: String,
}

impl Ping {
    fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        Self {
            api_version: text("api-version").parse().ok(),
            builder_version: text("builder-version"),
            os_type: text("ostype"),
            experimental: text("docker-experimental") == "true",
            swarm: text("swarm"),
            server: text("server"),
        }
    }
}

impl Client {
    /// Asks the engine who it is, and settles the version where none was fixed. HEAD first, since it is
    /// cheaper; GET for engines and proxies that don't know it.
    ///
    /// # Errors
    /// `Connect` when nobody listens (worth a retry while the engine starts), or the engine's own error.
    pub async fn ping(&self) -> Result<Ping, Error> {
        let (mut status, mut headers, mut body) = self.ping_by(Method::HEAD).await?;
        if !status.is_success() {
            (status, headers, body) = self.ping_by(Method::GET).await?;
        }
        if !status.is_success() {
            return Err(status_error(status, &body));
        }
        let ping = Ping::from_headers(&headers);
        self.settle_version(ApiVersion::agreed(ping.api_version));
        Ok(ping)
    }

    async fn ping_by(&self, method: Method) -> Result<(StatusCode, HeaderMap, bytes::Bytes), Error> {
        let name = request_name(&method, "/_ping");
        let request = self.request(None, method, "/_ping", &[], Body::Empty, HeaderMap::new())?;
        let (response, sender) = self.send(request, &name).await?;
        let (status, headers) = (response.status, response.headers.clone());
        let body = match self.finish(response, sender, &name).await {
            Ok(body) => body,
            Err(Error::Status { message, .. }) => message.into(),
            Err(error) => return Err(error),
        };
        Ok((status, headers, body))
    }
}
