//! How folders are sent.

use std::collections::BTreeMap;

use bytes::Bytes;

/// `fsutil.types.Packet`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Packet {
    #[prost(enumeration = "Kind", tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) stat: Option<Stat>,
    /// Of a file: which of the files that were told of, from 0.
    #[prost(uint32, tag = "3")]
    pub(crate) id: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) data: Bytes,
}

impl Packet {
    pub(crate) fn request(id: u32) -> Self {
        Self { kind: Kind::Request as i32, id, ..Self::default() }
    }

    pub(crate) fn data(id: u32, data: Bytes) -> Self {
        Self { kind: Kind::Data as i32, id, data, ..Self::default() }
    }

    pub(crate) fn stat(stat: Option<Stat>) -> Self {
        Self { kind: Kind::Stat as i32, stat, ..Self::default() }
    }

    pub(crate) fn end() -> Self {
        Self { kind: Kind::End as i32, ..Self::default() }
    }

    pub(crate) fn error(text: &str) -> Self {
        Self { kind: Kind::Error as i32, data: Bytes::copy_from_slice(text.as_bytes()), ..Self::default() }
    }
}

/// `fsutil.types.Packet.PacketType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    Stat = 0,
    Request = 1,
    Data = 2,
    End = 3,
    Error = 4,
}

/// `fsutil.types.Stat`. The mode is Go's, whose type bits are not the kernel's.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Stat {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(uint32, tag = "2")]
    pub(crate) mode: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) uid: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) gid: u32,
    #[prost(int64, tag = "5")]
    pub(crate) size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(crate) mod_time: i64,
    #[prost(string, tag = "7")]
    pub(crate) linkname: String,
    #[prost(int64, tag = "8")]
    pub(crate) devmajor: i64,
    #[prost(int64, tag = "9")]
    pub(crate) devminor: i64,
    #[prost(btree_map = "string, bytes", tag = "10")]
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}
