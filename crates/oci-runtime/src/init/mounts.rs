//! The mounts of the configuration, in its order.
//!
//! Each is made detached, then attached to a place that was resolved inside the root, both as
//! descriptors: no link in the image and no race with a process that shares a volume can lead a mount
//! outside (CVE-2021-30465, CVE-2024-45310).

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use minke_kernel::{
    mount::{self, Attribute, Attributes, Parameter},
    path::Root,
};
use minke_model::runtime_spec::{Mount, Spec};
use rustix::io::Errno;

use super::{
    Creator, Plan, cgroups, copy_up, escort, is_directory, mount_check,
    mount_options::{self, MountOptions},
};
use crate::{
    container::InitError,
    step::{Step, failed},
};

/// Mounts that become read-only once everything in them is made.
#[derive(Default)]
pub(super) struct Late(Vec<(String, OwnedFd)>);

impl Late {
    /// Makes them read-only.
    pub(super) fn apply(&mut self) -> Result<(), InitError> {
        let read_only: Attributes = [Attribute::ReadOnly].into_iter().collect();
        for (name, mount) in self.0.drain(..) {
            mount::set_attributes(&mount, &read_only, false).step(|| format!("{name}: make read-only"))?;
        }
        Ok(())
    }
}

/// Whether /dev is the host's, so that no device is made in it.
pub(super) fn dev_is_bound(spec: &Spec) -> bool {
    spec.mounts.iter().any(|mount| is_dev(&mount.destination) && is_bind(mount))
}

fn is_dev(destination: &str) -> bool {
    clean(destination) == Path::new("/dev")
}

fn is_bind(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("bind")
        || mount.options.iter().any(|option| option == "bind" || option == "rbind")
}

/// The destination as an absolute path; a relative one starts at the root (older specifications allowed it).
pub(super) fn clean(destination: &str) -> PathBuf {
    Path::new("/").join(destination).components().collect()
}

/// Makes all mounts and enters the cgroups on the way, which the mounts of those need.
pub(super) fn make_all(plan: &mut Plan<'_>, creator: &mut Creator, root: &Root) -> Result<Late, InitError> {
    let mut late = Late::default();
    let order = order(&plan.spec.mounts);
    let mut entered = false;
    for i in order {
        let mount = &plan.spec.mounts[i];
        let name = format!("mounts[{i}] ({})", mount.destination);
        let options = mount_options::parse(&mount.options, mount.kind.as_deref() == Some("bind"));
        if shows_cgroups(mount) && !entered {
            super::enter_cgroups(plan, creator)?;
            entered = true;
        }
        let copied = plan.by_creator.get(i).is_some_and(|by_creator| *by_creator);
        let copied = copied.then(|| creator.source(i)).transpose()?;
        let job = Job { plan, root, name: &name, mount, options };
        let made = match mount.kind.as_deref() {
            Some(kind) if shows_cgroups(mount) => cgroups::make(&job, kind),
            _ => job.make(copied, &mut late),
        };
        made.map_err(|error| of_mount(mount, error))?;
    }
    if !entered {
        super::enter_cgroups(plan, creator)?;
    }
    Ok(late)
}

/// The words that callers of runc look for, before what went wrong.
pub(crate) fn of_mount(mount: &Mount, error: InitError) -> InitError {
    let source = mount.source.as_deref().or(mount.kind.as_deref()).unwrap_or_default();
    let step = format!("error mounting {source:?} to rootfs at {:?}: {}", mount.destination, error.step);
    InitError { step, ..error }
}

fn shows_cgroups(mount: &Mount) -> bool {
    matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2")) && !is_bind(mount)
}

/// The order in which mounts are made: the configuration's, but cgroups last where nothing is mounted over or in them,
/// so that as little as possible of this process's work counts as the container's.
fn order(mounts: &[Mount]) -> Vec<usize> {
    let overlaps = |i: usize, j: usize| {
        let (first, second) = (clean(&mounts[i].destination), clean(&mounts[j].destination));
        first.starts_with(&second) || second.starts_with(&first)
    };
    let can_wait = |i: &usize| shows_cgroups(&mounts[*i]) && !(i + 1..mounts.len()).any(|j| overlaps(*i, j));
    let (late, early): (Vec<usize>, Vec<usize>) = (0..mounts.len()).partition(can_wait);
    early.into_iter().chain(late).collect()
}

/// One mount at work.
pub(super) struct Job<'a, 'plan> {
    pub(super) plan: &'a Plan<'plan>,
    pub(super) root: &'a Root,
    pub(super) name: &'a str,
    pub(super) mount: &'a Mount,
    pub(super) options: MountOptions,
}

