//! Name servers that lie, made by hand: no real one does.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    thread,
    time::Duration,
};

use super::world::{World, view};

const ADDRESS: &str = "127.0.0.53:53";
/// A record for the question's name: an hour, and the address 192.0.2.N.
fn record(n: u8) -> [u8; 16] {
    [0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, n]
}

/// An answer to a question without EDNS, with one address.
fn answer(question: &[u8], n: u8) -> Vec<u8> {
    let mut answer = [question, &record(n)].concat();
    answer[2] |= 0x80;
    answer[7] = 1;
    answer
}

struct Liar(UdpSocket);

impl Liar {
    fn new(world: &World) -> Self {
        let socket = world.host.enter(|| UdpSocket::bind(ADDRESS).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket)
    }

    fn hear(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 4096];
        let (length, client) = self.0.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), client)
    }

    fn say(&self, client: SocketAddr, answer: &[u8]) {
        self.0.send_to(answer, client).unwrap();
    }
}

#[test]
fn only_the_answer_to_the_question_is_taken() {
    let world = World::new("nameserver 127.0.0.53\n");
    let (liar, container) = (Liar::new(&world), world.container(view()));
    let stranger = world.host.enter(|| UdpSocket::bind("127.0.0.54:53").unwrap());
    thread::scope(|scope| {
        let asking = scope.spawn(|| container.dig("+noedns host.example A"));
        let (question, client) = liar.hear();
        stranger.send_to(&answer(&question, 66), client).unwrap();
        let lie = |at: usize, change: u8| {
            let mut lie = answer(&question, 66);
            lie[at] ^= change;
            liar.say(client, &lie);
        };
        // Another number, no answer at all, another name, another type.
        for (at, change) in [(0, 1), (1, 1), (2, 0x80), (13, 1), (26, 1), (5, 3)] {
            lie(at, change);
        }
        liar.say(client, &answer(&question, 7));
        // The second one comes too late.
        liar.say(client, &answer(&question, 66));
        asking.join().unwrap().expect(&["3600 A 192.0.2.7"]);
    });
}

#[test]
fn each_question_has_a_number_and_a_port_of_its_own() {
    let world = World::new("nameserver 127.0.0.53\n");
    let (liar, container) = (Liar::new(&world), world.container(view()));
    let seen: Vec<([u8; 2], u16)> = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..8 {
                container.dig("+noedns +qid=4660 host.example A").expect(&["3600 A 192.0.2.7"]);
            }
        });
        let ask = || {
            let (question, client) = liar.hear();
            liar.say(client, &answer(&question, 7));
            ([question[0], question[1]], client.port())
        };
        (0..8).map(|_| ask()).collect()
    });
    let distinct = |mut all: Vec<u32>| {
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    // Two of eight may be the same once in some thousand times, three hardly ever.
    assert!(
        distinct(seen.iter().map(|(number, _)| u16::from_be_bytes(*number).into()).collect()) > 6,
        "{seen:?}"
    );
    assert!(distinct(seen.iter().map(|(_, port)| (*port).into()).collect()) > 6, "{seen:?}");
}

#[test]
fn a_flood_of_wrong_answers_is_a_reason_to_ask_by_tcp() {
    let world = World::new("nameserver 127.0.0.53\n");
    let (liar, container) = (Liar::new(&world), world.container(view()));
    let honest = world.host.enter(|| TcpListener::bind(ADDRESS).unwrap());
    thread::scope(|scope| {
        let asking = scope.spawn(|| container.dig("+noedns host.example A"));
        let (question, client) = liar.hear();
        for guess in 0..16u8 {
            let mut lie = answer(&question, 66);
            lie[0] ^= 0x80 | guess;
            liar.say(client, &lie);
        }
        let (mut stream, _) = honest.accept().unwrap();
        let mut frame = [0; 512];
        let length = stream.read(&mut frame).unwrap();
        let reply = answer(&frame[2..length], 7);
        stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&reply).unwrap();
        asking.join().unwrap().expect(&["3600 A 192.0.2.7"]);
    });
}

#[test]
fn a_lost_question_is_asked_again() {
    let world = World::new("nameserver 127.0.0.53\n");
    let (liar, container) = (Liar::new(&world), world.container(view()));
    thread::scope(|scope| {
        let asking = scope.spawn(|| container.dig("+noedns host.example A"));
        let (lost, _) = liar.hear();
        let (question, client) = liar.hear();
        assert_eq!(lost, question);
        liar.say(client, &answer(&question, 7));
        asking.join().unwrap().expect(&["3600 A 192.0.2.7"]);
    });
}

#[test]
fn options_pass_unread_in_both_directions() {
    let world = World::new("nameserver 127.0.0.53\n");
    let (liar, container) = (Liar::new(&world), world.container(view()));
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            container.dig("+dnssec +bufsize=1400 +cookie=0123456789abcdef +ednsopt=65001:cafe host.example A")
        });
        let (question, client) = liar.hear();
        let has = |bytes: &[u8]| question.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(&[0, 0, 41, 5, 0x78, 0, 0, 0x80, 0]), "{question:?}");
        assert!(
            has(&[0xfd, 0xe9, 0, 2, 0xca, 0xfe]) && has(&[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef])
        );
        // The same options come back behind the address.
        let end = 12 + b"\x04host\x07example\0\0\x01\0\x01".len();
        let mut reply = [&question[..end], &record(7), &question[end..]].concat();
        reply[2] |= 0x80;
        reply[3] |= 0x20;
        reply[7] = 1;
        liar.say(client, &reply);
        let dig = asking.join().unwrap();
        dig.expect(&["3600 A 192.0.2.7"]);
        assert!(dig.flags.contains("ad") && dig.all.contains("udp: 1400"), "{}", dig.all);
        assert!(dig.all.contains("cafe") || dig.all.contains("ca fe"), "{}", dig.all);
    });
}
