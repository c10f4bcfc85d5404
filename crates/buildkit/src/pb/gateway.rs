//! `moby.buildkit.v1.frontend.LLBBridge`: how a client that drives a build itself (buildx does) asks for its parts.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::control::{CacheOptionsEntry, WorkerRecord};
use super::rpc::Status;
use super::source::Definition;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PongResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) frontend_caps: Vec<Cap>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) llb_caps: Vec<Cap>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) workers: Vec<WorkerRecord>,
}

/// `moby.buildkit.v1.apicaps.APICap`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Cap {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(bool, tag = "2")]
    pub(crate) enabled: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) definition: Option<Definition>,
    #[prost(string, tag = "2")]
    pub(crate) frontend: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(crate) frontend_opt: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) cache_imports: Vec<CacheOptionsEntry>,
    #[prost(btree_map = "string, message", tag = "13")]
    pub(crate) frontend_inputs: BTreeMap<String, Definition>,
    #[prost(bool, tag = "14")]
    pub(crate) evaluate: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SolveResponse {
    #[prost(message, optional, tag = "3")]
    pub(crate) result: Option<Outcome>,
}

/// `Result`; the older shapes of its reference aren't spoken, since the capabilities say so.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Outcome {
    #[prost(message, optional, tag = "3")]
    pub(crate) reference: Option<Ref>,
    #[prost(btree_map = "string, bytes", tag = "10")]
    pub(crate) metadata: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ref {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReturnRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) result: Option<Outcome>,
    #[prost(message, optional, tag = "2")]
    pub(crate) error: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct InputsResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) definitions: BTreeMap<String, Definition>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WarnRequest {
    #[prost(string, tag = "1")]
    pub(crate) digest: String,
    #[prost(int64, tag = "2")]
    pub(crate) level: i64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) short: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub(crate) detail: Vec<Bytes>,
    #[prost(string, tag = "5")]
    pub(crate) url: String,
}
