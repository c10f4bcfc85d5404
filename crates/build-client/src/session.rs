//! What the engine may ask of who builds: a gRPC server on a connection that the engine calls through.
//!
//! Everything here answers an engine that may be hostile. What it may have was decided before the connection is there, in
//! [`Prepared`]; whatever else it asks for is not found.

mod agents;
mod content;
mod folders;
mod kept;
mod logins;
mod outputs;
mod prepare;
mod secrets;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use minke_buildkit_wire::grpc::{Reply, Request, Service, Status};
use minke_buildkit_wire::pb::session::HealthCheckResponse;

pub use self::kept::KeepError;
pub use self::logins::{Login, Logins};
pub use self::prepare::{PrepareError, Prepared};

const FILES: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const LOGIN: &str = "/moby.filesync.v1.Auth/Credentials";
const UPLOAD: &str = "/moby.upload.v1.Upload/Pull";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// What one build offers.
#[derive(Default)]
pub(crate) struct Offer {
    folders: folders::Folders,
    stores: content::Stores,
    outputs: outputs::Outputs,
    secrets: secrets::Secrets,
    agents: agents::Agents,
    upload: upload::Upload,
    logins: Option<Arc<dyn Logins>>,
}

impl Offer {
    /// The methods that answer more than that there is nothing.
    fn methods(&self) -> Vec<&'static str> {
        let offered = [
            (true, HEALTH),
            (true, FILES),
            (!self.stores.is_empty(), content::INFO),
            (!self.stores.is_empty(), content::READ),
            (!self.stores.is_empty(), content::WRITE),
            (!self.outputs.is_empty(), SEND),
            (!self.secrets.is_empty(), SECRET),
            (!self.agents.is_empty(), CHECK_AGENT),
            (!self.agents.is_empty(), FORWARD_AGENT),
            (!self.upload.is_empty(), UPLOAD),
            (self.logins.is_some(), LOGIN),
        ];
        offered.into_iter().filter_map(|(is_offered, method)| is_offered.then_some(method)).collect()
    }
}

/// The calls of the session.
#[derive(Clone)]
pub(crate) struct Session(pub(crate) Arc<Offer>);

impl Service for Session {
    fn call(&self, mut request: Request) -> BoxFuture<'static, Result<Reply, Status>> {
        let offer = self.0.clone();
        Box::pin(async move {
            match &*request.path {
                FILES => offer.folders.send(request),
                content::INFO => offer.stores.info(request).await,
                content::READ => offer.stores.read(request).await,
                content::WRITE => offer.stores.write(request),
                SEND => offer.outputs.receive(request),
                SECRET => Ok(Reply::one(&offer.secrets.get(&request.messages.only().await?)?)),
                CHECK_AGENT => Ok(Reply::one(&offer.agents.check(&request.messages.only().await?)?)),
                FORWARD_AGENT => offer.agents.forward(request).await,
                UPLOAD => offer.upload.pull(request),
                LOGIN => {
                    let asked = request.messages.only().await?;
                    Ok(Reply::one(&logins::credentials(offer.logins.clone(), asked).await?))
                }
                HEALTH => Ok(Reply::one(&HealthCheckResponse { status: 1 })),
                other => Err(Status::unimplemented(format!("unknown service or method {other}"))),
            }
        })
    }
}

/// A header's text; empty without it.
fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
