//! create, start, state, kill, pause, resume, list, ps, delete.

use crate::bundle::{Bundle, wait_until};
use minke_kernel::cgroup::{Cgroup, Layout, Mode};
use minke_model::runtime_spec::NamespaceType;
use serde_json::Value;
use std::{fs, process::Stdio};

#[test]
fn a_container_goes_through_its_life_by_separate_commands() {
    let bundle = Bundle::new("echo hello; exit 3");
    bundle.create().succeeded();
    assert_eq!((bundle.status().as_str(), bundle.output().as_str()), ("created", ""));
    bundle.on("start").succeeded();
    bundle.wait_for("stopped");
    assert_eq!(bundle.output(), "hello\n");
    assert_eq!(bundle.pid(), 0);
    bundle.on("start").failed_with(1, &["cannot start a container that has stopped"]);
    bundle.on("delete").succeeded();
    bundle.on("state").failed_with(1, &["container does not exist"]);
    bundle.left_nothing();
}

#[test]
fn run_returns_the_programs_exit_code_and_leaves_nothing() {
    let mut bundle = Bundle::new("exit 42");
    assert_eq!(bundle.run().code, Some(42));
    bundle.script("kill -TERM $$");
    // The first process of a pid namespace gets no signal that it has no handler for, from inside.
    assert_eq!(bundle.run().code, Some(0));
    bundle.script("trap 'exit 5' TERM; kill -TERM $$");
    assert_eq!(bundle.run().code, Some(5));
    bundle.left_nothing();
}

#[test]
fn a_signal_given_to_run_reaches_the_program() {
    let bundle = Bundle::new("trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done");
    bundle.write_config();
    let path = bundle.path().display().to_string();
    let out = bundle.path().join("out");
    let mut command = bundle.command(&["run", "--bundle", &path, &bundle.id]);
    let mut child = command.stdout(fs::File::create(&out).unwrap()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("output", || fs::read_to_string(&out).unwrap() == "up\n");
    let pidfd = minke_kernel::process::open(child.id() as i32).unwrap();
    minke_kernel::process::signal(pidfd, 10).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn a_running_container_is_paused_resumed_killed_and_deleted() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    assert_eq!(bundle.status(), "running");
    bundle.on("start").failed_with(1, &["cannot start an already running container"]);
    bundle.on("delete").failed_with(1, &["that is not stopped: running"]);
    bundle.on("resume").failed_with(1, &["container not paused"]);
    bundle.on("pause").succeeded();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["exec", &bundle.id, "true"]).failed_with(255, &["paused container"]);
    bundle.on("resume").succeeded();
    bundle.call(&["kill", &bundle.id, "FOO"]).failed_with(1, &["unknown signal"]);
    bundle.call(&["kill", &bundle.id, "KILL"]).succeeded();
    bundle.wait_for("stopped");
    bundle.on("kill").failed_with(1, &["container not running"]);
    bundle.on("delete").succeeded();
    bundle.left_nothing();
}

#[test]
fn a_paused_container_can_be_deleted_by_force() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    bundle.on("pause").succeeded();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    bundle.left_nothing();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    bundle.on("delete").failed_with(1, &["container does not exist"]);
}

/// A cgroup around a container's, which goes with all that is in it, whatever became of the test.
struct Above(Cgroup);

impl Drop for Above {
    fn drop(&mut self) {
        let _ = self.0.thaw();
        let _ = self.0.kill_all();
        let _ = self.0.remove();
    }
}

/// With freezers (cgroup v1) a process that is frozen from above takes no signal.
#[test]
fn a_container_that_cannot_be_killed_is_not_forgotten() {
    let layout = Layout::detect().unwrap();
    if layout.mode() == Mode::Unified {
        return;
    }
    let mut bundle = Bundle::new("");
    let above = Above(Cgroup::create_in(&layout, &format!("/{}", bundle.id)).unwrap());
    bundle.linux().cgroups_path = Some(format!("/{}/below", bundle.id));
    bundle.start_sleeping();
    above.0.freeze().unwrap();
    let words = ["the first process was killed and has not ended within 10 s"];
    bundle.call(&["delete", "--force", &bundle.id]).failed_with(1, &words);
    above.0.thaw().unwrap();
    // The kill was on its way.
    bundle.wait_for("stopped");
    bundle.on("delete").succeeded();
    drop(above);
    bundle.left_nothing();
}

#[test]
fn list_and_ps_have_their_formats() {
    let mut bundle = Bundle::new("");
    // A place that was asked for has to be there, as with runc.
    bundle.call(&["list"]).failed_with(1, &["no such file or directory"]);
    std::fs::create_dir(bundle.state_root()).unwrap();
    assert_eq!(bundle.call(&["list", "-q"]).succeeded().stdout, "");
    assert_eq!(bundle.call(&["list", "-f", "json"]).succeeded().stdout, "null\n");
    bundle.start_sleeping();
    let pid = bundle.pid();
    assert_eq!(bundle.call(&["list", "-q"]).succeeded().stdout, format!("{}\n", bundle.id));
    let list: Value = serde_json::from_str(&bundle.call(&["list", "--format=json"]).stdout).unwrap();
    assert_eq!((&list[0]["owner"], &list[0]["pid"]), (&"root".into(), &pid.into()));
    assert!(bundle.call(&["list"]).stdout.starts_with("ID "));
    assert_eq!(bundle.call(&["ps", "-f", "json", &bundle.id]).stdout, format!("[{pid}]\n"));
    assert!(bundle.on("ps").succeeded().stdout.contains("sleep 1000"));
}

