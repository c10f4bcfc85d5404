//! A machine of a test's own: a mount and a network namespace in which the managers seem installed.
//!
//! The tree that `scripts/setup test` has unpacked is laid over /usr and /etc, so that programs, libraries and
//! helpers are where they expect each other; the host's own folders stay as they are.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Rootfs, Run, unpacked};

/// A user that the machine knows besides the host's, with subordinate ids.
pub const USER: u32 = 64_242;
/// The first of these, for users and for groups.
pub const SUBORDINATE: (u32, u32) = (3_000_000, 4_000_000);

/// Lays the tree over the host's folders, and own user tables over these.
const SETUP: &str = r#"
set -e
mount -t overlay overlay -o "lowerdir=$tree/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$tree/etc:/etc" /etc
# dockerd writes a key there.
[ ! -d /etc/docker ] || mount -t tmpfs docker /etc/docker
for file in passwd group subuid subgid; do
  [ -e "/etc/$file" ] && cat "/etc/$file" >"$dir/$file"
done
echo "minketest:x:$user:$user::$dir/home:/bin/sh" >>"$dir/passwd"
echo "minketest:x:$user:" >>"$dir/group"
echo "minketest:$subuid:65536" >>"$dir/subuid"
echo "minketest:$subgid:65536" >>"$dir/subgid"
for file in passwd group subuid subgid; do
  [ ! -e "/etc/$file" ] || mount --bind "$dir/$file" "/etc/$file"
done
# podman makes folders of its own beside the hierarchies of cgroup v1: not on the host.
if [ "$(stat -f -c %T /sys/fs/cgroup)" = tmpfs ]; then
  mkdir "$dir/cgroup"
  mount -t tmpfs cgroup "$dir/cgroup"
  for hierarchy in /sys/fs/cgroup/*; do
    if [ -L "$hierarchy" ]; then
      cp -P "$hierarchy" "$dir/cgroup/"
    elif mountpoint -q "$hierarchy"; then
      mkdir "$dir/cgroup/${hierarchy##*/}"
      mount --bind "$hierarchy" "$dir/cgroup/${hierarchy##*/}"
    fi
  done
  mount --move "$dir/cgroup" /sys/fs/cgroup
fi
/bin/busybox ip link set lo up
echo ready
exec sleep 600
"#;

/// A machine in which Debian's docker.io, containerd and podman seem installed. What it runs goes when it is dropped.
#[derive(Debug)]
pub struct Machine {
    dir: TempDir,
    holder: Child,
    cgroup: String,
}

