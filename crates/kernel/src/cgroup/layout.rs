//! How this host mounts its cgroup hierarchies: v2 alone, v1, or v1 with an empty v2 (hybrid).
//!
//! Read from /proc/self/mountinfo (proc_pid_mountinfo(5)) and /proc/self/cgroup (cgroups(7));
//! reading is apart from parsing, so that every layout is tested on any host.

mod usual;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{CgroupError, Controller, Controllers};
use crate::mount::unescape;

/// Which kind of hierarchy limits are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only cgroup v2.
    Unified,
    /// Only cgroup v1.
    Legacy,
    /// Controllers on cgroup v1, and a v2 hierarchy for grouping.
    Hybrid,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The caller's own cgroup, as a path below the mount point without a leading slash.
    pub own: PathBuf,
    /// Its controllers; none for a named hierarchy and for v2.
    pub controllers: Controllers,
    /// The name of a v1 hierarchy without controllers, as `systemd`.
    pub name: Option<String>,
}

/// All hierarchies of a host that containers are put into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// The v2 hierarchy, if one is mounted.
    pub unified: Option<Hierarchy>,
    /// The v1 hierarchies; empty where v2 has the controllers.
    pub legacy: Vec<Hierarchy>,
}

impl Layout {
    /// Reads this host's layout.
    ///
    /// # Errors
    /// [`CgroupError::Detect`] if /proc can't be read, [`CgroupError::NoHierarchy`] if nothing is mounted.
    pub fn detect() -> Result<Layout, CgroupError> {
        let read = |path: &'static str| {
            fs::read_to_string(path).map_err(|source| CgroupError::Detect { path, source })
        };
        let own = read("/proc/self/cgroup")?;
        if let Some(layout) = usual::find(&own) {
            return Ok(layout);
        }
        let layout = Layout::parse(&read("/proc/self/mountinfo")?, &own);
        if layout.unified.is_none() && layout.legacy.is_empty() {
            return Err(CgroupError::NoHierarchy);
        }
        Ok(layout)
    }

    /// The layout that the texts of /proc/self/mountinfo and /proc/self/cgroup describe.
    ///
    /// A cgroup v2 mounted at /sys/fs/cgroup has the host's controllers, even if somebody mounted a
    /// v1 hierarchy elsewhere (VPN clients do that with `net_cls`).
    #[must_use]
    pub fn parse(mountinfo: &str, own: &str) -> Layout {
        let mut layout = Layout::default();
        let mut seen = Controllers::default();
        for mount in mountinfo.lines().filter_map(Mount::parse) {
            if mount.version2 {
                if layout.unified.is_none() {
                    layout.unified = Some(mount.hierarchy(own, Controllers::default(), None));
                }
                continue;
            }
            let controllers: Controllers =
                names(mount.options).iter().filter(|controller| !seen.contains(*controller)).collect();
            let systemd = mount.options.split(',').any(|option| option == "name=systemd")
                && !layout.legacy.iter().any(|h| h.name.is_some());
            if systemd || !controllers.is_empty() {
                controllers.iter().for_each(|controller| seen.insert(controller));
                let name = systemd.then(|| "systemd".to_owned());
                layout.legacy.push(mount.hierarchy(own, controllers, name));
            }
        }
        let unified_leads = match &layout.unified {
            Some(unified) => unified.mount_point == Path::new("/sys/fs/cgroup") || seen.is_empty(),
            None => false,
        };
        if unified_leads {
            layout.legacy.clear();
        }
        layout
    }

    /// Which kind of layout this is.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match (&self.unified, self.legacy.is_empty()) {
            (_, true) => Mode::Unified,
            (Some(_), false) => Mode::Hybrid,
            (None, false) => Mode::Legacy,
        }
    }
}

/// A cgroup mount of mountinfo.
struct Mount<'a> {
    root: &'a str,
    point: PathBuf,
    options: &'a str,
    version2: bool,
}

