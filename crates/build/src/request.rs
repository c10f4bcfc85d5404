//! What a client asks for: the options of `docker build`, the same through every door.

use std::{collections::BTreeMap, fmt, sync::Arc};

use minke_model::Digest;

use crate::{Attest, Client, Context, Invocation, Output, images::BaseImage};

/// One build.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// The Dockerfile itself, byte for byte; `None` reads it from the context by `dockerfile`'s name.
    pub dockerfile_text: Option<Vec<u8>>,
    /// The Dockerfile's name: in the context, and in messages. Empty is `Dockerfile`.
    pub dockerfile: String,
    /// `--target`: a stage's name or number; empty is the last.
    pub target: String,
    /// `--build-arg`; `None` is an argument without a value, which unsets its default.
    pub args: BTreeMap<String, Option<String>>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--tag`, as written.
    pub tags: Vec<String>,
    /// `--platform`, in order; empty is the host's.
    pub platforms: Vec<String>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`: names of stages.
    pub no_cache_filter: Vec<String>,
    /// `--pull`: ask the registry even for images that are here.
    pub pull: bool,
    /// `--cache-from`.
    pub cache_from: Vec<CacheEndpoint>,
    /// `--cache-to`.
    pub cache_to: Vec<CacheEndpoint>,
    /// `--output`; empty puts the image into the engine's store.
    pub outputs: Vec<Output>,
    /// `--build-context`.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// `--network`.
    pub network: NetworkMode,
    /// `--add-host`, each `name:address`.
    pub extra_hosts: Vec<String>,
    /// `--shm-size`, bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`, each `name=soft[:hard]`.
    pub ulimits: Vec<String>,
    /// `--cgroup-parent`.
    pub cgroup_parent: String,
    /// `--memory` and its relatives of the classic builder.
    pub limits: ResourceLimits,
    /// `SOURCE_DATE_EPOCH`: no time later than this in the image, seconds since 1970. Set when the argument of that name is.
    pub source_date_epoch: Option<i64>,
    /// `--allow`: `network.host`, `security.insecure`, each granted by client and engine.
    pub entitlements: Vec<String>,
    /// `--check`: only lint.
    pub check_only: bool,
    /// `--squash` of the classic builder.
    pub squash: bool,
    /// The name of the git or http context, if the main context is to be fetched by the engine (`docker build URL`).
    pub remote: Option<String>,
    /// The hostname in steps; empty is the engine's choice.
    pub hostname: String,
    /// `--attest`.
    pub attest: Attest,
    /// The same in the client's own words.
    pub invocation: Invocation,
}

impl BuildRequest {
    /// Whether a repository that is the main context has its `.git`: the argument `BUILDKIT_CONTEXT_KEEP_GIT_DIR`.
    pub fn keeps_git_dir(&self) -> Option<bool> {
        let value = self.args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR")?.as_deref()?;
        matches!(value, "1" | "true" | "TRUE" | "True" | "t" | "T").then_some(true)
    }
}

/// Files or an image under a name of the request's.
#[derive(Clone)]
pub enum NamedContext {
    /// Files.
    Files(Arc<dyn Context>),
    /// `docker-image://reference`.
    Image(String),
    /// `oci-layout://store@digest`: an image in a directory of the client's.
    Layout {
        /// The directory's name at the client.
        store: String,
        /// Its index or manifest.
        digest: Digest,
    },
    /// A git repository or an archive that the engine fetches.
    Url(String),
    /// What another build comes to.
    Build(Arc<LinkedBuild>),
    /// What another build came to.
    Built(Built),
}

/// What a build came to, to be built on.
#[derive(Debug, Clone)]
pub struct Built(pub(crate) BaseImage);

impl NamedContext {
    /// Whether it is the image that has nothing.
    pub(crate) fn is_scratch(&self) -> bool {
        matches!(self, Self::Image(name) if name == "scratch")
    }
}

/// A build that another is built on.
#[derive(Clone)]
pub struct LinkedBuild {
    /// What is asked for; its outputs and where its cache goes don't matter.
    pub request: BuildRequest,
    /// What its client has.
    pub client: Client,
}

impl fmt::Debug for NamedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(context) => f.debug_tuple("Files").field(&context.name()).finish(),
            Self::Image(reference) => f.debug_tuple("Image").field(reference).finish(),
            Self::Layout { store, digest } => {
                f.debug_struct("Layout").field("store", store).field("digest", digest).finish()
            }
            Self::Url(url) => f.debug_tuple("Url").field(url).finish(),
            Self::Build(build) => f.debug_tuple("Build").field(&build.request).finish(),
            Self::Built(built) => f.debug_tuple("Built").field(&built.0.title).finish(),
        }
    }
}

/// Where cached steps come from or go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEndpoint {
    /// `registry`, `inline`, `local`.
    pub kind: String,
    /// `ref`, `mode`, `src`, `dest` …
    pub attributes: BTreeMap<String, String>,
}

/// The network of RUN steps that say nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// The engine's default bridge.
    #[default]
    Default,
    /// Loopback alone.
    None,
    /// The host's; needs the entitlement in BuildKit, not in the classic builder.
    Host,
    /// `container:<name>` or a network's name.
    Named(String),
}

/// Limits of each step's container; 0 and empty are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Bytes.
    pub memory: i64,
    /// Bytes of memory and swap together; -1 is no limit.
    pub memory_swap: i64,
    /// Relative weight.
    pub cpu_shares: i64,
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds in each period.
    pub cpu_quota: i64,
    /// Which processors.
    pub cpuset_cpus: String,
    /// Which memory nodes.
    pub cpuset_mems: String,
}
