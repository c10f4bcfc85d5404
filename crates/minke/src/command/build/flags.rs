//! The flags of `build`: those of `docker buildx build`, and those of the classic `docker build` that BuildKit hasn't.

use std::path::PathBuf;

use clap::Parser;
use minke_model::quantity;

use super::shown::Mode;

/// Flags of `build`.
#[derive(Debug, Parser)]
pub(crate) struct Build {
    /// Add a custom host-to-IP mapping ("host:ip")
    #[arg(long, value_name = "strings")]
    pub(super) add_host: Vec<String>,
    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure")
    #[arg(long, value_name = "list")]
    pub(super) allow: Vec<String>,
    /// Add annotation to the image
    #[arg(long, value_name = "list")]
    pub(super) annotation: Vec<String>,
    /// Attestation parameters (format: "type=sbom,generator=image")
    #[arg(long, value_name = "list")]
    pub(super) attest: Vec<String>,
    /// Set build-time variables
    #[arg(long, value_name = "list")]
    pub(super) build_arg: Vec<String>,
    /// Additional build contexts (e.g., name=path)
    #[arg(long, value_name = "list")]
    pub(super) build_context: Vec<String>,
    /// The builder; an engine has one, called as its context or "default"
    #[arg(long, value_name = "string")]
    pub(super) builder: Option<String>,
    /// External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")
    #[arg(long, value_name = "list")]
    pub(super) cache_from: Vec<String>,
    /// Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")
    #[arg(long, value_name = "list")]
    pub(super) cache_to: Vec<String>,
    /// Set method for evaluating build ("check", "outline", "targets")
    #[arg(long, value_name = "string", default_value = "build", alias = "print")]
    pub(super) call: String,
    /// Set the parent cgroup for the "RUN" instructions during build
    #[arg(long, value_name = "string")]
    pub(super) cgroup_parent: Option<String>,
    /// Shorthand for "--call=check"
    #[arg(long)]
    pub(super) check: bool,
    /// Compress the build context, of which only what is needed is sent
    #[arg(long, hide = true)]
    compress: bool,
    /// Limit the CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int")]
    pub(super) cpu_period: Option<i64>,
    /// Limit the CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int")]
    pub(super) cpu_quota: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int")]
    pub(super) cpu_shares: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub(super) cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub(super) cpuset_mems: Option<String>,
    /// Skip image verification, which isn't done
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: Option<bool>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    pub(super) file: Option<PathBuf>,
    /// Remove intermediate containers in any case, which is always so
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Write the image ID to a file
    #[arg(long, value_name = "string")]
    pub(super) iidfile: Option<PathBuf>,
    /// Container isolation technology; Linux has its default one
    #[arg(long, value_name = "string", hide = true)]
    pub(super) isolation: Option<String>,
    /// Set metadata for an image
    #[arg(long, value_name = "list")]
    pub(super) label: Vec<String>,
    /// Shorthand for "--output=type=docker"
    #[arg(long)]
    pub(super) load: bool,
    /// Memory limit of each step
    #[arg(short, long, value_name = "bytes", value_parser = quantity::parse_bytes)]
    pub(super) memory: Option<i64>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = memory_and_swap)]
    pub(super) memory_swap: Option<i64>,
    /// Write build result metadata to a file
    #[arg(long, value_name = "string")]
    pub(super) metadata_file: Option<PathBuf>,
    /// Set the networking mode for the "RUN" instructions during build
    #[arg(long, value_name = "string")]
    pub(super) network: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    pub(super) no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "list", value_delimiter = ',')]
    pub(super) no_cache_filter: Vec<String>,
    /// Output destination (format: "type=local,dest=path")
    #[arg(short, long, value_name = "list")]
    pub(super) output: Vec<String>,
    /// Set target platform for build
    #[arg(
        long,
        value_name = "list",
        value_delimiter = ',',
        env = "DOCKER_DEFAULT_PLATFORM",
        hide_env = true
    )]
    pub(super) platform: Vec<String>,
    /// Set type of progress output ("auto", "plain", "tty", "quiet", "rawjson")
    #[arg(long, value_name = "string", default_value = "auto")]
    pub(super) progress: Mode,
    /// Shorthand for "--attest=type=provenance"
    #[arg(long, value_name = "string")]
    pub(super) provenance: Option<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pub(super) pull: bool,
    /// Shorthand for "--output=type=registry"
    #[arg(long)]
    pub(super) push: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Remove intermediate containers after a successful build, which is always so
    #[arg(long, hide = true)]
    rm: bool,
    /// Shorthand for "--attest=type=sbom"
    #[arg(long, value_name = "string")]
    pub(super) sbom: Option<String>,
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
    #[arg(long, value_name = "list")]
    pub(super) secret: Vec<String>,
    /// Security options of Windows
    #[arg(long, value_name = "strings", hide = true)]
    pub(super) security_opt: Vec<String>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "bytes", value_parser = quantity::parse_bytes)]
    pub(super) shm_size: Option<i64>,
    /// Squash newly built layers into one
    #[arg(long, hide = true)]
    pub(super) squash: bool,
    /// SSH agents, or keys of files, to expose to the build.
    #[arg(
        long,
        value_name = "list",
        help = r#"SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")"#
    )]
    pub(super) ssh: Vec<String>,
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long, value_name = "list")]
    pub(super) tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    pub(super) target: Option<String>,
    /// Ulimit options
    #[arg(long, value_name = "list")]
    pub(super) ulimit: Vec<String>,
    /// A directory, a URL, or - for an archive or a Dockerfile on standard input
    pub(super) context: String,
}

