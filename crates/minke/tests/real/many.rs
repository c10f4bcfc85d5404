//! Many at once, clients that vanish, an engine that is killed in the middle: nothing is lost and nothing
//! remains.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn fifty_runs_by_eight_clients_all_come_back(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 50 {
                        return;
                    }
                    let script = format!("echo {number}; exit {number}");
                    let code = i32::try_from(number).expect("a small number");
                    let _ = host
                        .cli(cli, ["run", "--rm", "-v", "/anonymous", "busybox", "sh", "-c", &script])
                        .expect_code(code)
                        .expect_exact(&format!("{number}\n"));
                }
            });
        }
    });
    assert_eq!(host.docker(["ps", "-aq"]).ok(), "");
    assert_eq!(host.docker(["volume", "ls", "-q"]).ok(), "");
    host.expect_nothing_left();
}

#[test]
fn clients_that_vanish_while_attached_stop_nothing() {
    let host = Host::with_busybox();
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i of many; i=$((i+1)); done; sleep 600";
    let _ = host.docker(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", script]).ok();
    for query in ["stream=1&stdout=1&logs=1", "stream=1&stdin=1&stdout=1&stderr=1", "stream=1&stderr=1"] {
        let mut socket = UnixStream::connect(host.path("docker.sock")).expect("the engine listens");
        let head = format!(
            "POST /containers/box/attach?{query} HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\n\
             Connection: Upgrade\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).expect("the engine reads");
        let mut some = [0; 64];
        let _ = socket.read(&mut some).expect("the engine answers");
        // Gone, without a word, with output on its way.
        drop(socket);
    }
    host.until("all lines", || host.docker(["logs", "--tail", "1", "box"]).ok() == "line 19999 of many");
    assert_eq!(host.docker(["exec", "box", "echo", "alive"]).ok(), "alive");
    assert_eq!(host.docker(["stop", "-t", "0", "box"]).ok(), "box");
    host.expect_nothing_left();
}

#[test]
fn an_engine_killed_in_the_middle_of_runs_leaves_nothing() {
    let mut host = Host::with_busybox();
    for round in 0..6 {
        let running: Vec<_> = (0..6)
            .map(|_| {
                host.docker_run(["run", "--rm", "-p", "80", "-v", "/data", "busybox", "sleep", "0.2"]).spawn()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(40 * round));
        host.kill_daemon();
        for mut client in running {
            let _ = client.wait();
        }
        host.start_daemon();
        // Those that got as far as running end by themselves and are removed by the next engine.
        host.until("--rm is kept", || {
            host.docker(["ps", "-aq", "-f", "status=running", "-f", "status=exited"]).ok().is_empty()
        });
        let _ = host.docker(["run", "--rm", "busybox", "true"]).expect_code(0);
    }
    host.expect_nothing_left();
}