impl Job<'_, '_> {
    fn make(&self, copied: Option<OwnedFd>, late: &mut Late) -> Result<(), InitError> {
        if self.options.remount && self.options.bind.is_none() {
            return self.remount();
        }
        match (self.options.bind, self.kind()) {
            (Some(recursive), _) => self.bind(copied, recursive),
            (None, Some("tmpfs")) => self.tmpfs(late),
            (None, Some(kind)) => self.filesystem(kind),
            (None, None) => Err(failed(format!("{}.type", self.name), "missing, and it is no bind mount")),
        }
    }

    fn kind(&self) -> Option<&str> {
        self.mount.kind.as_deref().filter(|kind| !kind.is_empty())
    }

    /// Where it goes in the container. As with runc, the host's path of a place in the root is that place.
    fn path(&self) -> PathBuf {
        let path = clean(&self.mount.destination);
        path.strip_prefix(self.plan.rootfs).map(|inside| Path::new("/").join(inside)).unwrap_or(path)
    }

    fn bind(&self, copied: Option<OwnedFd>, recursive: bool) -> Result<(), InitError> {
        let source = bind_source(self.mount, self.plan.bundle)
            .ok_or_else(|| failed(format!("{}.source", self.name), "missing"))?;
        let detached = match copied {
            Some(detached) => detached,
            None => mount::clone_path(&source, recursive)
                .step(|| format!("{}.source: bind {}", self.name, source.display()))?,
        };
        let directory = is_directory(&detached).step(|| format!("{}.source: stat", self.name))?;
        let target =
            if directory { self.root.mkdir_all(&self.path()) } else { self.root.create_file(&self.path()) };
        let target = target.step(|| format!("{}.destination: make", self.name))?;
        mount_check::target(self.name, self.root, &self.path(), &target, Some(&detached))?;
        self.restrict(&detached)?;
        self.attach(&detached, &target)
    }

    /// Attributes of a bind mount. In a user namespace the host's restrictions are locked: asking to lift them below it is
    /// ignored, as the container gets less and never more.
    fn restrict(&self, detached: &OwnedFd) -> Result<(), InitError> {
        let step = || format!("{}.options: change attributes", self.name);
        // What a descriptor is was copied outside of the container's mount namespace, where nothing is locked.
        let keeps = self.plan.in_user_namespace()
            && bind_source(self.mount, self.plan.bundle).is_some_and(|source| is_descriptor(&source));
        mount::set_bind_attributes(detached, &self.options.attributes, keeps).step(step)?;
        let below = &self.options.recursive_attributes;
        match mount::set_attributes(detached, below, true) {
            Err(error) if is(&error, Errno::PERM) && self.plan.in_user_namespace() => {
                mount::set_attributes(detached, &below.only_restrictions(), true).step(step)
            }
            result => result.step(step),
        }
    }

    fn tmpfs(&self, late: &mut Late) -> Result<(), InitError> {
        let path = self.path();
        let existed = super::exists(self.root, &path);
        let target = self.root.mkdir_all(&path).step(|| format!("{}.destination: make", self.name))?;
        mount_check::target(self.name, self.root, &path, &target, None)?;
        let mut parameters = self.options.parameters.clone();
        if existed && !parameters.iter().any(|parameter| parameter.key == "mode") {
            // The image's directory keeps its mode; a new one has tmpfs's own, 1777.
            let stat = rustix::fs::fstat(&target).map_err(io::Error::from);
            let mode = stat.step(|| format!("{}.destination: stat", self.name))?.st_mode & 0o7777;
            parameters.push(Parameter::new("mode", format!("{mode:o}")));
        }
        let mut attributes = self.options.attributes;
        let read_only = attributes.is_read_only();
        attributes.clear(Attribute::ReadOnly);
        let detached = self.new_filesystem("tmpfs", &parameters, &attributes)?;
        if self.options.copy_up {
            copy_up::copy(self.root, &path, &detached)
                .step(|| format!("{}.options: tmpcopyup", self.name))?;
        }
        self.attach(&detached, &target)?;
        if read_only {
            late.0.push((self.name.to_owned(), detached));
        }
        Ok(())
    }

