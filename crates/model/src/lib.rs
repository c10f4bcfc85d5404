//! The vocabulary of minke: digests, ids, references, quantities and the OCI runtime specification's types.
//!
//! Pure data on floor 0: nothing here opens a file, makes a system call or reads a clock, so every
//! other crate may use it and its tests need nothing but the compiler.

#![forbid(unsafe_code)]

mod chain;
pub mod descriptor;
pub mod digest;
mod excerpt;
pub mod id;
pub mod image_config;
pub mod media_type;
pub mod platform;
pub mod quantity;
pub mod reference;
pub mod runtime_spec;

pub use chain::{chain, chain_of};
pub use descriptor::Descriptor;
pub use digest::{Digest, DigestError};
pub use id::{ContainerId, IdError, ImageId, NetworkId};
pub use platform::{Platform, PlatformError};
pub use reference::{AnyReference, Reference, ReferenceError};
