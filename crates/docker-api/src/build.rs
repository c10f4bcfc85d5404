//! `POST /build` and `/build/prune`: Docker's classic builder, in front of the one builder. (BuildKit's by the same call is in
//! [`session`].)
//!
//! ```text
//!  tar ─▶ unpacked into a workspace ─▶ minke_build ─▶ events ─▶ classic: Docker's JSON messages, steps in their order
//!  query ─▶ request ┘                                        └▶ trace: the events themselves, for `minke build`
//! ```

mod classic;
mod request;
pub(crate) mod session;
mod trace;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bollard_stubs::models::BuildCacheDiskUsage;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use hyper::StatusCode;
use minke_build::{
    Auth, BuildError, BuildResult, Client, Context, ContextError, DirectoryContext, Event, Progress,
    RemoteContext,
};
use minke_engine::Credentials;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::call::Call;
use crate::error::ApiError;
use crate::images::registries::all_credentials;
use crate::respond::{self, Outcome};

/// Bytes of logs that wait for a slow client; what comes on top is left out.
const BACKLOG: usize = 32 << 20;

/// What a build tells its connection.
enum Told {
    Event(Box<Event>),
    End(Result<BuildResult, BuildError>),
}

/// The classic builder takes nothing from the cache where images are named to take it from, and none of them is here.
fn has_no_source(call: &Call) -> Result<bool, ApiError> {
    let sources: Vec<String> = request::json(&call.query, "cachefrom")?;
    let is_here = |name: &String| call.engine().image_store().find(name).is_ok();
    Ok(!sources.is_empty() && !sources.iter().any(is_here))
}

/// `POST /build`
pub(crate) async fn build(call: Call) -> Outcome {
    if call.query.get("version") == Some("2") {
        return session::build(call).await;
    }
    let mut request = request::read(&call.query)?;
    request.no_cache |= has_no_source(&call)?;
    let trace = call.query.flag("trace");
    let quiet = call.query.flag("q");
    let auth = Known(all_credentials(&call.headers));
    let remove = call.query.flag_or("rm", true) || call.query.flag("forcerm");
    let builder = call.context.builder.clone();
    let stopped = call.context.life.stopped();
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut client = Client {
        context: None,
        secrets: None,
        ssh: None,
        stores: None,
        auth: Some(Arc::new(auth)),
        progress: Arc::new(Channel { sender: sender.clone(), waiting: Arc::clone(&waiting) }),
    };
    let context: Arc<dyn Context> = match &request.remote {
        Some(url) => {
            let keep_git_dir = request.keeps_git_dir();
            let context = RemoteContext::new(&builder, &client, url, keep_git_dir);
            Arc::new(context.map_err(|error| refused(&error))?)
        }
        None => Arc::new(upload(call).await?),
    };
    client.context = Some(context);
    let building = tokio::spawn(async move {
        let result = tokio::select! {
            result = builder.build(request, client) => result,
            () = stopped => Err(BuildError::Cancelled),
        };
        let _ = sender.send(Told::End(result));
    });
    // A client that goes away ends its build.
    let guard = AbortOnDrop(building);
    let mut printer =
        if trace { Printer::Trace } else { Printer::Classic(classic::Printer::new(quiet, remove)) };
    let messages = stream::unfold((receiver, guard), |(mut receiver, guard)| async move {
        receiver.recv().await.map(|told| (told, (receiver, guard)))
    });
    let messages = messages.map(move |told| {
        if let Told::Event(event) = &told {
            waiting.fetch_sub(weight(event), Ordering::Relaxed);
        }
        printer.print(told)
    });
    let mut messages = messages.boxed();
    // What is refused before anything was done is an error of the request.
    let mut first = Vec::new();
    while first.is_empty() {
        match messages.next().await {
            Some(Printed::Early(error)) => return Err(error),
            Some(Printed::Lines(lines)) => first = lines,
            None => break,
        }
    }
    let rest = messages.flat_map(|printed| {
        stream::iter(match printed {
            Printed::Lines(lines) => lines,
            Printed::Early(error) => vec![classic::error(&error.message, None)],
        })
    });
    Ok(respond::json_stream(stream::iter(first).chain(rest)))
}

/// What is sent for what was told.
enum Printed {
    Lines(Vec<Value>),
    /// The build failed before anything was sent.
    Early(ApiError),
}

enum Printer {
    Classic(classic::Printer),
    Trace,
}

