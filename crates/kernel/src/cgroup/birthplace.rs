//! The v2 directory of a cgroup that is otherwise v1's, made ahead of the rest.
//!
//! A process can only be born in it, for moving one there later takes a lock of the whole host (`CLONE_INTO_CGROUP` of
//! clone3(2)); the other hierarchies are made while the process works already.

use std::path::PathBuf;

use super::{Cgroup, CgroupError, Layout, dir, path::CgroupsPath};

/// What was made of the v2 directory and above it.
#[derive(Debug)]
pub struct Birthplace {
    made: Vec<PathBuf>,
}

impl Cgroup {
    /// Makes the v2 directory of the cgroup on a v1 or hybrid host, with what is missing above it. [`Cgroup::create_in`] finds
    /// it there and makes the rest.
    ///
    /// # Errors
    /// As [`Cgroup::create_in`].
    pub fn make_birthplace(layout: &Layout, cgroups_path: &str) -> Result<Birthplace, CgroupError> {
        let path = CgroupsPath::parse(cgroups_path)?;
        let Some(unified) = &layout.unified else { return Ok(Birthplace { made: Vec::new() }) };
        let made = dir::make_dirs(&unified.mount_point, &path.in_legacy(unified))?;
        Ok(Birthplace { made })
    }
}

impl Birthplace {
    /// Removes what was made, as far as nobody else uses it by now.
    pub fn unmake(self) {
        dir::unmake(&self.made);
    }
}
