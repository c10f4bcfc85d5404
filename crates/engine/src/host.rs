//! Facts about this host and this process that don't change while the engine runs; read once when it opens.

use std::{fs, io};

use minke_kernel::{caps, cgroup};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::spec::{
    Facts,
    capabilities::Mask,
    limits::HardLimits,
    resources::{HostResources, cpuset},
    seccomp::kernel_version,
};

/// Everything the engine needs to know about where it runs.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) facts: Facts,
    /// The kernel's release, `uname -r`.
    pub(crate) kernel: String,
    /// The host's name, `uname -n`.
    pub(crate) name: String,
    /// Go's name of the operating system's distribution, `PRETTY_NAME` of os-release(5).
    pub(crate) distribution: String,
    /// `VERSION_ID` of os-release(5).
    pub(crate) distribution_version: String,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// This boot's identity.
    pub(crate) boot: String,
    /// Where cgroups are.
    pub(crate) cgroups: cgroup::Layout,
}

/// Takes as many open files as this process may have: each container of a user-defined network costs three, and shells and
/// service managers give 1,024 unless asked for more. What containers inherit stays as it was ([`Facts::open_files`]).
pub(crate) fn take_all_open_files(given: Rlimit) {
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, ..given }) {
        tracing::warn!(%error, "raise the limit of open files");
    }
}

impl Host {
    /// Reads them.
    ///
    /// # Errors
    /// When /proc or the cgroup file systems can't be read.
    pub(crate) fn read() -> io::Result<Self> {
        let uname = rustix::system::uname();
        let kernel = uname.release().to_string_lossy().into_owned();
        let cgroups = cgroup::Layout::detect().map_err(io::Error::other)?;
        let capabilities = Mask(caps::permitted()?);
        let os_release =
            fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
        let os_release = os_release.unwrap_or_default();
        let hard_limits = match capabilities.lacks_sys_resource() {
            true => HardLimits::parse(&fs::read_to_string("/proc/self/limits")?),
            false => HardLimits::default(),
        };
        let facts = Facts {
            resources: HostResources {
                cpus: online_cpus(&fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default()),
                unified: cgroups.mode() == cgroup::Mode::Unified,
            },
            capabilities,
            hard_limits,
            open_files: getrlimit(Resource::Nofile),
            architecture: go_architecture(),
            kernel: kernel_version(&kernel).unwrap_or((5, 10)),
            oom_score_adj: fs::read_to_string("/proc/self/oom_score_adj")?.trim().parse().unwrap_or(0),
        };
        Ok(Self {
            facts,
            kernel,
            name: uname.nodename().to_string_lossy().into_owned(),
            distribution: os_field(&os_release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
            distribution_version: os_field(&os_release, "VERSION_ID").unwrap_or_default(),
            memory: total_memory(&fs::read_to_string("/proc/meminfo")?),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            cgroups,
        })
    }
}

/// Go's name of the architecture that this program was built for.
pub(crate) fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// How many CPUs a list like `0-3,8` has.
fn online_cpus(list: &str) -> usize {
    let ranges = cpuset(list.trim()).unwrap_or_default();
    ranges.into_iter().map(Iterator::count).sum::<usize>().max(1)
}

fn total_memory(meminfo: &str) -> u64 {
    let kilobytes = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    kilobytes.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn os_field(os_release: &str, key: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!([online_cpus("0-1\n"), online_cpus("0,2-3"), online_cpus("")], [2, 3, 1]);
    }

    #[test]
    fn os_release_is_read_with_and_without_quotes() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=12\n";
        assert_eq!(os_field(text, "PRETTY_NAME").unwrap(), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(os_field(text, "VERSION_ID").unwrap(), "12");
        assert_eq!(total_memory("MemTotal:       10 kB\n"), 10_240);
    }

    #[test]
    fn this_host_can_be_read() {
        let host = Host::read().unwrap();
        assert!(host.memory > 0 && host.boot.len() == 36 && host.facts.kernel >= (5, 0));
    }
}
