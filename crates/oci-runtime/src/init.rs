//! The container's process between clone and execve: it builds the container around itself.
//!
//! Runs in a fork of the creator, which has one thread (the clone refuses otherwise), so allocating
//! and locking are allowed here. Nothing below returns to the creator's code: the process executes the
//! user's program or exits. Each failure becomes one [`InitError`] that the creator prints.

mod cgroups;
pub(crate) mod console;
mod copy_up;
mod devices;
mod escort;
mod gate;
mod masks;
mod mount_check;
mod mounts;
pub(crate) mod process;
mod program;
mod rootfs;
pub(crate) mod stdio;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

pub(crate) use minke_kernel::mount::options as mount_options;
use minke_kernel::{
    cgroup::Layout,
    identity, limits, link, mount,
    namespace::{self, Kinds},
    path::Root,
    process as kernel_process,
    procfs::Proc,
    seccomp,
};
use minke_model::runtime_spec::{Hooks, Linux, NamespaceType, Process, Spec, State, Status, VERSION};
use rustix::fs::{Mode, OFlags};

use crate::{
    channel::{self, FromInit, ToInit},
    container::{InitError, Stdio},
    hooks,
    landlock::Rules,
    placement::Placement,
    step::{Step, failed},
};

pub(crate) use self::{
    escort::{Escort, is_possible as can_be_escorted},
    gate::ACCEPTED,
    mounts::{bind_source, is_descriptor, of_mount},
    rootfs::isolation,
};

/// All that the container's process needs, prepared by the creator so that mistakes show before anything is made.
pub(crate) struct Plan<'a> {
    pub(crate) id: &'a str,
    pub(crate) spec: &'a Spec,
    pub(crate) linux: &'a Linux,
    pub(crate) process: &'a Process,
    /// The bundle, absolute.
    pub(crate) bundle: &'a Path,
    /// The root file system's directory, absolute.
    pub(crate) rootfs: &'a Path,
    /// The overlay to mount there, if the annotation asks for one.
    pub(crate) overlay: Option<mount::Overlay>,
    /// Namespaces to join, opened and checked.
    pub(crate) joins: Vec<(NamespaceType, OwnedFd)>,
    /// Namespaces that the clone makes.
    pub(crate) new: Kinds,
    /// Which mounts have a source that the creator is to copy, by their index.
    pub(crate) by_creator: Vec<bool>,
    /// Whether a filter comes from the creator.
    pub(crate) is_filtered: bool,
    /// Whether somebody listens to what it notifies of.
    pub(crate) notifies: bool,
    pub(crate) landlock: Option<Rules>,
    pub(crate) proc: Proc,
    pub(crate) cgroup_layout: Option<Layout>,
    pub(crate) cgroup_paths: std::collections::BTreeMap<String, PathBuf>,
    /// The directory of the container's state; the start socket is in it.
    pub(crate) listener: OwnedFd,
    pub(crate) stdio: Stdio,
    pub(crate) preserve_fds: u32,
    /// Makes the first process in the end, where this one is not it.
    pub(crate) escort: Option<Escort<'a>>,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) by_ordinary_user: bool,
}

