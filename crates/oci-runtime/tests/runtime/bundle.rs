//! The tests' language: a bundle that is changed, run and asked about.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use minke_model::runtime_spec::{
    Capabilities, Linux, Mount, Namespace, NamespaceType, Process, Root, Spec, VERSION,
};
use serde_json::Value;
use tempfile::TempDir;

/// Programs that busybox is linked as.
const APPLETS: [&str; 43] = [
    "cat", "chmod", "chown", "cp", "cut", "dd", "df", "echo", "env", "false", "find", "grep", "head",
    "hostname", "id", "kill", "ln", "ls", "mkdir", "mknod", "mount", "mv", "ps", "pwd", "readlink", "rm",
    "sed", "sh", "sleep", "sort", "stat", "stty", "tail", "test", "touch", "tr", "true", "tty", "umask",
    "umount", "uname", "wc", "whoami",
];

/// A bundle with a busybox root, in a directory of its own; the container is removed when it is dropped.
pub(crate) struct Bundle {
    dir: TempDir,
    pub(crate) id: String,
    pub(crate) spec: Spec,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Asserts a failure whose one line on standard error has all of `parts`.
    #[track_caller]
    pub(crate) fn failed_with(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "want {part:?} in {self:?}");
        }
        self
    }

    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

impl Bundle {
    /// A container that runs a shell script.
    pub(crate) fn new(script: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::Builder::new().prefix("minke-oci-").tempdir().unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("minke-test-{}-{number}", std::process::id());
        let bundle = Self { spec: template(&id, script), id, dir };
        bundle.make_root();
        bundle
    }

    fn make_root(&self) {
        let busybox =
            ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
        let busybox = busybox.expect("no /bin/busybox: install the package busybox-static");
        for dir in ["bin", "etc", "tmp", "proc", "sys", "dev", "root"] {
            fs::create_dir_all(self.rootfs().join(dir)).unwrap();
        }
        fs::copy(busybox, self.rootfs().join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", self.rootfs().join("bin").join(applet)).unwrap();
        }
        fs::write(self.rootfs().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/tmp:/bin/sh\n")
            .unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    pub(crate) fn state_root(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.spec.process.as_mut().unwrap()
    }

    pub(crate) fn linux(&mut self) -> &mut Linux {
        self.spec.linux.as_mut().unwrap()
    }

    pub(crate) fn script(&mut self, script: &str) {
        self.process().args = ["sh", "-c", script].map(str::to_owned).to_vec();
    }

    pub(crate) fn mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) {
        self.spec.mounts.push(Mount {
            destination: destination.into(),
            kind: Some(kind.into()),
            source: Some(source.into()),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Mount::default()
        });
    }

    /// Replaces a namespace of the configuration (`None` shares the host's).
    pub(crate) fn namespace(&mut self, kind: NamespaceType, wanted: Option<Option<String>>) {
        let namespaces = &mut self.linux().namespaces;
        namespaces.retain(|namespace| namespace.kind != kind);
        namespaces.extend(wanted.map(|path| Namespace { kind, path }));
    }

    pub(crate) fn write_config(&self) {
        fs::write(self.path().join("config.json"), serde_json::to_vec_pretty(&self.spec).unwrap()).unwrap();
    }

    /// `minke-oci` on this bundle's state.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(minke_testkit::runtime());
        command.arg("--root").arg(self.state_root()).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Outcome {
        self.command(args).output().unwrap().into()
    }

    /// Writes the configuration and runs the container to its end.
    pub(crate) fn run(&self) -> Outcome {
        self.run_with(&[])
    }

    pub(crate) fn run_with(&self, flags: &[&str]) -> Outcome {
        self.write_config();
        let bundle = self.path().display().to_string();
        self.call(&[&["run", "--bundle", &bundle], flags, &[&self.id]].concat())
    }

    /// Creates the container with its output in files.
    pub(crate) fn create(&self) -> Outcome {
        self.create_with(&[])
    }

    pub(crate) fn create_with(&self, flags: &[&str]) -> Outcome {
        self.write_config();
        let bundle = self.path().display().to_string();
        let mut command = self.command(&[&["create", "--bundle", &bundle], flags, &[&self.id]].concat());
        let file = |name: &str| fs::File::create(self.path().join(name)).unwrap();
        // Files, since a pipe would only close with the container.
        let status = command.stdout(file("stdout")).stderr(file("stderr")).status().unwrap();
        Outcome { code: status.code(), stdout: self.output(), stderr: self.read("stderr") }
    }

    /// What a created container has written.
    pub(crate) fn output(&self) -> String {
        self.read("stdout")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// A command on the container.
    pub(crate) fn on(&self, command: &str) -> Outcome {
        self.call(&[command, &self.id])
    }

    /// Runs a shell script in the running container.
    pub(crate) fn exec(&self, script: &str) -> Outcome {
        self.call(&["exec", &self.id, "sh", "-c", script])
    }

    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.on("state").succeeded().stdout).unwrap()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().unwrap() as i32
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// Waits until the container has this status.
    #[track_caller]
    pub(crate) fn wait_for(&self, status: &str) {
        wait_until(&format!("status {status}"), || self.status() == status);
    }

    /// Creates and starts a container that stays.
    pub(crate) fn start_sleeping(&mut self) {
        self.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
        self.create().succeeded();
        self.on("start").succeeded();
    }

    /// Asserts that nothing is left: no state, no cgroup, no process in one, no mount.
    #[track_caller]
    pub(crate) fn left_nothing(&self) {
        let left: Vec<_> =
            fs::read_dir(self.state_root()).map(|dir| dir.flatten().collect()).unwrap_or_default();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new());
        assert_eq!(self.living_processes(), Vec::<i32>::new());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&self.path().display().to_string()));
    }

    /// Processes in the container's cgroups that haven't ended (who has only waits for its parent).
    fn living_processes(&self) -> Vec<i32> {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let inside = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(&self.id))
        };
        let alive =
            |pid: &i32| minke_kernel::process::stat(*pid).unwrap().is_some_and(|stat| !stat.is_dead());
        pids.filter(inside).filter(alive).collect()
    }

    /// The container's cgroup directories that exist.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let mut hierarchies: Vec<_> =
            fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path()).collect();
        hierarchies.push("/sys/fs/cgroup".into());
        let below = |hierarchy: &PathBuf| hierarchy.join(&self.id);
        hierarchies.iter().map(below).filter(|path| path.exists()).collect()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "--force", &self.id]);
    }
}

/// Polls for up to ten seconds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "no {what} within 10 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn template(id: &str, script: &str) -> Spec {
    let mount = |destination: &str, kind: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(kind.into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    let capabilities: Vec<String> =
        ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD"].map(str::to_owned).to_vec();
    let kinds = [
        NamespaceType::Pid,
        NamespaceType::Network,
        NamespaceType::Ipc,
        NamespaceType::Uts,
        NamespaceType::Mount,
        NamespaceType::Cgroup,
    ];
    Spec {
        oci_version: VERSION.into(),
        root: Some(Root { path: "rootfs".into(), readonly: false }),
        process: Some(Process {
            args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            capabilities: Some(Capabilities {
                bounding: capabilities.clone(),
                effective: capabilities.clone(),
                permitted: capabilities,
                ..Capabilities::default()
            }),
            ..Process::default()
        }),
        mounts: vec![
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        linux: Some(Linux {
            namespaces: kinds.map(|kind| Namespace { kind, path: None }).to_vec(),
            cgroups_path: Some(format!("/{id}")),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}
