//! Attached clients.

use std::time::Duration;

use minke_engine::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{unframed, with_engine};

fn all() -> AttachOptions {
    AttachOptions {
        stream: true,
        streams: Streams { stdin: true, stdout: true, stderr: true },
        ..AttachOptions::default()
    }
}

#[test]
fn a_client_that_attaches_before_the_start_misses_nothing_and_is_served_before_wait_answers() {
    with_engine(async |test| {
        let id = test.create("", "seq 1 20000", |body, _| body.open_stdin = Some(false)).await.unwrap();
        let session = test.engine.attach(&id, all()).await.unwrap();
        let waiter = test.engine.wait(&id, WaitCondition::NextExit).await.unwrap();
        let (mut client, side) = tokio::io::duplex(1 << 20);
        let serving = tokio::spawn(session.run(side));
        test.engine.start(&id).await.unwrap();
        assert_eq!(waiter.outcome().await.status_code, 0);
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(unframed(&bytes).lines().count(), 20_000);
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn the_log_and_the_stream_after_it_have_each_line_once() {
    with_engine(async |test| {
        let script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; sleep 0.003; done";
        let id = test.create("", script, |_, _| {}).await.unwrap();
        test.engine.start(&id).await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..60 {
            let options = AttachOptions { logs: true, ..all() };
            let session = test.engine.attach(&id, options).await.unwrap();
            let (mut client, side) = tokio::io::duplex(1 << 16);
            tokio::time::sleep(Duration::from_millis(5)).await;
            clients.push(tokio::spawn(async move {
                let serving = tokio::spawn(session.run(side));
                let mut bytes = Vec::new();
                client.read_to_end(&mut bytes).await.unwrap();
                serving.await.unwrap().unwrap();
                bytes
            }));
        }
        let all: String = (1..=300).map(|number| format!("{number}\n")).collect();
        for client in clients {
            assert_eq!(unframed(&client.await.unwrap()), all);
        }
    });
}

#[test]
fn the_end_of_input_reaches_the_program_and_its_output_still_comes() {
    with_engine(async |test| {
        let id = test
            .create("", "wc -c; sleep 0.2; echo end", |body, _| {
                (body.open_stdin, body.stdin_once) = (Some(true), Some(true));
            })
            .await
            .unwrap();
        let session = test.engine.attach(&id, all()).await.unwrap();
        let (client, side) = tokio::io::duplex(1 << 16);
        let (mut from, mut to) = tokio::io::split(client);
        let serving = tokio::spawn(session.run(side));
        test.engine.start(&id).await.unwrap();
        to.write_all(b"12345").await.unwrap();
        to.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), from.read_to_end(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(unframed(&bytes), "5\nend\n");
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn the_detach_keys_let_go_of_a_terminal_and_the_container_runs_on() {
    with_engine(async |test| {
        let id = test
            .create("", "cat", |body, _| (body.tty, body.open_stdin) = (Some(true), Some(true)))
            .await
            .unwrap();
        let session = test.engine.attach(&id, all()).await.unwrap();
        assert!(session.tty());
        let (mut client, side) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(session.run(side));
        test.engine.start(&id).await.unwrap();
        test.engine.resize(&id, 120, 40).await.unwrap();
        client.write_all(b"hello\n").await.unwrap();
        let mut bytes = [0; 14];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hello\r\nhello\r\n");
        client.write_all(&[16, 17]).await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap().unwrap();
        assert_eq!(test.state(&id).await, "running");
    });
}

#[test]
fn a_client_that_never_reads_holds_up_neither_the_container_nor_its_log() {
    with_engine(async |test| {
        let id = test.create("", "seq 1 200000; echo done", |_, _| {}).await.unwrap();
        let session = test.engine.attach(&id, all()).await.unwrap();
        let (client, side) = tokio::io::duplex(64);
        let serving = tokio::spawn(session.run(side));
        test.engine.start(&id).await.unwrap();
        assert_eq!(test.wait(&id).await, 0);
        assert!(test.output(&id).await.ends_with("done\n"));
        drop(client);
        let _ = serving.await.unwrap();
    });
}

#[test]
fn logs_can_be_replayed_before_the_live_stream() {
    with_engine(async |test| {
        let id = test.start("", "echo early; sleep 0.5; echo late", |_, _| {}).await;
        test.until_logged(&id, "early").await;
        let session = test.engine.attach(&id, AttachOptions { logs: true, ..all() }).await.unwrap();
        let (mut client, side) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(session.run(side));
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(unframed(&bytes), "early\nlate\n");
        serving.await.unwrap().unwrap();
    });
}