#[test]
fn a_shared_pid_namespace_is_killed_and_deleted_whole() {
    let mut bundle = Bundle::new("sleep 1000 & sleep 1000 & echo up; wait");
    bundle.namespace(NamespaceType::Pid, None);
    bundle.create().succeeded();
    bundle.on("start").succeeded();
    wait_until("output", || bundle.output() == "up\n");
    let pids: Vec<i32> =
        serde_json::from_str(&bundle.call(&["ps", "-f", "json", &bundle.id]).stdout).unwrap();
    assert_eq!(pids.len(), 3);
    bundle.call(&["kill", "--all", &bundle.id, "KILL"]).succeeded();
    bundle.wait_for("stopped");
    bundle.on("delete").succeeded();
    bundle.left_nothing();
}

#[test]
fn the_pid_file_and_the_log_file_are_written() {
    let bundle = Bundle::new("true");
    let pid_file = bundle.path().join("pid");
    bundle.create_with(&["--pid-file", pid_file.to_str().unwrap()]).succeeded();
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), bundle.pid().to_string());
    let log = bundle.path().join("log.json");
    let log_flags = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    bundle
        .call(&[&log_flags[..], &["start", "nobody"]].concat())
        .failed_with(1, &["container does not exist"]);
    let line: Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&"error".into(), &"container does not exist".into()));
}

#[test]
fn spec_writes_a_bundle_that_runs_and_features_are_json() {
    let mut bundle = Bundle::new("");
    let path = bundle.path().display().to_string();
    bundle.call(&["spec", "--bundle", &path]).succeeded();
    bundle.call(&["spec", "--bundle", &path]).failed_with(1, &["config.json exists. Remove it first"]);
    let text = fs::read_to_string(bundle.path().join("config.json")).unwrap();
    let id = bundle.id.clone();
    bundle.spec = serde_json::from_str(&text).unwrap();
    bundle.process().terminal = false;
    bundle.linux().cgroups_path = Some(format!("/{id}"));
    bundle.script("hostname; ls /sys/fs/cgroup | wc -l; touch /x 2>/dev/null || echo read-only");
    let outcome = bundle.run().succeeded();
    assert_eq!((outcome.lines()[0], outcome.lines()[2]), ("minke", "read-only"));
    let features: Value = serde_json::from_str(&bundle.call(&["features"]).succeeded().stdout).unwrap();
    assert_eq!((&features["ociVersionMin"], &features["ociVersionMax"]), (&"1.0.0".into(), &"1.3.0".into()));
    assert!(bundle.call(&["--version"]).stdout.contains("spec: 1.3.0"));
    for command in ["create", "run", "exec", "kill", "update"] {
        assert!(bundle.call(&[command, "--help"]).succeeded().stdout.contains("USAGE"));
    }
}

#[test]
fn a_closed_standard_stream_is_the_null_device_and_nothing_that_is_opened_later() {
    let mut bundle = Bundle::new("");
    let script = "for f in 0 1 2; do readlink /proc/self/fd/$f; done >/streams";
    bundle.process().args = ["sh", "-c", script].map(str::to_owned).to_vec();
    bundle.write_config();
    let program = minke_testkit::runtime();
    let (state, path) = (bundle.state_root(), bundle.path());
    let run = format!("{program} --root {} run --bundle {} {}", state.display(), path.display(), bundle.id);
    let line = format!("{run} <&- >&- 2>&-");
    assert!(std::process::Command::new("sh").args(["-c", &line]).status().unwrap().success());
    let streams = std::fs::read_to_string(path.join("rootfs/streams")).unwrap();
    // The second is the script's own.
    assert_eq!(streams, "/dev/null\n/streams\n/dev/null\n");
}

#[test]
fn descriptors_beyond_the_standard_streams_are_handed_on_only_if_asked() {
    let mut bundle = Bundle::new("");
    bundle.process().args = ["ls", "/proc/self/fd"].map(str::to_owned).to_vec();
    bundle.write_config();
    let run = |flags: &str| {
        let program = minke_testkit::runtime();
        let (state, path) = (bundle.state_root(), bundle.path());
        let line = format!(
            "exec 3</etc/passwd 4</etc/group 9</etc/hosts; {program} --root {} run {flags} --bundle {} {}",
            state.display(),
            path.display(),
            bundle.id
        );
        let output =
            std::process::Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // The last one is ls's own, on the directory that it lists.
    assert_eq!(run(""), ["0", "1", "2", "3"]);
    assert_eq!(run("--preserve-fds 2"), ["0", "1", "2", "3", "4", "5"]);
}