impl Build {
    /// The first flag that only the classic way knows.
    pub(super) fn only_classic(&self) -> Option<&'static str> {
        let given = [
            (self.cpu_period.is_some(), "--cpu-period"),
            (self.cpu_quota.is_some(), "--cpu-quota"),
            (self.cpu_shares.is_some(), "--cpu-shares"),
            (self.cpuset_cpus.is_some(), "--cpuset-cpus"),
            (self.cpuset_mems.is_some(), "--cpuset-mems"),
            (self.memory.is_some(), "--memory"),
            (self.memory_swap.is_some(), "--memory-swap"),
        ];
        first(&given)
    }

    /// The first flag that only BuildKit knows.
    pub(super) fn only_buildkit(&self) -> Option<&'static str> {
        let some = |list: &[String]| !list.is_empty();
        let given = [
            (some(&self.annotation), "--annotation"),
            (some(&self.attest), "--attest"),
            (some(&self.build_context), "--build-context"),
            (self.cache_from.iter().any(|text| text.contains("type=local")), "--cache-from type=local"),
            (some(&self.cache_to), "--cache-to"),
            (self.call != "build" && self.call != "check", "--call"),
            (some(&self.output), "--output"),
            (self.platform.len() > 1, "--platform with several"),
            (self.provenance.as_deref().is_some_and(is_on), "--provenance"),
            (self.push, "--push"),
            (self.sbom.as_deref().is_some_and(is_on), "--sbom"),
            (some(&self.secret), "--secret"),
            (some(&self.ssh), "--ssh"),
        ];
        first(&given)
    }

    /// What can't be had of what docker's flags ask for, and what to do instead.
    pub(super) fn refused(&self) -> Option<&'static str> {
        let isolation = self.isolation.as_deref().unwrap_or_default();
        let asked = [
            (self.squash, "--squash: not supported; copy what is to stay into a last stage FROM scratch"),
            (
                !self.security_opt.is_empty(),
                "--security-opt: no engine on Linux takes security options for builds",
            ),
            (!matches!(isolation, "" | "default"), "--isolation: Linux has no isolation but its default one"),
        ];
        first(&asked)
    }

    /// What is asked about the build instead of it.
    pub(super) fn question(&self) -> &str {
        if self.check { "check" } else { &self.call }
    }
}

fn first(given: &[(bool, &'static str)]) -> Option<&'static str> {
    given.iter().find(|(is_given, _)| *is_given).map(|(_, flag)| *flag)
}

/// Whether an attestation's flag asks for one.
pub(super) fn is_on(value: &str) -> bool {
    !matches!(value, "" | "0" | "false")
}

fn memory_and_swap(text: &str) -> Result<i64, quantity::QuantityError> {
    if text == "-1" { Ok(-1) } else { quantity::parse_bytes(text) }
}
