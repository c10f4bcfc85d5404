//! Creating, starting, stopping, restarting, pausing, removing.

use std::time::Duration;

use bollard_stubs::models::{RestartPolicy, RestartPolicyNameEnum};
use minke_engine::*;

use crate::harness::with_engine;

#[test]
fn a_container_runs_to_its_end_and_its_exit_code_is_known() {
    with_engine(async |test| {
        assert_eq!(
            test.run("echo hello; sleep 0.05; echo oops >&2; exit 7", |_, _| {}).await,
            (7, "hello\noops\n".into())
        );
    });
}

#[test]
fn names_are_unique_and_containers_are_found_by_name_and_prefix() {
    with_engine(async |test| {
        let id = test.create("web", "true", |_, _| {}).await.unwrap();
        let error = test.create("web", "true", |_, _| {}).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&format!("already in use by container \"{id}\"")), "{error}");
        for name in ["web", "/web", &id, &id[..12]] {
            assert_eq!(test.engine.inspect(name, false).await.unwrap().id.unwrap(), id);
        }
        test.engine.rename("web", "site").await.unwrap();
        assert_eq!(test.engine.inspect("web", false).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(test.engine.inspect("site", true).await.unwrap().name.unwrap(), "/site");
        test.create("web", "true", |_, _| {}).await.unwrap();
    });
}

#[test]
fn an_image_that_is_not_there_is_named() {
    with_engine(async |test| {
        let error = test.create("", "true", |body, _| body.image = Some("nope".into())).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::NotFound, "No such image: nope:latest")
        );
    });
}

#[test]
fn a_missing_program_is_127_and_one_that_cannot_run_126() {
    with_engine(async |test| {
        for (program, code, words) in [
            ("no-such-program", 127, "executable file not found in $PATH"),
            ("/no/such/program", 127, "no such file or directory"),
            ("/etc/passwd", 126, "permission denied"),
        ] {
            let id = test.create("", "", |body, _| body.cmd = Some(vec![program.into()])).await.unwrap();
            let error = test.engine.start(&id).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
            assert!(error.to_string().to_lowercase().contains(&words.to_lowercase()), "{error}");
            let state = test.engine.inspect(&id, false).await.unwrap().state.unwrap();
            assert_eq!((state.exit_code, state.status.unwrap().to_string()), (Some(code), "created".into()));
        }
    });
}

