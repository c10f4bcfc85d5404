//! Whole conversations: a client as buildx is, with a session, against a builder that is small but real in what it asks.

mod client;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use hyper::HeaderMap;
use minke_build::{
    BuildError, BuildRequest, BuildResult, Client, Context, ContextError, Event, OutputKind, ToldProvenance,
    Vertex, Wanted,
};
use minke_engine::ByteStream;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::frontend::sources::Source;
use crate::grpc::{Channel, Code, Reply, Request, Service, Status, serve};
use crate::pb::Empty;
use crate::pb::content::{InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse};
use crate::pb::control::{Exporter, SolveRequest, SolveResponse, StatusRequest, StatusResponse};
use crate::pb::fsutil::{Kind, Packet, Stat};
use crate::pb::gateway::{self, Outcome, PongResponse, ReturnRequest};
use crate::pb::history::{BuildHistoryEvent, BuildHistoryRecord, BuildHistoryRequest, Descriptor};
use crate::pb::session::{BytesMessage, GetSecretResponse};
use crate::pb::source::Definition;
use crate::{BuildKit, Builder, CacheRecord, EngineFacts, PruneOptions};

/// Builds by looking at its files: `FROM x\nCOPY a /` succeeds, `RUN false` fails, `RUN sleep` never ends.
#[derive(Default)]
struct SmallBuilder {
    hangs: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
}

/// Tells that a build ended without its end.
struct Cancelled(Arc<AtomicBool>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Builder for SmallBuilder {
    fn build(&self, request: BuildRequest, client: Client) -> BoxFuture<'_, Result<BuildResult, BuildError>> {
        Box::pin(async move {
            let text = String::from_utf8(request.dockerfile_text.unwrap_or_default()).unwrap();
            let mut vertex = Vertex {
                digest: minke_model::Digest::from_bytes([1; 32]),
                inputs: Vec::new(),
                name: "[2/2] RUN it".into(),
                started: Some(time::OffsetDateTime::now_utc()),
                completed: None,
                cached: false,
                error: String::new(),
                step: None,
            };
            client.progress.event(Event::Vertex(vertex.clone()));
            if text.contains("RUN sleep") {
                let _guard = Cancelled(self.cancelled.clone());
                self.hangs.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            if text.contains("RUN false") {
                vertex.error = "process failed".into();
                client.progress.event(Event::Vertex(vertex));
                return Err(BuildError::Step {
                    message: "process failed".into(),
                    command: "false".into(),
                    code: 1,
                    lines: Some((2, 2)),
                });
            }
            let context = client.context.expect("a context");
            let wanted = Wanted { paths: vec!["a".into()], ..Wanted::default() };
            let tree = context.fetch(wanted).await?;
            let content = std::fs::read(tree.path().join("a")).expect("the file is there");
            let secret = client.secrets.expect("secrets").secret("key").await?.unwrap_or_default();
            for output in request.outputs {
                let Some(disk) = output.destination else { continue };
                if output.kind == OutputKind::Tar {
                    let bytes = [Bytes::from(content.clone()), Bytes::from(secret.clone())].map(Ok);
                    disk.stream(Box::pin(stream::iter(bytes))).await?;
                } else {
                    disk.directory(context.fetch(Wanted::default()).await?).await?;
                }
            }
            Ok(BuildResult {
                image: Some("sha256:abc".into()),
                names: request.tags,
                provenance: vec![ToldProvenance { json: b"{}".into(), ..ToldProvenance::default() }],
                ..BuildResult::default()
            })
        })
    }

    fn source(&self, source: &Source, _: &Client) -> Result<Arc<dyn Context>, BuildError> {
        Err(BuildError::Invalid(format!("{source:?} is far")))
    }

    fn check(&self, entitlements: &[String]) -> Result<(), BuildError> {
        match entitlements.is_empty() {
            true => Ok(()),
            false => Err(BuildError::Invalid(format!("{} is not allowed", entitlements.join(", ")))),
        }
    }

    fn unpack(&self, _: ByteStream) -> BoxFuture<'_, Result<Arc<dyn Context>, ContextError>> {
        Box::pin(async { Err(ContextError::failed("not here")) })
    }

    fn remote(&self, url: &str, _: &Client, _: Option<bool>) -> Result<Arc<dyn Context>, BuildError> {
        Err(BuildError::Invalid(format!("{url} is far")))
    }

    fn usage(&self) -> BoxFuture<'_, Vec<CacheRecord>> {
        Box::pin(async { Vec::new() })
    }

    fn prune(&self, _: PruneOptions) -> BoxFuture<'_, Result<Vec<CacheRecord>, BuildError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// What buildx serves in its session.