impl Machine {
    /// A new one.
    ///
    /// # Panics
    /// When its namespaces can't be made, or `scripts/setup test` has not fetched what is installed in it.
    #[expect(clippy::new_without_default, reason = "starting a machine is no default")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let tree = tree();
        let dir = tempfile::Builder::new().prefix("mkm").tempdir().expect("a temporary directory");
        // Ordinary users come through here too.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        let cgroup = format!("mkm{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private", "sh", "-c", SETUP])
            .env("tree", tree)
            .env("dir", dir.path())
            .env("user", USER.to_string())
            .env("subuid", SUBORDINATE.0.to_string())
            .env("subgid", SUBORDINATE.1.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("stdout is a pipe"))
            .read_line(&mut line)
            .expect("it says when it is ready");
        assert_eq!(line, "ready\n", "the machine was not set up");
        Self { dir, holder, cgroup }
    }

    /// A path in the machine's own folder, which the host sees too.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text, for an argument.
    pub fn show(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The parent cgroup of all that runs here.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The words that run a program in here.
    fn words(&self, program: &str) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "-t", &pid, "-m", "-n", program].map(str::to_owned).to_vec()
    }

    /// A program of the machine's.
    pub fn run(&self, program: &str, args: &[&str]) -> Run {
        let words = self.words(program);
        let args = words[1..].iter().map(String::as_str).chain(args.iter().copied());
        Run::new(&words[0], args).limit(Duration::from_secs(40))
    }

    /// A program of the machine's with a terminal for its streams, and what is typed there, in pieces.
    pub fn run_on_terminal(&self, program: &str, args: &[&str]) -> Run {
        let words = [self.words(program), args.iter().map(|arg| (*arg).to_owned()).collect()].concat();
        on_terminal(&words)
    }

    /// A program that stays; its output goes to a log.
    pub fn start(&self, name: &str, args: &[String]) -> Child {
        let log = fs::File::create(self.path(format!("{name}.log"))).expect("a log file");
        let words = self.words(name);
        let mut command = Command::new(&words[0]);
        // Where containerd writes its stacks when dockerd finds it slow.
        command.env("TMPDIR", self.dir.path());
        command.args(&words[1..]).args(args).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("dup")).stderr(log).spawn().expect("nsenter starts")
    }

    /// Waits until `done`.
    #[track_caller]
    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(Instant::now() < end, "{what}: not within 20 s\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn logs(&self) -> String {
        let entries =
            fs::read_dir(self.dir.path()).expect("the folder is there").flatten().map(|entry| entry.path());
        let logs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }

    /// The root file system's folder, for a manager that takes one.
    pub fn rootfs(&self) -> String {
        let rootfs = self.path("rootfs");
        if !rootfs.exists() {
            fs::create_dir(&rootfs).expect("the folder is ours");
            let _ = Run::new("tar", ["-x", "-C", &rootfs.display().to_string()])
                .input(Rootfs::busybox().tar())
                .run()
                .expect_code(0);
        }
        rootfs.display().to_string()
    }

    /// The parent cgroup of all that runs here, in every hierarchy where it exists.
    fn parents(&self) -> Vec<PathBuf> {
        let hierarchies =
            fs::read_dir("/sys/fs/cgroup").expect("cgroups are mounted").flatten().map(|entry| entry.path());
        let all = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).map(|path| path.join(&self.cgroup));
        all.filter(|path| path.is_dir()).collect()
    }

    /// The cgroups of containers that are left, in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let children = |parent: PathBuf| fs::read_dir(parent).into_iter().flatten().flatten();
        let below = self
            .parents()
            .into_iter()
            .flat_map(children)
            .map(|entry| entry.path())
            .filter(|path| path.is_dir());
        // podman's own process has one, which stays until the next boot.
        below.filter(|path| path.file_name().is_some_and(|name| name != "conmon")).collect()
    }

    /// Expects that no container has left a cgroup.
    #[track_caller]
    pub fn expect_no_cgroups(&self) {
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new());
    }

    /// Processes that name the machine's folder, or are in its cgroup. The one that keeps an ordinary user's namespaces for podman
    /// names it in its environment alone.
    fn processes(&self) -> Vec<Pid> {
        let mark = self.dir.path().display().to_string();
        let group = format!("/{}/", self.cgroup);
        let pids = fs::read_dir("/proc").expect("proc is mounted").flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let read = |pid: &i32, name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let names = |pid: &i32| {
            ["cmdline", "environ"]
                .iter()
                .any(|text| String::from_utf8_lossy(&read(pid, text)).contains(&mark))
                || String::from_utf8_lossy(&read(pid, "cgroup")).contains(&group)
        };
        pids.filter(names).filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(5);
        // A test that failed half-way leaves more than one that didn't.
        loop {
            let left = self.processes();
            for pid in &left {
                let _ = kill_process(*pid, Signal::KILL);
            }
            if left.is_empty() || Instant::now() > end {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        // What was killed just now still ends.
        while !self.parents().is_empty() && Instant::now() < end {
            for parent in self.parents() {
                let below = ["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"];
                let _ = Command::new("find").arg(parent).args(below).output();
            }
        }
    }
}

/// A command with a terminal for its streams: script(1) copies its own to and from it.
pub fn on_terminal(words: &[String]) -> Run {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    Run::new("script", ["-qec", &quoted.join(" "), "/dev/null"]).limit(Duration::from_secs(40))
}

fn tree() -> PathBuf {
    let tree = unpacked("managers");
    assert!(tree.join(".complete").exists(), "{} is not complete: run scripts/setup test", tree.display());
    tree
}
