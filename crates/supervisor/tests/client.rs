//! The client against supervisors that are played by the test: what it makes of every kind of answer.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};

use minke_oci_runtime::supervise::{frame, protocol::Reply};
use minke_supervisor::{
    CallError, ExitRecord, Failure, FailureKind, Inherit, LogConfig, SpawnError, Streams, Supervisor,
    SupervisorConfig, Target, read_exit_record,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

/// Plays a supervisor: answers every connection's first request with these bytes, then closes it.
fn answering(socket: &Path, answers: Vec<Vec<u8>>) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut header = [0; frame::HEADER];
            stream.read_exact(&mut header).await.unwrap();
            let mut request = vec![0; frame::payload_length(header).unwrap()];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
}

fn status(exit_record: Option<PathBuf>) -> Vec<u8> {
    frame::encode(&Reply::Status { pid: 42, start_time: 7, started: true, paused: false, exit_record })
        .unwrap()
}

/// A found supervisor whose next connections are answered with `answers`.
async fn found(dir: &Path, answers: Vec<Vec<u8>>) -> Supervisor {
    let socket = dir.join("s");
    let mut all = vec![status(Some(dir.join("exit.json")))];
    all.extend(answers);
    answering(&socket, all);
    Supervisor::find(&socket).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_refusal_keeps_its_kind_and_message() {
    let dir = tempfile::tempdir().unwrap();
    let failure = Failure { kind: FailureKind::NotFound, message: "no such program".to_owned() };
    let supervisor = found(dir.path(), vec![frame::encode(&Reply::Error(failure.clone())).unwrap()]).await;
    let error = supervisor.start().await.unwrap_err();
    assert_eq!(error.to_string(), "no such program");
    assert!(matches!(error, CallError::Refused(refused) if refused == failure));
}

#[tokio::test]
async fn the_raw_stream_begins_right_after_the_reply() {
    let dir = tempfile::tempdir().unwrap();
    let mut answer = frame::encode(&Reply::Attached).unwrap();
    answer.extend_from_slice(b"first bytes");
    let supervisor = found(dir.path(), vec![answer]).await;
    let mut stream = supervisor.attach(Streams::default()).await.unwrap();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen, "first bytes");
}

#[tokio::test]
async fn answers_that_are_none_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let other = frame::encode(&Reply::Done).unwrap();
    let answers = vec![b"HTTP/1.1 400".to_vec(), b"\x02\0\0\0{]".to_vec(), other];
    let supervisor = found(dir.path(), answers).await;
    assert!(matches!(supervisor.status().await, Err(CallError::Frame { .. })));
    assert!(matches!(supervisor.status().await, Err(CallError::Frame { .. })));
    assert!(matches!(supervisor.status().await, Err(CallError::Protocol { request: "status", .. })));
}

#[tokio::test]
async fn a_supervisor_that_leaves_during_a_wait_is_answered_for_by_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = found(dir.path(), vec![Vec::new(), Vec::new(), b"\x09\0".to_vec()]).await;
    assert!(
        matches!(supervisor.wait(Target::Init).await, Err(CallError::Gone { .. })),
        "there is no record yet"
    );
    let record = ExitRecord {
        exit_code: 3,
        finished_at: "2026-01-02T03:04:05Z".into(),
        oom_killed: false,
        error: None,
    };
    std::fs::write(dir.path().join("exit.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    assert_eq!(supervisor.wait(Target::Init).await.unwrap(), record);
    let other = supervisor.wait(Target::Exec("e".into())).await;
    assert!(matches!(other, Err(CallError::Gone { .. })), "the record is the first process's");
    assert_eq!(read_exit_record(&dir.path().join("exit.json")).unwrap(), Some(record));
}

fn config(dir: &Path) -> SupervisorConfig {
    SupervisorConfig {
        id: minke_model::ContainerId::from_random([7; 32]),
        bundle: dir.to_owned(),
        runtime_root: dir.join("state"),
        socket: dir.join("s"),
        exit_record: dir.join("exit.json"),
        held_fds: Vec::new(),
        open_stdin: false,
        stdin_once: false,
        log: LogConfig::default(),
        runtime: None,
        runtime_args: Vec::new(),
    }
}

/// A program that stands in for `minke-oci`: a shell script.
fn script(dir: &Path, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_program_that_can_t_be_executed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let spawned =
        Supervisor::spawn(Path::new("/no/minke-oci"), None, config(dir.path()), Inherit::default()).await;
    let error = spawned.unwrap_err();
    assert!(matches!(error, SpawnError::Execute { .. }));
    assert_eq!(error.to_string(), "execute /no/minke-oci as a supervisor");
}

#[tokio::test]
async fn a_supervisor_that_dies_is_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let program = script(dir.path(), "echo first >&2; echo out of luck >&2; exit 1");
    let error = Supervisor::spawn(&program, None, config(dir.path()), Inherit::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "the supervisor did not create the container; it said: out of luck");
}

#[tokio::test]
async fn it_inherits_what_it_is_given_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let program = script(
        dir.path(),
        &format!("cd /proc/$$/fd; echo * $# $1 >{}; readlink 3 5 6 >>{}", report.display(), report.display()),
    );
    let open = |path: &str| std::os::fd::OwnedFd::from(std::fs::File::open(path).unwrap());
    let inherit =
        Inherit { netns: Some(open("/proc/self/ns/net")), held: vec![open("/dev/zero"), open("/dev/full")] };
    Supervisor::spawn(&program, None, config(dir.path()), inherit).await.unwrap_err();
    let report = std::fs::read_to_string(report).unwrap();
    let lines: Vec<&str> = report.lines().collect();
    // The shell's own are 7, the directory it reads, and 10, the script.
    assert_eq!(lines[0], "0 1 10 2 3 4 5 6 7 2 supervise");
    assert!(lines[1].starts_with("net:["), "{report}");
    assert_eq!(lines[2..], ["/dev/zero", "/dev/full"]);
}