#[derive(Clone)]
struct Attachables {
    dockerfile: String,
    content: String,
    requested: Arc<AtomicUsize>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Attachables {
    fn entries(&self, folder: &str) -> Vec<(Stat, String)> {
        let file = |path: &str, content: &str| {
            let size = i64::try_from(content.len()).unwrap();
            (
                Stat { path: path.into(), mode: 0o644, size, mod_time: 1, ..Stat::default() },
                content.to_owned(),
            )
        };
        match folder {
            "dockerfile" => vec![file("Dockerfile", &self.dockerfile)],
            _ => vec![file("a", &self.content)],
        }
    }

    fn send(&self, folder: &str, mut request: Request) -> Reply {
        let entries = self.entries(folder);
        let (packets, outgoing) = mpsc::unbounded_channel();
        for (stat, _) in &entries {
            packets.send(Packet::stat(Some(stat.clone()))).unwrap();
        }
        packets.send(Packet::stat(None)).unwrap();
        let requested = self.requested.clone();
        tokio::spawn(async move {
            while let Ok(Some(packet)) = request.messages.next::<Packet>().await {
                if packet.kind() == Kind::End {
                    let _ = packets.send(Packet::end());
                    return;
                }
                requested.fetch_add(1, Ordering::SeqCst);
                let content = Bytes::from(entries[packet.id as usize].1.clone());
                let _ = packets.send(Packet::data(packet.id, content));
                let _ = packets.send(Packet::data(packet.id, Bytes::new()));
            }
        });
        Reply::many(stream::unfold(outgoing, |mut outgoing| async move {
            Some((Ok(outgoing.recv().await?), outgoing))
        }))
    }

    /// Receives a folder as buildx does and writes the contents one after the other.
    fn receive(&self, mut request: Request) -> Reply {
        let (packets, outgoing) = mpsc::unbounded_channel();
        let written = self.written.clone();
        tokio::spawn(async move {
            let (mut next, mut missing, mut all) = (0, 0, false);
            while let Ok(Some(packet)) = request.messages.next::<Packet>().await {
                match (packet.kind(), packet.stat) {
                    (Kind::Stat, Some(_)) => {
                        packets.send(Packet::request(next)).unwrap();
                        (next, missing) = (next + 1, missing + 1);
                    }
                    (Kind::Stat, None) => all = true,
                    (Kind::Data, _) if packet.data.is_empty() => missing -= 1,
                    (Kind::Data, _) => written.lock().unwrap().extend_from_slice(&packet.data),
                    _ => {}
                }
                if all && missing == 0 {
                    all = false;
                    packets.send(Packet::end()).unwrap();
                }
            }
        });
        Reply::many(stream::unfold(outgoing, |mut outgoing| async move {
            Some((Ok(outgoing.recv().await?), outgoing))
        }))
    }
}

impl Service for Attachables {
    fn call(&self, mut request: Request) -> BoxFuture<'static, Result<Reply, Status>> {
        let this = self.clone();
        Box::pin(async move {
            match &*request.path {
                "/moby.filesync.v1.FileSync/DiffCopy" => {
                    let folder = request.headers["dir-name"].to_str().unwrap().to_owned();
                    Ok(this.send(&folder, request))
                }
                "/moby.filesync.v1.FileSend/DiffCopy"
                    if request.headers["buildkit-attachable-exporter-id"] == "1" =>
                {
                    Ok(this.receive(request))
                }
                "/moby.filesync.v1.FileSend/DiffCopy" => {
                    while let Some(message) = request.messages.next::<BytesMessage>().await? {
                        this.written.lock().unwrap().extend_from_slice(&message.data);
                    }
                    Ok(Reply::many(stream::empty::<Result<Empty, Status>>()))
                }
                "/moby.buildkit.secrets.v1.Secrets/GetSecret" => {
                    Ok(Reply::one(&GetSecretResponse { data: "+secret".into() }))
                }
                other => Err(Status::unimplemented(other)),
            }
        })
    }
}

