//! Expressions, the instructions that rules are made of.
//!
//! A rule runs its expressions in order: some load part of the packet into registers, some compare
//! or look up and end the rule when that fails, some act. Sixteen registers of four bytes each are
//! used here; longer values span several, and a concatenation is several values side by side.

use netlink_packet_core::NLM_F_APPEND;

use super::Family;
use crate::attribute::Message;

// NFTA_RULE_*, NFTA_LIST_ELEM, NFTA_EXPR_*, NFTA_DATA_*, NFTA_VERDICT_*
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
/// `NFTNL_UDATA_RULE_COMMENT`: where the nft program looks for a rule's comment.
const COMMENT: u8 = 0;
/// New rules go to the end of their chain.
pub(super) const RULE_FLAGS: u16 = NLM_F_APPEND;

/// One of sixteen four-byte registers, 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    /// NFT_REG32_00 is 8; 0 to 4 are the older names of sixteen-byte registers.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on; other chains may still drop it.
    Accept,
    /// It is gone.
    Drop,
    /// Back to the calling chain, or the policy.
    Return,
    /// Runs another chain and comes back.
    Jump(String),
    /// Runs another chain and doesn't come back.
    Goto(String),
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads `meta iifname`, 16 bytes.
    InputInterface(Register),
    /// Loads `meta oifname`, 16 bytes.
    OutputInterface(Register),
    /// Loads `meta iifgroup`, 4 bytes in host order.
    InputGroup(Register),
    /// Loads `meta oifgroup`, 4 bytes in host order.
    OutputGroup(Register),
    /// Loads `meta pkttype`, 1 byte: what the link took the frame for (`PACKET_…` of if_packet.h).
    PacketType(Register),
    /// Loads `meta nfproto`, 1 byte.
    NetworkProtocol(Register),
    /// Loads `meta l4proto`, 1 byte.
    TransportProtocol(Register),
    /// Loads `length` bytes of the link's header from `offset` on: in Ethernet the destination, the
    /// source from 6 on, the protocol from 12 on.
    LinkHeader {
        /// The first byte.
        offset: u32,
        /// How many.
        length: u32,
        /// Where to.
        to: Register,
    },
    /// Loads `length` bytes of the network header from `offset` on.
    NetworkHeader {
        /// The first byte.
        offset: u32,
        /// How many.
        length: u32,
        /// Where to.
        to: Register,
    },
    /// Loads `length` bytes of the transport header from `offset` on.
    TransportHeader {
        /// The first byte.
        offset: u32,
        /// How many.
        length: u32,
        /// Where to.
        to: Register,
    },
    /// Writes what is in the register over `length` bytes of the transport header and corrects the
    /// checksum. Needs no connection tracking.
    SetTransportHeader {
        /// The first byte.
        offset: u32,
        /// How many.
        length: u32,
        /// Where from.
        from: Register,
        /// Where the checksum is.
        checksum: u32,
    },
    /// Loads a constant.
    Load(Register, Vec<u8>),
    /// Loads `ct state`, 4 bytes in host order.
    ConnectionState(Register),
    /// Loads `ct status`, 4 bytes in host order.
    ConnectionStatus(Register),
    /// Loads the route type of the destination address (`fib daddr type`), 4 bytes in host order.
    DestinationType(Register),
    /// Keeps the bits of `mask`.
    Mask {
        /// The register to change.
        register: Register,
        /// As many bytes as are to be kept.
        mask: Vec<u8>,
    },
    /// Ends the rule unless the register has this value.
    Equal(Register, Vec<u8>),
    /// Ends the rule if the register has this value.
    NotEqual(Register, Vec<u8>),
    /// Ends the rule unless the set has this key.
    InSet(Register, String),
    /// Ends the rule if the set has this key.
    NotInSet(Register, String),
    /// Loads what the map has for this key, or ends the rule.
    Map {
        /// Where the key starts.
        key: Register,
        /// The map's name.
        map: String,
        /// Where the data goes.
        to: Register,
    },
    /// Adds the key to the set, or renews it, for some milliseconds. Ends the rule when the set is full.
    Remember {
        /// Where the key starts.
        key: Register,
        /// The set's name.
        set: String,
        /// For how long, in milliseconds.
        timeout: u64,
    },
    /// Does what the verdict map has for this key, or ends the rule.
    VerdictMap(Register, String),
    /// Decides.
    Verdict(Verdict),
    /// Rewrites the destination to the address and port in these registers.
    DestinationNat {
        /// The family of the address.
        family: Family,
        /// Where the address is.
        address: Register,
        /// Where the port is.
        port: Register,
    },
    /// Rewrites the source to the address in this register.
    SourceNat {
        /// The family of the address.
        family: Family,
        /// Where the address is.
        address: Register,
    },
    /// Rewrites the source to the address of the interface that the packet leaves by.
    Masquerade,
    /// Counts packets and bytes.
    Counter,
}

