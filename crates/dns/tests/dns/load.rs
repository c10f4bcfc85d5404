//! Many at once.

use std::net::UdpSocket;

use rustix::process::{Resource, getrlimit};

use super::world::{FRONT, World, view};

/// The rest of a question after its number, for a name with this number in it.
fn question(number: u16) -> Vec<u8> {
    let name = format!("n{number:05}");
    [
        &number.to_be_bytes()[..],
        b"\x01\x00\0\x01\0\0\0\0\0\0",
        &[name.len() as u8],
        name.as_bytes(),
        b"\x07example\0\0\x01\0\x01",
    ]
    .concat()
}

#[test]
fn no_more_questions_than_a_containers_share_wait_for_a_silent_name_server() {
    let world = World::new("nameserver 127.0.0.53\n");
    let _silent = world.host.enter(|| UdpSocket::bind("127.0.0.53:53").unwrap());
    world.name(FRONT, "web", &["web"], "10.1.0.2", None);
    let container = world.container(view());
    let socket = container.socket();
    let mut reply = [0; 512];
    let mut code = |question: &[u8]| {
        socket.send(question).unwrap();
        socket.recv(&mut reply).unwrap();
        reply[3] & 0xf
    };
    let web = b"\xff\xff\x01\x00\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01";
    // A quarter of the descriptors is for questions, and an eighth of those for one container; 1024 at most.
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = u16::try_from((descriptors / 4 / 8).min(1024)).unwrap();
    for number in 0..most {
        // What is known is answered in the order it came, so the one before was read and waits.
        socket.send(&question(number)).unwrap();
        assert_eq!(code(web), 0);
    }
    for number in most..most + 76 {
        // Not always to this one: which of those that come together are too many is for the server to choose.
        assert_eq!(code(&question(number)), 2, "SERVFAIL");
    }
    container.dig("web A").expect(&["600 A 10.1.0.2"]);
}

#[test]
fn a_hundred_containers_are_served_by_one_server() {
    let world = World::new("");
    for n in 0..100 {
        world.name(FRONT, &n.to_string(), &[&format!("c{n}")], &format!("10.1.0.{n}"), None);
    }
    let containers: Vec<_> = (0..100).map(|_| world.container(view())).collect();
    for (n, container) in containers.iter().enumerate() {
        let socket = container.socket();
        let message = [
            &b"\0\x01\x01\x00\0\x01\0\0\0\0\0\0\x03"[..],
            format!("c{:02}", 10 + n % 90).as_bytes(),
            b"\0\0\x01\0\x01",
        ]
        .concat();
        socket.send(&message).unwrap();
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).unwrap();
        assert_eq!(reply[length - 4..length], [10, 1, 0, 10 + (n % 90) as u8]);
    }
}
