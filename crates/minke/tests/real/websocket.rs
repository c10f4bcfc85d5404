//! Attaching over a WebSocket, with a client that knows nothing of minke.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{io::ErrorKind, os::unix::net::UnixStream};

use minke_testkit::Host;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket, http::StatusCode};

type Socket = WebSocket<UnixStream>;

/// Connects to a container's streams.
fn attach(host: &Host, version: &str, container: &str, query: &str) -> Result<Socket, Error> {
    let path = host.endpoint().trim_start_matches("unix://").to_owned();
    let stream = UnixStream::connect(path).unwrap();
    let url = format!("ws://docker/{version}/containers/{container}/attach/ws?{query}");
    tungstenite::client(url, stream).map(|(socket, _)| socket).map_err(|error| match error {
        tungstenite::HandshakeError::Failure(error) => error,
        tungstenite::HandshakeError::Interrupted(_) => Error::Io(ErrorKind::WouldBlock.into()),
    })
}

/// All messages until the engine closes.
fn read_to_end(socket: &mut Socket) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Ok(message) = socket.read() {
        if message.is_close() {
            break;
        }
        messages.push(message);
    }
    messages
}

fn bytes(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(|message| message.clone().into_data().to_vec()).collect()
}

fn read_until(socket: &mut Socket, text: &str) -> Vec<u8> {
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(text) {
        got.extend_from_slice(&socket.read().unwrap().into_data());
    }
    got
}

#[test]
fn streams_flow_both_ways_without_frames() {
    let host = Host::with_busybox();
    let _ = host.docker(["create", "-i", "--name", "box", "busybox", "sh", "-c", "cat; echo end >&2"]).ok();
    let mut socket = attach(&host, "v1.51", "box", "stream=1&stdin=1&stdout=1&stderr=1").unwrap();
    let _ = host.docker(["start", "box"]).ok();
    let sent = b"one\n\0two".repeat(20_000);
    for piece in sent.chunks(30_000) {
        socket.send(Message::binary(piece.to_vec())).unwrap();
    }
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let message = socket.read().unwrap();
        assert!(message.is_binary(), "{message:?}");
        got.extend_from_slice(&message.into_data());
    }
    assert!(got == sent, "the echo differs");
    // A client that says goodbye has ended the input of a container that is for one client only.
    socket.close(None).unwrap();
    let _ = read_to_end(&mut socket);
    assert_eq!(host.docker(["wait", "box"]).ok(), "0");
    assert!(host.docker(["logs", "box"]).stderr.ends_with("end\n"));
    let _ = host.docker(["rm", "-f", "box"]).ok();
    host.expect_nothing_left();
}

#[test]
fn the_log_so_far_comes_first_and_only_the_streams_that_were_asked_for() {
    let host = Host::with_busybox();
    let script = "echo out; echo err >&2; read line; echo got $line; exit 3";
    let _ = host.docker(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", script]).ok();
    host.until("both lines are logged", || host.docker(["logs", "box"]).stderr.contains("err"));
    let mut all = attach(&host, "v1.51", "box", "logs=1&stream=1&stdin=1&stdout=1&stderr=1").unwrap();
    let mut only = attach(&host, "v1.51", "box", "logs=1&stream=1&stderr=1").unwrap();
    let before = String::from_utf8(read_until(&mut all, "err\n")).unwrap();
    assert!(before.contains("out\n"), "{before}");
    all.send(Message::text("line\n")).unwrap();
    assert_eq!(String::from_utf8(bytes(&read_to_end(&mut all))).unwrap(), "got line\n");
    assert_eq!(String::from_utf8(bytes(&read_to_end(&mut only))).unwrap(), "err\n");
    assert_eq!(host.docker(["wait", "box"]).ok(), "3");
    host.expect_nothing_left();
}

#[test]
fn a_terminal_is_detached_from_by_its_keys() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "-d", "-it", "--name", "box", "busybox", "sh"]).ok();
    let mut socket = attach(&host, "v1.51", "box", "stream=1&stdin=1&stdout=1&detachKeys=ctrl-x,x").unwrap();
    socket.send(Message::binary(&b"echo $((6*7))\n"[..])).unwrap();
    let _ = read_until(&mut socket, "42");
    socket.send(Message::binary(&b"\x18x"[..])).unwrap();
    let _ = read_to_end(&mut socket);
    assert_eq!(host.docker(["inspect", "-f", "{{.State.Status}}", "box"]).ok(), "running");
    let _ = host.docker(["rm", "-f", "box"]).ok();
    host.expect_nothing_left();
}

#[test]
fn old_versions_get_text_and_all_streams() {
    let host = Host::with_busybox();
    let _ = host.docker(["create", "--name", "box", "busybox", "sh", "-c", "echo one; echo two >&2"]).ok();
    let mut socket = attach(&host, "v1.27", "box", "stream=1").unwrap();
    let _ = host.docker(["start", "box"]).ok();
    let messages = read_to_end(&mut socket);
    assert!(messages.iter().all(Message::is_text), "{messages:?}");
    let text = String::from_utf8(bytes(&messages)).unwrap();
    assert!(text.contains("one\n") && text.contains("two\n"), "{text}");
    host.expect_nothing_left();
}

#[test]
fn what_is_not_there_is_an_answer_and_no_socket() {
    let host = Host::with_busybox();
    let Err(Error::Http(answer)) = attach(&host, "v1.51", "nobody", "stream=1") else {
        panic!("it was attached")
    };
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    host.expect_nothing_left();
}
