//! An engine for one test, and the words the tests are written in.

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bollard_stubs::models::{ContainerCreateBody, HostConfig};
use futures_util::{FutureExt, StreamExt};
use minke_engine::*;
use minke_kernel::namespace::{self, Kinds};
use minke_model::runtime_spec::NamespaceType;
use minke_testkit::Rootfs;

/// The name of the busybox image.
pub(crate) const IMAGE: &str = "box:latest";

pub(crate) struct Test {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) engine: Engine,
    prefix: String,
}

/// Runs a test in a network namespace of its own, with an engine that has the busybox image; afterwards
/// nothing may be left.
pub(crate) fn with_engine(test: impl AsyncFnOnce(&mut Test)) {
    namespace::unshare(Kinds::of(NamespaceType::Network)).unwrap();
    let up = Command::new("/bin/busybox").args(["ip", "link", "set", "lo", "up"]).status().unwrap();
    assert!(up.success());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut host = Test::new().await;
        // A failed test cleans up too.
        let outcome = AssertUnwindSafe(test(&mut host)).catch_unwind().await;
        host.finish().await;
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

impl Test {
    async fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("engine-").tempdir().unwrap();
        let prefix = format!("t{:x}", std::process::id());
        let engine = Engine::open(config(dir.path(), &prefix)).await.unwrap();
        let tar = Rootfs::busybox().tar();
        let options = ImportOptions { name: Some("box".into()), ..ImportOptions::default() };
        engine.image_import(std::io::Cursor::new(tar), options).await.unwrap();
        Self { dir, engine, prefix }
    }

    /// Drops the engine as if it were killed (containers run on) and opens the next one.
    pub(crate) async fn reopen(&mut self) {
        self.reopen_with(|_| {}).await;
    }

    /// The same, with something happening in between.
    pub(crate) async fn reopen_with(&mut self, between: impl FnOnce(&Path)) {
        let other = tempfile::tempdir().unwrap();
        let placeholder = Engine::open(config(other.path(), &format!("{}x", self.prefix))).await.unwrap();
        drop(std::mem::replace(&mut self.engine, placeholder));
        between(self.dir.path());
        for attempt in 0.. {
            match Engine::open(config(self.dir.path(), &self.prefix)).await {
                Ok(engine) => {
                    let placeholder = std::mem::replace(&mut self.engine, engine);
                    placeholder.close().await;
                    return;
                }
                // Tasks of the dropped engine are just ending.
                Err(error) if attempt < 100 => {
                    eprintln!("open again: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn finish(self) {
        let options = RemoveOptions { force: true, volumes: true };
        for container in self.list().await {
            let _ = self.engine.remove(&container, options).await;
        }
        self.engine.close().await;
        let cgroup = Path::new("/sys/fs/cgroup/pids").join(&self.prefix);
        assert!(!cgroup.exists(), "{} is left", cgroup.display());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.dir.path().to_str().unwrap()), "a mount is left");
        let links = Command::new("/bin/busybox").args(["ip", "-o", "link"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&links.stdout).contains(&self.prefix), "a link is left");
    }

    pub(crate) async fn list(&self) -> Vec<String> {
        let all = self.engine.list(ListOptions { all: true, ..ListOptions::default() }).await.unwrap();
        all.into_iter().map(|line| line.id.unwrap()).collect()
    }

    /// Creates a container that runs a shell script, without a network unless `edit` gives it one.
    pub(crate) async fn create(
        &self,
        name: &str,
        script: &str,
        edit: impl FnOnce(&mut ContainerCreateBody, &mut HostConfig),
    ) -> Result<String, Error> {
        let mut body = ContainerCreateBody {
            image: Some(IMAGE.into()),
            cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            ..ContainerCreateBody::default()
        };
        let mut host = HostConfig { network_mode: Some("none".into()), ..HostConfig::default() };
        edit(&mut body, &mut host);
        body.host_config = Some(host);
        Ok(self.engine.create(Some(name).filter(|name| !name.is_empty()), body).await?.id)
    }

    /// Creates and starts.
    pub(crate) async fn start(
        &self,
        name: &str,
        script: &str,
        edit: impl FnOnce(&mut ContainerCreateBody, &mut HostConfig),
    ) -> String {
        let id = self.create(name, script, edit).await.unwrap();
        self.engine.start(&id).await.unwrap();
        id
    }

    /// Runs to the end: exit code and output of both streams.
    pub(crate) async fn run(
        &self,
        script: &str,
        edit: impl FnOnce(&mut ContainerCreateBody, &mut HostConfig),
    ) -> (i64, String) {
        let id = self.start("", script, edit).await;
        let code = self.wait(&id).await;
        (code, self.output(&id).await)
    }

    pub(crate) async fn wait(&self, id: &str) -> i64 {
        let waiter = self.engine.wait(id, WaitCondition::NotRunning).await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), waiter.outcome()).await.expect("it ends").status_code
    }

    /// The whole log as text, without frames.
    pub(crate) async fn output(&self, id: &str) -> String {
        let options = LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() };
        self.logs(id, options).await
    }

    pub(crate) async fn logs(&self, id: &str, options: LogsOptions) -> String {
        let logs = self.engine.logs(id, options).await.unwrap();
        let pieces: Vec<_> = logs.stream.map(|piece| piece.unwrap()).collect().await;
        if logs.tty { String::from_utf8(pieces.concat()).unwrap() } else { unframed(&pieces.concat()) }
    }

    pub(crate) async fn state(&self, id: &str) -> String {
        let state = self.engine.inspect(id, false).await.unwrap().state.unwrap();
        state.status.unwrap().to_string()
    }

    /// Waits until a container is in a state.
    pub(crate) async fn until(&self, id: &str, state: &str) {
        for _ in 0..500 {
            if self.state(id).await == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} is {} and not {state}", self.state(id).await);
    }

    /// Waits until the log has this text.
    pub(crate) async fn until_logged(&self, id: &str, text: &str) {
        for _ in 0..500 {
            if self.output(id).await.contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{text:?} is not in {:?}", self.output(id).await);
    }
}

/// The payloads of multiplexed bytes.
pub(crate) fn unframed(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    while bytes.len() >= 8 {
        let length = u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize;
        text.push_str(&String::from_utf8_lossy(&bytes[8..8 + length]));
        bytes = &bytes[8 + length..];
    }
    text
}

fn config(root: &Path, prefix: &str) -> EngineConfig {
    let foreign = RuntimeProgram {
        path: foreign_runtime().unwrap_or_else(|| "/no/runc".into()),
        args: vec!["--debug".to_owned()],
    };
    EngineConfig {
        root: root.join("root"),
        state: root.join("state"),
        name_prefix: prefix.to_owned(),
        runtime: minke_testkit::runtime().into(),
        networks: minke_engine::NetworkDefaults::default(),
        settings: Settings { runtimes: [(FOREIGN.to_owned(), foreign)].into(), ..Settings::default() },
        version: "0.0.0-test",
    }
}

/// The name by which the engine knows Debian's runc.
pub(crate) const FOREIGN: &str = "debians-runc";

/// Debian's runc: on PATH, or where `scripts/setup managers` has put it.
pub(crate) fn foreign_runtime() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let unpacked = std::env::home_dir().unwrap_or_default().join(".cache/minke/tools/managers/usr/sbin");
    let directories = std::env::split_paths(&path).chain([unpacked]);
    directories.map(|directory| directory.join("runc")).find(|file| file.is_file())
}
