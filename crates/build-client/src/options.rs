//! What a build is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncRead;

use crate::keys::Keys;

/// A build, as flags or a Compose file describe it. What is empty is left to the engine.
#[derive(Debug, Default)]
pub struct BuildOptions {
    /// The files to build from.
    pub context: Files,
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// Further files, by the names that `FROM`, `COPY --from` and mounts call them.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// Values of the Dockerfile's `ARG`s.
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// The stage.
    pub target: String,
    /// `linux/amd64`; several make an image of several platforms, where the engine can.
    pub platforms: Vec<String>,
    /// Nothing is taken from the cache.
    pub no_cache: bool,
    /// Nothing of these stages is.
    pub no_cache_filter: Vec<String>,
    /// Images are looked for at their registries even where they are here.
    pub pull: bool,
    /// The network of steps: `host`, `none`.
    pub network: String,
    /// `name=address` or `name:address`.
    pub extra_hosts: Vec<String>,
    /// The size of `/dev/shm` in bytes; 0 leaves it to the engine.
    pub shm_size: i64,
    /// `nofile=1024:2048`
    pub ulimits: Vec<String>,
    /// The cgroup of the steps.
    pub cgroup_parent: String,
    /// Where the cache may come from.
    pub cache_from: Vec<CacheEntry>,
    /// Where the cache goes.
    pub cache_to: Vec<CacheEntry>,
    /// `network.host`, `security.insecure`
    pub entitlements: Vec<String>,
    /// Attestations by their types, `provenance` and `sbom`, with their options.
    pub attestations: BTreeMap<String, String>,
    /// What becomes of the result; without any, it only fills the cache.
    pub outputs: Vec<Output>,
    /// What `RUN --mount=type=secret` sees.
    pub secrets: Vec<Secret>,
    /// What `RUN --mount=type=ssh` reaches.
    pub agents: Vec<Agent>,
    /// What is asked about the build instead of building: `outline`, `targets`, `lint`.
    pub question: Option<String>,
}

/// Where the files to build from are.
#[derive(Default)]
pub enum Files {
    /// There are none.
    #[default]
    Nothing,
    /// A folder of this host's.
    Folder(PathBuf),
    /// An archive, of which as much is read as the engine takes.
    Archive(Box<dyn AsyncRead + Send + Unpin>),
    /// A repository or an archive that the engine fetches.
    Remote(String),
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Self::Archive(_) => f.write_str("Archive"),
            Self::Remote(url) => f.debug_tuple("Remote").field(url).finish(),
        }
    }
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// Its path in files that aren't a folder of this host's; the empty one is the engine's default.
    Within(String),
    /// A file of this host's, in the context or elsewhere. Its own `.dockerignore` is beside it.
    File(PathBuf),
    /// The text itself.
    Text(Bytes),
}

impl Default for Dockerfile {
    fn default() -> Self {
        Self::Within(String::new())
    }
}

/// Further files of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A folder of this host's.
    Folder(PathBuf),
    /// What the engine fetches: `docker-image://alpine`, `https://…`, `target:…`.
    Elsewhere(String),
}

/// A cache that is somewhere else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheEntry {
    /// `registry`, `inline`, `local`, `gha`, …
    pub kind: String,
    /// What it is told.
    pub attributes: BTreeMap<String, String>,
}

/// What becomes of a build's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exporter: `moby`, `image`, `local`, `tar`, `oci`, `docker`.
    pub kind: String,
    /// What it is told.
    pub attributes: BTreeMap<String, String>,
    /// Where what it sends goes.
    pub destination: Destination,
}

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The engine has it, or pushes it.
    Engine,
    /// Below a folder of this host's, which is made; what is in it already stays.
    Folder(PathBuf),
    /// Into an OCI layout in a folder of this host's, which is made; what is in it already stays.
    Layout(PathBuf),
    /// Into a file of this host's.
    File(PathBuf),
    /// To this program's standard output.
    Stdout,
}

/// A secret of a build.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// By what name steps ask for it.
    pub id: String,
    /// It.
    pub value: Bytes,
}

impl fmt::Debug for Secret {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.id)
    }
}

/// An SSH agent of a build.
#[derive(Debug, Clone)]
pub struct Agent {
    /// By what name steps ask for it.
    pub id: String,
    /// Who answers.
    pub source: AgentSource,
}

/// Who answers for an SSH agent.
#[derive(Debug, Clone)]
pub enum AgentSource {
    /// An agent that listens at a socket.
    Socket(PathBuf),
    /// This program, with keys of files.
    Keys(Arc<Keys>),
}
