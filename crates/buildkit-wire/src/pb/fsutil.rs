//! How folders are sent.

use std::collections::BTreeMap;

use bytes::Bytes;

/// `fsutil.types.Packet`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Packet {
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub stat: Option<Stat>,
    /// Of a file: which of the files that were told of, from 0.
    #[prost(uint32, tag = "3")]
    pub id: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
}

impl Packet {
    pub fn request(id: u32) -> Self {
        Self { kind: Kind::Request as i32, id, ..Self::default() }
    }

    pub fn data(id: u32, data: Bytes) -> Self {
        Self { kind: Kind::Data as i32, id, data, ..Self::default() }
    }

    pub fn stat(stat: Option<Stat>) -> Self {
        Self { kind: Kind::Stat as i32, stat, ..Self::default() }
    }

    pub fn end() -> Self {
        Self { kind: Kind::End as i32, ..Self::default() }
    }

    pub fn error(text: &str) -> Self {
        Self { kind: Kind::Error as i32, data: Bytes::copy_from_slice(text.as_bytes()), ..Self::default() }
    }
}

/// `fsutil.types.Packet.PacketType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    Stat = 0,
    Request = 1,
    Data = 2,
    End = 3,
    Error = 4,
}

/// `fsutil.types.Stat`. The mode is Go's, whose type bits are not the kernel's.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stat {
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    #[prost(uint32, tag = "4")]
    pub gid: u32,
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub mod_time: i64,
    #[prost(string, tag = "7")]
    pub linkname: String,
    #[prost(int64, tag = "8")]
    pub devmajor: i64,
    #[prost(int64, tag = "9")]
    pub devminor: i64,
    #[prost(btree_map = "string, bytes", tag = "10")]
    pub xattrs: BTreeMap<String, Vec<u8>>,
}
