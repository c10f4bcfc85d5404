//! The same supervisor around another runtime: Debian's runc, where it is installed.

use std::path::PathBuf;

use minke_supervisor::{CallError, FailureKind, SpawnError, Target};
use tokio::io::AsyncWriteExt;

use crate::bench::{ALL, Bench, OUTPUT, added, demultiplex, program, read_all, shell};

/// The container with runc as its runtime; `None` (and a note) where there is none.
fn by_runc(mut bench: Bench) -> Option<Bench> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let runc: Option<PathBuf> =
        std::env::split_paths(&path).map(|dir| dir.join("runc")).find(|file| file.exists());
    if runc.is_none() {
        println!("skipped: no runc on PATH");
    }
    bench.spec["process"]["capabilities"] =
        serde_json::json!({ "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"] });
    bench.config.runtime = Some(runc?);
    Some(bench)
}

#[tokio::test]
async fn a_container_of_runc_lives_and_ends_the_same() {
    let Some(bench) = by_runc(shell("cat; echo problem >&2; exit 6")) else { return };
    let container = bench.stdin(true).spawn().await;
    let mut stream = container.supervisor.attach(ALL).await.unwrap();
    let container = container.start().await;
    stream.write_all(b"through\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let (stdout, stderr) = demultiplex(&read_all(&mut stream).await);
    assert_eq!((stdout.as_slice(), stderr.as_slice()), (&b"through\n"[..], &b"problem\n"[..]));
    assert_eq!(container.wait().await.exit_code, 6);
    assert_eq!(container.logged("stdout"), "through\n");
    let config = &container.bench.config;
    assert!(!config.runtime_root.join(config.id.as_str()).exists());
}

#[tokio::test]
async fn processes_are_added_signalled_paused_and_updated_through_runc() {
    let Some(bench) = by_runc(shell("sleep 30")) else { return };
    let container = bench.spawn().await.start().await;
    let supervisor = &container.supervisor;
    let exec = supervisor.exec("e", added("echo added; exit 8"), OUTPUT, false).await.unwrap();
    assert_eq!(demultiplex(&read_all(&mut exec.stream.unwrap()).await).0, b"added\n");
    assert_eq!(supervisor.wait(Target::Exec("e".to_owned())).await.unwrap().exit_code, 8);
    supervisor.pause().await.unwrap();
    supervisor.resume().await.unwrap();
    let limits = serde_json::from_str(r#"{"memory":{"limit":67108864}}"#).unwrap();
    supervisor.update(limits).await.unwrap();
    supervisor.signal(Target::Init, 9).await.unwrap();
    assert_eq!(container.wait().await.exit_code, 137);
}

#[tokio::test]
async fn a_terminal_of_runc_s_arrives() {
    let Some(bench) = by_runc(shell("tty; stty size")) else { return };
    let mut bench = bench.terminal();
    bench.spec["process"]["consoleSize"] = serde_json::json!({ "height": 20, "width": 70 });
    let container = bench.spawn().await.start().await;
    assert_eq!(container.wait().await.exit_code, 0);
    assert_eq!(container.logged("stdout"), "/dev/pts/0\r\n20 70\r\n");
}

#[tokio::test]
async fn runc_s_failures_keep_their_kind() {
    let Some(bench) = by_runc(program(&["/no/such/program"])) else { return };
    match bench.try_spawn().await {
        Err(SpawnError::Create(failure)) => assert_eq!(failure.kind, FailureKind::NotFound, "{failure}"),
        Ok(spawned) => {
            let refused = spawned.supervisor.start().await.unwrap_err();
            assert!(matches!(refused, CallError::Refused(failure) if failure.kind == FailureKind::NotFound));
        }
        Err(error) => panic!("{error:?}"),
    }
    assert!(!bench.config.socket.with_extension("tty").exists());
}
