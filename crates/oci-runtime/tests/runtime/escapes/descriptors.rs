//! CVE-2024-21626: a descriptor of the host that a container's process has, or starts in.

use crate::bundle::Bundle;
use std::{
    fs,
    process::{Command, Stdio},
};

/// CVE-2024-21626: a working directory that is a descriptor of the host.
#[test]
fn the_working_directory_cannot_be_a_leaked_descriptor() {
    let mut bundle = Bundle::new("pwd; ls");
    for number in 3..40 {
        bundle.process().cwd = format!("/proc/self/fd/{number}");
        let outcome = bundle.run();
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert_eq!(outcome.stdout, "");
    }
    bundle.start_sleeping_at_root();
    for number in 3..40 {
        let cwd = format!("/proc/self/fd/{number}");
        let outcome = bundle.call(&["exec", "--cwd", &cwd, &bundle.id, "ls"]);
        assert_ne!(outcome.code, Some(0), "{outcome:?}");
    }
}

impl Bundle {
    fn start_sleeping_at_root(&mut self) {
        self.process().cwd = "/".into();
        self.start_sleeping();
    }
}

/// CVE-2024-21626 again: no descriptor of the host in any process.
#[test]
fn no_descriptor_of_the_host_is_open_in_the_container() {
    let mut bundle = Bundle::new("");
    bundle.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
    bundle.write_config();
    // The caller itself has something open that isn't close-on-exec.
    let line = format!(
        "exec 5</ 6</etc/passwd; {} --root {} run -d --bundle {} {}",
        minke_testkit::runtime(),
        bundle.state_root().display(),
        bundle.path().display(),
        bundle.id
    );
    let mut command = Command::new("sh");
    command.args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    let open = |pid: i32| {
        let dir = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let mut names: Vec<_> = dir.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(open(bundle.pid()), ["0", "1", "2"]);
    let outcome = bundle.call(&["exec", &bundle.id, "ls", "/proc/self/fd"]).succeeded();
    assert_eq!(outcome.lines(), ["0", "1", "2", "3"]);
}

/// Descriptors of a process, as what they lead to.
fn open_files(pid: i32) -> Vec<String> {
    let dir = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut files: Vec<_> =
        dir.flatten().map(|entry| fs::read_link(entry.path()).unwrap().display().to_string()).collect();
    files.sort();
    files
}

/// A shell that has the host's root and a file of its open, runs `minke-oci` with these arguments.
fn leaky(bundle: &Bundle, arguments: &str) -> crate::bundle::Outcome {
    let program = minke_testkit::runtime();
    let root = bundle.state_root();
    let line = format!("exec 5</ 6</etc/passwd; exec {program} --root {} {arguments}", root.display());
    let mut command = Command::new("sh");
    command.args(["-c", &line]).stdin(Stdio::null()).output().unwrap().into()
}

/// Between create and start the container's process waits, and others that share a namespace with it can look.
#[test]
fn a_created_process_has_only_what_it_waits_with() {
    let bundle = Bundle::new("sleep 1000");
    bundle.write_config();
    let (path, id) = (bundle.path().display(), &bundle.id);
    leaky(&bundle, &format!("create --bundle {path} {id} >/dev/null 2>&1")).succeeded();
    let open = open_files(bundle.pid());
    assert_eq!(open[..3], ["/dev/null"; 3]);
    // The socket on which it is started, and what tells it of signals until then.
    let is_own = |file: &String| file.starts_with("socket:") || file == "anon_inode:[signalfd]";
    assert!((4..=5).contains(&open.len()) && open[3..].iter().all(is_own), "{open:?}");
    bundle.on("start").succeeded();
    crate::bundle::wait_until("the program alone", || open_files(bundle.pid()).len() == 3);
}

#[test]
fn no_descriptor_of_the_host_is_open_with_a_terminal() {
    let script = "for f in /proc/$$/fd/*; do readlink $f; done; true";
    let mut bundle = Bundle::new(script);
    bundle.process().terminal = true;
    bundle.write_config();
    let (path, id) = (bundle.path().display(), bundle.id.clone());
    let terminals = |outcome: crate::bundle::Outcome| {
        let outcome = outcome.succeeded();
        assert_eq!(outcome.stdout.split_whitespace().collect::<Vec<_>>(), ["/dev/pts/0"; 3]);
    };
    terminals(leaky(&bundle, &format!("run --bundle {path} {id}")));
    bundle.process().terminal = false;
    bundle.start_sleeping();
    terminals(leaky(&bundle, &format!("exec -t {id} sh -c '{script}'")));
}

/// A descriptor that is handed on as asked for, and does lead out: no process starts there. The control is a path
/// through the same descriptor.
#[test]
fn a_working_directory_outside_is_noticed() {
    let mut bundle = Bundle::new("ls");
    bundle.process().cwd = "/proc/self/fd/5".into();
    bundle.write_config();
    let (path, id) = (bundle.path().display().to_string(), bundle.id.clone());
    leaky(&bundle, &format!("run --preserve-fds 3 --bundle {path} {id}")).failed_with(1, &["process.cwd"]);
    bundle.start_sleeping_at_root();
    for cwd in ["/proc/self/fd/5", "/proc/thread-self/fd/5", "/dev/fd/5", "/proc/self/fd/5/tmp"] {
        let outcome = leaky(&bundle, &format!("exec --preserve-fds 3 --cwd {cwd} {id} ls"));
        outcome.failed_with(255, &["process.cwd"]);
    }
    let file = format!("/proc/self/fd/5{path}/config.json");
    leaky(&bundle, &format!("exec --preserve-fds 3 {id} test -e {file}")).succeeded();
    assert_eq!(leaky(&bundle, &format!("exec {id} test -e {file}")).code, Some(1));
}