/// A rule to append to a chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Its instructions.
    pub expressions: Vec<Expression>,
    /// What `nft list ruleset` shows beside it; at most 120 bytes.
    pub comment: String,
}

impl Rule {
    pub(super) fn write(&self, table: &str, chain: &str, message: &mut Message) {
        message.text(RULE_TABLE, table).text(RULE_CHAIN, chain);
        message.nested(RULE_EXPRESSIONS, |list| {
            for expression in &self.expressions {
                list.nested(LIST_ELEMENT, |element| {
                    element.text(EXPRESSION_NAME, expression.name());
                    element.nested(EXPRESSION_DATA, |data| expression.write(data));
                });
            }
        });
        let comment = &self.comment.as_bytes()[..self.comment.len().min(120)];
        if let Ok(length) = u8::try_from(comment.len() + 1)
            && length > 1
        {
            message.bytes(RULE_USERDATA, &[&[COMMENT, length], comment, &[0]].concat());
        }
    }
}

/// How a meta or ct key is loaded: the attribute of the key, the key, the attribute of the register.
const META_KEY: u16 = 2;
const META_TO: u16 = 1;
const CT_KEY: u16 = 2;
const CT_TO: u16 = 1;

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Self::InputInterface(_)
            | Self::OutputInterface(_)
            | Self::InputGroup(_)
            | Self::PacketType(_)
            | Self::OutputGroup(_)
            | Self::NetworkProtocol(_)
            | Self::TransportProtocol(_) => "meta",
            Self::LinkHeader { .. }
            | Self::NetworkHeader { .. }
            | Self::TransportHeader { .. }
            | Self::SetTransportHeader { .. } => "payload",
            Self::ConnectionState(_) | Self::ConnectionStatus(_) => "ct",
            Self::DestinationType(_) => "fib",
            Self::Mask { .. } => "bitwise",
            Self::Equal(..) | Self::NotEqual(..) => "cmp",
            Self::InSet(..) | Self::NotInSet(..) | Self::Map { .. } | Self::VerdictMap(..) => "lookup",
            Self::Remember { .. } => "dynset",
            Self::Verdict(_) | Self::Load(..) => "immediate",
            Self::DestinationNat { .. } | Self::SourceNat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Counter => "counter",
        }
    }

    fn write(&self, data: &mut Message) {
        match self {
            Self::InputInterface(to) => meta(data, 6, *to),
            Self::OutputInterface(to) => meta(data, 7, *to),
            Self::InputGroup(to) => meta(data, 21, *to),
            Self::PacketType(to) => meta(data, 19, *to),
            Self::OutputGroup(to) => meta(data, 22, *to),
            Self::NetworkProtocol(to) => meta(data, 15, *to),
            Self::TransportProtocol(to) => meta(data, 16, *to),
            Self::LinkHeader { offset, length, to } => payload(data, 0, *offset, *length, *to),
            Self::NetworkHeader { offset, length, to } => payload(data, 1, *offset, *length, *to),
            Self::TransportHeader { offset, length, to } => payload(data, 2, *offset, *length, *to),
            Self::ConnectionState(to) => connection(data, 0, *to),
            Self::ConnectionStatus(to) => connection(data, 2, *to),
            Self::DestinationType(to) => destination_type(data, *to),
            Self::SetTransportHeader { offset, length, from, checksum } => {
                // NFTA_PAYLOAD_BASE, _OFFSET, _LEN, _SREG, _CSUM_TYPE (internet), _CSUM_OFFSET.
                data.be32(2, 2).be32(3, *offset).be32(4, *length).be32(5, from.number());
                data.be32(6, 1).be32(7, *checksum);
            }
            Self::Load(to, value) => {
                data.be32(1, to.number()).nested(2, |data| {
                    data.bytes(DATA_VALUE, value);
                });
            }
            Self::Mask { register, mask } => bitwise(data, *register, mask),
            Self::Equal(register, value) => compare(data, 0, *register, value),
            Self::NotEqual(register, value) => compare(data, 1, *register, value),
            Self::InSet(key, set) => lookup(data, set, *key, None, false),
            Self::NotInSet(key, set) => lookup(data, set, *key, None, true),
            Self::Map { key, map, to } => lookup(data, map, *key, Some(to.number()), false),
            Self::Remember { key, set, timeout } => {
                // NFTA_DYNSET_SET_NAME, _OP (update), _SREG_KEY, _TIMEOUT.
                data.text(1, set).be32(3, 1).be32(4, key.number()).bytes(6, &timeout.to_be_bytes());
            }
            Self::VerdictMap(key, map) => lookup(data, map, *key, Some(0), false),
            Self::Verdict(verdict) => immediate(data, verdict),
            Self::DestinationNat { family, address, port } => nat(data, *family, *address, *port),
            Self::SourceNat { family, address } => {
                // NFTA_NAT_TYPE (source), _FAMILY, _REG_ADDR_MIN.
                data.be32(1, 0).be32(2, *family as u32).be32(3, address.number());
            }
            Self::Masquerade | Self::Counter => {}
        }
    }
}

