//! What an answer costs, printed for whoever looks (`--no-capture`); never asserted.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use super::world::{FRONT, World, view};

/// Questions that are under way at a time, as many as a socket's buffer holds for sure.
const AT_ONCE: usize = 32;
const ROUNDS: usize = 500;

/// A question for the address of the container with this number.
fn question(number: usize) -> Vec<u8> {
    let name = format!("c{number:04}");
    [&b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x05"[..], name.as_bytes(), b"\0\0\x01\0\x01"].concat()
}

fn answered(socket: &UdpSocket, questions: usize) {
    for _ in 0..questions {
        let length = socket.recv(&mut [0; 512]).unwrap();
        assert_eq!(length, 39, "an answer has one address");
    }
}

#[test]
fn an_answer_costs_the_same_among_ten_names_and_two_thousand() {
    for names in [10, 2000] {
        let world = World::new("");
        for n in 0..names {
            let (low, high) = (n % 250 + 1, n / 250);
            world.name(
                FRONT,
                &n.to_string(),
                &[&format!("c{n:04}"), "all"],
                &format!("10.1.{high}.{low}"),
                None,
            );
        }
        let container = world.container(view());
        let socket = container.socket();
        let before = world.processor_time();
        let begin = Instant::now();
        for round in 0..ROUNDS {
            for n in 0..AT_ONCE {
                socket.send(&question((round * AT_ONCE + n) % names)).unwrap();
            }
            answered(&socket, AT_ONCE);
        }
        let (wall, busy) = (begin.elapsed(), world.processor_time() - before);
        let per_second = |time: Duration| (ROUNDS * AT_ONCE) as f64 / time.as_secs_f64();
        println!("{names:4} names: {:.0} answers a second by the clock", per_second(wall));
        println!("{names:4} names: {:.0} answers a second of its processor", per_second(busy));
        let mut times: Vec<Duration> = (0..2000)
            .map(|n| {
                let begin = Instant::now();
                socket.send(&question(n % names)).unwrap();
                answered(&socket, 1);
                begin.elapsed()
            })
            .collect();
        times.sort();
        println!("{names:4} names: one at a time {:?}, 99th percentile {:?}", times[1000], times[1980]);
    }
}
