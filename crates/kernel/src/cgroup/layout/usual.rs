//! Finding the hierarchies at the places where every distribution mounts them.
//!
//! /proc/self/mountinfo grows with the mounts of the host, and the kernel takes microseconds to write each line; asking the
//! usual places takes the same few microseconds on every host. Whatever isn't as usual is left to mountinfo.

use std::path::{Path, PathBuf};

use super::{Controllers, Hierarchy, Layout, names};

const TOP: &str = "/sys/fs/cgroup";
/// linux/magic.h
const CGROUP_SUPER_MAGIC: i64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// The layout of a host whose hierarchies are where they usually are; `own` is the text of /proc/self/cgroup. None if one of
/// them isn't.
pub(super) fn find(own: &str) -> Option<Layout> {
    if is(TOP, CGROUP2_SUPER_MAGIC) {
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let unified = hierarchy(TOP.into(), CGROUP2_SUPER_MAGIC, path, Controllers::default(), None)?;
        return Some(Layout { unified: Some(unified), legacy: Vec::new() });
    }
    let mut layout = Layout::default();
    for line in own.lines() {
        let (_, rest) = line.split_once(':')?;
        let (list, path) = rest.split_once(':')?;
        let name = list.strip_prefix("name=");
        let controllers = names(list);
        if list.is_empty() {
            let place = Path::new(TOP).join("unified");
            if is(&place, CGROUP2_SUPER_MAGIC) {
                layout.unified = Some(hierarchy(place, CGROUP2_SUPER_MAGIC, path, controllers, None)?);
            }
        } else if name == Some("systemd") || !controllers.is_empty() {
            let place = Path::new(TOP).join(name.unwrap_or(list));
            let name = name.map(str::to_owned);
            layout.legacy.push(hierarchy(place, CGROUP_SUPER_MAGIC, path, controllers, name)?);
        }
    }
    (!layout.legacy.is_empty()).then_some(layout)
}

fn is(place: impl AsRef<Path>, magic: i64) -> bool {
    rustix::fs::statfs(place.as_ref()).is_ok_and(|about| about.f_type == magic)
}

/// None where no such hierarchy is mounted, or only a part of it, so that the caller's own cgroup isn't found below it.
fn hierarchy(
    mount_point: PathBuf,
    magic: i64,
    path: &str,
    controllers: Controllers,
    name: Option<String>,
) -> Option<Hierarchy> {
    let own = PathBuf::from(path.strip_prefix('/')?);
    let members = mount_point.join(&own).join("cgroup.procs");
    is(members, magic).then_some(Hierarchy { mount_point, own, controllers, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_places_say_what_mountinfo_says() {
        let read = |path| std::fs::read_to_string(path).unwrap();
        let own = read("/proc/self/cgroup");
        let Some(found) = find(&own) else { return };
        let parsed = Layout::parse(&read("/proc/self/mountinfo"), &own);
        let sorted = |layout: &Layout| {
            let mut legacy = layout.legacy.clone();
            legacy.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
            legacy
        };
        assert_eq!(found.unified, parsed.unified);
        assert_eq!(sorted(&found), sorted(&parsed));
    }

    #[test]
    fn a_cgroup_that_is_not_below_the_mount_is_left_to_mountinfo() {
        assert_eq!(find("1:pids:/there/is/none\n0::/there/is/none\n"), None);
        assert_eq!(find(""), None);
    }
}
