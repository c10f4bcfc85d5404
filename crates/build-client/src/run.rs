//! A build from its beginning to its end, on two connections that are there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use minke_buildkit_wire::grpc::{Call, Channel, Code, Status, serve};
use minke_buildkit_wire::pb::Empty;
use minke_buildkit_wire::pb::control::{
    Exporter, ListWorkersResponse, SolveRequest, SolveResponse, StatusRequest, StatusResponse,
};
use minke_buildkit_wire::pb::gateway;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::event::{BuildEvent, Warning, wire};
use crate::failure::{Failure, RunError};
use crate::session::{Prepared, Session};

const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const WORKERS: &str = "/moby.buildkit.v1.Control/ListWorkers";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";
const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";
/// Which build a call of the bridge is part of.
const BUILD_ID: HeaderName = HeaderName::from_static("buildkit-controlapi-buildid");

/// The label of workers whose store pushes by itself; others ignore that they should.
const PUSHES: &str = "org.mobyproject.buildkit.worker.snapshotter";

/// How long the engine may still tell of a build that has ended.
const REST: Duration = Duration::from_secs(3);
/// How often a question is asked of a build that the engine doesn't know yet, and how long after each other.
const TRIES: (u32, Duration) = (100, Duration::from_millis(50));

/// What a build came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the engine says of the result: `containerimage.digest`, `image.name`, …
    pub response: BTreeMap<String, String>,
    /// The names that should be pushed and are not, since the engine's builder doesn't push: whoever builds has to, as with any
    /// other image of the engine's.
    pub to_push: Vec<String>,
    /// The answer to a question: `result.json`, `result.txt`, …
    pub answer: BTreeMap<String, Vec<u8>>,
}

impl Outcome {
    /// What names the image on the engine; `None` when none was made.
    pub fn image(&self) -> Option<&str> {
        let keys = ["containerimage.config.digest", "containerimage.digest"];
        keys.iter().find_map(|key| self.response.get(*key)).map(String::as_str)
    }
}

/// Builds: `control` is the connection of `POST /grpc`, `session` the one of `POST /session` with [`Prepared::headers`].
/// What happens goes to `events`; who reads them slowly is told slowly, and the build goes on. Dropping the future ends the
/// build.
///
/// # Errors
/// How it failed, or that the engine doesn't speak the protocol.
pub async fn run(
    prepared: Prepared,
    control: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    session: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    events: mpsc::Sender<BuildEvent>,
) -> Result<Outcome, RunError> {
    let Prepared { offer, request, question, kept, warnings, .. } = prepared;
    let (channel, connection) = Channel::open(control).await.map_err(RunError::Handshake)?;
    let session = serve(session, Session(Arc::new(offer)));
    let build = async {
        let reference = request.reference.clone();
        let told = async {
            warn(warnings, &events).await;
            status(&channel, &reference, events).await
        };
        let built = async {
            match question {
                true => ask(&channel, request).await,
                false => build(&channel, &request).await,
            }
        };
        tokio::pin!(told);
        tokio::pin!(built);
        let outcome = tokio::select! {
            outcome = &mut built => outcome,
            told = &mut told => {
                if let Err(status) = told {
                    tracing::debug!(%status, "the engine tells nothing of the build");
                }
                return built.await;
            }
        };
        // What happened last comes with the end, or a little later.
        let _ = tokio::time::timeout(REST, told).await;
        outcome
    };
    tokio::pin!(build, connection, session);
    let mut serving = true;
    let mut connected = true;
    loop {
        tokio::select! {
            outcome = &mut build => {
                let outcome = outcome.map_err(Failure::from)?;
                kept.iter().try_for_each(|kept| kept.name(&outcome.response))?;
                return Ok(outcome);
            }
            // Without its connections, the build's calls end by themselves and say so.
            _ = &mut connection, if connected => connected = false,
            ended = &mut session, if serving => {
                serving = false;
                tracing::debug!(?ended, "the session has ended");
            }
        }
    }
}

async fn build(channel: &Channel, request: &SolveRequest) -> Result<Outcome, Status> {
    let solved: SolveResponse = channel.unary(SOLVE, request).await?;
    let to_push = to_push(channel, request).await?;
    Ok(Outcome { response: solved.exporter_response, to_push, ..Outcome::default() })
}

