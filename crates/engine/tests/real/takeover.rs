//! The engine goes and another comes: containers run on, and what happened meanwhile is known.

use std::time::Duration;

use bollard_stubs::models::{RestartPolicy, RestartPolicyNameEnum};
use minke_engine::*;

use crate::harness::with_engine;

fn always() -> Option<RestartPolicy> {
    Some(RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), maximum_retry_count: None })
}

#[test]
fn a_running_container_is_taken_over_with_its_log_its_exit_code_and_its_ports() {
    with_engine(async |test| {
        let id = test
            .start("web", "trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done", |_, host| {
                host.network_mode = Some("bridge".into());
            })
            .await;
        test.until_logged(&id, "ready").await;
        let before = test.engine.inspect("web", false).await.unwrap();
        test.reopen().await;
        let after = test.engine.inspect("web", false).await.unwrap();
        assert_eq!(before.state.as_ref().unwrap().pid, after.state.as_ref().unwrap().pid);
        assert_eq!(before.state.unwrap().started_at, after.state.unwrap().started_at);
        assert_eq!(before.network_settings.unwrap().networks, after.network_settings.unwrap().networks);
        assert_eq!(test.output("web").await, "ready\n");
        let exec = test
            .engine
            .exec_create("web", serde_json::from_str(r#"{"Cmd":["true"]}"#).unwrap())
            .await
            .unwrap();
        test.engine.exec_start(&exec, ExecStart { detach: true, ..ExecStart::default() }).await.unwrap();
        let waiter = test.engine.wait("web", WaitCondition::NextExit).await.unwrap();
        test.engine.stop("web", None, None).await.unwrap();
        assert_eq!(waiter.outcome().await.status_code, 6);
    });
}

#[test]
fn an_end_that_no_engine_saw_is_known() {
    with_engine(async |test| {
        let id = test.start("", "sleep 0.3; echo bye; exit 9", |_, _| {}).await;
        let removed = test.start("", "sleep 0.3", |_, host| host.auto_remove = Some(true)).await;
        test.reopen_with(|_| std::thread::sleep(Duration::from_secs(1))).await;
        let state = test.engine.inspect(&id, false).await.unwrap().state.unwrap();
        assert_eq!((state.status.unwrap().to_string().as_str(), state.exit_code), ("exited", Some(9)));
        assert_eq!(test.output(&id).await, "bye\n");
        for _ in 0..100 {
            if test.engine.inspect(&removed, false).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("--rm was forgotten");
    });
}

#[test]
fn the_next_engine_starts_what_was_not_stopped_by_hand() {
    with_engine(async |test| {
        let wanted = test.start("", "sleep 0.3", |_, host| host.restart_policy = always()).await;
        let stopped = test.start("", "exec sleep 1000", |_, host| host.restart_policy = always()).await;
        let created =
            test.create("", "exec sleep 1000", |_, host| host.restart_policy = always()).await.unwrap();
        test.engine.stop(&stopped, Some("KILL"), None).await.unwrap();
        test.reopen_with(|_| std::thread::sleep(Duration::from_secs(1))).await;
        for _ in 0..100 {
            let state = test.engine.inspect(&wanted, false).await.unwrap().state.unwrap();
            if state.running == Some(true) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(test.engine.inspect(&wanted, false).await.unwrap().state.unwrap().running, Some(true));
        assert_eq!(test.state(&stopped).await, "exited");
        assert_eq!(test.state(&created).await, "created");
    });
}

#[test]
fn a_container_that_joins_another_is_started_after_it() {
    with_engine(async |test| {
        test.start("donor", "sleep 0.5", |_, host| host.restart_policy = always()).await;
        test.start("joiner", "sleep 0.5", |_, host| {
            host.restart_policy = always();
            host.network_mode = Some("container:donor".into());
        })
        .await;
        test.reopen_with(|_| std::thread::sleep(Duration::from_secs(1))).await;
        for _ in 0..200 {
            if test.engine.inspect("joiner", false).await.unwrap().state.unwrap().pid.unwrap() > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", test.engine.inspect("joiner", false).await.unwrap().state);
    });
}

#[test]
fn a_paused_container_is_still_paused() {
    with_engine(async |test| {
        let id = test.start("", "exec sleep 1000", |_, _| {}).await;
        test.engine.pause(&id).await.unwrap();
        test.reopen().await;
        assert_eq!(test.state(&id).await, "paused");
        test.engine.unpause(&id).await.unwrap();
    });
}

#[test]
fn a_container_whose_supervisor_was_killed_is_137_and_its_processes_are_gone() {
    with_engine(async |test| {
        let id = test.start("", "exec sleep 31337", |_, _| {}).await;
        let pid = test.engine.inspect(&id, false).await.unwrap().state.unwrap().pid.unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let supervisor: i32 =
            stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
        test.reopen_with(|_| {
            let supervisor = rustix::process::Pid::from_raw(supervisor).unwrap();
            rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        })
        .await;
        let state = test.engine.inspect(&id, false).await.unwrap().state.unwrap();
        assert_eq!((state.status.unwrap().to_string().as_str(), state.exit_code), ("exited", Some(137)));
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!line.contains("31337"), "{line}");
        test.engine.start(&id).await.unwrap();
    });
}

#[test]
fn two_engines_never_share_a_root() {
    with_engine(async |test| {
        let config = EngineConfig {
            root: test.dir.path().join("root"),
            state: test.dir.path().join("state2"),
            name_prefix: "other".into(),
            runtime: "/bin/false".into(),
            networks: minke_engine::NetworkDefaults::default(),
            settings: Settings::default(),
            version: "0",
        };
        assert!(matches!(Engine::open(config).await.err(), Some(OpenError::InUse { .. })));
    });
}