impl Plan<'_> {
    fn has_new(&self, kind: NamespaceType) -> bool {
        self.new.contains(kind)
    }

    pub(crate) fn has(&self, kind: NamespaceType) -> bool {
        self.has_new(kind) || self.joins.iter().any(|(joined, _)| *joined == kind)
    }

    /// All that the container's process works with: the plan's own descriptors, and its end of the channel.
    pub(crate) fn descriptors<'a>(&'a self, channel: &'a OwnedFd) -> Vec<BorrowedFd<'a>> {
        let mut all = vec![channel.as_fd(), self.proc.as_fd(), self.listener.as_fd()];
        all.extend(self.joins.iter().map(|(_, namespace)| namespace.as_fd()));
        if let Stdio::Fds { stdin, stdout, stderr } = &self.stdio {
            all.extend([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
        }
        all
    }

    fn hooks(&self) -> Option<&Hooks> {
        self.spec.hooks.as_ref()
    }

    /// Whether the container has ids of its own, so that this process isn't the host's root.
    fn in_user_namespace(&self) -> bool {
        self.has(NamespaceType::User)
    }
}

/// The end of the channel in the container's process.
struct Creator {
    channel: OwnedFd,
    placed: Option<i32>,
    /// Whether a filter will come.
    sends_filter: bool,
    filter: Option<seccomp::Program>,
    /// The doors of the cgroups, until the process is ready.
    doors: Vec<OwnedFd>,
}

impl Creator {
    fn new(channel: OwnedFd, sends_filter: bool) -> Self {
        Self { channel, placed: None, sends_filter, filter: None, doors: Vec::new() }
    }

    /// Waits until the creator has done its part; returns the process's pid outside.
    fn wait_until_placed(&mut self) -> Result<i32, InitError> {
        match self.placed {
            Some(pid) => Ok(pid),
            None => match self.receive()? {
                (ToInit::Placed { pid, doors }, received) if received.len() == doors => {
                    self.placed = Some(pid);
                    self.doors = received;
                    Ok(pid)
                }
                (ToInit::Placed { doors, .. }, received) => {
                    let missing = doors - received.len().min(doors);
                    Err(failed(
                        "enter the cgroups",
                        format!("{missing} of {doors} descriptors were lost: too many open files"),
                    ))
                }
                (other, _) => Err(failed("wait for the creator", format!("unexpected {other:?}"))),
            },
        }
    }

    /// The filter comes once, right after the placement.
    fn wait_for_filter(&mut self) -> Result<(), InitError> {
        self.wait_until_placed()?;
        if std::mem::take(&mut self.sends_filter) {
            let received = channel::receive_filter(&self.channel).step(|| "wait for the filter".into())?;
            self.filter = Some(received.ok_or_else(|| failed("wait for the filter", "the creator is gone"))?);
        }
        Ok(())
    }

    /// What a bind mount binds, as a detached copy.
    fn source(&mut self, mount: usize) -> Result<OwnedFd, InitError> {
        // What the creator says of itself comes first.
        self.wait_for_filter()?;
        self.send(&FromInit::Source(mount), None)?;
        match self.receive()? {
            (ToInit::Source, descriptors) => descriptors
                .into_iter()
                .next()
                .ok_or_else(|| failed("receive a mount", "its descriptor was lost: too many open files")),
            (other, _) => Err(failed("wait for a mount", format!("unexpected {other:?}"))),
        }
    }

    fn wait_for_hooks(&mut self) -> Result<(), InitError> {
        self.wait_for_filter()?;
        self.send(&FromInit::MountsDone, None)?;
        match self.receive()? {
            (ToInit::HooksDone, _) => Ok(()),
            (other, _) => Err(failed("wait for the runtime's hooks", format!("unexpected {other:?}"))),
        }
    }

    fn receive(&self) -> Result<(ToInit, Vec<OwnedFd>), InitError> {
        let received = channel::receive_all(&self.channel).step(|| "wait for the creator".into())?;
        received.ok_or_else(|| failed("wait for the creator", "it is gone"))
    }

    fn send(&self, message: &FromInit, fd: Option<&OwnedFd>) -> Result<(), InitError> {
        channel::send(&self.channel, message, fd).step(|| "answer the creator".into())
    }
}

/// The container's process, until it executes the user's program. It doesn't return: what it has closed under the hands of
/// its owners must not be closed again.
pub(crate) fn run(mut plan: Plan<'_>, channel: OwnedFd) -> ! {
    let mut creator = Creator::new(channel, plan.is_filtered);
    match prepare(&mut plan, &mut creator) {
        Ok(ready) => kernel_process::exit_now(gate::start(&plan, creator.channel, ready)),
        Err(error) => {
            // When the creator is gone too, nobody is left to tell.
            let _ = creator.send(&FromInit::Failed(error), None);
            kernel_process::exit_now(1)
        }
    }
}

/// Everything before the start.
fn prepare(plan: &mut Plan<'_>, creator: &mut Creator) -> Result<process::Ready, InitError> {
    kernel_process::reset_signals();
    kernel_process::die_with_parent().step(|| "tie the process to its creator".into())?;
    identity::set_umask(0);
    identity::new_session().step(|| "start a session".into())?;
    join_namespaces(plan, creator)?;
    if !plan.no_new_keyring {
        join_keyring(plan.id)?;
    }
    let stdio = std::mem::take(&mut plan.stdio);
    set_names(plan)?;
    let notify = process::notify_target(plan.linux.seccomp.as_ref(), plan.notifies)?;
    build_root(plan, creator, stdio)?;
    // Now that it is in its cgroup, whose CPUs are the container's.
    limits::reset_cpu_affinity().step(|| "run on all CPUs".into())?;
    if plan.has_new(NamespaceType::Mount) {
        stdio::reopen_null();
    }
    let pid = creator.wait_until_placed()?;
    creator.wait_for_filter()?;
    let notify = notify.map(|target| target.for_container(pid, container_state(plan, Status::Creating, pid)));
    escort::join(plan)?;
    let mut ready = process::enter(
        plan.process,
        plan.linux.personality.as_ref(),
        process::Context {
            proc: &plan.proc,
            seccomp: creator.filter.take(),
            notify,
            landlock: plan.landlock.take(),
            in_user_namespace: plan.in_user_namespace(),
            memory_policy: plan.linux.memory_policy.as_ref(),
            preserve_fds: plan.preserve_fds,
            limits_are_set: plan.in_user_namespace(),
        },
    )?;
    kernel_process::outlive_parent().step(|| "untie the process from its creator".into())?;
    // Doors into the namespaces that it was made with: while it waits, it needs none.
    plan.joins.clear();
    if ready.notifies() {
        // Who listens is told while the container is created, as with runc: its maker may wait for that.
        ready.drop_privileges()?;
    }
    escort::hand_over(plan, &mut ready, creator)?;
    if !ready.notifies() {
        // It may wait for long, and whoever shares its pid namespace may look into it: what is left is how it is started.
        let kept = [plan.listener.as_fd(), creator.channel.as_fd()];
        kernel_process::close_other_copies_in_child(&kept, plan.preserve_fds);
    }
    let alone = plan.has_new(NamespaceType::User) && plan.has_new(NamespaceType::Pid);
    if plan.by_ordinary_user && alone && !ready.notifies() {
        // For `exec`, which finds the namespaces in /proc/PID: that is root's while the process is undumpable.
        kernel_process::set_dumpable().step(|| "make the process dumpable".into())?;
    }
    creator.send(&FromInit::Ready, None)?;
    Ok(ready)
}

/// Namespaces that exist already; a user namespace is joined before the clone (`container/clone.rs`).
fn join_namespaces(plan: &Plan<'_>, creator: &mut Creator) -> Result<(), InitError> {
    if plan.has_new(NamespaceType::User) {
        creator.wait_until_placed()?;
        // An ordinary user's process had to show itself until its ids were mapped.
        kernel_process::set_undumpable().step(|| "make the process undumpable".into())?;
    }
    if plan.by_ordinary_user {
        // Who may only move processes of the own id: root of the user namespace has another.
        enter_v1_cgroups(plan, creator)?;
    }
    if plan.in_user_namespace() {
        become_root()?;
    }
    // The mount namespace last: after it, paths are the container's.
    let (mount, others): (Vec<_>, Vec<_>) =
        plan.joins.iter().partition(|(kind, _)| *kind == NamespaceType::Mount);
    for (kind, namespace) in others.into_iter().chain(mount) {
        // The process was made in those; a time namespace can be another user namespace's than the one it is in.
        let made_in = matches!(kind, NamespaceType::User | NamespaceType::Pid | NamespaceType::Time);
        if !made_in
            && !namespace::is_own(namespace, *kind).step(|| format!("linux.namespaces: find {kind}"))?
        {
            namespace::join(namespace, *kind).step(|| format!("linux.namespaces: join {kind}"))?;
        }
    }
    if plan.has_new(NamespaceType::Network) {
        link::bring_loopback_up().step(|| "linux.namespaces: bring lo up in network".into())?;
    }
    Ok(())
}

/// Enters the cgroups that it was not born in, through the doors that the creator has sent.
fn enter_v1_cgroups(plan: &Plan<'_>, creator: &mut Creator) -> Result<(), InitError> {
    creator.wait_until_placed()?;
    Placement::received(&plan.cgroup_paths, std::mem::take(&mut creator.doors)).enter()
}

/// Enters the cgroups, then makes the cgroup namespace, whose root is where the process is at that moment.
fn enter_cgroups(plan: &Plan<'_>, creator: &mut Creator) -> Result<(), InitError> {
    enter_v1_cgroups(plan, creator)?;
    if !plan.has_new(NamespaceType::Cgroup) {
        return Ok(());
    }
    namespace::unshare(Kinds::of(NamespaceType::Cgroup)).step(|| "linux.namespaces: make cgroup".into())
}

/// In a user namespace the process has all capabilities but the ids of whoever made it.
pub(crate) fn become_root() -> Result<(), InitError> {
    let step = || "linux.uidMappings: become root of the user namespace".to_owned();
    identity::set_group(0).step(step)?;
    identity::set_user(0).step(step)?;
    // Denied where the mapping has a single id; then the groups stay and can't be used for anything.
    match identity::set_supplementary_groups(&[]) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => Ok(()),
        result => result.step(step),
    }
}

