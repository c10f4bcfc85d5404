//! Which hierarchies a caller without the host's privileges may make a cgroup in (cgroups(7), "Cgroup delegation").
//!
//! On v1 a hierarchy is delegated by handing over a directory. On v2 the caller must also be inside of what was handed
//! over: a process may only be moved between cgroups whose nearest common parent lets it write `cgroup.procs`.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};

use super::{CgroupError, Hierarchy, Layout, path::CgroupsPath};

impl Layout {
    /// The part of this layout in which the caller can make the cgroup that `cgroups_path` names, and enter it.
    ///
    /// # Errors
    /// [`CgroupError::Path`] for a path that can't be used anywhere.
    pub fn delegated(&self, cgroups_path: &str) -> Result<Layout, CgroupError> {
        let path = CgroupsPath::parse(cgroups_path)?;
        let alone = self.legacy.is_empty();
        let unified = self.unified.as_ref().filter(|hierarchy| {
            // Beside v1 hierarchies the path is taken as it is there.
            let below = if alone { path.in_unified(hierarchy) } else { path.in_legacy(hierarchy) };
            may_make(hierarchy, &below) && may_move(hierarchy, &below)
        });
        let legacy = self.legacy.iter().filter(|hierarchy| may_make(hierarchy, &path.in_legacy(hierarchy)));
        Ok(Layout { unified: unified.cloned(), legacy: legacy.cloned().collect() })
    }

    /// Whether the caller may move a process of its own into the v2 cgroup at `directory`.
    #[must_use]
    pub fn may_enter(&self, directory: &Path) -> bool {
        self.unified.as_ref().is_some_and(|hierarchy| {
            directory.strip_prefix(&hierarchy.mount_point).is_ok_and(|below| may_move(hierarchy, below))
        })
    }

    /// Whether there is no hierarchy.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unified.is_none() && self.legacy.is_empty()
    }
}

/// Whether the nearest directory that exists can be written.
fn may_make(hierarchy: &Hierarchy, below: &Path) -> bool {
    let leaf = hierarchy.mount_point.join(below);
    let existing = leaf.ancestors().find(|path| path.exists());
    existing.is_some_and(|path| path.starts_with(&hierarchy.mount_point) && writable(path))
}

fn may_move(hierarchy: &Hierarchy, below: &Path) -> bool {
    writable(&hierarchy.mount_point.join(common(&hierarchy.own, below)).join("cgroup.procs"))
}

fn common(one: &Path, other: &Path) -> PathBuf {
    one.iter().zip(other).take_while(|(a, b)| a == b).map(|(name, _)| name).collect()
}

fn writable(path: &Path) -> bool {
    rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_common_parent_is_found() {
        assert_eq!(common(Path::new("user/1/app"), Path::new("user/1/web")), Path::new("user/1"));
        assert_eq!(common(Path::new(""), Path::new("web")), Path::new(""));
    }

    #[test]
    fn only_hierarchies_that_can_be_written_remain() {
        let hierarchy = |point: &Path| Hierarchy {
            mount_point: point.to_owned(),
            own: PathBuf::new(),
            controllers: Default::default(),
            name: Some("x".into()),
        };
        let dir = std::env::temp_dir();
        let legacy = vec![hierarchy(&dir), hierarchy(Path::new("/no/such/hierarchy"))];
        let layout = Layout { unified: None, legacy };
        let delegated = layout.delegated("a/b").unwrap();
        assert_eq!(delegated.legacy.len(), 1);
        assert_eq!(delegated.legacy[0].mount_point, dir);
        assert!(layout.delegated("..").is_err());
    }
}
