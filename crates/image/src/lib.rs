//! The image store: content by digest, layers unpacked once and shared, names, and the archives
//! that images travel in. Synchronous; async callers use a blocking thread.
//!
//! ```text
//!   load ─┐                       ┌─▶ content/blobs/sha256/<hex>     manifests, configs, layer blobs
//!   import┼─▶ staging (unnamed) ──┼─▶ layers/<chain id>/fs           one layer's files, as overlayfs wants them
//!   pull ─┤   digests verified    └─▶ engine.db                      images, names, layers: one transaction
//!   commit┘
//! ```
//!
//! Everything is first written under a staging name, synced once for the whole image, renamed into
//! place and only then named by a database transaction. So whatever the database names is whole, and
//! whatever it does not name is swept when the store is opened.

#![forbid(unsafe_code)]

pub mod archive;
mod arrive;
mod attestation;
mod build;
pub mod changes;
mod commit;
mod composed;
mod compressed;
mod compression;
mod content;
mod hashing;
mod image;
mod import;
mod layers;
mod load;
pub mod manifest;
mod other_platform;
pub mod pull;
pub mod push;
mod read_ahead;
mod receive;
mod save;
mod store;

pub use arrive::Arrival;
pub use attestation::{Attestations, Predicate, Subject};
pub use build::{BuiltLayer, Composition, HeldLayers, Pin};
pub use commit::{CommitError, CommitOptions};
pub use composed::{Composed, Form, PlatformImage};
pub use compressed::{LayerForm, LayerFormat};
pub use image::{HistoryEntry, Image, LayerId, Removed, User};
pub use import::ImportOptions;
pub use load::{LoadError, LoadProgress, Loaded};
pub use minke_model::image_config::{Healthcheck, HistoryRecord, ImageConfig, RootFs, RunConfig};
pub use receive::{LayerState, PulledLayer};
pub use save::{SaveError, Saving};
pub use store::{
    FindError, ImageStore, KnownManifest, ManifestKind, OpenError, RemoveError, StagedLayer, StoreError,
    StoreOptions, TagError,
};
