//! Output, input and terminals of the first process.

use minke_supervisor::{Streams, Target};
use tokio::io::AsyncWriteExt;

use crate::bench::{ALL, OUTPUT, demultiplex, eventually, read_all, shell};

#[tokio::test]
async fn the_log_has_a_record_per_line_and_stream() {
    let container = shell("echo one; echo two >&2; printf 'a<b\\n\\nno end'").spawn().await.start().await;
    assert_eq!(container.wait().await.exit_code, 0);
    let mut records = container.records();
    records.sort();
    let pair = |stream: &str, text: &str| (stream.to_owned(), text.to_owned());
    let expected = [
        pair("stderr", "two\n"),
        pair("stdout", "\n"),
        pair("stdout", "a<b\n"),
        pair("stdout", "no end"),
        pair("stdout", "one\n"),
    ];
    assert_eq!(records, expected);
    let first = std::fs::read_to_string(&container.log).unwrap();
    assert!(first.contains("{\"log\":\"a\\u003cb\\n\",\"stream\":\"stdout\",\"time\":\"20"), "{first}");
}

#[tokio::test]
async fn attaching_before_the_start_sees_every_byte() {
    let container = shell("echo first; echo problem >&2; seq 1 5000").spawn().await;
    let mut all = container.supervisor.attach(OUTPUT).await.unwrap();
    let mut errors =
        container.supervisor.attach(Streams { stderr: true, ..Streams::default() }).await.unwrap();
    let container = container.start().await;
    let (stdout, stderr) = demultiplex(&read_all(&mut all).await);
    let expected: String = (1..=5000).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(stdout).unwrap(), format!("first\n{expected}"));
    assert_eq!(stderr, b"problem\n");
    assert_eq!(demultiplex(&read_all(&mut errors).await), (Vec::new(), b"problem\n".to_vec()));
    assert_eq!(container.wait().await.exit_code, 0);
    assert_eq!(container.logged("stdout").len(), "first\n".len() + expected.len());
}

#[tokio::test]
async fn a_half_close_ends_the_input_while_output_goes_on() {
    let container = shell("cat; echo after").stdin(true).spawn().await;
    let mut stream = container.supervisor.attach(ALL).await.unwrap();
    // Before the start: it waits in the pipe and, by back-pressure, in the socket.
    stream.write_all(b"early ").await.unwrap();
    let container = container.start().await;
    stream.write_all(b"late\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let (stdout, _) = demultiplex(&read_all(&mut stream).await);
    assert_eq!(stdout, b"early late\nafter\n");
    assert_eq!(container.wait().await.exit_code, 0);
}

#[tokio::test]
async fn much_input_passes_a_slow_reader_complete() {
    let container = shell("sleep 0.3; cat >/tmp/all; echo done").stdin(true).spawn().await.start().await;
    let mut stream = container.supervisor.attach(ALL).await.unwrap();
    let sent = vec![b'x'; 3 << 20];
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(demultiplex(&read_all(&mut stream).await).0, b"done\n");
    let stored = container.bench.config.bundle.join("rootfs/tmp/all");
    assert_eq!(std::fs::metadata(stored).unwrap().len(), sent.len() as u64);
}

#[tokio::test]
async fn input_stays_open_for_the_next_client_unless_it_is_once() {
    let container = shell("cat").stdin(false).spawn().await.start().await;
    for part in ["one\n", "two\n"] {
        let mut stream = container.supervisor.attach(ALL).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        eventually("the line is logged", || container.logged("stdout").ends_with(part)).await;
    }
    assert_eq!(container.logged("stdout"), "one\ntwo\n");
    assert!(container.supervisor.status().await.unwrap().started);
}

#[tokio::test]
async fn a_client_that_sends_and_vanishes_is_still_read() {
    let container = shell("cat").stdin(true).spawn().await;
    let mut stream = container.supervisor.attach(ALL).await.unwrap();
    stream.write_all(b"last words\n").await.unwrap();
    drop(stream);
    let container = container.start().await;
    assert_eq!(container.wait().await.exit_code, 0);
    assert_eq!(container.logged("stdout"), "last words\n");
}

#[tokio::test]
async fn without_open_stdin_input_is_empty_and_what_clients_send_is_dropped() {
    let container = shell("cat; echo end").spawn().await;
    let mut stream = container.supervisor.attach(ALL).await.unwrap();
    stream.write_all(&[b'x'; 1 << 20]).await.unwrap();
    let container = container.start().await;
    assert_eq!(demultiplex(&read_all(&mut stream).await).0, b"end\n");
    assert_eq!(container.wait().await.exit_code, 0);
}

#[tokio::test]
async fn a_terminal_is_raw_has_a_size_and_can_be_resized() {
    let script = "tty; stty size; read line; stty size; echo got $line";
    let mut bench = shell(script).terminal().stdin(true);
    bench.spec["process"]["consoleSize"] = serde_json::json!({ "height": 24, "width": 80 });
    let container = bench.spawn().await;
    let mut stream = container.supervisor.attach(ALL).await.unwrap();
    let container = container.start().await;
    eventually("the first size", || container.logged("stdout").contains("24 80")).await;
    container.supervisor.resize(Target::Init, 132, 43).await.unwrap();
    stream.write_all(b"hello\n").await.unwrap();
    let seen = String::from_utf8(read_all(&mut stream).await).unwrap();
    assert!(seen.starts_with("/dev/pts/0\r\n24 80\r\n"), "{seen:?}");
    assert!(seen.ends_with("43 132\r\ngot hello\r\n"), "{seen:?}");
    assert_eq!(container.logged("stdout"), seen);
    assert_eq!(container.wait().await.exit_code, 0);
}

#[tokio::test]
async fn a_terminal_that_is_closed_for_a_moment_goes_on() {
    let script = "exec 3>&1 >/dev/null 2>&1 </dev/null 3>&-; sleep 0.2; echo back >/dev/pts/0";
    let container = shell(script).terminal().spawn().await.start().await;
    assert_eq!(container.wait().await.exit_code, 0);
    assert_eq!(container.logged("stdout"), "back\r\n");
}

#[tokio::test]
async fn resizing_without_a_terminal_is_refused() {
    let container = shell("sleep 5").spawn().await.start().await;
    let error = container.supervisor.resize(Target::Init, 80, 24).await.unwrap_err();
    assert_eq!(error.to_string(), "the process has no terminal");
}

#[tokio::test]
async fn following_the_log_ticks_when_it_grows_and_ends_with_it() {
    let container = shell("read x; echo more").stdin(true).spawn().await.start().await;
    let mut follower = container.supervisor.follow_log().await.unwrap();
    let mut client = container.supervisor.attach(ALL).await.unwrap();
    client.write_all(b"go\n").await.unwrap();
    let ticks = read_all(&mut follower).await;
    assert!(!ticks.is_empty());
    assert_eq!(container.logged("stdout"), "more\n");
}

#[tokio::test]
async fn the_container_s_program_inherits_no_signals_masks_or_descriptors() {
    let script = "cat /proc/self/status | while read a b; do case $a in Sig[BI]*) echo $a $b;; esac; done; cd /proc/$$/fd; echo *";
    let container = shell(script).spawn().await.start().await;
    container.wait().await;
    let zero = "0000000000000000";
    // 3 is the directory that the shell reads.
    assert_eq!(container.logged("stdout"), format!("SigBlk: {zero}\nSigIgn: {zero}\n0 1 2 3\n"));
}
