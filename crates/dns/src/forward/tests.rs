//! Which answers are taken, and what is left of long ones.

use super::{check::*, fit::fit};
use crate::query::{Asked, Transport};

const NUMBER: u16 = 0x1234;

fn asked(edns: bool) -> Asked {
    let mut message = b"\xab\xcd\x01\x00\0\x01\0\0\0\0\0\0\x03wEb\x07example\0\0\x01\0\x01".to_vec();
    if edns {
        message[11] = 1;
        message.extend_from_slice(b"\0\0\x29\x02\x58\0\0\0\0\0\0");
    }
    Asked::read(&message, Transport::Udp).unwrap()
}

/// An answer with so many addresses.
fn answer(addresses: u8) -> Vec<u8> {
    let mut message = numbered(&asked(false), NUMBER);
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = addresses;
    message[12..].make_ascii_lowercase();
    for n in 0..addresses {
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, n]);
    }
    message
}

#[test]
fn an_answer_comes_back_with_the_client_s_number_and_letters() {
    let accepted = accepted(&answer(2), NUMBER, &asked(false)).unwrap();
    assert_eq!(accepted[..2], *b"\xab\xcd");
    assert_eq!(accepted[12..17], *b"\x03wEb\x07");
    assert_eq!(accepted[29..], answer(2)[29..]);
}

#[test]
fn what_doesn_t_answer_the_question_is_not_taken() {
    let changes: [(usize, u8); 7] = [(0, 0), (2, 0x01), (2, 0x89), (5, 0), (5, 2), (14, b'o'), (26, 28)];
    for (at, byte) in changes {
        let mut answer = answer(1);
        answer[at] = byte;
        assert_eq!(accepted(&answer, NUMBER, &asked(false)), None, "{at}");
    }
    for length in 0..29 {
        assert_eq!(accepted(&answer(1)[..length], NUMBER, &asked(false)), None, "{length}");
    }
}

#[test]
fn a_type_is_not_a_letter() {
    let message = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x41\0\x01";
    let asked = Asked::read(message, Transport::Udp).unwrap();
    let mut answer = numbered(&asked, NUMBER);
    answer[2] |= 0x80;
    assert!(accepted(&answer, NUMBER, &asked).is_some());
    answer[16] = 0x61;
    assert_eq!(accepted(&answer, NUMBER, &asked), None);
}

#[test]
fn a_bare_refusal_gets_its_question_back() {
    let bare = [&NUMBER.to_be_bytes()[..], &[0x81, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let accepted = accepted(&bare, NUMBER, &asked(true)).unwrap();
    assert_eq!(accepted[..12], *b"\xab\xcd\x81\x84\0\x01\0\0\0\0\0\0");
    assert_eq!(accepted[12..], asked(true).message[12..29]);
}

#[test]
fn a_long_answer_is_cut_between_records_and_says_so() {
    let asked = asked(false);
    let whole = fit(answer(30), &asked);
    assert_eq!(whole, answer(30), "509 bytes fit");
    let cut = fit(answer(31), &asked);
    assert_eq!(cut.len(), 509);
    assert_eq!(cut[2..12], [0x83, 0x80, 0, 1, 0, 30, 0, 0, 0, 0]);
    assert_eq!(cut[12..], answer(30)[12..]);
}

#[test]
fn edns_options_survive_the_cut() {
    let mut long = answer(40);
    long[11] = 2;
    let options = b"\0\0\x29\x04\xd0\0\0\x80\0\0\x04\0\x0f\0\0";
    long.extend_from_slice(b"\x01x\0\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04");
    long.extend_from_slice(options);
    let cut = fit(long, &asked(true));
    assert_eq!(cut[4..12], [0, 1, 0, 34, 0, 0, 0, 1]);
    assert!(cut.len() <= 600 && cut.ends_with(options), "{cut:?}");
}

#[test]
fn a_long_answer_of_nonsense_is_cut_behind_the_question() {
    let mut long = answer(0);
    long[6..12].copy_from_slice(&[0xff; 6]);
    long.extend_from_slice(&[0xff; 600]);
    let cut = fit(long, &asked(false));
    assert_eq!((cut.len(), &cut[4..12]), (29, &[0, 1, 0, 0, 0, 0, 0, 0][..]));
}
