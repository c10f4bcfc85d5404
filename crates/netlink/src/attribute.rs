//! Netlink attributes, for the messages that no crate describes: a writer that nests and a reader.
//!
//! The layout is netlink(7)'s: every message and attribute starts with its length, is padded to
//! four bytes, and an attribute may contain attributes.

use netlink_packet_core::{NLA_F_NESTED, NLA_TYPE_MASK, NlasIterator};

use crate::error::Error;

/// Length of `struct nlmsghdr`.
pub(crate) const HEADER_LEN: usize = 16;
/// Length of `struct nfgenmsg`, which follows in every netfilter message.
pub(crate) const NETFILTER_HEADER_LEN: usize = 4;

/// A message under construction. Lengths are patched in as parts are closed; sequence numbers
/// when it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of `kind` with `flags` and no body yet.
    pub(crate) fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Self { bytes }
    }

    /// A netfilter message: its subsystem and kind, then `struct nfgenmsg`.
    pub(crate) fn netfilter(kind: (u8, u8), flags: u16, family: u8, version: u8, resource: u16) -> Self {
        let mut message = Self::new(u16::from_be_bytes([kind.0, kind.1]), flags);
        let [high, low] = resource.to_be_bytes();
        message.bytes.extend([family, version, high, low]);
        message
    }

    /// Appends an attribute with this value.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.attribute(kind, |message| message.bytes.extend_from_slice(value))
    }

    /// Appends a string attribute, with the NUL that the kernel's policies expect.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.attribute(kind, |message| {
            message.bytes.extend_from_slice(value.as_bytes());
            message.bytes.push(0);
        })
    }

    /// Appends a number in network byte order, as nf_tables and conntrack want them.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Appends an attribute that contains what `fill` appends.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.attribute(kind | NLA_F_NESTED, fill)
    }

    /// The finished message.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).expect("a message is far smaller than 4 GiB");
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }

    fn attribute(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        fill(self);
        let length = self.bytes.len() - start;
        let length = u16::try_from(length).expect("callers split what could exceed 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes[start + 2..start + 4].copy_from_slice(&kind.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }
}

/// Calls `each` with the kind and the value of every attribute in `bytes`.
pub(crate) fn read<'a>(
    request: &str,
    bytes: &'a [u8],
    mut each: impl FnMut(u16, &'a [u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    for attribute in NlasIterator::new(bytes) {
        let attribute = attribute.map_err(|error| Error::malformed(request, error))?;
        let kind = attribute.kind() & NLA_TYPE_MASK;
        let end = usize::from(attribute.length());
        each(kind, attribute.into_inner().get(4..end).unwrap_or_default())?;
    }
    Ok(())
}

/// A number in network byte order.
pub(crate) fn read_be32(request: &str, value: &[u8]) -> Result<u32, Error> {
    let bytes = value.try_into().map_err(|_| Error::malformed(request, "a number of the wrong size"))?;
    Ok(u32::from_be_bytes(bytes))
}

/// A string without its NUL.
pub(crate) fn read_text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_read_back_with_their_padding_gone() {
        let mut message = Message::new(7, 1);
        message.text(1, "ab").nested(2, |m| {
            m.be32(3, 0x0102_0304).bytes(4, &[9]);
        });
        let bytes = message.into_bytes();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());

        let mut seen = Vec::new();
        read("test", &bytes[HEADER_LEN..], |kind, value| {
            if kind == 2 {
                read("test", value, |kind, value| {
                    seen.push((kind, value.to_vec()));
                    Ok(())
                })
            } else {
                seen.push((kind, value.to_vec()));
                Ok(())
            }
        })
        .unwrap();
        assert_eq!(seen, [(1, b"ab\0".to_vec()), (3, vec![1, 2, 3, 4]), (4, vec![9])]);
        assert_eq!(read_text(b"ab\0"), "ab");
    }

    #[test]
    fn a_length_that_lies_is_an_error() {
        assert!(read("test", &[40, 0, 1, 0, 0], |_, _| Ok(())).is_err());
        assert!(read_be32("test", &[1, 2]).is_err());
    }
}
