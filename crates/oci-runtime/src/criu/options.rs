//! What a checkpoint or a restore is asked for (criu(8), and `criu_opts` in its `images/rpc.proto`).

use std::path::PathBuf;

use super::wire::Writer;

/// The options of both commands; each uses its own.
#[derive(Debug, Default)]
pub struct CriuOptions {
    /// Where the images are, or go.
    pub images: PathBuf,
    /// Where logs and temporary files go; the images' directory otherwise.
    pub work: Option<PathBuf>,
    /// The images of an earlier pre-dump, relative to `images`.
    pub parent: Option<String>,
    /// Let the container run on.
    pub leave_running: bool,
    /// Established TCP connections are allowed.
    pub tcp_established: bool,
    /// TCP connections that are being made are left out.
    pub tcp_skip_in_flight: bool,
    /// Deleted files get a name again.
    pub link_remap: bool,
    /// Unix sockets with a peer outside are allowed.
    pub ext_unix_sk: bool,
    /// Terminals of the caller's are allowed.
    pub shell_job: bool,
    /// File locks are kept.
    pub file_locks: bool,
    /// Only memory, and the container runs on.
    pub pre_dump: bool,
    /// Memory that is in the parent images too is dropped there.
    pub auto_dedup: bool,
    /// Memory is fetched when it is used.
    pub lazy_pages: bool,
    /// A descriptor that gets a zero byte once lazy pages are served.
    pub status_fd: Option<i32>,
    /// Where a page server listens.
    pub page_server: Option<(String, u16)>,
    /// What happens with cgroups.
    pub cgroups: CgroupsMode,
    /// The security module's profile for the restored processes.
    pub lsm_profile: Option<String>,
    /// The security module's context for mounts.
    pub lsm_mount_context: Option<String>,
}

/// How criu treats cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CgroupsMode {
    /// Not at all.
    Ignore,
    /// Those that exist keep their settings.
    Soft,
    /// All settings are written.
    Full,
    /// None may exist.
    Strict,
    /// As criu sees fit, which is soft.
    #[default]
    Default,
}

impl CgroupsMode {
    /// The mode of this name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::Default),
            "ignore" => Some(Self::Ignore),
            "soft" => Some(Self::Soft),
            "full" => Some(Self::Full),
            "strict" => Some(Self::Strict),
            _ => None,
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Ignore => 0,
            Self::Soft => 3,
            Self::Full => 4,
            Self::Strict => 5,
            Self::Default => 6,
        }
    }
}

/// What the container decides.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) images_fd: i32,
    pub(crate) work_fd: Option<i32>,
    pub(crate) log_file: &'static str,
    pub(crate) root: String,
    pub(crate) pid: Option<i32>,
    pub(crate) freeze_cgroup: Option<String>,
    /// Mounts of the host's, by their place in the container.
    pub(crate) external_mounts: Vec<(String, String)>,
    /// Namespaces and the like that are not the container's.
    pub(crate) external: Vec<String>,
    /// Namespaces to join, by kind and path.
    pub(crate) join_namespaces: Vec<(String, String)>,
    /// Descriptors that criu hands to the restored processes, by what they were.
    pub(crate) inherited: Vec<(String, i32)>,
    /// Where the container's cgroups are now, by controller.
    pub(crate) cgroup_roots: Vec<(String, String)>,
    pub(crate) config_file: Option<String>,
    /// Kinds of namespaces (`CLONE_NEW…`) that are made but not filled.
    pub(crate) empty_namespaces: u32,
    pub(crate) restore: bool,
}

const LOG_LEVEL: i64 = 4;

/// criu holds connections back by iptables unless it is told otherwise; hosts with nftables need not have
/// that.
const NFTABLES: i64 = 2;

fn has_iptables() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join("iptables-restore").exists())
}

/// Writes `criu_opts`.
pub(super) fn write(options: &CriuOptions, details: &Details, to: &mut Writer) {
    let pair = |to: &mut Writer, field, key: &str, value: &str| {
        to.message(field, |message| {
            message.text(1, key);
            message.text(2, value);
        });
    };
    to.number(1, details.images_fd.into());
    to.maybe(2, details.pid.map(Into::into));
    to.bool(3, options.leave_running);
    to.bool(4, options.ext_unix_sk);
    to.bool(5, options.tcp_established);
    to.bool(6, details.restore);
    to.bool(7, options.shell_job);
    to.bool(8, options.file_locks);
    to.number(9, LOG_LEVEL);
    to.text(10, details.log_file);
    if let Some((address, port)) = &options.page_server {
        to.message(11, |message| {
            message.text(1, address);
            message.number(2, (*port).into());
        });
    }
    to.bool(12, true);
    to.text(13, &details.root);
    if let Some(parent) = &options.parent {
        to.text(14, parent);
        to.bool(15, true);
    } else if options.pre_dump {
        to.bool(15, true);
    }
    to.bool(16, options.auto_dedup);
    to.maybe(17, details.work_fd.map(Into::into));
    to.bool(18, options.link_remap);
    for (key, value) in &details.external_mounts {
        pair(to, 23, key, value);
    }
    to.bool(24, true);
    for (controller, path) in &details.cgroup_roots {
        pair(to, 25, controller, path);
    }
    to.bool(26, details.restore);
    for (key, fd) in &details.inherited {
        to.message(27, |message| {
            message.text(1, key);
            message.number(2, (*fd).into());
        });
    }
    to.number(34, options.cgroups.number());
    for external in &details.external {
        to.text(37, external);
    }
    to.number(38, details.empty_namespaces.into());
    for (kind, path) in &details.join_namespaces {
        pair(to, 39, kind, path);
    }
    if let Some(path) = &details.freeze_cgroup {
        to.text(44, path);
    }
    to.bool(46, options.tcp_skip_in_flight);
    to.bool(48, options.lazy_pages);
    to.bool(50, true);
    if !has_iptables() {
        to.number(64, NFTABLES);
    }
    for (field, text) in
        [(51, &details.config_file), (53, &options.lsm_profile), (63, &options.lsm_mount_context)]
    {
        if let Some(text) = text {
            to.text(field, text);
        }
    }
}
