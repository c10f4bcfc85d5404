//! What the store tells about an image: the types that its callers read.

use std::sync::Arc;

use minke_model::{Digest, ImageId};
use serde::Serialize;

use crate::ImageConfig;

/// A layer's chain id: the digest that names a layer together with everything below it (OCI image
/// specification, "Layer ChainID").
pub type LayerId = Digest;

/// An image as the store knows it at one moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of the configuration.
    pub id: ImageId,
    /// The digest of the manifest the image is saved and pushed with.
    pub manifest: Digest,
    /// Tags in familiar form (`redis:7`), sorted; empty when the image is dangling.
    pub names: Vec<String>,
    /// References by digest in familiar form (`redis@sha256:…`), sorted.
    pub digests: Vec<String>,
    /// When the image was made, RFC 3339, as its configuration says.
    pub created: Option<String>,
    /// Bytes of the files in all its layers.
    pub size: u64,
    /// The image it was built from on this host, if that is still known.
    pub parent: Option<ImageId>,
    /// The configuration, parsed.
    pub config: Arc<ImageConfig>,
    /// The configuration as it came: these bytes hash to `id`.
    pub config_json: Arc<[u8]>,
    /// Chain ids of the layers, lowest first.
    pub layers: Vec<LayerId>,
    /// Digests of the layers' uncompressed tars, lowest first.
    pub diff_ids: Vec<Digest>,
    /// When the image last got a name here, seconds since 1970; Docker's `LastTagTime`.
    pub last_tagged: Option<i64>,
}

/// One line of an image's history, with the Docker Engine API's field names (`/images/{name}/history`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HistoryEntry {
    /// The image's id for the topmost entry, `<missing>` for the others.
    pub id: String,
    /// Seconds since 1970; 0 where the image does not say.
    pub created: i64,
    /// The command or instruction.
    pub created_by: String,
    /// The image's tags for the topmost entry.
    pub tags: Option<Vec<String>>,
    /// Bytes of the files in the step's layer; 0 for a step without one.
    pub size: u64,
    /// What its maker had to say.
    pub comment: String,
}

/// One effect of removing an image, with the Docker Engine API's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Removed {
    /// A name was taken away, in familiar form.
    Untagged(String),
    /// An image or a layer (by chain id) is gone.
    Deleted(Digest),
}

/// A container that needs an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The container's short id.
    pub container: String,
    /// Whether it runs; then not even force removes the image.
    pub running: bool,
}
