//! The API over a real socket in front of a real engine that runs nothing: statuses, headers and forms as
//! Docker's clients expect them.

#![expect(clippy::unwrap_used, reason = "a failed step is the test's failure")]

#[path = "api/buildkit.rs"]
mod buildkit;
#[path = "api/routes.rs"]
mod routes;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use minke_docker_api::{Activity, BuildKit, Server};
use minke_docker_client::{ApiVersion, Body, Changed, Client, Endpoint, HeaderMap, Method, json_lines};
use minke_engine::{Engine, EngineConfig, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

/// An engine and its server, both of this test's own.
struct Rig {
    dir: tempfile::TempDir,
    engine: Engine,
    activity: Arc<Activity>,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Rig {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    /// An engine in front of which BuildKit's protocol is spoken.
    async fn start_with(buildkit: Option<Arc<dyn BuildKit>>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let dir = tempfile::Builder::new().prefix("mkapi").tempdir().unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let config = EngineConfig {
            root: dir.path().join("root"),
            state: dir.path().join("state"),
            name_prefix: format!("a{}x{number}", std::process::id() % 100_000),
            runtime: dir.path().join("minke-oci"),
            networks: minke_engine::NetworkDefaults::default(),
            settings: Settings::default(),
            version: "0.0.1",
        };
        let engine = Engine::open(config).await.unwrap();
        let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
        let server =
            Server::with_buildkit(engine.clone(), minke_build::Builder::new(engine.clone()), buildkit);
        let activity = server.activity();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.serve(listener, async {
            let _ = stopped.await;
        }));
        Self { dir, engine, activity, stop, server }
    }

    fn client(&self, minor: u16) -> Client {
        Client::new(Endpoint::Unix(self.dir.path().join("sock"))).with_version(ApiVersion::new(1, minor))
    }

    /// Sends a whole request and reads until the engine closes.
    async fn raw(&self, request: &str) -> String {
        String::from_utf8(self.raw_bytes(request).await).unwrap()
    }

    /// The same for an answer that need not be text.
    async fn raw_bytes(&self, request: &str) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.dir.path().join("sock")).await.unwrap();
        stream
            .write_all(request.replace("\r\n\r\n", "\r\nHost: d\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    /// An image of one small file.
    async fn import(&self, name: &str) -> String {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(2);
        header.set_mode(0o755);
        tar.append_data(&mut header, "hello", &b"hi"[..]).unwrap();
        let tar = std::io::Cursor::new(tar.into_inner().unwrap());
        let query =
            [("fromSrc", "-".into()), ("repo", name.to_owned()), ("changes", "CMD [\"/hello\"]".into())];
        let body = Body::reader("application/x-tar", tar);
        let answer = self
            .client(51)
            .stream(Method::POST, "/images/create", &query, body, HeaderMap::new())
            .await
            .unwrap();
        let lines: Vec<Value> = json_lines(answer.body).map(Result::unwrap).collect().await;
        lines[0]["status"].as_str().unwrap().to_owned()
    }

    async fn end(self) {
        let _ = self.stop.send(());
        self.server.await.unwrap().unwrap();
        self.engine.close().await;
    }
}

#[tokio::test]
async fn a_ping_says_what_clients_decide_by() {
    let rig = Rig::start().await;
    let answer = rig.raw("GET /_ping HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    for header in [
        "Api-Version: 1.51",
        "Builder-Version: 1",
        "Ostype: linux",
        "Docker-Experimental: false",
        "Swarm: inactive",
    ] {
        assert!(answer.contains(&format!("{header}\r\n")), "{header}: {answer}");
    }
    assert!(answer.contains("Cache-Control: no-cache, no-store, must-revalidate\r\n"), "{answer}");
    assert!(answer.contains("Server: Minke/28.5.2+minke.0.0.1 (linux)\r\n"), "{answer}");
    let head = rig.raw("HEAD /v1.24/_ping HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    rig.end().await;
}

#[tokio::test]
async fn wrong_versions_and_paths_are_told_in_dockers_words() {
    let rig = Rig::start().await;
    let answer = rig.raw("GET /v1.52/info HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains("client version 1.52 is too new. Maximum supported API version is 1.51"),
        "{answer}"
    );
    assert!(rig.raw("GET /v1.23/info HTTP/1.1\r\n\r\n").await.contains("client version 1.23 is too old."));
    for line in ["GET /nope", "POST /info", "GET /v1.51/containers/json/", "GET /v1.24/system/df"] {
        let answer = rig.raw(&format!("{line} HTTP/1.1\r\n\r\n")).await;
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && answer.contains("{\"message\":\"page not found\"}"),
            "{answer}"
        );
    }
    assert!(rig.raw("OPTIONS /info HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    rig.end().await;
}

#[tokio::test]
async fn bad_bodies_and_parameters_are_named() {
    let rig = Rig::start().await;
    let refused = |answer: String, part: &str| {
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(part), "{part}: {answer}");
    };
    let create = |body: &str| {
        format!(
            "POST /containers/create HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    refused(rig.raw(&create("{")).await, "invalid JSON: EOF");
    refused(rig.raw(&create("")).await, "invalid JSON: got EOF while reading request body");
    refused(rig.raw(&create("{\"Image\":3}")).await, "invalid JSON: Image: invalid type");
    refused(
        rig.raw("POST /containers/create HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").await,
        "unsupported Content-Type header",
    );
    refused(rig.raw("GET /containers/json?limit=x HTTP/1.1\r\n\r\n").await, "limit");
    refused(rig.raw("GET /containers/json?filters=x HTTP/1.1\r\n\r\n").await, "filter");
    refused(rig.raw("GET /containers/x/logs HTTP/1.1\r\n\r\n").await, "at least one stream");
    refused(rig.raw("POST /containers/x/wait?condition=foo HTTP/1.1\r\n\r\n").await, "invalid condition");
    refused(rig.raw("HEAD /containers/x/archive HTTP/1.1\r\n\r\n").await, "");
    rig.end().await;
}

#[tokio::test]
async fn what_is_missing_is_not_found() {
    let rig = Rig::start().await;
    let client = rig.client(51);
    for path in [
        "/containers/nosuch/json",
        "/images/nosuch/json",
        "/volumes/nosuch",
        "/networks/nosuch",
        "/exec/nosuch/json",
    ] {
        let error = client.get::<Value>(path, &[]).await.unwrap_err();
        assert!(error.is_not_found(), "{path}: {error}");
    }
    let error = client.post_empty::<Changed>("/containers/nosuch/start", &[]).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("No such container: nosuch"), "{error}");
    let pull = client.post_empty::<()>("/images/create", &[("fromImage", "Redis".into())]).await.unwrap_err();
    assert!(pull.to_string().contains("must be lowercase"), "{pull}");
    let push = client.post_empty::<()>("/images/nosuch/push", &[("tag", "1".into())]).await.unwrap_err();
    assert!(push.is_not_found() && push.to_string().contains("does not exist locally"), "{push}");
    let attach = client.hijack::<()>("/containers/nosuch/attach", &[], None).await.unwrap_err();
    assert!(attach.is_not_found(), "{attach}");
    let raw = rig.raw("POST /containers/nosuch/attach HTTP/1.1\r\n\r\n").await;
    assert!(raw.starts_with("HTTP/1.1 404 ") && raw.contains("No such container"), "{raw}");
    rig.end().await;
}

#[tokio::test]
async fn a_hardware_address_is_shown_if_it_was_asked_for_and_fields_are_taken_in_lower_case() {
    let rig = Rig::start().await;
    let _ = rig.import("demo/app:1").await;
    let client = rig.client(51);
    let mac = "02:42:ac:11:00:42";
    for (name, mode, asked) in
        [("plain", "", None), ("web", "bridge", Some(mac)), ("far", "later", Some(mac))]
    {
        let network = if mode.is_empty() { "bridge" } else { mode };
        let endpoints = json!({network: {"MacAddress": asked}});
        let body = json!({"image": "demo/app:1", "hostConfig": {"networkMode": mode}, "NetworkingConfig": {"endpointsConfig": endpoints}});
        let _: Value =
            client.post("/containers/create", &[("name", name.into())], Some(&body)).await.unwrap();
        let container: Value = client.get(&format!("/containers/{name}/json"), &[]).await.unwrap();
        assert_eq!(container["Config"]["MacAddress"].as_str(), asked, "{name}");
        client.delete::<()>(&format!("/containers/{name}"), &[]).await.unwrap();
    }
    rig.end().await;
}

#[tokio::test]
async fn a_created_container_has_every_field_that_docker_writes() {
    let rig = Rig::start().await;
    let id = rig.import("demo/app:1").await;
    assert!(id.starts_with("sha256:"), "{id}");
    let client = rig.client(51);
    let body = json!({"Image": "demo/app:1", "Env": null, "HostConfig": {"NetworkMode": "none"}});
    let created: Value =
        client.post("/containers/create", &[("name", "web".into())], Some(&body)).await.unwrap();
    assert_eq!(created["Warnings"], json!([]));
    let container: Value = client.get("/containers/web/json", &[]).await.unwrap();
    assert_eq!((&container["Id"], &container["Name"]), (&created["Id"], &json!("/web")));
    assert_eq!(container["State"]["Status"], "created");
    assert_eq!(container["State"]["StartedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(container["Mounts"], json!([]));
    assert_eq!(container["NetworkSettings"]["IPAddress"], "");
    assert_eq!(container["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 0);
    let list: Value = client.get("/containers/json", &[("all", "1".into())]).await.unwrap();
    assert_eq!((&list[0]["Names"], &list[0]["State"]), (&json!(["/web"]), &json!("created")));
    assert_eq!((&list[0]["Ports"], &list[0]["Labels"]), (&json!([]), &json!({})));
    let again = client.post::<_, Value>("/containers/create", &[("name", "web".into())], Some(&body)).await;
    assert_eq!(again.unwrap_err().status(), Some(409));
    client.delete::<()>("/containers/web", &[]).await.unwrap();
    rig.end().await;
}

#[tokio::test]
async fn images_have_their_old_fields_for_old_clients() {
    let rig = Rig::start().await;
    let id = rig.import("demo/app:1").await;
    let new: Value = rig.client(51).get("/images/demo/app:1/json", &[]).await.unwrap();
    assert_eq!((&new["Id"], &new["RepoTags"]), (&json!(id), &json!(["demo/app:1"])));
    assert_eq!((&new["Config"]["Cmd"], &new["Config"]["Entrypoint"]), (&json!(["/hello"]), &Value::Null));
    assert!(new.get("VirtualSize").is_none());
    let old: Value = rig.client(43).get("/images/demo/app:1/json", &[]).await.unwrap();
    assert_eq!(old["VirtualSize"], old["Size"]);
    assert_eq!(old["ContainerConfig"]["Tty"], false);
    let list: Value = rig.client(43).get("/images/json", &[]).await.unwrap();
    assert_eq!((&list[0]["RepoTags"], &list[0]["VirtualSize"]), (&json!(["demo/app:1"]), &old["Size"]));
    let tag = [("repo", "demo/other".into()), ("tag", "2".into())];
    rig.client(51).post_empty::<()>("/images/demo/app:1/tag", &tag).await.unwrap();
    let saved = rig
        .client(51)
        .stream(Method::GET, "/images/demo/other:2/get", &[], Body::Empty, HeaderMap::new())
        .await;
    let mut saved = saved.unwrap();
    assert_eq!(saved.headers["content-type"], "application/x-tar");
    let mut tar = Vec::new();
    saved.body.read_to_end(&mut tar).await.unwrap();
    let tar = Body::reader("application/x-tar", std::io::Cursor::new(tar));
    let quiet = [("quiet", "0".into())];
    let loaded =
        rig.client(51).stream(Method::POST, "/images/load", &quiet, tar, HeaderMap::new()).await.unwrap();
    let lines: Vec<Value> = json_lines(loaded.body).map(Result::unwrap).collect().await;
    assert!(
        lines.iter().any(|line| line["stream"].as_str().is_some_and(|text| text.contains("demo/other:2"))),
        "{lines:?}"
    );
    rig.end().await;
}

#[tokio::test]
async fn an_archive_that_is_none_is_refused_in_the_stream_while_it_is_still_being_sent() {
    let rig = Rig::start().await;
    let nonsense = Body::reader("application/x-tar", std::io::Cursor::new(vec![b'x'; 8 << 20]));
    let load = rig.client(51).stream(Method::POST, "/images/load", &[], nonsense, HeaderMap::new()).await;
    let lines: Vec<Value> = json_lines(load.unwrap().body).map(Result::unwrap).collect().await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0]["error"].as_str().is_some_and(|error| !error.is_empty()), "{lines:?}");
    rig.end().await;
}

#[tokio::test]
async fn events_come_as_they_happen() {
    let rig = Rig::start().await;
    let events =
        rig.client(51).stream(Method::GET, "/events", &[], Body::Empty, HeaderMap::new()).await.unwrap();
    let mut events = json_lines::<Value>(events.body);
    let volume: Value =
        rig.client(51).post("/volumes/create", &[], Some(&json!({"Name": "v1"}))).await.unwrap();
    assert_eq!(volume["Name"], "v1");
    let event = tokio::time::timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(
        (&event["Type"], &event["Action"], &event["Actor"]["ID"]),
        (&json!("volume"), &json!("create"), &json!("v1"))
    );
    assert_eq!(rig.activity.requests(), 1);
    drop(events);
    rig.client(51).delete::<()>("/volumes/v1", &[]).await.unwrap();
    let volumes: Value = rig.client(51).get("/volumes", &[]).await.unwrap();
    assert_eq!(volumes["Volumes"], json!([]));
    rig.end().await;
}

#[tokio::test]
async fn the_engine_describes_itself() {
    let rig = Rig::start().await;
    let client = rig.client(51);
    let version: Value = client.get("/version", &[]).await.unwrap();
    assert_eq!((&version["ApiVersion"], &version["MinAPIVersion"]), (&json!("1.51"), &json!("1.24")));
    assert_eq!(version["Components"][0]["Details"]["ApiVersion"], "1.51");
    let info: Value = client.get("/info", &[]).await.unwrap();
    assert_eq!((&info["Containers"], &info["OSType"]), (&json!(0), &json!("linux")));
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
    assert_eq!(client.get::<Value>("/system/df", &[]).await.unwrap()["Images"], json!([]));
    assert_eq!(client.get::<Value>("/plugins", &[]).await.unwrap(), json!([]));
    assert_eq!(client.get::<Value>("/services", &[]).await.unwrap_err().status(), Some(503));
    let networks: Value = client.get("/networks", &[]).await.unwrap();
    let names: Vec<_> =
        networks.as_array().unwrap().iter().map(|network| network["Name"].as_str().unwrap()).collect();
    assert!(["bridge", "host", "none"].iter().all(|name| names.contains(name)), "{names:?}");
    assert_eq!(client.delete::<()>("/networks/bridge", &[]).await.unwrap_err().status(), Some(403));
    rig.end().await;
}
