//! Debian's docker-registry, a server that is none of ours; `scripts/setup test` fetches it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use crate::certificates::{Authority, Certified};

/// How long it may take to come up on a busy machine.
const LONG: Duration = Duration::from_secs(30);

/// A registry that serves until it is dropped.
pub(crate) struct DebianRegistry {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

#[derive(Default)]
pub(crate) struct Options<'a> {
    pub(crate) certificate: Option<&'a Certified>,
    pub(crate) clients: Option<&'a Authority>,
    /// Lines of `htpasswd`.
    pub(crate) users: Option<&'a str>,
}

impl DebianRegistry {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let mut http = serde_json::json!({ "addr": "127.0.0.1:0" });
        if let Some(server) = options.certificate {
            let (certificate, key) =
                (write("server.pem", &server.certificate), write("server.key", &server.key));
            http["tls"] = serde_json::json!({ "certificate": certificate, "key": key });
        }
        if let Some(authority) = options.clients {
            http["tls"]["clientcas"] = serde_json::json!([write("clients.pem", &authority.pem)]);
        }
        let mut config = serde_json::json!({
            "version": 0.1, "log": { "level": "info" }, "http": http,
            "storage": {
                "filesystem": { "rootdirectory": folder.path().join("data") },
                "delete": { "enabled": true },
            },
        });
        if let Some(users) = options.users {
            let path = write("htpasswd", users);
            config["auth"] = serde_json::json!({ "htpasswd": { "realm": "debian", "path": path } });
        }
        // JSON is YAML.
        let config = write("config.yml", &config.to_string());
        let mut command = Command::new(program());
        command.arg("serve").arg(config).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("docker-registry is there after `scripts/setup test`");
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, found) = mpsc::channel();
        // Its log is read to the end, so that it never waits for a reader.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let address = rest.split([',', '"', ' ']).next().unwrap().to_owned();
                    let _ = sender.send(address);
                }
            }
        });
        let found = tokio::task::spawn_blocking(move || found.recv_timeout(LONG)).await.unwrap();
        let address = found.expect("docker-registry says where it listens").parse().unwrap();
        Self { address, child, _folder: folder }
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    minke_testkit::unpacked("registry").join("usr/bin/docker-registry")
}
