//! The builds that were: what `docker buildx history` asks for.

use std::collections::BTreeMap;

use super::control::Exporter;
use super::rpc::{Status, Timestamp};

#[derive(Clone, PartialEq, prost::Message)]
pub struct BuildHistoryRequest {
    #[prost(bool, tag = "1")]
    pub active_only: bool,
    #[prost(string, tag = "2")]
    pub reference: String,
    /// Ends when what there is has been told.
    #[prost(bool, tag = "3")]
    pub early_exit: bool,
    #[prost(string, repeated, tag = "4")]
    pub filter: Vec<String>,
    #[prost(int32, tag = "5")]
    pub limit: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventKind {
    Started = 0,
    Complete = 1,
    Deleted = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct BuildHistoryEvent {
    #[prost(enumeration = "EventKind", tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub record: Option<BuildHistoryRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct BuildHistoryRecord {
    #[prost(string, tag = "1")]
    pub reference: String,
    #[prost(string, tag = "2")]
    pub frontend: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub frontend_attrs: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "4")]
    pub exporters: Vec<Exporter>,
    #[prost(message, optional, tag = "5")]
    pub error: Option<Status>,
    #[prost(message, optional, tag = "6")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub completed_at: Option<Timestamp>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub exporter_response: BTreeMap<String, String>,
    /// What is known of the result, for one platform.
    #[prost(message, optional, tag = "10")]
    pub result: Option<BuildResultInfo>,
    /// And for several.
    #[prost(btree_map = "string, message", tag = "11")]
    pub results: BTreeMap<String, BuildResultInfo>,
    #[prost(int32, tag = "12")]
    pub generation: i32,
    #[prost(bool, tag = "14")]
    pub pinned: bool,
    #[prost(int32, tag = "15")]
    pub cached_steps: i32,
    #[prost(int32, tag = "16")]
    pub total_steps: i32,
    #[prost(int32, tag = "17")]
    pub completed_steps: i32,
    /// The error with all that is known of it.
    #[prost(message, optional, tag = "18")]
    pub external_error: Option<Descriptor>,
    #[prost(int32, tag = "19")]
    pub warnings: i32,
}

/// `BuildResultInfo`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BuildResultInfo {
    #[prost(message, repeated, tag = "2")]
    pub attestations: Vec<Descriptor>,
}

/// `Descriptor`: content that the content service has.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Descriptor {
    #[prost(string, tag = "1")]
    pub media_type: String,
    #[prost(string, tag = "2")]
    pub digest: String,
    #[prost(int64, tag = "3")]
    pub size: i64,
    #[prost(btree_map = "string, string", tag = "5")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateBuildHistoryRequest {
    #[prost(string, tag = "1")]
    pub reference: String,
    #[prost(bool, tag = "2")]
    pub pinned: bool,
    #[prost(bool, tag = "3")]
    pub delete: bool,
    #[prost(bool, tag = "4")]
    pub finalize: bool,
}
