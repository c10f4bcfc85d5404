//! The cgroup v1 driver: one directory per mounted hierarchy (cgroups(7), "Cgroups version 1").
//!
//! On hybrid hosts the container is put into the v2 hierarchy as well, which has no controllers there
//! but kills a whole group at once.

mod blkio;
mod cpu;
mod cpuset;
mod devices;
mod freezer;
pub(super) mod hugetlb;
mod memory;
mod network;
pub(super) mod pids;
pub(super) mod rdma;

use std::{
    collections::BTreeMap,
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use minke_model::runtime_spec::Resources;
use rustix::process::Pid;

use super::{
    CgroupError, Controller, Controllers, Driver, Layout, Stats,
    dir::{self, Dir},
    members,
    path::CgroupsPath,
    setting::{self, Earlier},
};

/// A container's cgroup on a v1 or hybrid host.
#[derive(Debug)]
pub(super) struct Group {
    members: Vec<Member>,
}

/// Its directory in one hierarchy.
#[derive(Debug)]
struct Member {
    controllers: Controllers,
    /// The name of a hierarchy without controllers; empty for v2's.
    name: Option<String>,
    dir: Dir,
}

impl Group {
    pub(super) fn create(layout: &Layout, path: &CgroupsPath) -> Result<Group, CgroupError> {
        let mut made = Vec::new();
        let result = Group::create_members(layout, path, &mut made);
        if result.is_err() {
            dir::unmake(&made);
        }
        Ok(Group { members: result? })
    }

    fn create_members(
        layout: &Layout,
        path: &CgroupsPath,
        made: &mut Vec<PathBuf>,
    ) -> Result<Vec<Member>, CgroupError> {
        let mut members = Vec::with_capacity(layout.legacy.len() + 1);
        for hierarchy in &layout.legacy {
            let below = path.in_legacy(hierarchy);
            made.extend(dir::make_dirs(&hierarchy.mount_point, &below)?);
            let dir = open(hierarchy.mount_point.join(&below))?;
            if hierarchy.controllers.contains(Controller::Cpuset) {
                cpuset::inherit(&hierarchy.mount_point, &dir)?;
            }
            members.push(Member { controllers: hierarchy.controllers, name: hierarchy.name.clone(), dir });
        }
        if let Some(hierarchy) = &layout.unified {
            let below = path.in_legacy(hierarchy);
            made.extend(dir::make_dirs(&hierarchy.mount_point, &below)?);
            let dir = open(hierarchy.mount_point.join(&below))?;
            members.push(Member { controllers: Controllers::default(), name: Some(String::new()), dir });
        }
        Ok(members)
    }

    pub(super) fn open(paths: &BTreeMap<String, PathBuf>) -> Result<Group, CgroupError> {
        let mut by_path: BTreeMap<&Path, (Controllers, Option<String>)> = BTreeMap::new();
        for (key, path) in paths {
            let (controllers, name) = by_path.entry(path).or_default();
            match Controller::from_name(key) {
                Some(controller) => controllers.insert(controller),
                None => *name = Some(key.strip_prefix("name=").unwrap_or(key).to_owned()),
            }
        }
        let mut members = Vec::with_capacity(by_path.len());
        for (path, (controllers, name)) in by_path {
            match Dir::open(path.to_owned()) {
                Ok(dir) => members.push(Member { controllers, name, dir }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(CgroupError::Io { action: "open", path: path.to_owned(), source }),
            }
        }
        match members.is_empty() {
            true => Err(CgroupError::Missing { path: paths.values().next().cloned().unwrap_or_default() }),
            false => Ok(Group { members }),
        }
    }

    /// The directory that has a controller's files.
    fn dir(&self, controller: Controller) -> Option<&Dir> {
        self.members.iter().find(|member| member.controllers.contains(controller)).map(|member| &member.dir)
    }

    fn unified(&self) -> Option<&Dir> {
        self.members.iter().find(|member| member.name.as_deref() == Some("")).map(|member| &member.dir)
    }

    /// Where processes are counted: any hierarchy has them all, the freezer's is the one that can also
    /// stop them.
    fn process_dir(&self) -> Option<&Dir> {
        self.dir(Controller::Freezer).or_else(|| self.members.first().map(|member| &member.dir))
    }
}

fn open(path: PathBuf) -> Result<Dir, CgroupError> {
    Dir::open(path.clone()).map_err(|source| CgroupError::Io { action: "open", path, source })
}

impl Driver for Group {
    fn paths(&self) -> BTreeMap<String, PathBuf> {
        let mut paths = BTreeMap::new();
        for member in &self.members {
            let path = member.dir.path();
            paths.extend(member.controllers.iter().map(|c| (c.name().to_owned(), path.to_owned())));
            match member.name.as_deref() {
                Some("") => drop(paths.insert(String::new(), path.to_owned())),
                Some(name) => drop(paths.insert(format!("name={name}"), path.to_owned())),
                None => {}
            }
        }
        paths
    }

    fn directory(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn add_process(&self, pid: Pid) -> Result<(), CgroupError> {
        self.members.iter().try_for_each(|member| members::add(&member.dir, pid))
    }

    fn apply(&self, resources: &Resources, earlier: Earlier) -> Result<(), CgroupError> {
        if !resources.unified.is_empty() {
            return Err(CgroupError::Unsupported { field: "unified", version: "v1" });
        }
        let mut settings = Vec::new();
        settings.extend(pids::settings(resources.pids.as_ref()));
        settings.extend(memory::settings(resources.memory.as_ref())?);
        settings.extend(cpu::settings(resources.cpu.as_ref())?);
        settings.extend(cpuset::settings(resources.cpu.as_ref()));
        settings.extend(blkio::settings(resources.block_io.as_ref()));
        settings.extend(hugetlb::settings(&resources.hugepage_limits)?);
        settings.extend(network::settings(resources.network.as_ref()));
        settings.extend(rdma::settings(&resources.rdma));
        if let (Some(memory), Some(dir)) = (&resources.memory, self.dir(Controller::Memory)) {
            memory::check(memory, dir)?;
        }
        setting::write_all(settings, |controller| self.dir(controller), earlier)?;
        devices::apply(&resources.devices, self.dir(Controller::Devices))
    }

    fn freeze(&self) -> Result<(), CgroupError> {
        match self.dir(Controller::Freezer) {
            Some(dir) => freezer::freeze(dir),
            None => super::v2::freezer::freeze(self.unified().ok_or(NO_FREEZER)?),
        }
    }

    fn thaw(&self) -> Result<(), CgroupError> {
        match self.dir(Controller::Freezer) {
            Some(dir) => freezer::thaw(dir),
            None => super::v2::freezer::thaw(self.unified().ok_or(NO_FREEZER)?),
        }
    }

    fn is_frozen(&self) -> Result<bool, CgroupError> {
        match (self.dir(Controller::Freezer), self.unified()) {
            (Some(dir), _) => freezer::is_frozen(dir),
            (None, Some(dir)) => super::v2::freezer::is_frozen(dir),
            (None, None) => Ok(false),
        }
    }

    fn pids(&self) -> Result<Vec<Pid>, CgroupError> {
        self.process_dir().map_or_else(|| Ok(Vec::new()), members::pids)
    }

    fn kill_all(&self) -> Result<(), CgroupError> {
        let Some(dir) = self.process_dir() else { return Ok(()) };
        // Only roots have this file.
        if dir.has("release_agent") {
            return Err(CgroupError::KillRoot { path: dir.path().to_owned() });
        }
        let at_once = self.unified().is_some_and(|unified| unified.write("cgroup.kill", "1").is_ok());
        let Some(freezer) = self.dir(Controller::Freezer) else {
            return if at_once { Ok(()) } else { members::kill_until_empty(dir) };
        };
        // With all of them killed at once there is nobody left to fork.
        let held = at_once || freezer::freeze(freezer).is_ok();
        let killed = members::kill_once(dir);
        // Frozen processes don't take the signal before; also undoes a freeze that failed half-way.
        freezer::thaw(freezer)?;
        match held {
            true => killed.map(drop),
            false => members::kill_until_empty(dir),
        }
    }

    fn stats(&self) -> Result<Stats, CgroupError> {
        let mut stats = Stats::default();
        if let Some(dir) = self.dir(Controller::Cpuacct) {
            cpu::read_usage(dir, &mut stats.cpu.usage)?;
        }
        if let Some(dir) = self.dir(Controller::Cpu) {
            cpu::read_throttling(dir, &mut stats.cpu.throttling)?;
        }
        if let Some(dir) = self.dir(Controller::Memory) {
            memory::read_stats(dir, &mut stats.memory)?;
        }
        if let Some(dir) = self.dir(Controller::Pids) {
            pids::read_stats(dir, &mut stats.pids)?;
        }
        if let Some(dir) = self.dir(Controller::Blkio) {
            blkio::read_stats(dir, &mut stats.blkio)?;
        }
        if let Some(dir) = self.dir(Controller::Hugetlb) {
            hugetlb::read_stats(dir, &mut stats.hugetlb)?;
        }
        Ok(stats)
    }

    fn oom_kills(&self) -> Result<u64, CgroupError> {
        self.dir(Controller::Memory).map_or(Ok(0), memory::oom_kills)
    }
}

const NO_FREEZER: CgroupError = CgroupError::NoHierarchy;
