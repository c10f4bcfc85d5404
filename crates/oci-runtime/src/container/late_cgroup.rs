//! The container's cgroup where the controllers are v1's: made while the container's process makes its mounts.
//!
//! Ten directories, their limits and a dozen rules about devices take a fifth of a start, and the process needs none of them
//! before it enters them. Only the v2 directory has to be there first, for the process is born in it. On a v2 host that is the
//! whole cgroup, so there it is made with its limits before anything runs in it.

use std::{collections::BTreeMap, path::PathBuf};

use minke_kernel::cgroup::{Cgroup, CgroupError, Layout, Mode};
use minke_model::runtime_spec::Linux;

use super::{
    CreateError,
    cgroup::{self, refuse_frozen},
    error::chain,
    undo::Undo,
};

/// What there is of a cgroup when the container's process is made.
#[derive(Default)]
pub(super) struct Begun<'a> {
    /// None where the host has no hierarchy.
    pub(super) layout: Option<Layout>,
    /// All of it, with its limits.
    pub(super) whole: Option<Cgroup>,
    /// What is made later.
    pub(super) rest: Option<LateCgroup<'a>>,
}

/// A cgroup of which no more is made than a process can be born in.
pub(super) struct LateCgroup<'a> {
    layout: Layout,
    path: String,
    linux: &'a Linux,
}

/// Makes what must be there before the process is.
pub(super) fn begin<'a>(
    id: &str,
    linux: &'a Linux,
    undo: &mut Undo,
    announce: impl FnOnce(BTreeMap<String, PathBuf>) -> Result<(), CreateError>,
) -> Result<Begun<'a>, CreateError> {
    let Some((layout, path)) = cgroup::find(id, linux)? else { return Ok(Begun::default()) };
    let planned = Cgroup::planned_paths(&layout, path).map_err(|error| part(&error))?;
    refuse_frozen(&planned, path)?;
    announce(planned)?;
    if layout.mode() == Mode::Unified {
        let whole = cgroup::limit(&layout, path, linux, undo)?;
        return Ok(Begun { layout: Some(layout), whole: Some(whole), rest: None });
    }
    let birthplace = Cgroup::make_birthplace(&layout, path).map_err(|error| part(&error))?;
    undo.add(move || birthplace.unmake());
    let rest = LateCgroup { layout: layout.clone(), path: path.to_owned(), linux };
    Ok(Begun { layout: Some(layout), whole: None, rest: Some(rest) })
}

impl LateCgroup<'_> {
    /// Makes the rest, with its limits.
    pub(super) fn finish(self, undo: &mut Undo) -> Result<Cgroup, CreateError> {
        cgroup::limit(&self.layout, &self.path, self.linux, undo)
    }
}

fn part(error: &CgroupError) -> CreateError {
    CreateError::Part(chain(error))
}
