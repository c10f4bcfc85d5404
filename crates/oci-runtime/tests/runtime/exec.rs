//! Processes that are added to a running container.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{Process, User};
use std::fs;

fn running() -> Bundle {
    let mut bundle = Bundle::new("");
    bundle.spec.hostname = Some("inside".into());
    bundle.start_sleeping();
    bundle
}

#[test]
fn a_process_is_in_all_namespaces_and_the_cgroup_of_the_container() {
    let bundle = running();
    let pid = bundle.pid();
    let outcome =
        bundle.exec("hostname; for n in pid net mnt ipc uts cgroup; do readlink /proc/self/ns/$n; done");
    let outcome = outcome.succeeded();
    assert_eq!(outcome.lines()[0], "inside");
    for (name, link) in ["pid", "net", "mnt", "ipc", "uts", "cgroup"].iter().zip(&outcome.lines()[1..]) {
        assert_eq!(fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().to_str(), Some(*link));
    }
    let groups = bundle.exec("cat /proc/self/cgroup | grep memory").succeeded();
    assert!(groups.stdout.trim_end().ends_with(":/"), "{groups:?}");
}

#[test]
fn exit_codes_and_signals_of_the_process_are_returned() {
    let bundle = running();
    assert_eq!(bundle.exec("exit 7").code, Some(7));
    assert_eq!(bundle.exec("kill -KILL $$").code, Some(137));
    bundle
        .call(&["exec", &bundle.id, "nope"])
        .failed_with(255, &["exec: ", "executable file not found in $PATH"]);
    bundle.call(&["exec", &bundle.id, "/nope"]).failed_with(255, &["stat /nope: no such file or directory"]);
    bundle.call(&["exec", &bundle.id, "/etc/passwd"]).failed_with(255, &["permission denied"]);
    bundle.call(&["exec", &bundle.id, "/etc"]).failed_with(255, &["is a directory"]);
    bundle.call(&["exec", &bundle.id]).failed_with(255, &["exec args cannot be empty"]);
}

#[test]
fn flags_change_the_process() {
    let bundle = running();
    let script = "id -u; id -g; id -G; echo $A; pwd; grep CapBnd /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2";
    let flags = [
        "exec",
        "-u",
        "33:34",
        "-g",
        "50",
        "-e",
        "A=b",
        "--cwd",
        "/tmp",
        "--no-new-privs",
        "-c",
        "CAP_NET_RAW",
    ];
    let outcome = bundle.call(&[&flags[..], &[&bundle.id, "sh", "-c", script]].concat()).succeeded();
    assert_eq!(outcome.lines(), ["33", "34", "34 50", "b", "/tmp", "00000000080020e1", "1"]);
}

#[test]
fn a_process_can_be_described_by_a_file_and_left_alone() {
    let bundle = running();
    let process = Process {
        args: ["sh", "-c", "id -u >/tmp/who; exec sleep 500"].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        user: User { uid: 0, ..User::default() },
        ..Process::default()
    };
    let file = bundle.path().join("process.json");
    fs::write(&file, serde_json::to_vec(&process).unwrap()).unwrap();
    let pid_file = bundle.path().join("pid");
    let flags = [
        "exec",
        "--detach",
        "--pid-file",
        pid_file.to_str().unwrap(),
        "-p",
        file.to_str().unwrap(),
        &bundle.id,
    ];
    // Without pipes, which the detached process would hold open.
    let mut command = bundle.command(&flags);
    assert!(
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let pids: Vec<i32> =
        serde_json::from_str(&bundle.call(&["ps", "-f", "json", &bundle.id]).stdout).unwrap();
    assert!(pids.contains(&pid), "{pid} in {pids:?}");
}

#[test]
fn a_stopped_container_takes_no_process() {
    let bundle = running();
    bundle.call(&["kill", &bundle.id, "9"]).succeeded();
    bundle.wait_for("stopped");
    bundle.call(&["exec", &bundle.id, "true"]).failed_with(255, &["cannot exec in a stopped container"]);
}
