//! What becomes of a build's result, and what its client is told in the end.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures_util::future::BoxFuture;
use minke_engine::ByteStream;

use crate::{ContextError, Tree};

/// One `--output`.
#[derive(Clone)]
pub struct Output {
    /// What is written.
    pub kind: OutputKind,
    /// `name`, `push`, `compression`, `rewrite-timestamp` … as given.
    pub attributes: BTreeMap<String, String>,
    /// Who takes it; nobody for an image in the engine's store.
    pub destination: Option<Arc<dyn Destination>>,
}

impl Output {
    /// Whether an attribute is given and true.
    pub fn is_set(&self, attribute: &str) -> bool {
        matches!(self.attributes.get(attribute).map(String::as_str), Some("true" | "1"))
    }

    /// Whether an image goes into a directory and not into an archive (`tar=false`).
    pub(crate) fn is_layout(&self) -> bool {
        matches!(self.attributes.get("tar").map(String::as_str), Some("false" | "0"))
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("kind", &self.kind)
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}

/// Kinds of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// An image in the engine's store, under the request's tags and the attribute `name`.
    Image,
    /// The files, as a directory.
    Local,
    /// The files, as a tar.
    Tar,
    /// The image as an archive of the OCI layout, or as that layout in a directory.
    Oci,
    /// The image as an archive of `docker save`, or as its layout in a directory.
    Docker,
    /// Nothing is kept but the cache (`type=cacheonly`).
    CacheOnly,
}

/// Takes what is written.
pub trait Destination: Send + Sync {
    /// The files of [`OutputKind::Local`].
    ///
    /// # Errors
    /// [`ContextError`].
    fn directory(&self, tree: Tree) -> BoxFuture<'_, Result<(), ContextError>>;

    /// The bytes of [`OutputKind::Tar`], [`OutputKind::Oci`] and [`OutputKind::Docker`].
    ///
    /// # Errors
    /// [`ContextError`].
    fn stream(&self, bytes: ByteStream) -> BoxFuture<'_, Result<(), ContextError>>;
}

/// How a build ended well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildResult {
    /// The image's id (its configuration's digest), `sha256:…`; `None` when no image was made.
    pub image: Option<String>,
    /// The digest of its manifest, or of the index over several platforms.
    pub manifest: Option<String>,
    /// Whether that is an index over several platforms.
    pub is_index: bool,
    /// The names it got, in familiar form.
    pub names: Vec<String>,
    /// Arguments that were given and that no `ARG` declares, sorted.
    pub unused_args: Vec<String>,
    /// How it came about, for each platform.
    pub provenance: Vec<ToldProvenance>,
    /// BuildKit's exporter response: `containerimage.digest`, `containerimage.config.digest`, `image.name` …
    pub exporter_response: BTreeMap<String, String>,
}

/// How a result came about, in full, whether it was asked for or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToldProvenance {
    /// For which platform; empty where there is one only.
    pub platform: String,
    /// Which form it has: `https://slsa.dev/provenance/v1`.
    pub kind: String,
    /// The predicate, as JSON.
    pub json: Vec<u8>,
}
