//! Messages as they come, and what is said to them.

use super::*;
use crate::{Endpoint, Membership, Zones};

const ID: [u8; 2] = [0xab, 0xcd];

/// A question; RD is set, as resolvers do.
fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = [&ID[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// The same with EDNS options.
fn with_edns(mut message: Vec<u8>, payload: u16, version: u8) -> Vec<u8> {
    message[11] += 1;
    message.extend_from_slice(&[0, 0, 41]);
    message.extend_from_slice(&payload.to_be_bytes());
    message.extend_from_slice(&[0, version, 0x80, 0, 0, 0]);
    message
}

fn replicas(count: u16) -> Zones {
    let zones = Zones::new();
    for n in 0..count {
        let [high, low] = n.to_be_bytes();
        let endpoint =
            Endpoint { names: vec!["web".into()], ipv4: Some([10, 0, high, low].into()), ipv6: None };
        zones.insert(&"1".into(), n.to_string().into(), endpoint);
    }
    zones
}

fn say(message: &[u8], transport: Transport) -> Step {
    let networks = vec![Membership::new("1".into(), "front")];
    let view = View { networks, forwards: true, ..View::default() };
    answer(message, transport, &view, &replicas(300).read())
}

/// Flags, and the counts of questions, answers, authorities and the rest.
fn header(step: Step) -> (u16, [u16; 4]) {
    let Step::Answer(reply) = step else { panic!("no answer: {step:?}") };
    assert_eq!(reply[..2], ID);
    let number = |at: usize| u16::from_be_bytes([reply[at], reply[at + 1]]);
    (number(2), [number(4), number(6), number(8), number(10)])
}

const RD_RA: u16 = 0x8180;
const TRUNCATED: u16 = 0x0200;

#[test]
fn an_answer_has_as_many_addresses_as_its_client_takes() {
    let plain = question("web", 1);
    // 12 bytes of header, 9 of question, 16 for each address, 11 for EDNS.
    assert_eq!(header(say(&plain, Transport::Udp)), (RD_RA | TRUNCATED, [1, 30, 0, 0]));
    let edns = |payload| say(&with_edns(plain.clone(), payload, 0), Transport::Udp);
    assert_eq!(header(edns(100)), (RD_RA | TRUNCATED, [1, 30, 0, 1]), "nobody takes less than 512");
    assert_eq!(header(edns(1232)), (RD_RA | TRUNCATED, [1, 75, 0, 1]));
    assert_eq!(header(edns(u16::MAX)), (RD_RA | TRUNCATED, [1, 254, 0, 1]), "no more than 4096");
    assert_eq!(header(say(&plain, Transport::Tcp)), (RD_RA, [1, 300, 0, 0]));
}

#[test]
fn the_question_comes_back_letter_by_letter() {
    let message = question("wEb", 28);
    let Step::Answer(reply) = say(&message, Transport::Udp) else { panic!("no answer") };
    assert_eq!(reply[12..], message[12..], "a question, and no answers");
}

#[test]
fn answers_sent_as_questions_are_met_with_silence() {
    let mut message = question("web", 1);
    message[2] |= 0x80;
    assert_eq!(say(&message, Transport::Udp), Step::Ignore);
}

#[test]
fn what_has_no_header_is_met_with_silence() {
    let message = question("web", 1);
    for length in 0..12 {
        assert_eq!(say(&message[..length], Transport::Udp), Step::Ignore, "{length}");
    }
}

#[test]
fn malformed_questions_are_refused_with_the_header_alone() {
    let format_error = (RD_RA | 1, [0; 4]);
    let web = question("web", 1);
    for length in 12..web.len() {
        assert_eq!(header(say(&web[..length], Transport::Udp)), format_error, "{length}");
    }
    let changed = |at: usize, byte: u8| {
        let mut message = web.clone();
        message[at] = byte;
        message
    };
    let two_edns = with_edns(with_edns(web.clone(), 512, 0), 512, 0);
    let loops = [&web[..12], &[0xc0, 12, 0, 1, 0, 1]].concat();
    let backwards = [&web[..12], &[3, b'w', b'e', b'b', 0xc0, 0, 0, 1, 0, 1]].concat();
    let giant = question(&["a".repeat(63).as_str(); 5].join("."), 1);
    let messages =
        [changed(5, 0), changed(5, 2), changed(7, 1), changed(9, 1), changed(11, 1), changed(12, 0x43)];
    for message in messages.iter().chain([&two_edns, &loops, &backwards, &giant]) {
        assert_eq!(header(say(message, Transport::Udp)), format_error, "{message:?}");
    }
}

#[test]
fn what_is_no_question_for_a_name_is_not_implemented_or_refused() {
    let mut notify = question("web", 1);
    notify[2] = 0x20;
    assert_eq!(header(say(&notify, Transport::Udp)), (0xa084, [0; 4]));
    for transfer in [251, 252] {
        assert_eq!(header(say(&question("web", transfer), Transport::Tcp)), (RD_RA | 5, [0; 4]));
    }
    assert_eq!(header(say(&with_edns(question("web", 1), 1232, 1), Transport::Udp)), (RD_RA, [0, 0, 0, 1]));
}

#[test]
fn what_follows_a_message_goes_nowhere() {
    let message = question("elsewhere.example", 1);
    let Step::Forward(asked) = say(&[&message[..], b"and more"].concat(), Transport::Udp) else {
        panic!("it is asked for elsewhere")
    };
    assert_eq!(asked.message, message);
}