/// The session keyring of a container's processes: the caller's would give them what it holds.
pub(crate) fn join_keyring(container: &str) -> Result<(), InitError> {
    match identity::new_session_keyring(&format!("_ses.{container}")) {
        // A kernel without keyrings has none that could be shared.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOSYS.raw_os_error()) => Ok(()),
        result => result.step(|| "make a session keyring".into()),
    }
}

fn set_names(plan: &Plan<'_>) -> Result<(), InitError> {
    if let Some(name) = plan.spec.hostname.as_ref().filter(|name| !name.is_empty()) {
        identity::set_host_name(name).step(|| format!("hostname: set {name:?}"))?;
    }
    if let Some(name) = plan.spec.domainname.as_ref().filter(|name| !name.is_empty()) {
        identity::set_domain_name(name).step(|| format!("domainname: set {name:?}"))?;
    }
    Ok(())
}

/// The root file system with all that is mounted in it, entered in the end.
fn build_root(plan: &mut Plan<'_>, creator: &mut Creator, stdio: Stdio) -> Result<(), InitError> {
    let root = rootfs::assemble(plan)?;
    let mut late = mounts::make_all(plan, creator, &root)?;
    if !mounts::dev_is_bound(plan.spec) {
        devices::make_all(plan, &root)?;
    }
    console::set_up(plan, &root, creator, stdio)?;
    root.mkdir_all(Path::new(&plan.process.cwd))
        .map(drop)
        .or_else(|error| if root.locate(Path::new(&plan.process.cwd)).is_ok() { Ok(()) } else { Err(error) })
        .step(|| format!("process.cwd: make {}", plan.process.cwd))?;
    run_hooks_before_pivot(plan, creator, &root)?;
    write_sysctls(plan)?;
    masks::apply(plan.linux, &root)?;
    late.apply()?;
    rootfs::enter(plan, root)
}

