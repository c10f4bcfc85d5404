//! A container whose output goes to a collector, which is a listener of the test's own.

use std::{io::Read, net::TcpListener, time::Duration};

use minke_supervisor::{
    CollectorAddress, CollectorConfig, Overflow, RecordFormat, Retry, SyslogForm, SyslogFormat, Target,
};

use crate::bench::{Bench, memory_kib, shell};

/// More than all buffers between the container and the collector hold.
const LINES: usize = 400_000;

fn collected(mut bench: Bench, listener: &TcpListener, overflow: Overflow) -> Bench {
    bench.config.log.collector = Some(CollectorConfig {
        addresses: vec![CollectorAddress::Tcp(listener.local_addr().unwrap())],
        format: RecordFormat::Syslog(SyslogFormat {
            form: SyslogForm::Rfc3164,
            facility: 3,
            hostname: "host".to_owned(),
            tag: "tag".to_owned(),
        }),
        buffer: 64 << 10,
        overflow,
        lazy: false,
        retry: Retry { first_ms: 20, longest_ms: 100, most: None },
        write_timeout_ms: None,
        reconnect_ms: None,
    });
    bench
}

/// The texts of all lines until the collector's connection ends.
fn read(listener: &TcpListener) -> std::thread::JoinHandle<Vec<String>> {
    let (mut stream, _) = listener.accept().unwrap();
    std::thread::spawn(move || {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        all.lines().map(|line| line.split_once("]: ").unwrap().1.to_owned()).collect()
    })
}

#[tokio::test]
async fn a_flood_waits_for_a_slow_collector_and_no_line_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bench = collected(shell(&format!("seq 1 {LINES}")), &listener, Overflow::Block);
    let container = bench.spawn().await.start().await;
    let pid = container.supervisor_pid();
    let waited = tokio::time::timeout(Duration::from_secs(1), container.supervisor.wait(Target::Init));
    assert!(waited.await.is_err(), "the container ended although nobody reads");
    println!("supervisor: {} KiB resident at its peak", memory_kib(pid, "VmHWM"));
    let reading = read(&listener);
    assert_eq!(container.wait().await.exit_code, 0);
    let lines = tokio::task::spawn_blocking(move || reading.join().unwrap()).await.unwrap();
    assert_eq!(lines.len(), LINES);
    assert!(lines.iter().enumerate().all(|(at, line)| *line == (at + 1).to_string()));
}

#[tokio::test]
async fn a_supervisor_that_waits_for_its_collector_is_as_small_as_one_without() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let script = "while read line; do echo $line; done; sleep 30";
    let container = collected(shell(script), &listener, Overflow::Block).spawn().await.start().await;
    let plain = shell(script).spawn().await.start().await;
    let sizes = [&container, &plain].map(|running| running.supervisor_pid());
    crate::bench::eventually("both have slimmed", || {
        let [with, without] = sizes.map(|pid| memory_kib(pid, "RssAnon"));
        with < without + 128
    })
    .await;
}
