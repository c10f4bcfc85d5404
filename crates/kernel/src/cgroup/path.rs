//! What a `cgroupsPath` of the runtime specification names, checked before anything is made from it.

use std::path::{Path, PathBuf};

use super::{CgroupError, layout::Hierarchy};

/// A checked path; it names something below a hierarchy's root and can't leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CgroupsPath {
    /// From the hierarchy's root.
    Absolute(PathBuf),
    /// From the caller's own cgroup.
    Relative(PathBuf),
}

impl CgroupsPath {
    pub(super) fn parse(path: &str) -> Result<CgroupsPath, CgroupError> {
        let fault = |reason| CgroupError::Path { path: path.to_owned(), reason };
        let mut below = PathBuf::new();
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if name == ".." {
                return Err(fault("it must not contain '..'"));
            }
            if name.bytes().any(|byte| byte == 0 || byte == b'\n') {
                return Err(fault("its names must not contain line breaks or zero bytes"));
            }
            below.push(name);
        }
        match below.as_os_str().is_empty() {
            true => Err(fault("it names the hierarchy's root")),
            false if path.starts_with('/') => Ok(CgroupsPath::Absolute(below)),
            false => Ok(CgroupsPath::Relative(below)),
        }
    }

    /// Where this is in a v1 hierarchy, below its mount point.
    pub(super) fn in_legacy(&self, hierarchy: &Hierarchy) -> PathBuf {
        match self {
            CgroupsPath::Absolute(path) => path.clone(),
            CgroupsPath::Relative(path) => hierarchy.own.join(path),
        }
    }

    /// Where this is in a v2 hierarchy, below its mount point. A relative path is next to the caller's
    /// own cgroup and not in it: a v2 cgroup with processes can't give controllers to its children.
    pub(super) fn in_unified(&self, hierarchy: &Hierarchy) -> PathBuf {
        match self {
            CgroupsPath::Absolute(path) => path.clone(),
            CgroupsPath::Relative(path) => hierarchy.own.parent().unwrap_or(Path::new("")).join(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(own: &str) -> Hierarchy {
        Hierarchy { mount_point: "/cg".into(), own: own.into(), controllers: Default::default(), name: None }
    }

    #[test]
    fn absolute_paths_begin_at_the_hierarchys_root() {
        let path = CgroupsPath::parse("/docker//./x/").unwrap();
        assert_eq!(path.in_legacy(&hierarchy("own")), Path::new("docker/x"));
        assert_eq!(path.in_unified(&hierarchy("own")), Path::new("docker/x"));
    }

    #[test]
    fn relative_paths_begin_at_the_callers_cgroup() {
        let path = CgroupsPath::parse("x").unwrap();
        assert_eq!(path.in_legacy(&hierarchy("own")), Path::new("own/x"));
        assert_eq!(path.in_unified(&hierarchy("a/own")), Path::new("a/x"));
        assert_eq!(path.in_unified(&hierarchy("")), Path::new("x"));
    }

    #[test]
    fn paths_that_leave_or_name_the_root_are_refused() {
        for path in ["", "/", ".", "/a/../b", "..", "a\nb", "a\0b"] {
            assert!(matches!(CgroupsPath::parse(path), Err(CgroupError::Path { .. })), "{path:?}");
        }
    }
}
