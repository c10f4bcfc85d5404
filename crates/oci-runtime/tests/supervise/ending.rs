//! How containers end: exit codes, records, failed starts, leftovers.

use std::{path::Path, time::Instant};

use minke_supervisor::{CallError, FailureKind, SpawnError, Supervisor, Target, read_exit_record};

use crate::bench::{OUTPUT, eventually, program, shell};

/// Nothing of a container is left but its log and its exit record.
fn assert_nothing_left(container: &crate::bench::Running) {
    let config = &container.bench.config;
    assert!(!config.socket.exists(), "the socket is left");
    assert!(!config.runtime_root.join(config.id.as_str()).exists(), "the state is left");
    assert!(!Path::new(&format!("/proc/{}", container.pid)).exists(), "the process is left");
}

#[tokio::test]
async fn exit_codes_and_signals_are_those_of_a_shell() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$; sleep 9", 0), ("exec false", 1)] {
        let container = shell(script).spawn().await.start().await;
        if script.starts_with("kill") {
            // The first process of a pid namespace is immune to its own signals, so kill it from outside.
            container.supervisor.signal(Target::Init, 9).await.unwrap();
            assert_eq!(container.wait().await.exit_code, 137);
        } else {
            assert_eq!(container.wait().await.exit_code, code, "{script}");
        }
        assert_nothing_left(&container);
    }
}

#[tokio::test]
async fn the_record_is_there_before_the_wait_is_answered_and_answers_later_waits() {
    let container = shell("exit 3").spawn().await.start().await;
    let record = container.wait().await;
    assert_eq!(read_exit_record(&container.exit_record).unwrap().as_ref(), Some(&record));
    assert_eq!((record.exit_code, record.oom_killed, record.error.is_none()), (3, false, true));
    eventually("the supervisor has left", || !container.bench.config.socket.exists()).await;
    assert_eq!(container.wait().await, record);
    assert!(Supervisor::find(&container.bench.config.socket).await.unwrap().is_none());
    let gone = container.supervisor.status().await.unwrap_err();
    assert!(matches!(gone, CallError::Gone { .. }), "{gone:?}");
}

#[tokio::test]
async fn a_wait_from_before_the_start_is_answered() {
    let container = shell("exit 4").spawn().await;
    let supervisor = container.supervisor.clone();
    let waiting = tokio::spawn(async move { supervisor.wait(Target::Init).await });
    tokio::task::yield_now().await;
    let _container = container.start().await;
    assert_eq!(waiting.await.unwrap().unwrap().exit_code, 4);
}

#[tokio::test]
async fn a_missing_program_is_127_and_an_unusable_one_126() {
    for (path, kind, code) in [
        ("/no/such/program", FailureKind::NotFound, 127),
        ("no-such-program", FailureKind::NotFound, 127),
        ("/etc/data", FailureKind::NotExecutable, 126),
        ("/etc", FailureKind::NotExecutable, 126),
        // Only execve(2) itself can tell that this one's format is nobody's.
        ("/bin/garbage", FailureKind::NotExecutable, 126),
    ] {
        let bench = program(&[path]);
        let container = match bench.try_spawn().await {
            Ok(spawned) => bench.running(spawned.supervisor, spawned.pid),
            // A runtime may find out before the start already; then there never was a container.
            Err(SpawnError::Create(failure)) => {
                assert_eq!(failure.kind, kind, "{failure}");
                assert!(failure.message.contains(path), "{failure}");
                assert!(!bench.config.socket.exists() && !bench.config.exit_record.exists());
                continue;
            }
            Err(error) => panic!("{path}: {error:?}"),
        };
        let mut stream = container.supervisor.attach(OUTPUT).await.unwrap();
        let started = Instant::now();
        let Err(CallError::Refused(failure)) = container.supervisor.start().await else {
            panic!("{path} was started");
        };
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains(path), "{failure}");
        let record = container.wait().await;
        assert_eq!((record.exit_code, record.error.as_ref()), (code, Some(&failure)));
        assert!(started.elapsed().as_millis() < 450, "it waited for output that can't come");
        assert!(crate::bench::read_all(&mut stream).await.is_empty());
        assert_nothing_left(&container);
    }
}

#[tokio::test]
async fn a_failed_creation_leaves_nothing() {
    let mut bench = shell("true");
    bench.spec["root"]["path"] = "no-such-root".into();
    let Err(SpawnError::Create(failure)) = bench.try_spawn().await else { panic!("it was created") };
    assert!(failure.message.contains("no-such-root"), "{failure}");
    assert!(!bench.config.socket.exists());
    assert!(!bench.config.exit_record.exists());
    assert!(!bench.config.runtime_root.join(bench.config.id.as_str()).exists());

    let mut bench = shell("true");
    bench.config.log.path = Some("/no/such/directory/log".into());
    let error = bench.try_spawn().await.unwrap_err();
    assert!(error.to_string().contains("open the log /no/such/directory/log: No such file"), "{error}");
    assert!(!bench.config.socket.exists());
}

#[tokio::test]
async fn a_created_container_can_be_killed_without_a_start() {
    let container = shell("true").spawn().await;
    container.supervisor.signal(Target::Init, 9).await.unwrap();
    assert_eq!(container.wait().await.exit_code, 137);
    assert_nothing_left(&container);
}

#[tokio::test]
async fn running_out_of_memory_is_told() {
    let container = shell("tail /dev/zero").memory(16 << 20).spawn().await.start().await;
    let record = container.wait().await;
    assert!(record.oom_killed, "{record:?}");
    assert_ne!(record.exit_code, 0);
}

#[tokio::test]
async fn a_paused_container_stands_still_and_goes_on() {
    let container = shell("while sleep 0.02; do echo x; done").spawn().await.start().await;
    eventually("it runs", || !container.records().is_empty()).await;
    container.supervisor.pause().await.unwrap();
    assert!(container.supervisor.status().await.unwrap().paused);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let before = container.records().len();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(container.records().len(), before);
    let refused =
        container.supervisor.exec("e", crate::bench::added("true"), OUTPUT, false).await.unwrap_err();
    assert!(refused.to_string().contains("paused"), "{refused}");
    container.supervisor.resume().await.unwrap();
    eventually("it goes on", || container.records().len() > before).await;
    container.supervisor.pause().await.unwrap();
    container.supervisor.signal(Target::Init, 9).await.unwrap();
    assert_eq!(container.wait().await.exit_code, 137, "killing a paused container ends it");
}

#[tokio::test]
async fn children_that_outlive_the_first_process_do_not_hold_up_its_end() {
    let mut bench = shell("setsid sleep 30 & echo $! ; exit 5");
    let namespaces = bench.spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    let container = bench.spawn().await.start().await;
    let started = Instant::now();
    assert_eq!(container.wait().await.exit_code, 5);
    assert!(started.elapsed().as_secs() < 3);
    let child = container.logged("stdout");
    eventually("the child is killed", || !Path::new(&format!("/proc/{}", child.trim())).exists()).await;
    assert_nothing_left(&container);
}

#[tokio::test]
async fn rotation_keeps_the_newest_output() {
    let mut bench = shell("seq 1 3000");
    bench.config.log.max_size = Some(20_000);
    bench.config.log.max_files = Some(3);
    let container = bench.spawn().await.start().await;
    container.wait().await;
    assert!(container.logged("stdout").ends_with("2999\n3000\n"));
    for name in ["log", "log.1", "log.2"] {
        let size = std::fs::metadata(container.bench.path().join(name)).unwrap().len();
        assert!((1..=20_000).contains(&size), "{name}: {size}");
    }
    assert!(!container.bench.path().join("log.3").exists());
}
