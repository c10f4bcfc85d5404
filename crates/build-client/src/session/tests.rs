//! The session as an engine meets it, also one that wants more than it may have.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use hyper::HeaderMap;
use minke_buildkit_wire::files::{Beside, Everything, receive, send};
use minke_buildkit_wire::grpc::{Channel, Code, Status, serve};
use minke_buildkit_wire::pb::session::{
    BytesMessage, CredentialsRequest, CredentialsResponse, GetSecretRequest, GetSecretResponse,
    HealthCheckResponse,
};
use minke_buildkit_wire::pb::{Empty, fsutil};

use super::*;
use crate::options::{BuildOptions, Destination, Dockerfile, Files, Output, Secret};

/// An engine that may call a session.
struct Engine(Channel);

impl Engine {
    async fn of(options: BuildOptions, logins: Option<Arc<dyn Logins>>) -> Self {
        let prepared = Prepared::new(options, logins).unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(far, Session(Arc::new(prepared.offer))));
        let (channel, connection) = Channel::open(near).await.unwrap();
        tokio::spawn(connection);
        Self(channel)
    }

    /// Fetches a folder; returns the files that came.
    async fn fetch(&self, name: &str, headers: &[(&'static str, &str)]) -> Result<Vec<String>, Status> {
        let into = tempfile::tempdir().unwrap();
        let mut all = HeaderMap::new();
        all.insert("dir-name", name.parse().unwrap());
        for (key, value) in headers {
            all.append(*key, value.parse().unwrap());
        }
        let call = self.0.call(FILES, all)?;
        receive(call, into.path().to_owned(), Beside::Goes, (), |_| ()).await?;
        let mut found = files_below(into.path(), "");
        found.sort();
        Ok(found)
    }
}

fn files_below(folder: &Path, before: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = format!("{before}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&entry.path(), &format!("{name}/"))),
            false => found.push(name),
        }
    }
    found
}

/// A context with a Dockerfile in a folder beside it.
struct Context {
    root: tempfile::TempDir,
}

impl Context {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "context/a/x",
            "context/a/y.log",
            "context/b",
            "other/D",
            "other/D.dockerignore",
            "other/private",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        symlink(root.path().join("other"), root.path().join("context/out")).unwrap();
        symlink("a/x", root.path().join("context/in")).unwrap();
        Self { root }
    }

    fn options(&self) -> BuildOptions {
        BuildOptions {
            context: Files::Folder(self.root.path().join("context")),
            dockerfile: Dockerfile::File(self.root.path().join("other/D")),
            ..BuildOptions::default()
        }
    }
}

#[tokio::test]
async fn an_engine_gets_what_it_asks_for_and_nothing_that_was_not_named() {
    let context = Context::new();
    let engine = Engine::of(context.options(), None).await;
    let all = engine.fetch("context", &[]).await.unwrap();
    assert_eq!(all, ["a/x", "a/y.log", "b", "in", "out"]);
    let some = engine.fetch("context", &[("followpaths", "in"), ("exclude-patterns", "b")]).await.unwrap();
    assert_eq!(some, ["a/x", "in"]);
    let escaped = [
        ("include-patterns", "a%2F%2A"),
        ("include-patterns-encoded", "1"),
        ("exclude-patterns", "**/*.log"),
    ];
    assert_eq!(engine.fetch("context", &escaped).await.unwrap(), ["a/x"]);
    for way in ["out/private", "../other/private", "/etc/passwd"] {
        let found = engine.fetch("context", &[("followpaths", way)]).await.unwrap();
        assert!(
            !found.iter().any(|name| name.contains("private") || name.contains("passwd")),
            "{way}: {found:?}"
        );
    }
    assert_eq!(engine.fetch("dockerfile", &[]).await.unwrap(), ["D", "D.dockerignore"]);
    for name in ["other", "", "/", "../other"] {
        assert_eq!(engine.fetch(name, &[]).await.unwrap_err().code, Code::NotFound, "{name:?}");
    }
}

