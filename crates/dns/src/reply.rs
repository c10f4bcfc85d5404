//! Answers, written byte by byte: the question as it came (so a client that plays with the case of letters gets its own
//! back), and records whose name is a pointer to it.

use std::net::IpAddr;

use hickory_proto::{op::ResponseCode, rr::RecordType};

use crate::{
    query::{Asked, Edns, OPT},
    wire::{self, HEADER},
};

/// Docker's, in seconds. Containers come and go faster, but no resolver of a C library caches.
const TTL: u32 = 600;
/// What we take by UDP, as we tell clients that speak EDNS.
const OUR_PAYLOAD: u16 = 1232;
/// A record with EDNS and no options.
const OPT_LENGTH: usize = 11;
/// A pointer to the question's name.
const QUESTION: u16 = 0xc000 | HEADER as u16;

const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RECURSION_AVAILABLE: u16 = 0x0080;
/// What an answer has from its question: the kind of it, "recursion desired" and "checking disabled".
const COPIED: u16 = 0x7800 | 0x0100 | 0x0010;

/// An answer with addresses, as many as the client takes; the rest is for it to ask by TCP.
pub(crate) fn addresses(asked: &Asked, addresses: &[IpAddr]) -> Vec<u8> {
    let opt = if asked.edns.is_some() { OPT_LENGTH } else { 0 };
    let mut left = asked.limit().saturating_sub(asked.question_end + opt);
    let fitting = addresses.iter().take_while(|address| {
        let length = 12 + address_length(address);
        left.checked_sub(length).map(|rest| left = rest).is_some()
    });
    let records = fitting.count();
    let mut reply = Reply::new(asked, ResponseCode::NoError, records as u16, records < addresses.len());
    for address in &addresses[..records] {
        match address {
            IpAddr::V4(address) => reply.record(RecordType::A, &address.octets()),
            IpAddr::V6(address) => reply.record(RecordType::AAAA, &address.octets()),
        }
    }
    reply.finish(asked)
}

/// An answer with the name of an address.
pub(crate) fn pointer(asked: &Asked, name: &str) -> Vec<u8> {
    let mut reply = Reply::new(asked, ResponseCode::NoError, 1, false);
    let mut data = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        // Names are in their form for comparison, so no label is longer than 63 bytes.
        data.push(label.len() as u8);
        data.extend_from_slice(label.as_bytes());
    }
    data.push(0);
    reply.record(RecordType::PTR, &data);
    reply.finish(asked)
}

/// An answer without records.
pub(crate) fn code(asked: &Asked, code: ResponseCode) -> Vec<u8> {
    Reply::new(asked, code, 0, false).finish(asked)
}

/// An answer to a message that wasn't understood: the header alone. The message has one.
pub(crate) fn refusal(message: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + OPT_LENGTH);
    bytes.extend_from_slice(&message[..2]);
    let flags = RESPONSE | wire::number(message, 2) & COPIED | RECURSION_AVAILABLE | u16::from(code.low());
    let extended = u16::from(code.high() > 0);
    for number in [flags, 0, 0, 0, extended] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    if extended > 0 {
        options(&mut bytes, u32::from(code.high()) << 24);
    }
    bytes
}

struct Reply(Vec<u8>);

impl Reply {
    fn new(asked: &Asked, code: ResponseCode, records: u16, is_truncated: bool) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&asked.message[..2]);
        let mut flags = RESPONSE | wire::number(&asked.message, 2) & COPIED | RECURSION_AVAILABLE;
        flags |= u16::from(code.low()) | if is_truncated { TRUNCATED } else { 0 };
        for number in [flags, 1, records, 0, u16::from(asked.edns.is_some())] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&asked.message[HEADER..asked.question_end]);
        Self(bytes)
    }

    fn record(&mut self, kind: RecordType, data: &[u8]) {
        let class_in = 1;
        for number in [QUESTION, kind.into(), class_in] {
            self.0.extend_from_slice(&number.to_be_bytes());
        }
        self.0.extend_from_slice(&TTL.to_be_bytes());
        self.0.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.0.extend_from_slice(data);
    }

    fn finish(mut self, asked: &Asked) -> Vec<u8> {
        if let Some(Edns { wants_dnssec, .. }) = asked.edns {
            options(&mut self.0, if wants_dnssec { 0x8000 } else { 0 });
        }
        self.0
    }
}

/// A client that speaks EDNS is answered in it (RFC 6891, section 6.1.1).
fn options(bytes: &mut Vec<u8>, ttl: u32) {
    bytes.push(0);
    bytes.extend_from_slice(&OPT.to_be_bytes());
    bytes.extend_from_slice(&OUR_PAYLOAD.to_be_bytes());
    bytes.extend_from_slice(&ttl.to_be_bytes());
    bytes.extend_from_slice(&0u16.to_be_bytes());
}

fn address_length(address: &IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }
}
