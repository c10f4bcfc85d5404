//! What is asked of a client through its session: credentials, secrets, agents, bytes.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Bytes in a stream, under the same number in every service.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BytesMessage {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) data: Bytes,
}

/// `moby.filesync.v1.CredentialsRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CredentialsRequest {
    #[prost(string, tag = "1")]
    pub(crate) host: String,
}

/// `moby.filesync.v1.CredentialsResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CredentialsResponse {
    #[prost(string, tag = "1")]
    pub(crate) username: String,
    #[prost(string, tag = "2")]
    pub(crate) secret: String,
}

/// `moby.buildkit.secrets.v1.GetSecretRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetSecretRequest {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// `moby.buildkit.secrets.v1.GetSecretResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetSecretResponse {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) data: Bytes,
}

/// `moby.sshforward.v1.CheckAgentRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckAgentRequest {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}
