//! Clients that misbehave: none may harm the container, its log or the supervisor.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use minke_supervisor::Target;
use tokio::io::AsyncReadExt;

use crate::bench::{OUTPUT, Running, demultiplex, memory_kib, read_all, shell};

const FLOOD: usize = 48 << 20;

fn flood() -> crate::bench::Bench {
    shell(&format!("yes 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde | head -c {FLOOD}"))
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_nothing_and_loses_nothing() {
    let container = flood().spawn().await;
    let supervisor = container.supervisor_pid();
    let before = memory_kib(supervisor, "VmHWM");
    let mut stream = container.supervisor.attach(OUTPUT).await.unwrap();
    let container = container.start().await;
    assert_eq!(container.wait().await.exit_code, 0, "the end is told although the client has taken nothing");
    assert_eq!(container.logged("stdout").len(), FLOOD);
    let peak = memory_kib(supervisor, "VmHWM");
    println!("supervisor: {before} KiB, after {FLOOD} bytes and a client that does not read {peak} KiB");
    assert!(peak < before + 1536, "the backlog is in memory: {before} KiB, {peak} KiB");
    let (stdout, _) = demultiplex(&read_all(&mut stream).await);
    assert_eq!(stdout.len(), FLOOD);
    assert!(stdout.chunks(64).all(|line| line == &stdout[..64]));
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything_in_order() {
    let container = shell("seq 1 400000").spawn().await;
    let mut stream = container.supervisor.attach(OUTPUT).await.unwrap();
    let container = container.start().await;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 200_000];
    loop {
        let count = stream.read(&mut piece).await.unwrap();
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..count]);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let (stdout, _) = demultiplex(&bytes);
    assert_eq!(container.logged("stdout").as_bytes(), stdout);
    assert!(stdout.ends_with(b"\n400000\n"));
}

#[tokio::test]
async fn clients_that_vanish_in_the_middle_are_forgotten() {
    let container = flood().spawn().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(container.supervisor.attach(OUTPUT).await.unwrap());
    }
    let container = container.start().await;
    let mut some = [0; 1000];
    streams[0].read_exact(&mut some).await.unwrap();
    drop(streams);
    assert_eq!(container.wait().await.exit_code, 0);
    assert_eq!(container.logged("stdout").len(), FLOOD);
}

fn connect(container: &Running) -> UnixStream {
    let stream = UnixStream::connect(&container.bench.config.socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

fn answer_to(container: &Running, bytes: &[u8]) -> String {
    let mut stream = connect(container);
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn nonsense_is_refused_and_the_connection_ends() {
    let container = shell("sleep 30").spawn().await.start().await;
    let oversize = answer_to(&container, b"GET / HTTP/1.1\r\n\r\n");
    assert!(oversize.contains("longer than"), "{oversize}");
    let not_json = answer_to(&container, b"\x03\0\0\0abc");
    assert!(not_json.contains("bad request"), "{not_json}");
    let unknown = answer_to(&container, b"\x09\0\0\0\"explode\"");
    assert!(unknown.contains("unknown variant"), "{unknown}");
    drop(connect(&container)); // says nothing at all
    connect(&container).write_all(b"\x09\0\0\0\"st").unwrap(); // half a request, then gone
    let refused = container.supervisor.signal(Target::Init, 4711).await.unwrap_err();
    assert!(!refused.to_string().is_empty());
    assert!(container.supervisor.status().await.unwrap().started);
}

#[tokio::test]
async fn several_requests_may_share_a_connection() {
    let container = shell("sleep 30").spawn().await.start().await;
    let mut stream = connect(&container);
    stream.write_all(b"\x08\0\0\0\"status\"\x08\0\0\0\"status\"").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("\"started\":true").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_flood_of_connections_is_bounded_and_passes() {
    let container = shell("sleep 30").spawn().await.start().await;
    let supervisor = container.supervisor_pid();
    let connections: Vec<UnixStream> = (0..400).map(|_| connect(&container)).collect();
    let mut refused = String::new();
    (&connections[399]).read_to_string(&mut refused).unwrap();
    assert!(refused.contains("too many connections"), "{refused}");
    let open = std::fs::read_dir(format!("/proc/{supervisor}/fd")).unwrap().count();
    assert!(open < 300, "{open} descriptors");
    drop(connections);
    crate::bench::eventually("they are forgotten", || {
        std::fs::read_dir(format!("/proc/{supervisor}/fd")).unwrap().count() < 30
    })
    .await;
    assert!(container.supervisor.status().await.unwrap().started);
}

/// What runs in a container can stop a process that is added to it before that has become the wanted program.
#[tokio::test]
async fn a_container_that_stops_added_processes_does_not_stop_its_supervisor() {
    let stopper = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || kill -STOP ${p#/proc/}; done; done 2>/dev/null";
    let container = shell(stopper).spawn().await.start().await;
    let supervisor = container.supervisor.clone();
    let mut stuck = false;
    for number in 0..200 {
        let id = format!("e{number}");
        let added = supervisor.exec(&id, crate::bench::added("sleep 30"), OUTPUT, true);
        stuck = tokio::time::timeout(Duration::from_secs(1), added).await.is_err();
        if stuck {
            break;
        }
    }
    assert!(stuck, "no process was stopped on its way in: the test shows nothing");
    let patience = Duration::from_secs(5);
    let status = tokio::time::timeout(patience, container.supervisor.status()).await;
    let ended = match status {
        Ok(status) => {
            status.unwrap();
            container.supervisor.signal(Target::Init, 9).await.unwrap();
            tokio::time::timeout(patience, container.wait()).await.ok()
        }
        Err(_) => None,
    };
    assert_eq!(ended.expect("the supervisor serves while a process is stopped").exit_code, 137);
}
