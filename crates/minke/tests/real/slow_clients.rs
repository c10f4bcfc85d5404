//! Clients that don't read and containers that say too much hold up nobody, and no more than a buffer is kept for them.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
};

use minke_testkit::Host;

/// Lines that a container says, of 64 bytes each: more than all buffers on the way together.
const LINES: usize = 1_000_000;
/// What a process may grow to in KiB, whatever others do.
const BOUND: u64 = 48 << 10;

fn request(host: &Host, head: &str) -> UnixStream {
    begin(host, &format!("{head} HTTP/1.1"))
}

/// Sends the head of a request, its first line and more.
fn begin(host: &Host, head: &str) -> UnixStream {
    let mut socket = UnixStream::connect(host.path("docker.sock")).expect("the engine listens");
    socket.write_all(format!("{head}\r\nHost: d\r\n\r\n").as_bytes()).expect("the engine reads");
    socket
}

/// The memory of a process's own in KiB.
fn memory(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a size");
    memory.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The pid of a container's supervisor.
fn supervisor(host: &Host, container: &str) -> String {
    let pid = host.docker(["inspect", "-f", "{{.State.Pid}}", container]).ok();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    parent.trim().to_owned()
}

#[test]
fn readers_that_never_read_hold_up_nobody_and_cost_a_buffer() {
    let host = Host::with_busybox();
    let line = "y".repeat(63);
    let script = format!("read go; yes {line} | head -n {LINES}; echo last words; read end");
    let _ = host.docker(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", &script]).ok();
    let unread = [
        "GET /events?since=0",
        "GET /containers/box/logs?follow=1&stdout=1",
        "POST /containers/box/attach?stream=1&stdout=1&stderr=1",
        "GET /containers/box/stats?stream=1",
    ];
    let deaf: Vec<_> = unread.iter().flat_map(|head| [request(&host, head), request(&host, head)]).collect();
    let mut heard = BufReader::new(request(&host, "POST /containers/box/attach?stream=1&stdout=1&stdin=1"));
    host.until("all are attached", || {
        let mut head = String::new();
        heard.read_line(&mut head).is_ok() && head == "\r\n"
    });
    heard.get_mut().write_all(b"go\n").expect("it reads");
    let mut frames = 0;
    let mut bytes = 0;
    loop {
        let mut header = [0; 8];
        heard.read_exact(&mut header).expect("whole frames");
        let length = u32::from_be_bytes(header[4..].try_into().expect("four bytes")) as usize;
        let mut payload = vec![0; length];
        heard.read_exact(&mut payload).expect("whole frames");
        (frames, bytes) = (frames + 1, bytes + length);
        if payload.ends_with(b"last words\n") {
            break;
        }
    }
    assert_eq!(bytes, LINES * 64 + "last words\n".len(), "in {frames} frames");
    for (who, pid) in [("engine", host.daemon_pid().to_string()), ("supervisor", supervisor(&host, "box"))] {
        let memory = memory(&pid);
        assert!(memory < BOUND, "the {who} has {memory} KiB for clients that don't read");
    }
    assert_eq!(host.docker(["logs", "--tail", "1", "box"]).ok(), "last words");
    heard.get_mut().write_all(b"end\n").expect("it reads");
    assert_eq!(host.docker(["wait", "box"]).ok(), "0");
    drop(deaf);
    host.expect_nothing_left();
}

#[test]
fn a_container_that_floods_its_log_holds_up_no_other() {
    let host = Host::with_busybox();
    let limits = ["--log-opt", "max-size=4m", "--log-opt", "max-file=2"];
    let [a, b, c, d] = limits;
    let _ = host.docker(["run", "-d", "--name", "flood", a, b, c, d, "busybox", "yes", "flood"]).ok();
    let _ = host.docker(["run", "-d", "-i", "--name", "calm", "busybox", "cat"]).ok();
    let mut calm = BufReader::new(request(&host, "POST /containers/calm/attach?stream=1&stdout=1&stdin=1"));
    let mut head = String::new();
    while head != "\r\n" {
        head.clear();
        calm.read_line(&mut head).expect("the engine answers");
    }
    let log = host.docker(["inspect", "-f", "{{.LogPath}}", "flood"]).ok();
    let position = || {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&log).map(|file| (file.ino(), file.size())).unwrap_or_default()
    };
    for number in 0..200 {
        let before = position();
        let line = format!("{number}\n");
        calm.get_mut().write_all(line.as_bytes()).expect("it reads");
        let mut frame = vec![0; 8 + line.len()];
        calm.read_exact(&mut frame).expect("it answers");
        assert_eq!(&frame[8..], line.as_bytes());
        if number % 50 == 0 {
            assert_eq!(host.docker(["exec", "calm", "echo", "well"]).ok(), "well");
            host.until("the flood goes on", || position() != before);
        }
    }
    assert_eq!(host.docker(["logs", "calm"]).ok().lines().count(), 200);
    assert_eq!(host.docker(["logs", "--tail", "1", "flood"]).ok(), "flood");
    for (who, pid) in [("engine", host.daemon_pid().to_string()), ("supervisor", supervisor(&host, "flood"))]
    {
        let memory = memory(&pid);
        assert!(memory < BOUND, "the {who} has {memory} KiB");
    }
    host.expect_nothing_left();
}

/// Archives go through threads of which there are few; who stands still must not hold them all.
#[test]
fn transfers_that_stand_still_hold_up_nobody() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let dd = ["exec", "box", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=16"];
    let _ = host.docker(dd).expect_code(0);
    let announced = "\r\nContent-Type: application/x-tar\r\nContent-Length: 1000000";
    let put = format!("PUT /containers/box/archive?path=/tmp HTTP/1.1{announced}");
    let load = format!("POST /images/load HTTP/1.1{announced}");
    let get = "GET /containers/box/archive?path=/big HTTP/1.1".to_owned();
    let still: Vec<_> = [put, load, get]
        .iter()
        .flat_map(|head| (0..40).map(|_| begin(&host, head)).collect::<Vec<_>>())
        .collect();
    assert_eq!(host.docker(["run", "--rm", "busybox", "echo", "works"]).ok(), "works");
    assert_eq!(host.docker(["exec", "box", "echo", "too"]).ok(), "too");
    drop(still);
    host.expect_nothing_left();
}
