//! What a test's engine may have left behind in the kernel.

use std::{fs, path::PathBuf};

use crate::{NetworkNamespace, Run};

/// Processes whose command line or environment of files names `mark`, other than this test's own.
pub(crate) fn processes(mark: &str) -> Vec<String> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids =
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| *pid != own);
    pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(mark).then(|| format!("process {pid}: {line}"))
    })
    .collect()
}

/// Mounts of this mount namespace below `mark`.
pub(crate) fn mounts(mark: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter(|line| line.contains(mark)).map(|line| format!("mount {line}")).collect()
}

/// Control groups named after `prefix`, in every hierarchy.
pub(crate) fn cgroups(prefix: &str) -> Vec<String> {
    cgroup_dirs(prefix).iter().map(|dir| format!("cgroup {}", dir.display())).collect()
}

/// Their directories.
pub(crate) fn cgroup_dirs(prefix: &str) -> Vec<PathBuf> {
    let mut hierarchies = vec![PathBuf::from("/sys/fs/cgroup")];
    hierarchies
        .extend(fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path()));
    hierarchies.into_iter().map(|dir| dir.join(prefix)).filter(|dir| dir.exists()).collect()
}

/// Links of this namespace other than its loopback and the kernel's own fallback tunnels.
pub(crate) fn links(netns: &NetworkNamespace) -> Vec<String> {
    let shown = Run::new("/bin/busybox", ["ip", "-o", "link"]).within(netns).ok();
    let own =
        ["lo", "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0"];
    let names = shown
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .map(|name| name.split('@').next().unwrap_or(name).to_owned());
    names.filter(|name| !own.contains(&name.as_str())).map(|name| format!("link {name}")).collect()
}
