//! `--init`: the first process of a container is the small one that hands on signals and reaps.

use std::time::{Duration, Instant};

use bollard_stubs::models::{ContainerCreateBody, HostConfig};

use crate::harness::{Test, with_engine};

fn init(_: &mut ContainerCreateBody, host: &mut HostConfig) {
    host.init = Some(true);
}

/// The pid of a running container's first process.
async fn first_process(test: &Test, id: &str) -> i64 {
    test.engine.inspect(id, false).await.unwrap().state.unwrap().pid.unwrap()
}

#[test]
fn the_program_is_the_child_of_an_init_that_reaps_orphans() {
    with_engine(async |test| {
        let script = "cat /proc/1/comm; echo $$ $PPID; (true & exec sleep 0.1) & wait; \
            i=0; while grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null && [ $i -lt 100 ]; do sleep 0.05; i=$((i+1)); done; exit 7";
        let (code, output) = test.run(script, init).await;
        assert_eq!(code, 7);
        let lines: Vec<_> = output.lines().collect();
        assert_eq!(lines[0], "docker-init");
        assert!(lines[1].ends_with(" 1") && lines[1] != "1 0", "{output}");
        let (_, output) = test.run("echo $$", |_, _| {}).await;
        assert_eq!(output, "1\n", "without --init nothing changes");
    });
}

#[test]
fn an_orphan_that_ends_is_no_zombie() {
    with_engine(async |test| {
        // The shell in the middle ends first; its child is the init's then.
        let script = "sh -c 'sh -c \"echo \\$\\$ >/tmp/orphan; sleep 0.2\" & sleep 0.1'; sleep 0.4; \
            test -e /proc/$(cat /tmp/orphan) && echo zombie || echo reaped";
        assert_eq!(test.run(script, init).await.1, "reaped\n");
    });
}

#[test]
fn signals_reach_the_program_and_its_end_is_the_containers() {
    with_engine(async |test| {
        let script =
            "trap 'echo hup' HUP; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
        let id = test.start("", script, init).await;
        test.until_logged(&id, "ready").await;
        test.engine.kill(&id, "HUP").await.unwrap();
        test.until_logged(&id, "hup").await;
        test.engine.stop(&id, None, Some(20)).await.unwrap();
        assert_eq!(test.wait(&id).await, 5);
        let id = test.start("", "echo ready; exec sleep 1000", init).await;
        test.until_logged(&id, "ready").await;
        // Without an init, pid 1 would ignore it.
        let begin = Instant::now();
        test.engine.stop(&id, None, Some(20)).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert_eq!(test.wait(&id).await, 128 + 15);
        let id = test.start("", "echo ready; exec sleep 1000", init).await;
        test.until_logged(&id, "ready").await;
        test.engine.kill(&id, "RTMIN+3").await.unwrap();
        assert_eq!(test.wait(&id).await, 128 + 37);
    });
}

#[test]
fn with_tinis_variable_the_whole_process_group_gets_signals() {
    with_engine(async |test| {
        let script = "trap : USR1; sh -c 'trap \"echo child; exit\" USR1; echo ready; while :; do sleep 0.05; done' & wait; wait; exec sleep 1000";
        let id = test
            .start("", script, |body, host| {
                body.env = Some(vec!["TINI_KILL_PROCESS_GROUP=1".into()]);
                host.init = Some(true);
            })
            .await;
        test.until_logged(&id, "ready").await;
        test.engine.kill(&id, "USR1").await.unwrap();
        test.until_logged(&id, "child").await;
        test.engine.kill(&id, "KILL").await.unwrap();
        assert_eq!(test.wait(&id).await, 137);
    });
}

#[test]
fn a_program_that_is_not_there_is_127_and_one_that_cannot_be_executed_126() {
    with_engine(async |test| {
        for (program, code) in [("/no/such", 127), ("nope", 127), ("/etc/passwd", 126)] {
            let id = test
                .start("", "", |body, host| {
                    body.cmd = Some(vec![program.into()]);
                    host.init = Some(true);
                })
                .await;
            assert_eq!(test.wait(&id).await, code, "{program}");
            assert!(test.output(&id).await.contains(&format!("execute {program}: ")));
        }
    });
}

#[test]
fn it_serves_users_read_only_roots_terminals_and_added_processes() {
    with_engine(async |test| {
        let (code, output) = test
            .run("id -u; kill -TERM 1; sleep 10", |body, host| {
                body.user = Some("1000".into());
                (host.init, host.readonly_rootfs) = (Some(true), Some(true));
                host.cap_drop = Some(vec!["ALL".into()]);
                host.security_opt = Some(vec!["no-new-privileges".into()]);
            })
            .await;
        assert_eq!((code, output.as_str()), (143, "1000\n"));
        let script = "set -- $(cat /proc/$$/stat); echo group $5 $8 $$; read line; echo got $line";
        let id = test
            .create("", script, |body, host| {
                (body.tty, body.open_stdin) = (Some(true), Some(true));
                host.init = Some(true);
            })
            .await
            .unwrap();
        test.engine.start(&id).await.unwrap();
        test.until_logged(&id, "group").await;
        // Its own group, in the terminal's foreground: it may read, and Ctrl-C is its own.
        let shown = test.output(&id).await;
        let numbers: Vec<_> = shown.split_whitespace().skip(1).collect();
        assert!(numbers[0] == numbers[1] && numbers[1] == numbers[2], "{shown}");
        let top = test.engine.top(&id, "").await.unwrap();
        let lines: Vec<_> = top.processes.unwrap().into_iter().map(|fields| fields.join(" ")).collect();
        assert!(lines[0].contains("/sbin/docker-init -- sh -c"), "{lines:?}");
        test.engine.kill(&id, "KILL").await.unwrap();
        test.wait(&id).await;
    });
}

#[test]
fn it_costs_little_memory_and_its_program_cannot_be_written() {
    with_engine(async |test| {
        let script = "echo x 2>/dev/null >/sbin/docker-init || echo read-only; echo ready; exec sleep 1000";
        let id = test.start("", script, init).await;
        test.until_logged(&id, "read-only").await;
        test.until_logged(&id, "ready").await;
        let pid = first_process(test, &id).await;
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let private: u64 = rollup
            .lines()
            .filter(|line| line.starts_with("Private_Dirty:"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum();
        println!("docker-init: {private} KiB of its own\n{rollup}");
        assert!(private < 1024, "{rollup}");
        test.engine.kill(&id, "KILL").await.unwrap();
        test.wait(&id).await;
        let info = test.engine.info().await.unwrap();
        assert_eq!(info.init_binary.as_deref(), Some("docker-init"));
        assert_eq!(info.init_commit.unwrap().id.as_deref(), Some("0.0.0-test"));
    });
}