struct Conversation {
    _folder: tempfile::TempDir,
    control: Channel,
    attachables: Attachables,
    hangs: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
}

impl Conversation {
    async fn begin(dockerfile: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let builder = SmallBuilder::default();
        let (hangs, cancelled) = (builder.hangs.clone(), builder.cancelled.clone());
        let kit = BuildKit::new(Arc::new(builder), EngineFacts::default(), folder.path().to_owned());
        let attachables = Attachables {
            dockerfile: dockerfile.into(),
            content: "hello".into(),
            requested: Arc::default(),
            written: Arc::default(),
        };
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(near, attachables.clone()));
        let mut headers = HeaderMap::new();
        headers.insert("x-docker-expose-session-uuid", "s1".parse().unwrap());
        headers.insert("x-docker-expose-session-sharedkey", "key".parse().unwrap());
        for method in [
            "/moby.filesync.v1.FileSync/DiffCopy",
            "/moby.filesync.v1.FileSend/DiffCopy",
            "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        ] {
            headers.append("x-docker-expose-session-grpc-method", method.parse().unwrap());
        }
        kit.check_session(&headers).unwrap();
        let sessions = kit.clone();
        tokio::spawn(async move { sessions.session(headers, far).await });
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move { kit.control(far).await });
        let (control, connection) = Channel::open(near).await.unwrap();
        tokio::spawn(connection);
        Self { _folder: folder, control, attachables, hangs, cancelled }
    }

    fn request(reference: &str) -> SolveRequest {
        SolveRequest { reference: reference.into(), session: "s1".into(), ..SolveRequest::default() }
    }

    async fn bridge<T: prost::Message + Default>(
        &self,
        build: &str,
        method: &str,
        message: &impl prost::Message,
    ) -> Result<T, Status> {
        let headers =
            HeaderMap::from_iter([("buildkit-controlapi-buildid".parse().unwrap(), build.parse().unwrap())]);
        let mut call =
            self.control.call(&format!("/moby.buildkit.v1.frontend.LLBBridge/{method}"), headers)?;
        call.send(message).await?;
        call.close();
        Ok(call.next().await?.unwrap_or_default())
    }

    /// As buildx does it: the solve waits, the client drives.
    async fn drive(&self, request: SolveRequest) -> Result<SolveResponse, Status> {
        let reference = request.reference.clone();
        let solving = self.solve(request);
        let pong: PongResponse = self.bridge(&reference, "Ping", &Empty {}).await?;
        assert!(pong.frontend_caps.iter().any(|cap| cap.id == "return" && cap.enabled));
        let result = self.part(&reference, gateway::SolveRequest::default()).await?;
        self.give_back(&reference, result).await?;
        solving.await.unwrap()
    }

    fn solve(&self, request: SolveRequest) -> JoinHandle<Result<SolveResponse, Status>> {
        let control = self.control.clone();
        tokio::spawn(async move { control.unary("/moby.buildkit.v1.Control/Solve", &request).await })
    }

    /// What a client that drives its build gets for a part of it.
    async fn part(&self, build: &str, part: gateway::SolveRequest) -> Result<Outcome, Status> {
        let part = gateway::SolveRequest { frontend: "dockerfile.v0".into(), ..part };
        let solved: gateway::SolveResponse = self.bridge(build, "Solve", &part).await?;
        Ok(solved.result.unwrap())
    }

    async fn give_back(&self, build: &str, result: Outcome) -> Result<(), Status> {
        let returned = ReturnRequest { result: Some(result), error: None };
        self.bridge::<Empty>(build, "Return", &returned).await.map(drop)
    }

    async fn status(&self, reference: &str) -> Vec<StatusResponse> {
        let mut call = self.control.call("/moby.buildkit.v1.Control/Status", HeaderMap::new()).unwrap();
        call.send(&StatusRequest { reference: reference.into() }).await.unwrap();
        call.close();
        let mut all = Vec::new();
        while let Some(batch) = call.next().await.unwrap() {
            all.push(batch);
        }
        all
    }
}

