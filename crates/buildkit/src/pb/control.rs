//! `moby.buildkit.v1.Control`: workers, builds, their progress, the cache.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::rpc::Timestamp;
use super::source::{Definition, Platform, Range, SourceInfo};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListWorkersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) record: Vec<WorkerRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) buildkit_version: Option<BuildkitVersion>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkerRecord {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) labels: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) platforms: Vec<Platform>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) gc_policy: Vec<GcPolicy>,
    #[prost(message, optional, tag = "5")]
    pub(crate) buildkit_version: Option<BuildkitVersion>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GcPolicy {
    #[prost(bool, tag = "1")]
    pub(crate) all: bool,
    #[prost(int64, tag = "5")]
    pub(crate) max_used_space: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BuildkitVersion {
    #[prost(string, tag = "1")]
    pub(crate) package: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(string, tag = "3")]
    pub(crate) revision: String,
    #[prost(string, tag = "4")]
    pub(crate) dockerfile_version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveRequest {
    #[prost(string, tag = "1")]
    pub(crate) reference: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) definition: Option<Definition>,
    /// Of clients before several outputs were possible.
    #[prost(string, tag = "3")]
    pub(crate) exporter: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(crate) exporter_attrs: BTreeMap<String, String>,
    #[prost(string, tag = "5")]
    pub(crate) session: String,
    #[prost(string, tag = "6")]
    pub(crate) frontend: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(crate) frontend_attrs: BTreeMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(crate) cache: Option<CacheOptions>,
    #[prost(string, repeated, tag = "9")]
    pub(crate) entitlements: Vec<String>,
    #[prost(btree_map = "string, message", tag = "10")]
    pub(crate) frontend_inputs: BTreeMap<String, Definition>,
    /// Not for the history.
    #[prost(bool, tag = "11")]
    pub(crate) internal: bool,
    /// It only matters that there is one.
    #[prost(message, optional, tag = "12")]
    pub(crate) source_policy: Option<super::Empty>,
    #[prost(message, repeated, tag = "13")]
    pub(crate) exporters: Vec<Exporter>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Exporter {
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) attrs: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CacheOptions {
    #[prost(message, repeated, tag = "4")]
    pub(crate) exports: Vec<CacheOptionsEntry>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) imports: Vec<CacheOptionsEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CacheOptionsEntry {
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) attrs: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveResponse {
    #[prost(btree_map = "string, string", tag = "1")]
    pub(crate) exporter_response: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(crate) reference: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) vertexes: Vec<Vertex>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) statuses: Vec<VertexStatus>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) logs: Vec<VertexLog>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) warnings: Vec<VertexWarning>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Vertex {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) inputs: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(bool, tag = "4")]
    pub(crate) cached: bool,
    #[prost(message, optional, tag = "5")]
    pub(crate) started: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub(crate) completed: Option<Timestamp>,
    #[prost(string, tag = "7")]
    pub(crate) error: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VertexStatus {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) vertex: String,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(int64, tag = "4")]
    pub(crate) current: i64,
    #[prost(int64, tag = "5")]
    pub(crate) total: i64,
    #[prost(message, optional, tag = "6")]
    pub(crate) timestamp: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(crate) started: Option<Timestamp>,
    #[prost(message, optional, tag = "8")]
    pub(crate) completed: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VertexLog {
    #[prost(string, tag = "1")]
    pub(crate) vertex: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) timestamp: Option<Timestamp>,
    /// 1 or 2, as a descriptor.
    #[prost(int64, tag = "3")]
    pub(crate) stream: i64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) msg: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VertexWarning {
    #[prost(string, tag = "1")]
    pub(crate) vertex: String,
    #[prost(int64, tag = "2")]
    pub(crate) level: i64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) short: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(crate) detail: Vec<Bytes>,
    #[prost(string, tag = "5")]
    pub(crate) url: String,
    #[prost(message, optional, tag = "6")]
    pub(crate) info: Option<SourceInfo>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) ranges: Vec<Range>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DiskUsageRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) filter: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DiskUsageResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) record: Vec<UsageRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PruneRequest {
    #[prost(string, repeated, tag = "1")]
    pub(crate) filter: Vec<String>,
    #[prost(bool, tag = "2")]
    pub(crate) all: bool,
    /// Nanoseconds.
    #[prost(int64, tag = "3")]
    pub(crate) keep_duration: i64,
    #[prost(int64, tag = "4")]
    pub(crate) reserved_space: i64,
    #[prost(int64, tag = "5")]
    pub(crate) max_used_space: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UsageRecord {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(bool, tag = "2")]
    pub(crate) mutable: bool,
    #[prost(bool, tag = "3")]
    pub(crate) in_use: bool,
    #[prost(int64, tag = "4")]
    pub(crate) size: i64,
    #[prost(message, optional, tag = "6")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(crate) last_used_at: Option<Timestamp>,
    #[prost(int64, tag = "8")]
    pub(crate) usage_count: i64,
    #[prost(string, tag = "9")]
    pub(crate) description: String,
    #[prost(string, tag = "10")]
    pub(crate) record_type: String,
    #[prost(bool, tag = "11")]
    pub(crate) shared: bool,
    #[prost(string, repeated, tag = "12")]
    pub(crate) parents: Vec<String>,
}
