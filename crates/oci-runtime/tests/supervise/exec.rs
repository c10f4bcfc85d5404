//! Further processes in a running container.

use minke_supervisor::{CallError, FailureKind, Streams, Target};
use tokio::io::AsyncWriteExt;

use crate::bench::{ALL, OUTPUT, added, demultiplex, eventually, read_all, shell};

#[tokio::test]
async fn an_added_process_has_streams_and_an_exit_code_of_its_own() {
    let container = shell("sleep 30").spawn().await.start().await;
    let script = "cat; echo problem >&2; exit 9";
    let mut one = container.supervisor.exec("one", added(script), ALL, false).await.unwrap();
    let stream = one.stream.as_mut().unwrap();
    stream.write_all(b"input\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let (stdout, stderr) = demultiplex(&read_all(stream).await);
    assert_eq!((stdout.as_slice(), stderr.as_slice()), (&b"input\n"[..], &b"problem\n"[..]));
    let waited = |id: &str| Target::Exec(id.to_owned());
    assert_eq!(container.supervisor.wait(waited("one")).await.unwrap().exit_code, 9);
    assert_eq!(container.supervisor.wait(waited("one")).await.unwrap().exit_code, 9, "it is remembered");
    assert!(container.records().is_empty(), "the log is the first process's");

    let two = container.supervisor.exec("two", added("kill -15 $$; sleep 9"), OUTPUT, false).await.unwrap();
    assert!(two.pid > 0);
    assert_eq!(container.supervisor.wait(waited("two")).await.unwrap().exit_code, 143);
    let unknown = container.supervisor.wait(waited("three")).await.unwrap_err();
    assert!(matches!(unknown, CallError::Refused(failure) if failure.kind == FailureKind::NotRunning));
}

#[tokio::test]
async fn every_byte_has_left_before_the_wait_is_answered() {
    let container = shell("sleep 30").spawn().await.start().await;
    for round in 0..10 {
        let id = format!("round-{round}");
        let exec = container.supervisor.exec(&id, added("seq 1 2000"), OUTPUT, false).await.unwrap();
        assert_eq!(container.supervisor.wait(Target::Exec(id)).await.unwrap().exit_code, 0);
        let bytes = read_all(&mut exec.stream.unwrap()).await;
        assert!(demultiplex(&bytes).0.ends_with(b"1999\n2000\n"));
    }
}

#[tokio::test]
async fn failures_to_execute_are_told_apart_and_harm_nothing() {
    let container = shell("sleep 30").spawn().await.start().await;
    let mut process = added("true");
    for (path, kind) in [("/nope", FailureKind::NotFound), ("/etc/data", FailureKind::NotExecutable)] {
        process.args = vec![path.to_owned()];
        let refused = container.supervisor.exec(path, process.clone(), OUTPUT, false).await.unwrap_err();
        assert!(matches!(&refused, CallError::Refused(failure) if failure.kind == kind), "{refused:?}");
    }
    container.supervisor.exec("/nope", added("true"), OUTPUT, false).await.unwrap();
}

#[tokio::test]
async fn an_id_is_used_once() {
    let container = shell("sleep 30").spawn().await.start().await;
    container.supervisor.exec("x", added("sleep 9"), OUTPUT, false).await.unwrap();
    let refused = container.supervisor.exec("x", added("true"), OUTPUT, false).await.unwrap_err();
    assert!(matches!(refused, CallError::Refused(failure) if failure.kind == FailureKind::Invalid));
}

#[tokio::test]
async fn it_can_be_signalled_and_detached() {
    let container = shell("sleep 30").spawn().await.start().await;
    let script = "trap 'exit 21' USR1; while true; do sleep 0.02; done";
    let detached = container.supervisor.exec("d", added(script), Streams::default(), true).await.unwrap();
    assert!(detached.stream.is_none());
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    let target = Target::Exec("d".to_owned());
    container.supervisor.signal(target.clone(), 10).await.unwrap();
    assert_eq!(container.supervisor.wait(target.clone()).await.unwrap().exit_code, 21);
    let late = container.supervisor.signal(target, 10).await.unwrap_err();
    assert!(matches!(late, CallError::Refused(failure) if failure.kind == FailureKind::NotRunning));
}

#[tokio::test]
async fn it_can_have_a_terminal() {
    let container = shell("sleep 30").spawn().await.start().await;
    let mut process = added("read a; stty size; echo got $a");
    process.terminal = true;
    let mut exec = container.supervisor.exec("t", process, ALL, false).await.unwrap();
    container.supervisor.resize(Target::Exec("t".to_owned()), 90, 30).await.unwrap();
    let stream = exec.stream.as_mut().unwrap();
    stream.write_all(b"it\n").await.unwrap();
    let seen = String::from_utf8(read_all(stream).await).unwrap();
    assert!(seen.ends_with("30 90\r\ngot it\r\n"), "{seen:?}");
}

#[tokio::test]
async fn a_background_child_does_not_hold_up_the_end_and_is_not_killed_by_it() {
    let container = shell("sleep 30").spawn().await.start().await;
    let script =
        "(for i in 1 2 3 4 5 6 7 8; do sleep 0.3; echo alive; done; echo x >/tmp/survived) & echo started";
    let exec = container.supervisor.exec("b", added(script), OUTPUT, false).await.unwrap();
    let bytes = read_all(&mut exec.stream.unwrap()).await;
    assert!(demultiplex(&bytes).0.starts_with(b"started\n"));
    let marker = container.bench.config.bundle.join("rootfs/tmp/survived");
    eventually("the child ends by itself", || marker.exists()).await;
}

#[tokio::test]
async fn it_ends_with_the_container() {
    let container = shell("sleep 30").spawn().await.start().await;
    let mut exec = container.supervisor.exec("e", added("sleep 30"), OUTPUT, false).await.unwrap();
    let supervisor = container.supervisor.clone();
    let waiting = tokio::spawn(async move { supervisor.wait(Target::Exec("e".to_owned())).await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    container.supervisor.signal(Target::Init, 9).await.unwrap();
    assert_eq!(container.wait().await.exit_code, 137);
    assert!(read_all(exec.stream.as_mut().unwrap()).await.is_empty());
    assert_eq!(waiting.await.unwrap().unwrap().exit_code, 137);
}

#[tokio::test]
async fn before_the_start_there_is_nothing_to_add_to() {
    let container = shell("true").spawn().await;
    let refused = container.supervisor.exec("e", added("true"), OUTPUT, false).await.unwrap_err();
    assert!(matches!(refused, CallError::Refused(failure) if failure.kind == FailureKind::NotRunning));
}