fn exporter(kind: &str) -> Exporter {
    Exporter { kind: kind.into(), attrs: BTreeMap::new() }
}

#[tokio::test]
async fn the_status_of_a_build_that_is_refused_ends_with_it() {
    let talk = Conversation::begin("FROM x").await;
    let request =
        SolveRequest { entitlements: vec!["security.insecure".into()], ..Conversation::request("b1") };
    let solve = talk.control.unary::<SolveResponse>("/moby.buildkit.v1.Control/Solve", &request);
    let both = async { tokio::join!(solve, talk.status("b1")) };
    let (solved, status) = tokio::time::timeout(Duration::from_secs(2), both).await.unwrap();
    assert!(solved.unwrap_err().message.contains("security.insecure is not allowed"));
    assert!(status.iter().all(|batch| batch.vertexes.is_empty()));
}

#[tokio::test]
async fn a_client_drives_its_build_and_sees_it() {
    let talk = Conversation::begin("FROM x\nCOPY a /").await;
    let (solved, status) = tokio::join!(talk.drive(Conversation::request("b1")), talk.status("b1"));
    assert_eq!(solved.unwrap().exporter_response["containerimage.config.digest"], "sha256:abc");
    let names: Vec<_> = status.iter().flat_map(|batch| &batch.vertexes).map(|vertex| &*vertex.name).collect();
    for name in
        ["[internal] load build definition from Dockerfile", "[internal] load build context", "[2/2] RUN it"]
    {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}

/// A client closes the session of a build when that is answered, and what is built on it reads from there.
#[tokio::test]
async fn a_build_is_answered_after_those_on_it() {
    let talk = Conversation::begin("FROM x\nCOPY a /").await;
    let below = talk.solve(Conversation::request("below"));
    let first = talk.part("below", gateway::SolveRequest::default()).await.unwrap();
    let above = talk.solve(Conversation::request("above"));
    let part = gateway::SolveRequest {
        frontend_opt: BTreeMap::from([("context:x".into(), "input:x".into())]),
        frontend_inputs: BTreeMap::from([(
            "x".into(),
            first.reference.as_ref().unwrap().def.clone().unwrap(),
        )]),
        ..gateway::SolveRequest::default()
    };
    let second = talk.part("above", part).await.unwrap();
    talk.give_back("below", first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!below.is_finished());
    talk.give_back("above", second).await.unwrap();
    assert!(above.await.unwrap().is_ok());
    assert!(below.await.unwrap().is_ok());
}

#[tokio::test]
async fn the_second_build_is_sent_only_what_changed() {
    let talk = Conversation::begin("FROM x\nCOPY a /").await;
    talk.drive(Conversation::request("b1")).await.unwrap();
    let first = talk.attachables.requested.swap(0, Ordering::SeqCst);
    assert_eq!(first, 2);
    talk.drive(Conversation::request("b2")).await.unwrap();
    assert_eq!(talk.attachables.requested.load(Ordering::SeqCst), 1, "the Dockerfile alone");
}

#[tokio::test]
async fn a_tar_and_a_folder_go_to_the_clients_disk() {
    let talk = Conversation::begin("FROM x\nCOPY a /").await;
    let request = SolveRequest { exporters: vec![exporter("tar")], ..Conversation::request("b1") };
    talk.drive(request).await.unwrap();
    assert_eq!(*talk.attachables.written.lock().unwrap(), b"hello+secret");
    let request =
        SolveRequest { exporters: vec![exporter("moby"), exporter("local")], ..Conversation::request("b2") };
    talk.drive(request).await.unwrap();
    assert_eq!(*talk.attachables.written.lock().unwrap(), b"hello+secrethello");
}

#[tokio::test]
async fn a_failed_build_says_where() {
    let talk = Conversation::begin("FROM x\nRUN false").await;
    let status = talk.drive(Conversation::request("b1")).await.unwrap_err();
    assert_eq!((status.code, &*status.message), (Code::Unknown, "process failed"));
    let kinds: Vec<_> = status.details.iter().map(|detail| &*detail.kind).collect();
    assert_eq!(
        kinds,
        ["github.com/moby/buildkit/errdefs.Vertex+json", "github.com/moby/buildkit/errdefs.Source+json"]
    );
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_build() {
    let talk = Conversation::begin("FROM x\nRUN sleep").await;
    let request = SolveRequest { frontend: "dockerfile.v0".into(), ..Conversation::request("b1") };
    let control = talk.control.clone();
    let solving = tokio::spawn(async move {
        control.unary::<SolveResponse>("/moby.buildkit.v1.Control/Solve", &request).await
    });
    while !talk.hangs.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    solving.abort();
    while !talk.cancelled.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!talk.status("b1").await.is_empty(), "its status ends as well");
}

#[tokio::test]
async fn graphs_and_calls_that_nobody_serves_are_refused_in_words() {
    let talk = Conversation::begin("FROM x").await;
    let graph = Definition { def: vec![Bytes::from_static(b"x")], ..Definition::default() };
    let request = SolveRequest { definition: Some(graph), ..Conversation::request("b1") };
    let status =
        talk.control.unary::<SolveResponse>("/moby.buildkit.v1.Control/Solve", &request).await.unwrap_err();
    assert!(status.message.contains("solves no LLB graphs"), "{status}");
    let status =
        talk.control.unary::<Empty>("/moby.buildkit.v1.Control/Nothing", &Empty {}).await.unwrap_err();
    assert_eq!(status.code, Code::Unimplemented);
    let status = talk.bridge::<Outcome>("", "Ping", &Empty {}).await.unwrap_err();
    assert!(status.message.contains("no build named"), "{status}");
}

impl Conversation {
    /// What is remembered of a build.
    async fn record(&self, reference: &str) -> BuildHistoryRecord {
        let request = BuildHistoryRequest {
            reference: reference.into(),
            early_exit: true,
            ..BuildHistoryRequest::default()
        };
        let path = "/moby.buildkit.v1.Control/ListenBuildHistory";
        let mut call = self.control.call(path, HeaderMap::new()).unwrap();
        call.send(&request).await.unwrap();
        call.close();
        call.next::<BuildHistoryEvent>().await.unwrap().unwrap().record.unwrap()
    }

    async fn content(&self, wanted: &Descriptor) -> Vec<u8> {
        let (service, digest) = ("/containerd.services.content.v1.Content", wanted.digest.clone());
        let asked = InfoRequest { digest: digest.clone() };
        let info: InfoResponse = self.control.unary(&format!("{service}/Info"), &asked).await.unwrap();
        assert_eq!(info.info.unwrap().size, wanted.size);
        let mut call = self.control.call(&format!("{service}/Read"), HeaderMap::new()).unwrap();
        call.send(&ReadContentRequest { digest, ..ReadContentRequest::default() }).await.unwrap();
        call.close();
        let mut content = Vec::new();
        while let Some(piece) = call.next::<ReadContentResponse>().await.unwrap() {
            content.extend_from_slice(&piece.data);
        }
        content
    }
}

#[tokio::test]
async fn a_record_leads_to_provenance_and_to_the_whole_error() {
    let talk = Conversation::begin("FROM x\nCOPY a /\n").await;
    talk.drive(Conversation::request("good")).await.unwrap();
    let result = talk.record("good").await.result.unwrap();
    assert_eq!(result.attestations[0].media_type, "application/vnd.in-toto+json");
    assert_eq!(talk.content(&result.attestations[0]).await, b"{}");

    let talk = Conversation::begin("FROM x\nRUN false\n").await;
    let failed = talk.drive(Conversation::request("bad")).await.unwrap_err();
    let record = talk.record("bad").await;
    let whole = talk.content(&record.external_error.unwrap()).await;
    let whole: crate::pb::rpc::Status = prost::Message::decode(&*whole).unwrap();
    assert_eq!(whole.message, failed.message);
    assert!(!whole.details.is_empty() && record.error.unwrap().details.is_empty());

    let asked = InfoRequest { digest: "sha256:none".into() };
    let missing: Result<InfoResponse, Status> =
        talk.control.unary("/containerd.services.content.v1.Content/Info", &asked).await;
    assert_eq!(missing.unwrap_err().code, Code::NotFound);
}
