//! The cgroup v2 driver: one directory, whose parents hand controllers down (admin-guide/cgroup-v2.rst).

mod bpf;
mod cpu;
mod cpuset;
mod devices;
pub(super) mod freezer;
mod hugetlb;
mod io;
mod memory;
mod pids;
mod rdma;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use minke_model::runtime_spec::Resources;
use rustix::process::Pid;

pub use self::cpu::weight_from_shares;

use super::{
    CgroupError, Controller, Driver, Hierarchy, Stats,
    dir::{self, Dir},
    members,
    path::CgroupsPath,
    setting::{self, Earlier, Setting},
};

/// A container's cgroup on a v2 host.
#[derive(Debug)]
pub(super) struct Group {
    dir: Dir,
}

/// Controllers that limits need. Others stay off: each one costs memory and time in every cgroup.
const WANTED: [Controller; 8] = [
    Controller::Cpu,
    Controller::Cpuset,
    Controller::Memory,
    Controller::Blkio,
    Controller::Pids,
    Controller::Hugetlb,
    Controller::Rdma,
    Controller::Misc,
];

impl Group {
    pub(super) fn create(hierarchy: &Hierarchy, path: &CgroupsPath) -> Result<Group, CgroupError> {
        let below = path.in_unified(hierarchy);
        let leaf = hierarchy.mount_point.join(&below);
        let made = dir::make_dirs(&hierarchy.mount_point, &below)?;
        let result = hand_down(&hierarchy.mount_point, &below).and_then(|()| Group::open(leaf));
        if result.is_err() {
            dir::unmake(&made);
        }
        result
    }

