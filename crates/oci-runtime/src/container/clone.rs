//! Making the container's first process in its namespaces.
//!
//! New namespaces come with clone3. Three kinds need more: pid and time namespaces only take in children, so the creator
//! enters them for the moment of the clone; and a user namespace that is joined has to own the new
//! namespaces, so a helper joins it and makes the process as its sibling:
//!
//! ```text
//!   creator ──clone──▶ helper: setns(user), clone(CLONE_PARENT | new namespaces) ──▶ init
//!      └──────────────────────────────── parent of ───────────────────────────────────┘
//! ```
//!
//! A creator that isn't the host's root may not come back from a pid or time namespace, and an ordinary user may only
//! enter one with the rights of such a user namespace. So then the helper does that too, and where an ordinary user wants both a
//! new user and a new time namespace, the helper is made in the former.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use minke_kernel::{
    namespace::{self, Kinds},
    process::{self, Child, CloneOptions},
    procfs::Proc,
    socket,
};
use minke_model::runtime_spec::{Linux, NamespaceType};
use rustix::fs::{Mode, OFlags};

use super::rootless;

/// What decides how the process is made.
pub(super) struct CloneRequest<'a> {
    pub(super) new: Kinds,
    pub(super) join_user: Option<BorrowedFd<'a>>,
    pub(super) join_pid: Option<BorrowedFd<'a>>,
    pub(super) join_time: Option<BorrowedFd<'a>>,
    /// Namespaces that may belong to another user namespace than the process will be in, which then could not join them.
    pub(super) join_early: Vec<(NamespaceType, BorrowedFd<'a>)>,
    pub(super) cgroup: Option<BorrowedFd<'a>>,
    pub(super) linux: &'a Linux,
    pub(super) proc: &'a Proc,
    /// Maps the ids of the user namespace that this process was made in.
    pub(super) map_ids: &'a dyn Fn(i32) -> io::Result<()>,
}

/// The process.
pub(super) struct Made {
    pub(super) child: Child,
    /// Whether the ids of its new user namespace are mapped already.
    pub(super) ids_are_mapped: bool,
}

/// Makes the process, which runs `init`.
pub(super) fn spawn(request: &CloneRequest<'_>, init: impl FnOnce() -> i32) -> io::Result<Made> {
    let made = |child| Made { child, ids_are_mapped: false };
    let new_time = request.new.contains(NamespaceType::Time);
    // The cgroup namespace is made later, when the process is in its cgroup.
    let namespaces = request.new.without(NamespaceType::Time).without(NamespaceType::Cgroup);
    let options = CloneOptions { namespaces, cgroup: request.cgroup, sibling: false };
    let visits = request.join_pid.is_some() || request.join_time.is_some() || new_time;
    let rootless = visits && rootless::is_rootless();
    if rootless::is_ordinary_user() && new_time && namespaces.contains(NamespaceType::User) {
        return spawn_in_new_user_namespace(request, options, init);
    }
    let visits = visits || (!request.join_early.is_empty() && !rootless::is_rootless());
    let _visit = (visits && !rootless).then(|| Visit::enter(request)).transpose()?;
    if request.join_user.is_some() || rootless {
        return spawn_by_helper(request, rootless, options, init).map(made);
    }
    process::spawn(&options, init).map(made)
}

fn spawn_by_helper(
    request: &CloneRequest<'_>,
    enters: bool,
    options: CloneOptions<'_>,
    init: impl FnOnce() -> i32,
) -> io::Result<Child> {
    let (ours, theirs) = socket::pair()?;
    let helper = process::spawn(&CloneOptions::default(), || {
        // The helper's own new rights don't reach the host's cgroup, so it enters that before it joins.
        let made = enter(options.cgroup)
            .and_then(|()| {
                request.join_user.map_or(Ok(()), |user| namespace::join(user, NamespaceType::User))
            })
            .and_then(|()| if enters { enter_for_children(request) } else { Ok(()) })
            .and_then(|()| process::spawn(&CloneOptions { sibling: true, cgroup: None, ..options }, init));
        report(&theirs, made)
    })?;
    process::wait(&helper.pidfd)?;
    sibling(&ours)
}

