//! The builds that were: what `docker buildx history` asks for.

use std::collections::BTreeMap;

use super::control::Exporter;
use super::rpc::{Status, Timestamp};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BuildHistoryRequest {
    #[prost(bool, tag = "1")]
    pub(crate) active_only: bool,
    #[prost(string, tag = "2")]
    pub(crate) reference: String,
    /// Ends when what there is has been told.
    #[prost(bool, tag = "3")]
    pub(crate) early_exit: bool,
    #[prost(string, repeated, tag = "4")]
    pub(crate) filter: Vec<String>,
    #[prost(int32, tag = "5")]
    pub(crate) limit: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum EventKind {
    Started = 0,
    Complete = 1,
    Deleted = 2,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BuildHistoryEvent {
    #[prost(enumeration = "EventKind", tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) record: Option<BuildHistoryRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BuildHistoryRecord {
    #[prost(string, tag = "1")]
    pub(crate) reference: String,
    #[prost(string, tag = "2")]
    pub(crate) frontend: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(crate) frontend_attrs: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) exporters: Vec<Exporter>,
    #[prost(message, optional, tag = "5")]
    pub(crate) error: Option<Status>,
    #[prost(message, optional, tag = "6")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(crate) completed_at: Option<Timestamp>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub(crate) exporter_response: BTreeMap<String, String>,
    #[prost(int32, tag = "12")]
    pub(crate) generation: i32,
    #[prost(bool, tag = "14")]
    pub(crate) pinned: bool,
    #[prost(int32, tag = "15")]
    pub(crate) cached_steps: i32,
    #[prost(int32, tag = "16")]
    pub(crate) total_steps: i32,
    #[prost(int32, tag = "17")]
    pub(crate) completed_steps: i32,
    #[prost(int32, tag = "19")]
    pub(crate) warnings: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UpdateBuildHistoryRequest {
    #[prost(string, tag = "1")]
    pub(crate) reference: String,
    #[prost(bool, tag = "2")]
    pub(crate) pinned: bool,
    #[prost(bool, tag = "3")]
    pub(crate) delete: bool,
    #[prost(bool, tag = "4")]
    pub(crate) finalize: bool,
}