#[test]
fn stop_asks_with_term_and_then_kills() {
    with_engine(async |test| {
        let polite =
            test.start("", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done", |_, _| {}).await;
        test.until_logged(&polite, "ready").await;
        assert_eq!(test.engine.stop(&polite, None, Some(10)).await.unwrap(), Changed::Yes);
        assert_eq!(test.wait(&polite).await, 3);
        assert_eq!(test.engine.stop(&polite, None, None).await.unwrap(), Changed::No);
        let stubborn =
            test.start("", "trap '' TERM; echo ready; while :; do sleep 0.05; done", |_, _| {}).await;
        test.until_logged(&stubborn, "ready").await;
        assert_eq!(test.engine.stop(&stubborn, None, Some(0)).await.unwrap(), Changed::Yes);
        assert_eq!(test.wait(&stubborn).await, 137);
    });
}

#[test]
fn kill_sends_any_signal_to_a_running_container_only() {
    with_engine(async |test| {
        let id =
            test.start("", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done", |_, _| {}).await;
        test.until_logged(&id, "ready").await;
        test.engine.kill(&id, "USR1").await.unwrap();
        assert_eq!(test.wait(&id).await, 5);
        assert_eq!(test.engine.kill(&id, "KILL").await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(test.engine.kill(&id, "WAT").await.unwrap_err().kind(), ErrorKind::InvalidParameter);
    });
}

#[test]
fn a_container_can_be_started_again_and_keeps_its_files() {
    with_engine(async |test| {
        let id = test.start("", "cat /count; echo x >> /count", |_, _| {}).await;
        test.wait(&id).await;
        assert_eq!(test.engine.start(&id).await.unwrap(), Changed::Yes);
        test.wait(&id).await;
        assert!(test.output(&id).await.ends_with("x\n"));
    });
}

#[test]
fn restart_ends_and_starts() {
    with_engine(async |test| {
        let id = test.start("", "echo up; exec sleep 1000", |_, _| {}).await;
        let before = test.engine.inspect(&id, false).await.unwrap().state.unwrap().pid;
        test.engine.restart(&id, Some("KILL"), Some(1)).await.unwrap();
        let after = test.engine.inspect(&id, false).await.unwrap().state.unwrap();
        assert!(after.running.unwrap() && after.pid != before);
    });
}

#[test]
fn pause_freezes_and_unpause_thaws() {
    with_engine(async |test| {
        let id = test.start("", "exec sleep 1000", |_, _| {}).await;
        test.engine.pause(&id).await.unwrap();
        assert_eq!(test.state(&id).await, "paused");
        assert_eq!(test.engine.pause(&id).await.unwrap_err().kind(), ErrorKind::Conflict);
        test.engine.unpause(&id).await.unwrap();
        assert_eq!(test.state(&id).await, "running");
        test.engine.pause(&id).await.unwrap();
        test.engine.stop(&id, Some("KILL"), None).await.unwrap();
        assert_eq!(test.wait(&id).await, 137);
    });
}

#[test]
fn removal_of_a_running_container_wants_force() {
    with_engine(async |test| {
        let id = test.start("web", "exec sleep 1000", |_, _| {}).await;
        let error = test.engine.remove(&id, RemoveOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        test.engine.remove(&id, RemoveOptions { force: true, volumes: false }).await.unwrap();
        assert!(test.list().await.is_empty());
        test.create("web", "true", |_, _| {}).await.unwrap();
    });
}

#[test]
fn an_auto_remove_container_is_gone_when_the_wait_for_that_ends() {
    with_engine(async |test| {
        let id = test.create("", "exit 4", |_, host| host.auto_remove = Some(true)).await.unwrap();
        let waiter = test.engine.wait(&id, WaitCondition::Removed).await.unwrap();
        test.engine.start(&id).await.unwrap();
        let outcome = tokio::time::timeout(Duration::from_secs(10), waiter.outcome()).await.unwrap();
        assert_eq!(outcome.status_code, 4);
        assert!(test.list().await.is_empty());
    });
}

#[test]
fn an_auto_remove_container_that_cannot_be_started_is_gone_too() {
    with_engine(async |test| {
        let id = test
            .create("", "", |body, host| {
                body.cmd = Some(vec!["no-such-program".into()]);
                host.auto_remove = Some(true);
            })
            .await
            .unwrap();
        let waiter = test.engine.wait(&id, WaitCondition::Removed).await.unwrap();
        assert!(test.engine.start(&id).await.is_err());
        assert_eq!(waiter.outcome().await.status_code, 127);
        assert!(test.list().await.is_empty());
    });
}

#[test]
fn the_restart_policy_starts_it_again_until_its_retries_are_used_up() {
    with_engine(async |test| {
        let policy =
            RestartPolicy { name: Some(RestartPolicyNameEnum::ON_FAILURE), maximum_retry_count: Some(2) };
        let id = test.start("", "echo once; exit 1", |_, host| host.restart_policy = Some(policy)).await;
        test.until(&id, "exited").await;
        assert_eq!(test.output(&id).await, "once\nonce\nonce\n");
        assert_eq!(test.engine.inspect(&id, false).await.unwrap().restart_count, Some(2));
    });
}

#[test]
fn twenty_containers_start_side_by_side() {
    with_engine(async |test| {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(test.create("", "echo hi; exit 0", |_, _| {}).await.unwrap());
        }
        let starts = ids.iter().map(|id| test.engine.start(id));
        for started in futures_util::future::join_all(starts).await {
            started.unwrap();
        }
        for id in &ids {
            assert_eq!(test.wait(id).await, 0);
        }
        let options = ListOptions {
            all: true,
            filters: Filters::default().with("status", "exited"),
            ..ListOptions::default()
        };
        assert_eq!(test.engine.list(options).await.unwrap().len(), 20);
        let pruned = test.engine.prune(&Filters::default()).await.unwrap();
        assert_eq!(pruned.containers_deleted.unwrap().len(), 20);
    });
}

#[test]
fn a_health_check_finds_out_how_it_is() {
    with_engine(async |test| {
        let id = test
            .start("", "touch /well; exec sleep 1000", |body, _| {
                body.healthcheck = serde_json::from_str(
                    r#"{"Test":["CMD-SHELL","test -e /well"],"Interval":50000000,"Timeout":5000000000,"Retries":2}"#,
                )
                .unwrap();
            })
            .await;
        let until = async |wanted: &str| {
            for _ in 0..200 {
                let health = test.engine.inspect(&id, false).await.unwrap().state.unwrap().health.unwrap();
                if health.status.unwrap().to_string() == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("{:?}", test.engine.inspect(&id, false).await.unwrap().state);
        };
        until("healthy").await;
        let exec = serde_json::from_str(r#"{"Cmd":["rm","/well"]}"#).unwrap();
        let exec = test.engine.exec_create(&id, exec).await.unwrap();
        test.engine.exec_start(&exec, ExecStart { detach: true, ..ExecStart::default() }).await.unwrap();
        until("unhealthy").await;
    });
}

#[test]
fn events_tell_a_containers_life_in_order() {
    with_engine(async |test| {
        let (code, _) = test.run("exit 0", |_, _| {}).await;
        assert_eq!(code, 0);
        let id = test.list().await.remove(0);
        test.engine.remove(&id, RemoveOptions::default()).await.unwrap();
        let options = EventsOptions {
            since: Some(time::OffsetDateTime::UNIX_EPOCH),
            until: Some(time::OffsetDateTime::now_utc()),
            ..EventsOptions::default()
        };
        let events: Vec<_> =
            futures_util::StreamExt::collect::<Vec<_>>(test.engine.events(options).unwrap()).await;
        let told: Vec<_> = events
            .iter()
            .map(|event| format!("{} {}", event.typ.unwrap(), event.action.as_deref().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                "image import",
                "container create",
                "network connect",
                "container start",
                "network disconnect",
                "container die",
                "container destroy"
            ]
        );
    });
}
