//! Sets and maps, whose elements are what changes as containers come and go.

use super::Verdict;
use crate::attribute::Message;

// NFTA_SET_*
const TABLE: u16 = 1;
const NAME: u16 = 2;
const FLAGS: u16 = 3;
const KEY_TYPE: u16 = 4;
const KEY_LENGTH: u16 = 5;
const DATA_TYPE: u16 = 6;
const DATA_LENGTH: u16 = 7;
const ID: u16 = 10;
const FLAG_INTERVAL: u32 = 4;
const FLAG_MAP: u32 = 8;
const FLAG_TIMEOUT: u32 = 0x10;
const FLAG_EVAL: u32 = 0x20;
const FLAG_CONCAT: u32 = 0x80;
/// NFTA_SET_DESC, and in it NFTA_SET_DESC_SIZE and NFTA_SET_DESC_CONCAT with an NFTA_SET_FIELD_LEN for each part.
const DESCRIPTION: u16 = 9;
const SIZE: u16 = 1;
const CONCAT: u16 = 2;
const FIELD_LENGTH: u16 = 1;
/// What the nft program calls a verdict's type.
const VERDICT_TYPE: u32 = 0xffff_ff00;

// NFTA_SET_ELEM_LIST_*
pub(super) const LIST_TABLE: u16 = 1;
pub(super) const LIST_SET: u16 = 2;
pub(super) const LIST_ELEMENTS: u16 = 3;
/// NFTA_LIST_ELEM.
pub(super) const LIST_ELEMENT: u16 = 1;
// NFTA_SET_ELEM_*
pub(super) const ELEMENT_KEY: u16 = 1;
pub(super) const ELEMENT_DATA: u16 = 2;
pub(super) const ELEMENT_FLAGS: u16 = 3;
pub(super) const ELEMENT_KEY_END: u16 = 10;
pub(super) const ELEMENT_INTERVAL_END: u32 = 1;
pub(super) const DATA_VALUE: u16 = 1;

/// The type of one part of a key or of a map's data, by which `nft list ruleset` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// An IPv4 address, 4 bytes.
    Ipv4Address,
    /// An IPv6 address, 16 bytes.
    Ipv6Address,
    /// An Ethernet address, 6 bytes.
    EthernetAddress,
    /// A transport protocol's number, 1 byte.
    Protocol,
    /// A port in network byte order, 2 bytes.
    Port,
    /// An interface's name, 16 bytes.
    InterfaceName,
}

impl Type {
    /// The number of this type in the nft program, and its length padded to whole registers.
    fn number_and_length(self) -> (u32, u32) {
        match self {
            Self::Ipv4Address => (7, 4),
            Self::Ipv6Address => (8, 16),
            Self::EthernetAddress => (9, 8),
            Self::Protocol => (12, 4),
            Self::Port => (13, 4),
            Self::InterfaceName => (41, 16),
        }
    }
}

/// What a set's elements have beside their key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetKind {
    /// Nothing: a set.
    Set,
    /// Nothing, and keys stand for ranges: each range is an element at its start and one that ends
    /// it just behind.
    Intervals,
    /// Nothing, and each part of a key stands for a range: an element has where it begins and, inclusive, where it ends.
    Ranges,
    /// Values of these types for ranges of keys. The end of a range has none.
    IntervalMap(Vec<Type>),
    /// Values of these types: a map.
    Map(Vec<Type>),
    /// Verdicts: a verdict map.
    VerdictMap,
    /// Nothing; rules add elements ([`super::Expression::Remember`]), which end by themselves. At most this
    /// many.
    Dynamic(u32),
}

/// A set or map to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name in its table.
    pub name: String,
    /// The types of its keys; several make a concatenation.
    pub key: Vec<Type>,
    /// What its elements have beside their key.
    pub kind: SetKind,
}

/// One element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The key; each part of a concatenation padded to four bytes (see [`Element::key`]).
    pub key: Vec<u8>,
    /// The data of a map, padded likewise.
    pub value: Option<Vec<u8>>,
    /// The verdict of a verdict map.
    pub verdict: Option<Verdict>,
    /// Whether a range ends here.
    pub interval_end: bool,
    /// In a concatenation of ranges, where each of them ends, inclusive.
    pub end: Option<Vec<u8>>,
}