impl<'a> Mount<'a> {
    /// `id parent device root point options [tags…] - type source options`; None for other file systems.
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut filesystem = filesystem.split(' ');
        let version2 = match filesystem.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = filesystem.nth(1)?;
        let mut mount = mount.split(' ').skip(3);
        Some(Mount { root: mount.next()?, point: unescape(mount.next()?), options, version2 })
    }

    fn hierarchy(self, own: &str, controllers: Controllers, name: Option<String>) -> Hierarchy {
        let own = own_path(own, self.version2, controllers, name.as_deref()).unwrap_or("/");
        // In a container that sees the host's paths, the mount begins at the container's own cgroup.
        let below = Path::new(own).strip_prefix(self.root).unwrap_or(Path::new(""));
        let below = below.strip_prefix("/").unwrap_or(below);
        Hierarchy { mount_point: self.point, own: below.to_owned(), controllers, name }
    }
}

/// The path in the line of /proc/self/cgroup (`id:controllers:path`) that is about a hierarchy.
fn own_path<'a>(
    text: &'a str,
    version2: bool,
    controllers: Controllers,
    name: Option<&str>,
) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (list, path) = rest.split_once(':')?;
        let matches = match (version2, name) {
            (true, _) => list.is_empty(),
            (false, Some(name)) if controllers.is_empty() => list.strip_prefix("name=") == Some(name),
            (false, _) => names(list).iter().any(|controller| controllers.contains(controller)),
        };
        matches.then_some(path)
    })
}

/// The known controllers of a list with commas.
fn names(list: &str) -> Controllers {
    list.split(',').filter_map(Controller::from_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd
34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory
36 31 0:31 / /mnt/again rw shared:11 - cgroup cgroup rw,cpu,cpuacct
37 31 0:33 / /mnt/mine rw - cgroup cgroup rw,name=mine
";

    #[test]
    fn a_hybrid_host_has_its_controllers_on_version_1() {
        let own = "3:name=systemd:/user\n2:cpu,cpuacct:/\n1:memory:/a/b\n0::/user\n";
        let layout = Layout::parse(HYBRID, own);
        assert_eq!(layout.mode(), Mode::Hybrid);
        let points: Vec<_> = layout.legacy.iter().map(|h| h.mount_point.to_str().unwrap()).collect();
        assert_eq!(
            points,
            ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"],
            "each controller once, even if it is mounted twice"
        );
        assert_eq!(layout.legacy[0].name.as_deref(), Some("systemd"));
        assert_eq!(layout.legacy[0].own, Path::new("user"));
        assert!(layout.legacy[1].controllers.contains(Controller::Cpuacct));
        assert_eq!(layout.legacy[2].own, Path::new("a/b"));
        assert_eq!(layout.unified.unwrap().own, Path::new("user"));
    }

    #[test]
    fn version_2_at_the_usual_place_leads_whatever_else_is_mounted() {
        let mounts = "30 23 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
                      99 23 0:77 / /opt/vpn/net_cls rw - cgroup net_cls rw,net_cls\n";
        let layout = Layout::parse(mounts, "1:net_cls:/\n0::/system.slice/docker.service\n");
        assert_eq!(layout.mode(), Mode::Unified);
        assert_eq!(layout.unified.unwrap().own, Path::new("system.slice/docker.service"));
    }

    #[test]
    fn a_host_without_version_2_is_legacy() {
        let layout = Layout::parse("9 8 0:1 / /cg rw - cgroup none rw,pids\n", "1:pids:/\n");
        assert_eq!(layout.mode(), Mode::Legacy);
    }

    #[test]
    fn inside_a_container_paths_begin_at_its_own_cgroup() {
        let mounts = "9 8 0:1 /docker/abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n";
        let layout = Layout::parse(mounts, "1:pids:/docker/abc/inner\n");
        assert_eq!(layout.legacy[0].own, Path::new("inner"));
    }

    #[test]
    fn escaped_blanks_in_mount_points_are_understood() {
        let layout = Layout::parse("9 8 0:1 / /a\\040b\\134c rw - cgroup2 x rw\n", "0::/\n");
        assert_eq!(layout.unified.unwrap().mount_point, Path::new("/a b\\c"));
    }

    #[test]
    fn odd_lines_are_passed_over() {
        assert_eq!(Layout::parse("\n - \n1 2 - cgroup\nx - cgroup2 a\n", "::\nx\n"), Layout::default());
    }
}