impl Printer {
    fn print(&mut self, told: Told) -> Printed {
        match (self, told) {
            (Self::Classic(printer), Told::Event(event)) => Printed::Lines(printer.event(&event)),
            (Self::Classic(printer), Told::End(Ok(result))) => Printed::Lines(printer.end(&result)),
            // An image that can't be had is found out while a build goes on, as in Docker.
            (Self::Classic(printer), Told::End(Err(error)))
                if printer.is_silent() && !matches!(error.root(), BuildError::Engine(_)) =>
            {
                Printed::Early(refused(&error))
            }
            (Self::Classic(printer), Told::End(Err(error))) => Printed::Lines(printer.failure(&error)),
            (Self::Trace, Told::Event(event)) => Printed::Lines(vec![trace::event(&event)]),
            (Self::Trace, Told::End(result)) => Printed::Lines(vec![trace::end(&result)]),
        }
    }
}

/// Events wait in a channel; a client that doesn't read has a limited backlog, and then loses lines of logs.
struct Channel {
    sender: mpsc::UnboundedSender<Told>,
    waiting: Arc<AtomicUsize>,
}

impl Progress for Channel {
    fn event(&self, event: Event) {
        let weight = weight(&event);
        if weight > 0 && self.waiting.load(Ordering::Relaxed) > BACKLOG {
            return;
        }
        self.waiting.fetch_add(weight, Ordering::Relaxed);
        let _ = self.sender.send(Told::Event(Box::new(event)));
    }
}

/// What an event takes of the backlog: only logs have no end.
fn weight(event: &Event) -> usize {
    match event {
        Event::Log { bytes, .. } => bytes.len() + 256,
        _ => 0,
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The credentials that came with the request.
struct Known(HashMap<String, Credentials>);

impl Auth for Known {
    fn credentials(&self, registry: &str) -> BoxFuture<'_, Result<Option<Credentials>, ContextError>> {
        let found = self.0.get(registry).cloned();
        async move { Ok(found) }.boxed()
    }
}

/// Unpacks the body.
async fn upload(call: Call) -> Result<DirectoryContext, ApiError> {
    let engine = call.engine().clone();
    let workspace = engine.build_workspace()?;
    let unpacked =
        engine.read_blocking(call.body.into_reader(), |archive| DirectoryContext::unpack(archive, workspace));
    unpacked.await?.map_err(|error| refused(&error.into()))
}

/// The status of a build that was refused.
pub(crate) fn refused(error: &BuildError) -> ApiError {
    let status = match error.root() {
        BuildError::Invalid(_) | BuildError::Dockerfile(_) | BuildError::Step { .. } => {
            StatusCode::BAD_REQUEST
        }
        BuildError::Client(error) if error.is_callers_fault => StatusCode::BAD_REQUEST,
        BuildError::Engine(error) => return ApiError::from(error.clone()),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    ApiError::new(status, error.to_string())
}

/// `POST /build/prune`
pub(crate) async fn prune(call: Call) -> Outcome {
    let options = request::prune(&call.query)?;
    let builder = call.context.builder.clone();
    let pruned = tokio::task::spawn_blocking(move || builder.prune(&options)).await;
    let pruned =
        pruned.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let pruned = pruned.map_err(|error| refused(&error))?;
    // As in dockerd, nothing is not an empty list.
    let deleted = Some(pruned.ids).filter(|ids| !ids.is_empty());
    respond::json(StatusCode::OK, &json!({ "CachesDeleted": deleted, "SpaceReclaimed": pruned.bytes }))
}

/// The build cache, for `GET /system/df`.
pub(crate) async fn usage(builder: &minke_build::Builder) -> Result<BuildCacheDiskUsage, ApiError> {
    let builder = builder.clone();
    let entries = tokio::task::spawn_blocking(move || builder.disk_usage()).await;
    let entries =
        entries.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let item = |entry: &minke_build::CacheEntry| {
        json!({
            "ID": entry.id,
            "Type": entry.kind,
            "Description": entry.description,
            "InUse": entry.in_use,
            "Shared": entry.shared,
            "Size": entry.size,
            "CreatedAt": entry.created,
            "LastUsedAt": entry.last_used,
            "UsageCount": entry.uses,
        })
    };
    let bytes = |bytes: u64| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    let free = entries.iter().filter(|entry| !entry.in_use && !entry.shared).map(|entry| entry.size).sum();
    Ok(BuildCacheDiskUsage {
        active_count: Some(
            i64::try_from(entries.iter().filter(|entry| entry.in_use).count()).unwrap_or(i64::MAX),
        ),
        total_count: Some(i64::try_from(entries.len()).unwrap_or(i64::MAX)),
        reclaimable: bytes(free),
        total_size: bytes(entries.iter().map(|entry| entry.size).sum()),
        items: Some(entries.iter().map(item).collect()),
    })
}
