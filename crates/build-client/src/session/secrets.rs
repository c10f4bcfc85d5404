//! Secrets by their names.

use std::collections::BTreeMap;

use bytes::Bytes;
use minke_buildkit_wire::grpc::{Code, Status};
use minke_buildkit_wire::pb::session::{GetSecretRequest, GetSecretResponse};

use crate::options::Secret;

/// The secrets of a build.
#[derive(Default)]
pub(super) struct Secrets(BTreeMap<String, Bytes>);

impl Secrets {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        Self(secrets.into_iter().map(|secret| (secret.id, secret.value)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, asked: &GetSecretRequest) -> Result<GetSecretResponse, Status> {
        match self.0.get(&asked.id) {
            Some(value) => Ok(GetSecretResponse { data: value.clone() }),
            None => Err(Status::new(Code::NotFound, format!("secret {} not found", asked.id))),
        }
    }
}
