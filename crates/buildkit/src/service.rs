//! Which call goes where: `moby.buildkit.v1.Control`, the content that its records lead to, and, for clients that drive their build,
//! `LLBBridge`.

use futures_util::future::BoxFuture;

use crate::Shared;
use crate::control::{cache, content, history, session, solve, workers};
use crate::gateway;
use crate::grpc::{Reply, Request, Service, Status};
use crate::pb::Empty;
use crate::pb::control::{DiskUsageRequest, InfoResponse, ListWorkersResponse, StatusRequest};
use std::sync::Arc;

const CONTROL: &str = "/moby.buildkit.v1.Control/";
const CONTENT: &str = "/containerd.services.content.v1.Content/";
const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";

/// The calls of one connection.
#[derive(Clone)]
pub(crate) struct Calls(pub(crate) Arc<Shared>);

impl Service for Calls {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Reply, Status>> {
        let shared = self.0.clone();
        Box::pin(async move {
            if let Some(method) = request.path.strip_prefix(CONTROL).map(str::to_owned) {
                return control(&shared, &method, request).await;
            }
            if let Some(method) = request.path.strip_prefix(BRIDGE).map(str::to_owned) {
                return gateway::call(&shared, &method, request).await;
            }
            if let Some(method) = request.path.strip_prefix(CONTENT).map(str::to_owned) {
                return content::call(&shared, &method, request).await;
            }
            Err(Status::unimplemented(format!("unknown service or method {}", request.path)))
        })
    }
}

async fn control(shared: &Arc<Shared>, method: &str, mut request: Request) -> Result<Reply, Status> {
    let messages = &mut request.messages;
    match method {
        "ListWorkers" => {
            Ok(Reply::one(&ListWorkersResponse { record: vec![workers::record(&shared.engine)] }))
        }
        "Info" => Ok(Reply::one(&InfoResponse { buildkit_version: Some(workers::version(&shared.engine)) })),
        "Solve" => Ok(Reply::one(&solve::solve(shared, messages.only().await?).await?)),
        "Status" => {
            let status: StatusRequest = messages.only().await?;
            let known = shared.builds.known(&status.reference).map(|build| build.feed.clone());
            let feed = match known.or_else(|| shared.history.told(&status.reference)) {
                Some(feed) => feed,
                None => shared.builds.get(&status.reference).await?.feed.clone(),
            };
            Ok(Reply::many(feed.follow()))
        }
        "DiskUsage" => {
            let usage: DiskUsageRequest = messages.only().await?;
            Ok(Reply::one(&cache::usage(shared, &usage).await?))
        }
        "Prune" => Ok(Reply::many(cache::prune(shared, messages.only().await?).await?)),
        "ListenBuildHistory" => {
            let events = history::listen(&shared.history, messages.only().await?);
            Ok(Reply::many_after(history::now(), events))
        }
        "UpdateBuildHistory" => {
            shared.history.update(&messages.only().await?)?;
            Ok(Reply::one(&Empty {}))
        }
        "Session" => session::session(shared, request),
        other => {
            Err(Status::unimplemented(format!("method {other} of BuildKit's control API is not served")))
        }
    }
}
