//! `build`: how the image of a service is made.

use std::collections::BTreeMap;

use super::{Bytes, Environment, Hosts, Mapping, SecretMount, Ulimit, attribute::attributes};

attributes! {
    /// How the image of a service is built.
    pub struct Build {
        /// The folder with the files to build from (absolute), or a URL.
        context: String,
        /// The Dockerfile, relative to the context.
        dockerfile: String,
        /// The Dockerfile's text itself.
        dockerfile_inline: String,
        /// Extra privileges of the build, such as `network.host`.
        entitlements: Vec<String>,
        /// Values of the Dockerfile's `ARG`s.
        args: Environment,
        /// Whether and how provenance is attested: a boolean's text or BuildKit's options.
        provenance: String,
        /// Whether and how a bill of materials is attested.
        sbom: String,
        /// SSH agents and keys that the build may use.
        ssh: Vec<SshKey>,
        /// Labels of the image.
        labels: Mapping,
        /// Where cached layers come from.
        cache_from: Vec<String>,
        /// Where cached layers go.
        cache_to: Vec<String>,
        /// Nothing is taken from the cache.
        no_cache: bool,
        /// The stages of which nothing is taken from the cache.
        no_cache_filter: Vec<String>,
        /// Further named contexts: folders, images, URLs, or `service:NAME`.
        additional_contexts: Mapping,
        /// Base images are pulled even where they are here.
        pull: bool,
        /// Names in `/etc/hosts` during the build.
        extra_hosts: Hosts,
        /// The isolation technology of the platform.
        isolation: String,
        /// The network of `RUN`.
        network: String,
        /// The stage to build.
        target: String,
        /// Secrets that `RUN --mount=type=secret` sees.
        secrets: Vec<SecretMount>,
        /// The size of `/dev/shm` during the build.
        shm_size: Bytes,
        /// Further names of the image.
        tags: Vec<String>,
        /// Limits of the build's processes.
        ulimits: BTreeMap<String, Ulimit>,
        /// The platforms to build for.
        platforms: Vec<String>,
        /// The build has all privileges.
        privileged: bool,
    }
}

/// One SSH agent of a build: a socket, or keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshKey {
    /// The name by which `RUN --mount=type=ssh,id=…` asks for it.
    pub id: String,
    /// Its socket, or its keys' files with commas between them; empty for the agent of the one who builds.
    pub path: String,
}
