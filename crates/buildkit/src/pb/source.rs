//! Where something stands in a source, and which platform something is for.

use bytes::Bytes;

/// `pb.Platform`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Platform {
    #[prost(string, tag = "1")]
    pub(crate) architecture: String,
    #[prost(string, tag = "2")]
    pub(crate) os: String,
    #[prost(string, tag = "3")]
    pub(crate) variant: String,
}

/// `pb.Definition`: here it only matters that there is one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Definition {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) def: Vec<Bytes>,
}

/// `pb.SourceInfo`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SourceInfo {
    #[prost(string, tag = "1")]
    pub(crate) filename: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: Bytes,
    #[prost(string, tag = "4")]
    pub(crate) language: String,
}

/// `pb.Range`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Range {
    #[prost(message, optional, tag = "1")]
    pub(crate) start: Option<Position>,
    #[prost(message, optional, tag = "2")]
    pub(crate) end: Option<Position>,
}

impl Range {
    /// Whole lines, from 1.
    pub(crate) fn lines(start: u32, end: u32) -> Self {
        let position = |line| Some(Position { line: i32::try_from(line).unwrap_or(i32::MAX), character: 0 });
        Self { start: position(start), end: position(end) }
    }
}

/// `pb.Position`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Position {
    #[prost(int32, tag = "1")]
    pub(crate) line: i32,
    #[prost(int32, tag = "2")]
    pub(crate) character: i32,
}