    pub(super) fn open(path: PathBuf) -> Result<Group, CgroupError> {
        match Dir::open(path.clone()) {
            Ok(dir) => Ok(Group { dir }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(CgroupError::Missing { path }),
            Err(source) => Err(CgroupError::Io { action: "open", path, source }),
        }
    }
}

/// Enables the wanted controllers from the root down to the parent of `below`.
///
/// A parent with processes of its own refuses; whether that matters shows when a limit is set, which
/// then names the controller.
fn hand_down(root: &Path, below: &Path) -> Result<(), CgroupError> {
    let open = |path: &Path| {
        Dir::open(path.to_owned()).map_err(|source| CgroupError::Io {
            action: "open",
            path: path.to_owned(),
            source,
        })
    };
    let top = open(root)?;
    let available = top.read_named("cgroup.controllers")?;
    let parent = below.parent().unwrap_or(Path::new(""));
    // The usual case: the first container under this parent has done it all.
    if missing(&available, &open(&root.join(parent))?.read_named("cgroup.subtree_control")?).is_empty() {
        return Ok(());
    }
    let mut path = root.to_owned();
    enable(&top)?;
    for name in parent {
        path.push(name);
        enable(&open(&path)?)?;
    }
    Ok(())
}

fn enable(dir: &Dir) -> Result<(), CgroupError> {
    let missing = missing(&dir.read_named("cgroup.controllers")?, &dir.read_named("cgroup.subtree_control")?);
    if missing.is_empty() || dir.write("cgroup.subtree_control", &missing.join(" ")).is_ok() {
        return Ok(());
    }
    for controller in missing {
        // One that can't be enabled here (real-time tasks and cpu, for one) is missed only by those who
        // set it.
        let _refused = dir.write("cgroup.subtree_control", &controller);
    }
    Ok(())
}

/// What `cgroup.subtree_control` must be told: wanted and available, but not enabled.
fn missing(available: &str, enabled: &str) -> Vec<String> {
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let names = WANTED.iter().map(|controller| controller.unified_name());
    names.filter(|name| has(available, name) && !has(enabled, name)).map(|name| format!("+{name}")).collect()
}

/// The settings of the `unified` map: file names of this directory and their content.
fn unified(map: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, CgroupError> {
    let entry = |(file, value): (&String, &String)| match file.is_empty() || file.contains(['/', '\0']) {
        false => Ok((file.clone(), value.clone())),
        true => Err(CgroupError::Invalid {
            field: "unified",
            value: file.clone(),
            reason: "is no name of a file in a cgroup directory",
        }),
    };
    map.iter().map(entry).collect()
}

impl Group {
    fn settings(&self, resources: &Resources) -> Result<Vec<Setting>, CgroupError> {
        let mut settings = Vec::new();
        settings.extend(pids::settings(resources.pids.as_ref()));
        settings.extend(memory::settings(resources.memory.as_ref())?);
        settings.extend(io::settings(resources.block_io.as_ref())?);
        settings.extend(cpu::settings(resources.cpu.as_ref(), &self.dir)?);
        settings.extend(cpuset::settings(resources.cpu.as_ref()));
        settings.extend(hugetlb::settings(&resources.hugepage_limits)?);
        settings.extend(rdma::settings(&resources.rdma));
        Ok(settings)
    }

    /// Where the files of `controller` are, if it is enabled; the listing is read at most once per `apply`.
    fn enabled(&self) -> Result<String, CgroupError> {
        self.dir.read_named("cgroup.controllers")
    }

    fn apply_unified(&self, map: &BTreeMap<String, String>, enabled: &str) -> Result<(), CgroupError> {
        for (file, value) in unified(map)? {
            let family = file.split('.').next().unwrap_or_default();
            let controller = WANTED.iter().find(|c| c.unified_name() == family);
            self.dir.write(&file, &value).map_err(|source| {
                let field = format!("unified[{file:?}]");
                let path = self.dir.path().join(&file);
                match controller {
                    Some(controller) if !lists(enabled, *controller) => {
                        CgroupError::NoController { field, controller: *controller }
                    }
                    _ => CgroupError::Write { field, value, path, source },
                }
            })?;
        }
        Ok(())
    }
}

fn lists(enabled: &str, controller: Controller) -> bool {
    enabled.split_whitespace().any(|name| name == controller.unified_name())
}

impl Driver for Group {
    fn paths(&self) -> BTreeMap<String, PathBuf> {
        BTreeMap::from([(String::new(), self.dir.path().to_owned())])
    }

    fn directory(&self) -> Option<BorrowedFd<'_>> {
        Some(self.dir.fd())
    }

    fn add_process(&self, pid: Pid) -> Result<(), CgroupError> {
        members::add(&self.dir, pid)
    }

    fn apply(&self, resources: &Resources, earlier: Earlier) -> Result<(), CgroupError> {
        if resources.network.as_ref().is_some_and(|n| n.class_id.is_some() || !n.priorities.is_empty()) {
            return Err(CgroupError::Unsupported { field: "network", version: "v2" });
        }
        let settings = self.settings(resources)?;
        if let Some(memory) = &resources.memory {
            memory::check(memory, &self.dir)?;
        }
        if !settings.is_empty() || !resources.unified.is_empty() {
            let enabled = self.enabled()?;
            let dir_of = |controller| lists(&enabled, controller).then_some(&self.dir);
            setting::write_all(settings, dir_of, earlier)?;
            self.apply_unified(&resources.unified, &enabled)?;
        }
        devices::apply(&resources.devices, &self.dir)
    }

    fn freeze(&self) -> Result<(), CgroupError> {
        freezer::freeze(&self.dir)
    }

    fn thaw(&self) -> Result<(), CgroupError> {
        freezer::thaw(&self.dir)
    }

    fn is_frozen(&self) -> Result<bool, CgroupError> {
        freezer::is_frozen(&self.dir)
    }

    fn pids(&self) -> Result<Vec<Pid>, CgroupError> {
        members::pids(&self.dir)
    }

    fn kill_all(&self) -> Result<(), CgroupError> {
        if !self.dir.has("cgroup.events") {
            return match self.dir.has("cgroup.procs") {
                // Only the root has no events.
                true => Err(CgroupError::KillRoot { path: self.dir.path().to_owned() }),
                false => Ok(()),
            };
        }
        match self.dir.write("cgroup.kill", "1") {
            Ok(()) => Ok(()),
            // Before Linux 5.14. Unlike v1's, this freezer lets SIGKILL through.
            Err(error) if error.kind() == ErrorKind::NotFound => members::kill_until_empty(&self.dir),
            Err(source) => {
                Err(CgroupError::Io { action: "write", path: self.dir.path().join("cgroup.kill"), source })
            }
        }
    }

    fn stats(&self) -> Result<Stats, CgroupError> {
        let enabled = self.enabled()?;
        let mut stats = Stats::default();
        // Time is counted everywhere, throttling only with the controller.
        cpu::read_stats(&self.dir, &mut stats.cpu)?;
        if lists(&enabled, Controller::Memory) {
            memory::read_stats(&self.dir, &mut stats.memory)?;
        }
        if lists(&enabled, Controller::Pids) {
            pids::read_stats(&self.dir, &mut stats.pids)?;
        }
        if lists(&enabled, Controller::Blkio) {
            io::read_stats(&self.dir, &mut stats.blkio)?;
        }
        if lists(&enabled, Controller::Hugetlb) {
            hugetlb::read_stats(&self.dir, &mut stats.hugetlb)?;
        }
        Ok(stats)
    }

    fn oom_kills(&self) -> Result<u64, CgroupError> {
        memory::oom_kills(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_controllers_that_are_wanted_available_and_off_are_enabled() {
        assert_eq!(
            missing("cpuset cpu io memory pids misc dmem", "memory pids"),
            ["+cpu", "+cpuset", "+io", "+misc"]
        );
        assert!(missing("", "").is_empty());
    }

    #[test]
    fn files_of_the_unified_map_stay_in_the_directory() {
        let map = |file: &str| BTreeMap::from([(file.to_owned(), "1".to_owned())]);
        assert!(unified(&map("memory.high")).is_ok());
        for bad in ["", "../cgroup.procs", "a/b", "a\0"] {
            assert!(unified(&map(bad)).is_err(), "{bad:?}");
        }
    }
}
