//! The engine dies and another one takes over.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use minke_supervisor::{Supervisor, Target};

use crate::bench::{eventually, memory_kib, shell};

/// Tells the child process of the test below where to put the path of its container's socket.
const ENGINE: &str = "MINKE_TEST_DOOMED_ENGINE";

/// Not a test of its own: the engine that the next test kills.
#[tokio::test]
async fn doomed_engine() {
    let Some(place) = std::env::var_os(ENGINE) else { return };
    let container = shell("while sleep 0.02; do echo tick; done").spawn().await.start().await;
    let config = &container.bench.config;
    let facts =
        [&config.socket, &container.log, &container.exit_record].map(|path| path.display().to_string());
    std::fs::write(place, format!("{}\n{}", facts.join("\n"), container.pid)).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_container_outlives_its_engine_and_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("facts");
    let mut engine = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "restart::doomed_engine"])
        .env(ENGINE, &place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the engine has a container", || {
        std::fs::read_to_string(&place).is_ok_and(|text| text.lines().count() == 4)
    })
    .await;
    engine.kill().unwrap();
    engine.wait().unwrap();

    let facts = std::fs::read_to_string(&place).unwrap();
    let facts: Vec<&str> = facts.lines().collect();
    let [socket, log, record] = [0, 1, 2].map(|index| PathBuf::from(facts[index]));
    let lines = || std::fs::read_to_string(&log).unwrap().lines().count();
    let before = lines();
    eventually("the log goes on", || lines() > before + 3).await;

    let supervisor = Supervisor::find(&socket).await.unwrap().expect("it lives");
    let status = supervisor.status().await.unwrap();
    assert_eq!((status.pid.to_string().as_str(), status.started, status.paused), (facts[3], true, false));
    let waiting = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.wait(Target::Init).await }
    });
    supervisor.signal(Target::Init, 9).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().exit_code, 137);
    assert_eq!(supervisor.wait(Target::Init).await.unwrap().exit_code, 137, "from the record");
    assert!(record.exists());
    std::fs::remove_dir_all(socket.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn nobody_is_found_where_nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    assert!(Supervisor::find(&socket).await.unwrap().is_none());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(Supervisor::find(&socket).await.unwrap().is_none());
}

#[tokio::test]
async fn a_killed_supervisor_is_told_from_an_ended_container() {
    let container = shell("sleep 30").spawn().await.start().await;
    let supervisor = container.supervisor_pid();
    assert!(memory_kib(supervisor, "VmRSS") > 0);
    let pid = rustix::process::Pid::from_raw(supervisor).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let gone = container.supervisor.wait(Target::Init).await.unwrap_err();
    assert!(matches!(gone, minke_supervisor::CallError::Gone { .. }), "{gone:?}");
    eventually("it is reaped", || !std::path::Path::new(&format!("/proc/{supervisor}")).exists()).await;
    let state = &container.bench.config;
    let left = Command::new(minke_testkit::runtime())
        .arg("--root")
        .arg(&state.runtime_root)
        .args(["delete", "--force", state.id.as_str()])
        .status()
        .unwrap();
    assert!(left.success(), "what it left can be deleted by the command line");
}
