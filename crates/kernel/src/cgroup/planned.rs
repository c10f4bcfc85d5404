//! Where a cgroup will be, before it is made: who writes this down first can remove what a killed maker left.

use std::{collections::BTreeMap, path::PathBuf};

use super::{Cgroup, CgroupError, Layout, Mode, path::CgroupsPath};

impl Cgroup {
    /// The [`paths`](Cgroup::paths) that [`create_in`](Cgroup::create_in) will give.
    ///
    /// # Errors
    /// [`CgroupError::Path`].
    pub fn planned_paths(
        layout: &Layout,
        cgroups_path: &str,
    ) -> Result<BTreeMap<String, PathBuf>, CgroupError> {
        let path = CgroupsPath::parse(cgroups_path)?;
        let mut planned = BTreeMap::new();
        if let Some(unified) = &layout.unified {
            let below = match layout.mode() {
                Mode::Unified => path.in_unified(unified),
                Mode::Legacy | Mode::Hybrid => path.in_legacy(unified),
            };
            planned.insert(String::new(), unified.mount_point.join(below));
        }
        if layout.mode() == Mode::Unified {
            return Ok(planned);
        }
        for hierarchy in &layout.legacy {
            let place = hierarchy.mount_point.join(path.in_legacy(hierarchy));
            let names = hierarchy.controllers.iter().map(|controller| controller.name().to_owned());
            let names = names.chain(hierarchy.name.as_ref().map(|name| format!("name={name}")));
            planned.extend(names.map(|name| (name, place.clone())));
        }
        Ok(planned)
    }
}