fn run_hooks_before_pivot(plan: &Plan<'_>, creator: &mut Creator, root: &Root) -> Result<(), InitError> {
    let Some(hooks) = plan.hooks() else { return Ok(()) };
    if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
        creator.wait_for_hooks()?;
    }
    if hooks.create_container.is_empty() {
        return Ok(());
    }
    // Hooks that change the root name its files by relative paths, as runc lets them.
    rustix::process::fchdir(root)
        .map_err(Into::into)
        .step(|| "hooks.createContainer: enter the root".into())?;
    let state = container_state(plan, Status::Creating, own_pid());
    hooks::run_all("createContainer", &hooks.create_container, &state).map_err(Into::into)
}

fn write_sysctls(plan: &Plan<'_>) -> Result<(), InitError> {
    for (name, value) in &plan.linux.sysctl {
        plan.proc.write_sysctl(name, value).step(|| format!("linux.sysctl[{name:?}]: set {value:?}"))?;
    }
    Ok(())
}

/// The state as hooks in the container get it.
fn container_state(plan: &Plan<'_>, status: Status, pid: i32) -> State {
    State {
        oci_version: VERSION.into(),
        id: plan.id.to_owned(),
        status,
        pid: Some(pid),
        bundle: plan.bundle.display().to_string(),
        annotations: plan.spec.annotations.clone(),
    }
}

fn own_pid() -> i32 {
    std::process::id() as i32
}

/// A descriptor of a directory or file by a host's path, for binding it later.
fn open_host(path: &Path) -> std::io::Result<OwnedFd> {
    // Not by std, which takes this flag for musl's O_SEARCH, a way of access, and leaves it out.
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether a path in the container exists.
fn exists(root: &Root, path: &Path) -> bool {
    root.locate(path).is_ok()
}

/// Whether `fd` is a directory.
fn is_directory(fd: impl AsFd) -> std::io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use minke_kernel::socket;

    use super::*;

    #[test]
    fn doors_that_got_lost_on_the_way_are_an_error() {
        let (ours, theirs) = socket::pair().unwrap();
        let door: OwnedFd = File::open("/dev/null").unwrap().into();
        let creator = || Creator::new(theirs.try_clone().unwrap(), false);
        channel::send(&ours, &ToInit::Placed { pid: 7, doors: 2 }, Some(&door)).unwrap();
        let error = creator().wait_until_placed().unwrap_err();
        assert!(error.to_string().contains("enter the cgroups: 1 of 2 descriptors were lost"), "{error}");
        channel::send(&ours, &ToInit::Placed { pid: 7, doors: 1 }, Some(&door)).unwrap();
        assert_eq!(creator().wait_until_placed().unwrap(), 7);
    }
}
