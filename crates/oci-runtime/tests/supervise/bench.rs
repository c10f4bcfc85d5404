//! The small language of these tests: a container of busybox in a directory of its own, spawned
//! through the engine's client and removed with everything it left.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use minke_model::{ContainerId, runtime_spec::Process};
use minke_supervisor::{
    ExitRecord, Inherit, LogConfig, SpawnError, Spawned, Streams, Supervisor, SupervisorConfig, Target,
    Waiting,
};
use minke_testkit::runtime;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::UnixStream};

pub(crate) const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true };
pub(crate) const OUTPUT: Streams = Streams { stdin: false, stdout: true, stderr: true };

/// A container that is being described, and the directory of everything about it.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    pub(crate) config: SupervisorConfig,
    pub(crate) spec: Value,
}

/// A spawned one; killed when dropped.
pub(crate) struct Running {
    pub(crate) supervisor: Supervisor,
    pub(crate) pid: i32,
    pub(crate) log: PathBuf,
    pub(crate) exit_record: PathBuf,
    pub(crate) bench: Bench,
}

/// A container that runs `script` in busybox's shell.
pub(crate) fn shell(script: &str) -> Bench {
    program(&["/bin/sh", "-c", script])
}

/// A container that runs this program.
pub(crate) fn program(args: &[&str]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    make_root(&bundle.join("rootfs"));
    let config = SupervisorConfig {
        id: random_id(),
        bundle,
        runtime_root: dir.path().join("state"),
        socket: dir.path().join("s"),
        exit_record: dir.path().join("exit.json"),
        held_fds: Vec::new(),
        open_stdin: false,
        stdin_once: false,
        log: LogConfig { path: Some(dir.path().join("log")), ..LogConfig::default() },
        runtime: None,
        runtime_args: Vec::new(),
    };
    Bench { spec: spec(args), dir, config }
}

fn make_root(root: &Path) {
    for name in ["bin", "proc", "dev", "tmp", "sys", "etc"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    let applets = "sh cat echo printf yes head tail sleep stty tr dd true false id kill env tty setsid seq nohup readlink";
    for applet in applets.split(' ') {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/data"), "not a program").unwrap();
    fs::write(root.join("bin/garbage"), [0xfe; 100]).unwrap();
    fs::set_permissions(root.join("bin/garbage"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn spec(args: &[&str]) -> Value {
    let namespaces = ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs" },
        "process": process(args),
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        ],
        "linux": { "namespaces": namespaces, "resources": {} },
    })
}

fn process(args: &[&str]) -> Value {
    json!({ "args": args, "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 } })
}

/// A process to add to a container.
pub(crate) fn added(script: &str) -> Process {
    serde_json::from_value(process(&["/bin/sh", "-c", script])).unwrap()
}

fn random_id() -> ContainerId {
    let mut bytes = [0; 32];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    ContainerId::from_random(bytes)
}

impl Bench {
    pub(crate) fn terminal(mut self) -> Self {
        self.spec["process"]["terminal"] = true.into();
        self
    }

    pub(crate) fn stdin(mut self, once: bool) -> Self {
        (self.config.open_stdin, self.config.stdin_once) = (true, once);
        self
    }

    pub(crate) fn memory(mut self, bytes: u64) -> Self {
        self.spec["linux"]["resources"]["memory"] = json!({ "limit": bytes, "swap": bytes });
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the bundle and spawns its supervisor.
    pub(crate) async fn try_spawn(&self) -> Result<Spawned, SpawnError> {
        self.try_spawn_with(None, Inherit::default()).await
    }

    /// The same, with descriptors of the engine, by one that waits or by a new one.
    pub(crate) async fn try_spawn_with(
        &self,
        waiting: Option<Waiting>,
        inherit: Inherit,
    ) -> Result<Spawned, SpawnError> {
        let json = serde_json::to_vec(&self.spec).unwrap();
        fs::write(self.config.bundle.join("config.json"), json).unwrap();
        Supervisor::spawn(Path::new(runtime()), waiting, self.config.clone(), inherit).await
    }

    /// A supervisor that waits for this.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting::begin(Path::new(runtime()), &self.config.bundle).unwrap()
    }

    /// The pids of those that wait for this, or have.
    pub(crate) fn waiters(&self) -> Vec<String> {
        let file = self.config.bundle.join("supervisor.json");
        let command = format!("{}\0supervise\0--wait\0{}\0", runtime(), file.display());
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
        let mut found = processes
            .filter(|process| {
                fs::read(process.path().join("cmdline")).is_ok_and(|line| line == command.as_bytes())
            })
            .map(|process| process.file_name().into_string().unwrap())
            .collect::<Vec<_>>();
        found.sort();
        found
    }

    pub(crate) async fn spawn(self) -> Running {
        let spawned = self.try_spawn().await.unwrap();
        self.running(spawned.supervisor, spawned.pid)
    }

    pub(crate) fn running(self, supervisor: Supervisor, pid: i32) -> Running {
        let log = self.config.log.path.clone().unwrap_or_default();
        Running { supervisor, pid, log, exit_record: self.config.exit_record.clone(), bench: self }
    }
}

impl Running {
    pub(crate) async fn start(self) -> Self {
        self.supervisor.start().await.unwrap();
        self
    }

    pub(crate) async fn wait(&self) -> ExitRecord {
        self.supervisor.wait(Target::Init).await.unwrap()
    }

    /// The log's records: stream and text.
    pub(crate) fn records(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.log).unwrap();
        let record = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap();
            assert!(value["time"].as_str().unwrap().ends_with('Z'));
            (value["stream"].as_str().unwrap().to_owned(), value["log"].as_str().unwrap().to_owned())
        };
        text.lines().map(record).collect()
    }

    /// All text of one stream in the log.
    pub(crate) fn logged(&self, stream: &str) -> String {
        self.records().into_iter().filter(|(name, _)| name == stream).map(|(_, text)| text).collect()
    }

    /// The supervisor's pid: the parent of the container's first process.
    pub(crate) fn supervisor_pid(&self) -> i32 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// Nothing that a test has spawned outlives it.
impl Drop for Running {
    fn drop(&mut self) {
        let state = self.bench.config.runtime_root.join(self.bench.config.id.as_str());
        if !state.exists() || self.exit_record.exists() {
            return;
        }
        let pid = rustix::process::Pid::from_raw(self.pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.exit_record.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A field of /proc/PID/status in KiB, for example `VmRSS`.
pub(crate) fn memory_kib(pid: i32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Everything that a raw stream carries until its end.
pub(crate) async fn read_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Takes Docker's stream format apart: standard output, standard error.
pub(crate) fn demultiplex(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes(*header.last_chunk().unwrap()) as usize;
        let (payload, next) = rest.split_at(length);
        match header[0] {
            1 => stdout.extend_from_slice(payload),
            2 => stderr.extend_from_slice(payload),
            kind => panic!("unknown kind {kind}"),
        }
        bytes = next;
    }
    assert!(bytes.is_empty(), "half a header at the end");
    (stdout, stderr)
}

/// Waits for a condition that another process brings about.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