/// What the engine's builder was to push and leaves to others.
async fn to_push(channel: &Channel, request: &SolveRequest) -> Result<Vec<String>, Status> {
    let is_true = |exporter: &&Exporter| exporter.attrs.get("push").is_some_and(|push| push == "true");
    let pushed = request.exporters.iter().filter(is_true);
    let names =
        pushed.flat_map(|exporter| exporter.attrs.get("name").into_iter().flat_map(|name| name.split(',')));
    let names: Vec<_> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.is_empty() {
        return Ok(names);
    }
    let workers: ListWorkersResponse = channel.unary(WORKERS, &Empty {}).await?;
    let pushes_itself = workers.record.iter().any(|worker| worker.labels.contains_key(PUSHES));
    Ok(if pushes_itself { Vec::new() } else { names })
}

/// Tells what was noticed before.
async fn warn(warnings: Vec<String>, events: &mpsc::Sender<BuildEvent>) {
    for short in warnings {
        // Who doesn't listen isn't told.
        let _ = events.send(BuildEvent::Warning(Warning { level: 1, short, ..Warning::default() })).await;
    }
}

/// Tells of what happens until the engine has told all.
async fn status(channel: &Channel, reference: &str, events: mpsc::Sender<BuildEvent>) -> Result<(), Status> {
    let mut call = channel.call(STATUS, HeaderMap::new())?;
    call.send(&StatusRequest { reference: reference.to_owned() }).await?;
    call.close();
    while let Some(batch) = call.next::<StatusResponse>().await? {
        for event in wire::events(batch) {
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Asks about a build: the engine answers whoever drives a build itself, which then comes to nothing.
async fn ask(channel: &Channel, mut request: SolveRequest) -> Result<Outcome, Status> {
    let part = gateway::SolveRequest {
        frontend: std::mem::take(&mut request.frontend),
        frontend_opt: std::mem::take(&mut request.frontend_attrs),
        evaluate: true,
        ..gateway::SolveRequest::default()
    };
    let bridge = Bridge { channel, reference: request.reference.clone() };
    request.exporters.clear();
    request.exporter.clear();
    let solving = channel.unary::<SolveResponse>(SOLVE, &request);
    let asking = async {
        bridge.wait().await?;
        let asked: Result<gateway::SolveResponse, _> = bridge.call("Solve", &part).await;
        let mut returned = gateway::ReturnRequest::default();
        match &asked {
            Ok(_) => returned.result = Some(gateway::Outcome::default()),
            Err(status) => returned.error = Some(status.to_message()),
        }
        let _: Empty = bridge.call("Return", &returned).await?;
        asked
    };
    // The solve ends when it is returned to; if it ends before, it says why.
    tokio::pin!(solving, asking);
    let asked = tokio::select! {
        asked = &mut asking => { let _ = solving.await; asked? }
        solved = &mut solving => { solved?; asking.await? }
    };
    let answer = asked.result.unwrap_or_default().metadata;
    Ok(Outcome { answer, ..Outcome::default() })
}

/// The calls of whoever drives a build.
struct Bridge<'a> {
    channel: &'a Channel,
    reference: String,
}

impl Bridge<'_> {
    /// Waits until the engine knows the build.
    async fn wait(&self) -> Result<(), Status> {
        let mut last = Status::gone("asking the engine");
        for _ in 0..TRIES.0 {
            match self.call::<gateway::PongResponse>("Ping", &Empty {}).await {
                Ok(_) => return Ok(()),
                Err(status) if matches!(status.code, Code::NotFound | Code::Unavailable | Code::Unknown) => {
                    last = status;
                }
                Err(status) => return Err(status),
            }
            tokio::time::sleep(TRIES.1).await;
        }
        Err(last)
    }

    async fn call<T: prost::Message + Default>(
        &self,
        method: &str,
        message: &impl prost::Message,
    ) -> Result<T, Status> {
        let id = HeaderValue::from_str(&self.reference).map_err(|_| Status::invalid("the build's name"))?;
        let headers = HeaderMap::from_iter([(BUILD_ID, id)]);
        let mut call: Call = self.channel.call(&format!("{BRIDGE}{method}"), headers)?;
        call.send(message).await?;
        call.close();
        let answer = call.next().await?.unwrap_or_default();
        while call.next::<Empty>().await?.is_some() {}
        Ok(answer)
    }
}