fn meta(data: &mut Message, key: u32, to: Register) {
    data.be32(META_KEY, key).be32(META_TO, to.number());
}

fn connection(data: &mut Message, key: u32, to: Register) {
    data.be32(CT_KEY, key).be32(CT_TO, to.number());
}

/// NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN.
fn payload(data: &mut Message, base: u32, offset: u32, length: u32, to: Register) {
    data.be32(1, to.number()).be32(2, base).be32(3, offset).be32(4, length);
}

/// NFTA_FIB_DREG, _RESULT (address type), _FLAGS (destination address).
fn destination_type(data: &mut Message, to: Register) {
    data.be32(1, to.number()).be32(2, 3).be32(3, 2);
}

/// NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR.
fn bitwise(data: &mut Message, register: Register, mask: &[u8]) {
    let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
    data.be32(1, register.number()).be32(2, register.number()).be32(3, length);
    data.nested(4, |value| {
        value.bytes(DATA_VALUE, mask);
    });
    data.nested(5, |value| {
        value.bytes(DATA_VALUE, &vec![0; mask.len()]);
    });
}

/// NFTA_CMP_SREG, _OP, _DATA.
fn compare(data: &mut Message, operator: u32, register: Register, value: &[u8]) {
    data.be32(1, register.number()).be32(2, operator).nested(3, |data| {
        data.bytes(DATA_VALUE, value);
    });
}

/// NFTA_LOOKUP_SET, _SREG, _DREG, _FLAGS (inverted).
fn lookup(data: &mut Message, set: &str, key: Register, to: Option<u32>, inverted: bool) {
    data.text(1, set).be32(2, key.number());
    if let Some(to) = to {
        data.be32(3, to);
    }
    if inverted {
        data.be32(5, 1);
    }
}

/// NFTA_IMMEDIATE_DREG (the verdict), _DATA.
fn immediate(data: &mut Message, verdict: &Verdict) {
    data.be32(1, 0).nested(2, |data| verdict.write(data));
}

/// NFTA_NAT_TYPE (destination), _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN.
fn nat(data: &mut Message, family: Family, address: Register, port: Register) {
    data.be32(1, 1).be32(2, family as u32).be32(3, address.number()).be32(5, port.number());
}

impl Verdict {
    /// Appends this verdict as data, in a rule or as a map's element.
    pub(super) fn write(&self, data: &mut Message) {
        let (code, chain) = match self {
            Self::Drop => (0i32, None),
            Self::Accept => (1, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
            Self::Return => (-5, None),
        };
        data.nested(DATA_VERDICT, |verdict| {
            verdict.be32(VERDICT_CODE, code.cast_unsigned());
            if let Some(chain) = chain {
                verdict.text(VERDICT_CHAIN, chain);
            }
        });
    }
}
