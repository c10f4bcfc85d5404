//! Who builds, as this crate needs it. [`EngineBuilder`] is the real one; tests bring their own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use minke_build::{
    BuildError, BuildRequest, BuildResult, CacheFacts, CacheFilter, Client, Context, ContextError,
};
use minke_engine::ByteStream;

use crate::frontend::sources::Source;

mod engine;

pub use engine::EngineBuilder;

/// Builds, and keeps a cache of it.
pub trait Builder: Send + Sync {
    /// Builds. Dropping the future ends the build.
    ///
    /// # Errors
    /// Why it failed.
    fn build(&self, request: BuildRequest, client: Client) -> BoxFuture<'_, Result<BuildResult, BuildError>>;

    /// Whether builds may be allowed these entitlements.
    ///
    /// # Errors
    /// Names the one that they may not.
    fn check(&self, entitlements: &[String]) -> Result<(), BuildError>;

    /// Makes a context of an archive that the client sends.
    ///
    /// # Errors
    /// When it is none, or this host can't keep it.
    fn unpack(&self, archive: ByteStream) -> BoxFuture<'_, Result<Arc<dyn Context>, ContextError>>;

    /// A context of what is at a URL, an archive or a repository, which is fetched with the client's keys when it is read.
    ///
    /// # Errors
    /// When it is none that can be fetched.
    fn remote(
        &self,
        url: &str,
        client: &Client,
        keep_git_dir: Option<bool>,
    ) -> Result<Arc<dyn Context>, BuildError>;

    /// A context of a source by itself, which is fetched when it is read.
    fn source(&self, source: &Source, client: &Client) -> Result<Arc<dyn Context>, BuildError>;

    /// What the cache holds.
    fn usage(&self) -> BoxFuture<'_, Vec<CacheRecord>>;

    /// Removes from the cache what `options` say; returns what that was.
    ///
    /// # Errors
    /// When the store fails.
    fn prune(&self, options: PruneOptions) -> BoxFuture<'_, Result<Vec<CacheRecord>, BuildError>>;
}

/// Something that the cache holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CacheRecord {
    /// What names it.
    pub id: String,
    /// `regular`, `source.local`, `exec.cachemount` …
    pub kind: String,
    /// What it is, for people.
    pub description: String,
    /// Bytes on the disk.
    pub size: u64,
    /// Whether a build uses it now.
    pub in_use: bool,
    /// Whether an image or a container uses it as well, and its size can't be had back.
    pub shared: bool,
    /// Whether builds change it (cache mounts).
    pub mutable: bool,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// When a build last used it.
    pub last_used: Option<SystemTime>,
    /// How often that was.
    pub uses: u64,
    /// The ids of what it builds upon.
    pub parents: Vec<String>,
}

impl CacheRecord {
    /// What filters ask of it.
    pub(crate) fn facts(&self) -> CacheFacts<'_> {
        CacheFacts {
            id: &self.id,
            kind: &self.kind,
            description: &self.description,
            in_use: self.in_use,
            shared: self.shared,
            mutable: self.mutable,
        }
    }
}

/// What is to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Also what BuildKit keeps without being asked: internal and frontend records.
    pub all: bool,
    /// Only what no build has used for as long.
    pub unused_for: Duration,
    /// How many bytes may stay, those used last.
    pub keep: u64,
    /// Only records that it takes.
    pub filter: CacheFilter,
}