    fn filesystem(&self, kind: &str) -> Result<(), InitError> {
        let path = self.path();
        let target = if matches!(kind, "proc" | "sysfs") {
            // A link here would let the image decide where kernel interfaces appear (CVE-2019-19921, CVE-2023-27561).
            self.root.mkdir_all_without_links(&path).map_err(|error| match error {
                error if is(&error, Errno::LOOP) || is(&error, Errno::NOTDIR) => {
                    io::Error::other(format!("filesystem {kind:?} must be mounted on ordinary directory"))
                }
                error => error,
            })
        } else {
            self.root.mkdir_all(&path)
        };
        let target = target.step(|| format!("{}.destination: make", self.name))?;
        if kind != "proc" {
            mount_check::target(self.name, self.root, &path, &target, None)?;
        }
        let mut parameters = self.options.parameters.clone();
        if self.options.attributes.is_read_only() && !is_virtual(kind) {
            // A device's file system must not be written even by its own recovery.
            parameters.push(Parameter::flag("ro"));
        }
        if kind == "proc" {
            parameters.extend(escort::proc_parameter(self.plan));
        }
        let detached = self.new_filesystem(kind, &parameters, &self.options.attributes)?;
        self.attach(&detached, &target)
    }

    pub(super) fn new_filesystem(
        &self,
        kind: &str,
        parameters: &[Parameter],
        attributes: &Attributes,
    ) -> Result<OwnedFd, InitError> {
        let source = self.mount.source.as_deref().filter(|source| !source.is_empty()).unwrap_or(kind);
        let label = self.plan.linux.mount_label.as_deref().filter(|label| !label.is_empty());
        // The kernel's own file systems have labels of their own.
        let label = label.filter(|_| !matches!(kind, "proc" | "sysfs"));
        let label = label.map(|label| Parameter::new("context", label));
        let parameters: Vec<_> = parameters.iter().cloned().chain(label).collect();
        mount::filesystem(kind, Some(source), &parameters, attributes)
            .step(|| format!("{}: mount {kind}", self.name))
    }

    pub(super) fn attach(&self, detached: &OwnedFd, target: &OwnedFd) -> Result<(), InitError> {
        mount::attach(detached, target).step(|| format!("{}.destination: attach", self.name))?;
        for (propagation, recursive) in &self.options.propagation {
            mount::set_propagation(detached, *propagation, *recursive)
                .step(|| format!("{}.options: change propagation", self.name))?;
        }
        Ok(())
    }

    fn remount(&self) -> Result<(), InitError> {
        let target = self.root.locate(&self.path()).step(|| format!("{}.destination: find", self.name))?;
        let step = || format!("{}.options: remount", self.name);
        mount::set_attributes(&target, &self.options.attributes, false).step(step)?;
        mount::set_attributes(&target, &self.options.recursive_attributes, true).step(step)
    }
}

/// Kernel file systems, whose read-only state belongs to the mount alone.
fn is_virtual(kind: &str) -> bool {
    matches!(
        kind,
        "proc" | "sysfs" | "devpts" | "mqueue" | "ramfs" | "bpf" | "debugfs" | "tracefs" | "securityfs"
    )
}

/// Whether it is `/proc/PID/fd/NUMBER` or `/dev/fd/NUMBER`, what a descriptor is.
pub(crate) fn is_descriptor(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().collect();
    match parts[..] {
        [root, proc, _, fd, _] => root == "/" && proc == "proc" && fd == "fd",
        [root, dev, fd, _] => root == "/" && dev == "dev" && fd == "fd",
        _ => false,
    }
}

/// What a bind mount binds: absolute, or relative to the bundle.
pub(crate) fn bind_source(mount: &Mount, bundle: &Path) -> Option<PathBuf> {
    mount.source.as_ref().filter(|source| !source.is_empty()).map(|source| bundle.join(source))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_absolute_whatever_was_written() {
        assert_eq!(clean("proc"), Path::new("/proc"));
        assert_eq!(clean("/dev/"), Path::new("/dev"));
        assert!(is_dev("dev") && !is_dev("/dev/pts"));
    }

    #[test]
    fn cgroups_are_mounted_last_unless_something_lies_over_them() {
        let mount = |destination: &str, kind: &str| Mount {
            destination: destination.into(),
            kind: Some(kind.into()),
            ..Mount::default()
        };
        let mut mounts =
            vec![mount("/sys", "sysfs"), mount("/sys/fs/cgroup", "cgroup"), mount("/dev/shm", "tmpfs")];
        assert_eq!(order(&mounts), [0, 2, 1]);
        mounts.push(mount("/sys/fs/cgroup/extra", "tmpfs"));
        assert_eq!(order(&mounts), [0, 1, 2, 3]);
    }

    #[test]
    fn a_bind_mount_is_known_by_its_type_or_its_options() {
        let mount = |kind: &str, options: &[&str]| Mount {
            destination: "/dev".into(),
            kind: Some(kind.into()),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Mount::default()
        };
        assert!(is_bind(&mount("bind", &[])) && is_bind(&mount("none", &["rbind", "ro"])));
        assert!(!is_bind(&mount("tmpfs", &["ro"])));
    }
}
