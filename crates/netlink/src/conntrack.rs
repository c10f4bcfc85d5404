//! Connection tracking: making the kernel forget flows (nf_conntrack_netlink).
//!
//! A tracked UDP flow keeps the translation it began with for as long as packets come, so a flow
//! to a container that is gone would never reach its successor on the same published port.

use std::net::IpAddr;

use netlink_packet_core::NLM_F_REQUEST;
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::{
    attribute::Message,
    error::Error,
    socket::{Request, Socket},
};

const SUBSYSTEM: u8 = 1;
const DELETE: u8 = 2;

// linux/netfilter/nfnetlink_conntrack.h
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V6_SRC: u16 = 3;
const PROTO_NUM: u16 = 1;
const PROTO_DST_PORT: u16 = 3;
const FILTER: u16 = 25;
const FILTER_ORIG_FLAGS: u16 = 1;
const FILTER_REPLY_FLAGS: u16 = 2;
/// Bits of the filter flags: which parts of a tuple must match.
const MATCH_IP_SRC: u32 = 1;
const MATCH_PROTO_NUM: u32 = 1 << 3;
const MATCH_PROTO_DST_PORT: u32 = 1 << 5;

const IPV4: u8 = 2;
const IPV6: u8 = 10;
const UDP: u8 = 17;

/// A socket that speaks to connection tracking.
#[derive(Debug)]
pub struct ConntrackSocket(Socket);

impl ConntrackSocket {
    /// Opens one in the calling thread's network namespace.
    ///
    /// # Errors
    /// When no descriptor is left or the kernel has no netfilter.
    pub fn open() -> Result<Self, Error> {
        Socket::open(NETLINK_NETFILTER).map(Self)
    }

    /// Forgets every flow that is answered by `address`.
    ///
    /// # Errors
    /// When the kernel refuses. Older kernels can't filter a deletion; there, flows end by their own
    /// timeout (30 s to 2 min after the last packet).
    pub fn forget_answered_by(&mut self, address: IpAddr) -> Result<(), Error> {
        let mut message = delete(address.is_ipv4());
        message.nested(TUPLE_REPLY, |tuple| {
            tuple.nested(TUPLE_IP, |ip| {
                match address {
                    IpAddr::V4(address) => ip.bytes(IP_V4_SRC, &address.octets()),
                    IpAddr::V6(address) => ip.bytes(IP_V6_SRC, &address.octets()),
                };
            });
        });
        message.nested(FILTER, |filter| {
            filter.bytes(FILTER_ORIG_FLAGS, &0u32.to_ne_bytes());
            filter.bytes(FILTER_REPLY_FLAGS, &MATCH_IP_SRC.to_ne_bytes());
        });
        self.send(format!("forget tracked flows of {address}"), message)
    }

    /// Forgets every UDP flow that began towards `port`, whoever answers it.
    ///
    /// # Errors
    /// As [`ConntrackSocket::forget_answered_by`].
    pub fn forget_udp_to(&mut self, port: u16, ipv4: bool) -> Result<(), Error> {
        let mut message = delete(ipv4);
        message.nested(TUPLE_ORIG, |tuple| {
            tuple.nested(TUPLE_PROTO, |proto| {
                proto.bytes(PROTO_NUM, &[UDP]).bytes(PROTO_DST_PORT, &port.to_be_bytes());
            });
        });
        message.nested(FILTER, |filter| {
            let flags = MATCH_PROTO_NUM | MATCH_PROTO_DST_PORT;
            filter.bytes(FILTER_ORIG_FLAGS, &flags.to_ne_bytes());
            filter.bytes(FILTER_REPLY_FLAGS, &0u32.to_ne_bytes());
        });
        self.send(format!("forget tracked UDP flows to port {port}"), message)
    }

    fn send(&mut self, what: String, message: Message) -> Result<(), Error> {
        let request = Request { what, bytes: message.into_bytes(), tolerated: &[libc::ENOENT] };
        self.0.batch(vec![request])
    }
}

fn delete(ipv4: bool) -> Message {
    // Only with version 1 in struct nfgenmsg does a deletion look at the family.
    Message::netfilter((SUBSYSTEM, DELETE), NLM_F_REQUEST, if ipv4 { IPV4 } else { IPV6 }, 1, 0)
}
