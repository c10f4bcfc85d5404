//! The container's view of its cgroups: mounts of type `cgroup` and `cgroup2`.
//!
//! With a cgroup namespace the hierarchies are mounted (the namespace's root is the container's own group); without one, the
//! container's group is bound from the host, so that nothing above it is visible.

use std::{
    ffi::OsStr,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use minke_kernel::{
    cgroup::{Hierarchy, Layout, Mode},
    mount::{self, Attribute, Attributes, Parameter},
    path::Root,
};
use minke_model::runtime_spec::NamespaceType;

use super::mounts::Job;
use crate::{
    container::InitError,
    step::{Step, failed},
};

/// Makes a mount of type `cgroup` or `cgroup2`; on a v2 host both mean v2.
pub(super) fn make(job: &Job<'_, '_>, kind: &str) -> Result<(), InitError> {
    let layout = job.plan.cgroup_layout.as_ref();
    let layout = layout.ok_or_else(|| failed(job.name, "no cgroup hierarchy is mounted on the host"))?;
    let path = super::mounts::clean(&job.mount.destination);
    let target = job.root.mkdir_all(&path).step(|| format!("{}.destination: make", job.name))?;
    super::mount_check::target(job.name, job.root, &path, &target, None)?;
    if kind == "cgroup2" || layout.mode() == Mode::Unified {
        let hierarchy = layout.unified.as_ref();
        let hierarchy = hierarchy.ok_or_else(|| failed(job.name, "the host has no cgroup v2"))?;
        let detached = unified(job, hierarchy)?;
        return job.attach(&detached, &target);
    }
    legacy(job, layout, &target)
}

fn has_namespace(job: &Job<'_, '_>) -> bool {
    job.plan.has(NamespaceType::Cgroup)
}

fn unified(job: &Job<'_, '_>, hierarchy: &Hierarchy) -> Result<OwnedFd, InitError> {
    if has_namespace(job) {
        match mount::filesystem("cgroup2", Some("cgroup"), &job.options.parameters, &job.options.attributes) {
            // A user namespace that doesn't own the cgroup namespace can't mount it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            result => return result.step(|| format!("{}: mount cgroup2", job.name)),
        }
    }
    let own = job.plan.cgroup_paths.get("").cloned();
    let own = own.unwrap_or_else(|| hierarchy.mount_point.join(&hierarchy.own));
    bound(job, &own)
}

/// A tmpfs with a directory per hierarchy, as hosts have it.
fn legacy(job: &Job<'_, '_>, layout: &Layout, target: &OwnedFd) -> Result<(), InitError> {
    let mut attributes: Attributes =
        [Attribute::NoSuid, Attribute::NoDev, Attribute::NoExec].into_iter().collect();
    let parameters = [Parameter::new("mode", "755")];
    let tmpfs = mount::filesystem("tmpfs", Some("cgroup"), &parameters, &attributes)
        .step(|| format!("{}: mount tmpfs", job.name))?;
    job.attach(&tmpfs, target)?;
    let inside = tmpfs.try_clone().step(|| format!("{}: open", job.name))?;
    let inside = Root::from_fd(inside);
    for hierarchy in &layout.legacy {
        let name = directory_name(hierarchy);
        let detached = if has_namespace(job) {
            let parameters: Vec<_> = options(hierarchy).into_iter().map(parameter).collect();
            mount::filesystem("cgroup", Some("cgroup"), &parameters, &job.options.attributes)
                .step(|| format!("{}: mount cgroup {name}", job.name))?
        } else {
            let own = options(hierarchy).iter().find_map(|option| job.plan.cgroup_paths.get(option).cloned());
            bound(job, &own.unwrap_or_else(|| hierarchy.mount_point.join(&hierarchy.own)))?
        };
        let place = inside.mkdir(OsStr::new(&name)).step(|| format!("{}: make {name}", job.name))?;
        mount::attach(&detached, &place).step(|| format!("{}: attach {name}", job.name))?;
        link_members(hierarchy, &name, &tmpfs).step(|| format!("{}: link {name}", job.name))?;
    }
    if job.options.attributes.is_read_only() {
        attributes.set(Attribute::ReadOnly);
        mount::set_attributes(&tmpfs, &attributes, false).step(|| format!("{}: make read-only", job.name))?;
    }
    Ok(())
}

fn bound(job: &Job<'_, '_>, own: &Path) -> Result<OwnedFd, InitError> {
    let detached = mount::clone_path(own, true).step(|| format!("{}: bind {}", job.name, own.display()))?;
    mount::set_attributes(&detached, &job.options.attributes, false)
        .step(|| format!("{}.options: change attributes", job.name))?;
    Ok(detached)
}

/// What mount(8) would be given: the controllers, or the hierarchy's name.
fn options(hierarchy: &Hierarchy) -> Vec<String> {
    match &hierarchy.name {
        Some(name) => vec![format!("name={name}")],
        None => hierarchy.controllers.iter().map(|controller| controller.name().to_owned()).collect(),
    }
}

fn parameter(option: String) -> Parameter {
    match option.split_once('=') {
        Some((key, value)) => Parameter::new(key, value),
        None => Parameter::flag(option),
    }
}

/// The name that the host gives the hierarchy, which may join controllers (`cpu,cpuacct`).
fn directory_name(hierarchy: &Hierarchy) -> String {
    let own = || options(hierarchy).join(",").replace("name=", "");
    hierarchy.mount_point.file_name().map_or_else(own, |name| name.to_string_lossy().into_owned())
}

/// `cpu` and `cpuacct` lead to `cpu,cpuacct`.
fn link_members(hierarchy: &Hierarchy, name: &str, tmpfs: &OwnedFd) -> io::Result<()> {
    let members: Vec<PathBuf> = options(hierarchy).into_iter().map(PathBuf::from).collect();
    for member in members.iter().filter(|member| members.len() > 1 && member.as_path() != Path::new(name)) {
        match rustix::fs::symlinkat(name, tmpfs, member.as_path()) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
