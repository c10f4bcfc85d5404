//! `--runtime`: containers that another OCI runtime makes, here Debian's runc where it is installed.

use crate::{
    exec::{exec, shell},
    harness::{FOREIGN, Test, foreign_runtime, with_engine},
};

async fn start(test: &Test, script: &str) -> String {
    test.start("", script, |_, host| host.runtime = Some(FOREIGN.into())).await
}

fn skipped() -> bool {
    let skipped = foreign_runtime().is_none();
    if skipped {
        println!("skipped: no runc");
    }
    skipped
}

#[test]
fn a_container_of_another_runtime_has_the_images_files_and_keeps_its_changes() {
    if skipped() {
        return;
    }
    with_engine(async |test| {
        let id = start(test, "cat /made 2>/dev/null; echo $$; hostname; echo kept >/made; exit 3").await;
        assert_eq!(test.wait(&id).await, 3);
        assert_eq!(test.output(&id).await, format!("1\n{}\n", &id[..12]));
        let changes = test.engine.changes(&id).await.unwrap();
        assert!(changes.iter().any(|change| change.path == "/made"), "{changes:?}");
        test.engine.start(&id).await.unwrap();
        test.wait(&id).await;
        assert!(test.output(&id).await.contains("kept\n1\n"));
        let shown = test.engine.inspect(&id, false).await.unwrap().host_config.unwrap().runtime;
        assert_eq!(shown.as_deref(), Some(FOREIGN));
    });
}

#[test]
fn it_is_added_to_paused_updated_stopped_and_taken_over_like_any_other() {
    if skipped() {
        return;
    }
    with_engine(async |test| {
        let id = start(test, "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.05; done").await;
        test.until_logged(&id, "ready").await;
        test.reopen().await;
        assert_eq!(exec(test, &id, shell("echo added; exit 9")).await, ("added\n".to_owned(), 9));
        test.engine.pause(&id).await.unwrap();
        assert_eq!(test.state(&id).await, "paused");
        test.engine.unpause(&id).await.unwrap();
        test.engine.update(&id, serde_json::from_str(r#"{"PidsLimit":9}"#).unwrap()).await.unwrap();
        assert_eq!(test.engine.stats(&id).await.unwrap().pids_stats.unwrap().limit, Some(9));
        test.engine.stop(&id, None, Some(20)).await.unwrap();
        assert_eq!(test.wait(&id).await, 4);
        assert!(test.output(&id).await.ends_with("bye\n"));
    });
}

#[test]
fn it_has_a_network_limits_volumes_an_init_and_a_terminal() {
    if skipped() {
        return;
    }
    with_engine(async |test| {
        let script = "cat /proc/1/comm; ip -o -4 addr show eth0 | grep -c inet; cat /sys/fs/cgroup/pids/pids.max; echo x >/data/file; tty";
        let id = test
            .create("", script, |body, host| {
                body.tty = Some(true);
                host.network_mode = None;
                host.pids_limit = Some(20);
                host.binds = Some(vec!["stuff:/data".into()]);
                (host.init, host.runtime) = (Some(true), Some(FOREIGN.into()));
            })
            .await
            .unwrap();
        test.engine.start(&id).await.unwrap();
        assert_eq!(test.wait(&id).await, 0);
        assert_eq!(test.output(&id).await, "docker-init\r\n1\r\n20\r\n/dev/pts/0\r\n");
        assert!(test.dir.path().join("root/volumes/stuff/_data/file").exists());
    });
}

#[test]
fn a_failure_of_another_runtime_is_told_and_leaves_nothing() {
    if skipped() {
        return;
    }
    with_engine(async |test| {
        let id = test
            .create("", "", |body, host| {
                body.cmd = Some(vec!["/no/such".into()]);
                host.runtime = Some(FOREIGN.into());
            })
            .await
            .unwrap();
        let error = test.engine.start(&id).await.unwrap_err();
        assert!(error.to_string().contains("no such file or directory"), "{error}");
        let state = test.engine.inspect(&id, false).await.unwrap().state.unwrap();
        assert_eq!(state.exit_code, Some(127));
    });
}

#[test]
fn runtimes_are_listed_and_unknown_ones_refused_by_name() {
    with_engine(async |test| {
        let runtime = |name: &str| {
            let name = name.to_owned();
            test.create("", "true", move |_, host| host.runtime = Some(name))
        };
        let error = runtime("kata").await.unwrap_err();
        assert_eq!(error.to_string(), "unknown or invalid runtime name: kata");
        for docker in ["runc", "io.containerd.runc.v2", "minke-oci", ""] {
            let id = runtime(docker).await.unwrap();
            let shown = test.engine.inspect(&id, false).await.unwrap().host_config.unwrap().runtime;
            assert_eq!(shown.as_deref(), Some(if docker.is_empty() { "minke-oci" } else { docker }));
        }
        let bind = format!("{}:/x:rshared", test.dir.path().display());
        let shared = test.create("", "true", |_, host| {
            (host.binds, host.runtime) = (Some(vec![bind]), Some(FOREIGN.into()));
        });
        let error = shared.await.unwrap_err().to_string();
        assert!(error.contains("rshared") && error.contains(FOREIGN), "{error}");
        let runtimes = test.engine.info().await.unwrap().runtimes.unwrap();
        assert!(runtimes.contains_key("minke-oci") && runtimes.contains_key(FOREIGN));
        assert_eq!(runtimes[FOREIGN].runtime_args.as_deref(), Some(&["--debug".to_owned()][..]));
    });
}
