//! The messages of BuildKit's protocols, as far as they are spoken here.
//!
//! Written by hand from the field numbers of the wire: a generator would need a compiler that the machine must have, and
//! ten times the code for fields that nobody reads. What isn't listed is skipped when read, as protobuf wants it.

pub(crate) mod content;
pub(crate) mod control;
pub(crate) mod fsutil;
pub(crate) mod gateway;
pub(crate) mod history;
pub(crate) mod rpc;
pub(crate) mod session;
pub(crate) mod source;

/// A message without fields.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Empty {}
