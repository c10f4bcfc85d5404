//! Where something stands in a source, and which platform something is for.

use std::collections::BTreeMap;

use bytes::Bytes;

/// `pb.Platform`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Platform {
    #[prost(string, tag = "1")]
    pub architecture: String,
    #[prost(string, tag = "2")]
    pub os: String,
    #[prost(string, tag = "3")]
    pub variant: String,
}

/// `pb.Definition`: a graph, of which nothing is solved here but single sources of one's own.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Definition {
    /// Each a `pb.Op`.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub def: Vec<Bytes>,
    /// By the digests of those.
    #[prost(btree_map = "string, message", tag = "2")]
    pub metadata: BTreeMap<String, OpMetadata>,
}

/// `pb.OpMetadata`: clients want each operation to have some.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct OpMetadata {}

/// `pb.Op`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Op {
    #[prost(message, repeated, tag = "1")]
    pub inputs: Vec<Input>,
    #[prost(message, optional, tag = "3")]
    pub source: Option<SourceOp>,
    #[prost(message, optional, tag = "4")]
    pub file: Option<FileOp>,
}

/// `pb.FileOp`
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileOp {
    #[prost(message, repeated, tag = "2")]
    pub actions: Vec<FileAction>,
}

/// `pb.FileAction`; of its kinds the one that is looked at.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileAction {
    #[prost(message, optional, tag = "4")]
    pub copy: Option<FileActionCopy>,
}

/// `pb.FileActionCopy`
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileActionCopy {
    #[prost(string, tag = "1")]
    pub src: String,
    #[prost(string, tag = "2")]
    pub dest: String,
    #[prost(bool, tag = "6")]
    pub dir_copy_contents: bool,
    #[prost(bool, tag = "7")]
    pub attempt_unpack: bool,
}

/// `pb.Input`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Input {
    #[prost(string, tag = "1")]
    pub digest: String,
    #[prost(int64, tag = "2")]
    pub index: i64,
}

/// `pb.SourceOp`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SourceOp {
    #[prost(string, tag = "1")]
    pub identifier: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub attrs: BTreeMap<String, String>,
}

/// `pb.SourceInfo`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SourceInfo {
    #[prost(string, tag = "1")]
    pub filename: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
    #[prost(string, tag = "4")]
    pub language: String,
}

/// `pb.Range`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Range {
    #[prost(message, optional, tag = "1")]
    pub start: Option<Position>,
    #[prost(message, optional, tag = "2")]
    pub end: Option<Position>,
}

impl Range {
    /// Whole lines, from 1.
    pub fn lines(start: u32, end: u32) -> Self {
        let position = |line| Some(Position { line: i32::try_from(line).unwrap_or(i32::MAX), character: 0 });
        Self { start: position(start), end: position(end) }
    }
}

/// `pb.Position`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Position {
    #[prost(int32, tag = "1")]
    pub line: i32,
    #[prost(int32, tag = "2")]
    pub character: i32,
}