impl Element {
    /// The element of a set whose key has these parts.
    pub fn key(parts: &[&[u8]]) -> Self {
        Self { key: concatenate(parts), ..Self::default() }
    }

    /// The same element with the data of these parts.
    pub fn to(mut self, parts: &[&[u8]]) -> Self {
        self.value = Some(concatenate(parts));
        self
    }

    /// The same element with the ends of the ranges that begin at its key.
    pub fn up_to(mut self, parts: &[&[u8]]) -> Self {
        self.end = Some(concatenate(parts));
        self
    }

    /// The same element as the end of a range.
    pub fn ending_a_range(mut self) -> Self {
        self.interval_end = true;
        self
    }

    pub(super) fn write(&self, element: &mut Message) {
        element.nested(ELEMENT_KEY, |key| {
            key.bytes(DATA_VALUE, &self.key);
        });
        if let Some(end) = &self.end {
            element.nested(ELEMENT_KEY_END, |key| {
                key.bytes(DATA_VALUE, end);
            });
        }
        if let Some(value) = &self.value {
            element.nested(ELEMENT_DATA, |data| {
                data.bytes(DATA_VALUE, value);
            });
        }
        if let Some(verdict) = &self.verdict {
            element.nested(ELEMENT_DATA, |data| verdict.write(data));
        }
        if self.interval_end {
            element.be32(ELEMENT_FLAGS, ELEMENT_INTERVAL_END);
        }
    }
}

/// Puts parts side by side, each padded to whole registers, as the kernel compares them.
fn concatenate(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

impl Set {
    /// `id` is how other messages of the same transaction could name the set.
    pub(super) fn write(&self, table: &str, id: u32, message: &mut Message) {
        message.text(TABLE, table).text(NAME, &self.name);
        let (key_type, key_length) = concatenated(&self.key);
        message.be32(KEY_TYPE, key_type).be32(KEY_LENGTH, key_length);
        match &self.kind {
            SetKind::Set => {}
            SetKind::Dynamic(most) => {
                message.be32(FLAGS, FLAG_TIMEOUT | FLAG_EVAL).nested(DESCRIPTION, |description| {
                    description.be32(SIZE, *most);
                });
            }
            SetKind::Intervals => {
                message.be32(FLAGS, FLAG_INTERVAL);
            }
            SetKind::Ranges => {
                message.be32(FLAGS, FLAG_INTERVAL | FLAG_CONCAT).nested(DESCRIPTION, |description| {
                    description.nested(CONCAT, |parts| {
                        for part in &self.key {
                            let (_, length) = part.number_and_length();
                            parts.nested(LIST_ELEMENT, |one| {
                                one.be32(FIELD_LENGTH, length);
                            });
                        }
                    });
                });
            }
            SetKind::Map(types) | SetKind::IntervalMap(types) => {
                let (data_type, data_length) = concatenated(types);
                let interval = if matches!(self.kind, SetKind::IntervalMap(_)) { FLAG_INTERVAL } else { 0 };
                message
                    .be32(FLAGS, FLAG_MAP | interval)
                    .be32(DATA_TYPE, data_type)
                    .be32(DATA_LENGTH, data_length);
            }
            SetKind::VerdictMap => {
                message.be32(FLAGS, FLAG_MAP).be32(DATA_TYPE, VERDICT_TYPE).be32(DATA_LENGTH, 0);
            }
        }
        message.be32(ID, id);
    }
}

/// The nft program's number for a concatenation, six bits per type, and its whole length.
fn concatenated(types: &[Type]) -> (u32, u32) {
    types
        .iter()
        .map(|part| part.number_and_length())
        .fold((0, 0), |(number, length), part| (number << 6 | part.0, length + part.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_key_are_padded_to_registers() {
        let element =
            Element::key(&[&[6], &8080u16.to_be_bytes()]).to(&[&[10, 0, 0, 2], &80u16.to_be_bytes()]);
        assert_eq!(element.key, [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(element.value, Some(vec![10, 0, 0, 2, 0, 80, 0, 0]));
    }

    #[test]
    fn a_concatenation_has_one_number() {
        assert_eq!(concatenated(&[Type::Ipv4Address, Type::Port]), (7 << 6 | 13, 8));
        assert_eq!(concatenated(&[Type::InterfaceName]), (41, 16));
    }
}