/// As [`spawn_by_helper`], but the helper was made in the new user namespace, whose ids are mapped for it.
fn spawn_in_new_user_namespace(
    request: &CloneRequest<'_>,
    options: CloneOptions<'_>,
    init: impl FnOnce() -> i32,
) -> io::Result<Made> {
    let (ours, theirs) = socket::pair()?;
    let user = Kinds::of(NamespaceType::User);
    let helper =
        process::spawn(&CloneOptions { namespaces: user, cgroup: options.cgroup, sibling: false }, || {
            let namespaces = options.namespaces.without(NamespaceType::User);
            let made = socket::receive(&theirs).and_then(|_| enter_for_children(request)).and_then(|()| {
                process::spawn(&CloneOptions { sibling: true, cgroup: None, namespaces }, init)
            });
            report(&theirs, made)
        })?;
    let mapped = (request.map_ids)(helper.pid).and_then(|()| socket::send(&ours, b"mapped", &[]));
    if let Err(error) = mapped {
        let _ = process::signal(&helper.pidfd, rustix::process::Signal::KILL.as_raw());
        process::wait(&helper.pidfd)?;
        return Err(error);
    }
    process::wait(&helper.pidfd)?;
    Ok(Made { child: sibling(&ours)?, ids_are_mapped: true })
}

/// Enters the namespaces that only children of the caller will be in.
fn enter_for_children(request: &CloneRequest<'_>) -> io::Result<()> {
    if let Some(pid) = request.join_pid {
        namespace::join(pid, NamespaceType::Pid)?;
    }
    if let Some(time) = request.join_time {
        namespace::join(time, NamespaceType::Time)?;
    }
    if !request.new.contains(NamespaceType::Time) {
        return Ok(());
    }
    namespace::unshare(Kinds::of(NamespaceType::Time))?;
    for (clock, offset) in &request.linux.time_offsets {
        let line = format!("{clock} {} {}\n", offset.secs, offset.nanosecs);
        // Clocks can only be set while no process is in the namespace, so this is before the clone.
        request.proc.write("self/timens_offsets", line.as_bytes())?;
    }
    Ok(())
}

/// Tells the creator, from the helper, what came of it; returns the helper's exit status.
fn report(channel: &OwnedFd, made: io::Result<Child>) -> i32 {
    let (child, error) = match made {
        Ok(child) => (Some(child), 0),
        Err(error) => (None, error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error())),
    };
    let descriptors: Vec<_> = child.iter().map(|child| child.pidfd.as_fd()).collect();
    i32::from(socket::send(channel, &error.to_ne_bytes(), &descriptors).is_err())
}

/// What the helper reported. The process comes as its pidfd: the number that the helper has for it may be another pid
/// namespace's.
fn sibling(channel: &OwnedFd) -> io::Result<Child> {
    let message = socket::receive(channel)?.ok_or_else(|| io::Error::other("the helper ended early"))?;
    if let Some(pidfd) = message.descriptors.into_iter().next() {
        return Ok(Child { pid: process::number(&pidfd)?, pidfd });
    }
    let error = message.bytes.try_into().map(i32::from_ne_bytes);
    Err(error.map_or_else(|_| io::ErrorKind::InvalidData.into(), io::Error::from_raw_os_error))
}

/// Moves the calling process into the v2 cgroup at `directory`.
fn enter(directory: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, "cgroup.procs", flags, Mode::empty())?);
    file.write_all(b"0")
}

/// The creator's own namespaces for children, restored when this is dropped.
struct Visit(Vec<(OwnedFd, NamespaceType)>);

impl Visit {
    fn enter(request: &CloneRequest<'_>) -> io::Result<Self> {
        let pid = request.join_pid.map(|_| NamespaceType::Pid);
        let time = request.new.contains(NamespaceType::Time) || request.join_time.is_some();
        let time = time.then_some(NamespaceType::Time);
        let home = |kind: NamespaceType| {
            File::open(format!("/proc/self/ns/{}", kind.proc_name())).map(|file| (file.into(), kind))
        };
        let mut visit = Self(pid.into_iter().chain(time).map(home).collect::<io::Result<_>>()?);
        enter_for_children(request)?;
        for (kind, namespace) in &request.join_early {
            let home = home(*kind)?;
            match namespace::join(namespace, *kind) {
                Ok(()) => visit.0.push(home),
                // Its user namespace is the one that the process will be in.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(visit)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        for (home, kind) in &self.0 {
            // Going home is always allowed; where it failed, later children would show it at once.
            let _ = namespace::join(home.as_fd(), *kind);
        }
    }
}
