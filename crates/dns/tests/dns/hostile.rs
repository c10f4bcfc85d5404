//! Containers that send what is no question. After each, the next one is served.

use std::io::{Read, Write};

use super::world::{Container, FRONT, World, view};

/// What a question for `web` looks like.
const QUESTION: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01";

fn world() -> World {
    let world = World::new("");
    world.name(FRONT, "web", &["web"], "10.1.0.2", None);
    world
}

#[track_caller]
fn expect_served(container: &Container) {
    container.dig("web A").expect(&["600 A 10.1.0.2"]);
    container.dig("+tcp web A").expect(&["600 A 10.1.0.2"]);
}

#[test]
fn datagrams_that_are_no_questions_are_met_with_silence() {
    let world = world();
    let container = world.container(view());
    let socket = container.socket();
    let answer = [&QUESTION[..2], b"\x81\x80", &QUESTION[4..]].concat();
    for message in [&b""[..], b"\x12", &QUESTION[..11], &answer] {
        socket.send(message).unwrap();
    }
    // The first thing to come back answers the only question.
    socket.send(QUESTION).unwrap();
    let mut reply = [0; 512];
    assert_eq!(socket.recv(&mut reply).unwrap(), QUESTION.len() + 16);
    expect_served(&container);
}

#[test]
fn malformed_questions_are_answered_with_an_error_no_longer_than_themselves() {
    let world = world();
    let container = world.container(view());
    let socket = container.socket();
    let loops = [&QUESTION[..12], b"\xc0\x0c\0\x01\0\x01"].concat();
    let too_long = [
        &QUESTION[..12],
        &b"\x3faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(5),
        &QUESTION[16..],
    ]
    .concat();
    let full = [QUESTION, &vec![0xff; 60_000]].concat();
    for message in [&loops, &too_long, &QUESTION[..14].to_vec()] {
        socket.send(message).unwrap();
        let mut reply = [0; 512];
        assert_eq!(socket.recv(&mut reply).unwrap(), 12, "{message:?}");
        assert_eq!(reply[..4], *b"\x12\x34\x81\x81");
    }
    // What follows a question is cut off, whatever it is.
    socket.send(&full).unwrap();
    let mut reply = [0; 512];
    assert_eq!(socket.recv(&mut reply).unwrap(), QUESTION.len() + 16);
    expect_served(&container);
}

#[test]
fn connections_that_are_abused_end_alone() {
    let world = world();
    let container = world.container(view());
    let mut idle: Vec<_> = (0..20).map(|_| container.connection()).collect();
    for bytes in [&b"\xff\xff"[..], b"\0\0", b"\0\x03abc", b"\x10\x01"] {
        let mut stream = container.connection();
        stream.write_all(bytes).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "{bytes:?}");
    }
    for stream in &mut idle {
        stream.write_all(b"\0").unwrap();
    }
    expect_served(&container);
}

#[test]
fn questions_of_one_connection_are_answered_though_it_says_no_more() {
    let world = world();
    let container = world.container(view());
    let mut stream = container.connection();
    let frame = [&(QUESTION.len() as u16).to_be_bytes(), QUESTION].concat();
    stream.write_all(&frame.repeat(3)).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).unwrap();
    assert_eq!(replies.len(), 3 * (2 + QUESTION.len() + 16));
}

#[test]
fn a_zone_is_given_to_nobody() {
    let world = world();
    let container = world.container(view());
    let dig = container.dig("+noall +comments front AXFR");
    assert!(dig.all.contains("Transfer failed") || dig.status == "REFUSED", "{}", dig.all);
    expect_served(&container);
}
