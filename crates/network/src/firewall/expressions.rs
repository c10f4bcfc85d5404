//! Pieces that the rules of both tables are made of. Pure.

use std::net::Ipv6Addr;

use minke_netlink::nft::{
    Expression::{
        self, ConnectionState, ConnectionStatus, DestinationType, Equal, LinkHeader, Mask, NetworkHeader,
        NetworkProtocol, NotEqual, TransportHeader, TransportProtocol,
    },
    Register, Rule, Verdict,
};

const LOOPBACK: Ipv6Addr = Ipv6Addr::LOCALHOST;

pub(super) const R0: Register = Register(0);

const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// RTN_LOCAL: the route type of the host's own addresses.
const LOCAL: u32 = 2;
/// `ct state established,related`.
const ANSWERS: u32 = 2 | 4;
/// `ct status dnat`: the connection's destination was rewritten.
const REWRITTEN: u32 = 1 << 5;

pub(super) const ICMP: u8 = 1;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

/// An address of the network header: where it begins and how long it is.
pub(super) type Field = (u32, u32);

pub(super) fn source(v4: bool) -> Field {
    if v4 { (12, 4) } else { (8, 16) }
}

pub(super) fn destination(v4: bool) -> Field {
    if v4 { (16, 4) } else { (24, 16) }
}

pub(super) fn rule<const N: usize>(comment: &str, parts: [Vec<Expression>; N]) -> Rule {
    Rule { expressions: parts.concat(), comment: comment.to_owned() }
}

pub(super) fn family(v4: bool) -> Vec<Expression> {
    vec![NetworkProtocol(R0), Equal(R0, vec![if v4 { IPV4 } else { IPV6 }])]
}

/// Loads an address.
pub(super) fn load((offset, length): Field, to: Register) -> Vec<Expression> {
    vec![NetworkHeader { offset, length, to }]
}

/// The IPv4 address is in 127.0.0.0/8.
pub(super) fn starts_127((offset, _): Field) -> Vec<Expression> {
    vec![NetworkHeader { offset, length: 1, to: R0 }, Equal(R0, vec![127])]
}

/// The IPv6 address is ::1.
pub(super) fn is_loopback(field: Field) -> Vec<Expression> {
    [load(field, R0), vec![Equal(R0, LOOPBACK.octets().to_vec())]].concat()
}

/// The IPv6 address is not ::1.
pub(super) fn is_not_loopback(field: Field) -> Vec<Expression> {
    [load(field, R0), vec![NotEqual(R0, LOOPBACK.octets().to_vec())]].concat()
}

pub(super) fn to_the_host() -> Vec<Expression> {
    vec![DestinationType(R0), Equal(R0, LOCAL.to_ne_bytes().to_vec())]
}

pub(super) fn rewritten() -> Vec<Expression> {
    bits(ConnectionStatus(R0), REWRITTEN)
}

pub(super) fn answers() -> Vec<Expression> {
    bits(ConnectionState(R0), ANSWERS)
}

/// What `load` loads has one of these bits.
fn bits(load: Expression, mask: u32) -> Vec<Expression> {
    vec![load, Mask { register: R0, mask: mask.to_ne_bytes().to_vec() }, NotEqual(R0, vec![0; 4])]
}

pub(super) fn protocol(number: u8) -> Vec<Expression> {
    vec![TransportProtocol(R0), Equal(R0, vec![number])]
}

/// Two bytes at `offset` of the transport header have this value.
pub(super) fn transport16(offset: u32, value: u16) -> Vec<Expression> {
    vec![TransportHeader { offset, length: 2, to: R0 }, Equal(R0, value.to_be_bytes().to_vec())]
}

/// The first byte of the transport header has this value.
pub(super) fn transport_type(value: u8) -> Vec<Expression> {
    vec![TransportHeader { offset: 0, length: 1, to: R0 }, Equal(R0, vec![value])]
}

/// The frame carries this protocol.
pub(super) fn ether_type(value: u16) -> Vec<Expression> {
    vec![LinkHeader { offset: 12, length: 2, to: R0 }, Equal(R0, value.to_be_bytes().to_vec())]
}

pub(super) fn jump(chain: &str) -> Vec<Expression> {
    vec![Expression::Verdict(Verdict::Jump(chain.to_owned()))]
}

pub(super) fn accept() -> Vec<Expression> {
    vec![Expression::Verdict(Verdict::Accept)]
}

pub(super) fn drop() -> Vec<Expression> {
    vec![Expression::Counter, Expression::Verdict(Verdict::Drop)]
}