#[tokio::test]
async fn secrets_and_logins_are_those_that_were_named() {
    struct One;
    impl Logins for One {
        fn login(&self, registry: &str) -> Result<Option<Login>, String> {
            let login = Login { user: "me".into(), secret: registry.into() };
            Ok((registry != "none").then_some(login))
        }
    }
    let secrets = vec![Secret { id: "key".into(), value: "12345".into() }];
    let options = BuildOptions { secrets, ..BuildOptions::default() };
    let engine = Engine::of(options, Some(Arc::new(One))).await;
    let ask = |id: &str| GetSecretRequest { id: id.into(), ..GetSecretRequest::default() };
    let secret: GetSecretResponse = engine.0.unary(SECRET, &ask("key")).await.unwrap();
    assert_eq!(secret.data, "12345");
    let missing = engine.0.unary::<GetSecretResponse>(SECRET, &ask("other")).await;
    assert_eq!(missing.unwrap_err().code, Code::NotFound);
    for (host, secret) in
        [("registry-1.docker.io", "https://index.docker.io/v1/"), ("r:5000", "r:5000"), ("none", "")]
    {
        let asked = CredentialsRequest { host: host.into() };
        let login: CredentialsResponse = engine.0.unary(LOGIN, &asked).await.unwrap();
        assert_eq!(login.secret, secret);
    }
    let health: HealthCheckResponse = engine.0.unary(HEALTH, &Empty {}).await.unwrap();
    assert_eq!(health.status, 1);
}

#[tokio::test]
async fn outputs_land_where_they_were_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let (folder, file) = (root.path().join("deep/out"), root.path().join("file"));
    let output = |destination| Output { kind: "x".into(), attributes: [].into(), destination };
    let outputs = vec![
        output(Destination::Engine),
        output(Destination::Folder(folder.clone())),
        output(Destination::File(file.clone())),
    ];
    let engine = Engine::of(BuildOptions { outputs, ..BuildOptions::default() }, None).await;
    let to = |number: usize| {
        let mut headers = HeaderMap::new();
        headers.insert("buildkit-attachable-exporter-id", number.into());
        engine.0.call(SEND, headers).unwrap()
    };
    let made = Context::new();
    let tree = File::open(made.root.path().join("context")).unwrap();
    send(to(1), tree, Everything, true, |_| ()).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("a/x")).unwrap(), "context/a/x");
    let mut call = to(2);
    call.send(&BytesMessage { data: Bytes::from_static(b"bytes") }).await.unwrap();
    assert!(!file.exists(), "it is there when it is whole");
    call.close();
    assert_eq!(call.next::<Empty>().await.unwrap(), None);
    assert_eq!(fs::read(&file).unwrap(), b"bytes");
    let mut hostile = to(1);
    let stat = fsutil::Stat { path: "../escaped".into(), mode: 0o644, ..fsutil::Stat::default() };
    hostile.send(&fsutil::Packet::stat(Some(stat))).await.unwrap();
    while let Ok(Some(packet)) = hostile.next::<fsutil::Packet>().await {
        assert_eq!(packet.kind(), fsutil::Kind::Error);
    }
    assert!(!root.path().join("deep/escaped").exists());
    for number in [0, 3] {
        assert_eq!(to(number).next::<Empty>().await.unwrap_err().code, Code::NotFound);
    }
}

#[tokio::test]
async fn an_archive_is_sent_once() {
    let archive = Box::new(&b"an archive"[..]);
    let options = BuildOptions { context: Files::Archive(archive), ..BuildOptions::default() };
    let prepared = Prepared::new(options, None).unwrap();
    let url = prepared.request.frontend_attrs["context"].clone();
    let id = url.strip_prefix("http://buildkit-session/").unwrap().to_owned();
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(serve(far, Session(Arc::new(prepared.offer))));
    let (channel, connection) = Channel::open(near).await.unwrap();
    tokio::spawn(connection);
    let pull = |id: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("urlpath", format!("/{id}").parse().unwrap());
        channel.call(UPLOAD, headers).unwrap()
    };
    assert!(pull("other").next::<BytesMessage>().await.is_err());
    let mut call = pull(&id);
    assert_eq!(call.next::<BytesMessage>().await.unwrap().unwrap().data, "an archive");
    assert_eq!(call.next::<BytesMessage>().await.unwrap(), None);
    assert!(pull(&id).next::<BytesMessage>().await.is_err());
}

#[test]
fn headers_offer_what_there_is_and_no_more() {
    let offered = |options| {
        let headers = Prepared::new(options, None).unwrap().headers();
        let methods = headers.get_all("x-docker-expose-session-grpc-method").iter();
        methods.map(|method| method.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(offered(BuildOptions::default()), [HEALTH, FILES]);
    let secrets = vec![Secret { id: "a".into(), value: "b".into() }];
    assert_eq!(offered(BuildOptions { secrets, ..BuildOptions::default() }), [HEALTH, FILES, SECRET]);
    let missing = BuildOptions {
        dockerfile: Dockerfile::File("/nowhere/Dockerfile".into()),
        ..BuildOptions::default()
    };
    let refused = Prepared::new(missing, None).err().unwrap();
    assert_eq!(refused.to_string(), "failed to read dockerfile: open Dockerfile: no such file or directory");
}
