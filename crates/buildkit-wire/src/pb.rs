//! The messages of BuildKit's protocols, as far as they are spoken here.
//!
//! Written by hand from the field numbers of the wire: a generator would need a compiler that the machine must have, and
//! ten times the code for fields that nobody reads. What isn't listed is skipped when read, as protobuf wants it.

pub mod content;
pub mod control;
pub mod fsutil;
pub mod gateway;
pub mod history;
pub mod rpc;
pub mod session;
pub mod source;

/// A message without fields.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Empty {}
