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

/// What decides how the process is made.
pub(super) struct CloneRequest<'a> {
    pub(super) new: Kinds,
    pub(super) join_user: Option<BorrowedFd<'a>>,
    pub(super) join_pid: Option<BorrowedFd<'a>>,
    pub(super) cgroup: Option<BorrowedFd<'a>>,
    pub(super) linux: &'a Linux,
    pub(super) proc: &'a Proc,
}

/// Makes the process, which runs `init`.
pub(super) fn spawn(request: &CloneRequest<'_>, init: impl FnOnce() -> i32) -> io::Result<Child> {
    let _pid = request.join_pid.map(|target| Visit::join(target, NamespaceType::Pid)).transpose()?;
    let _time = request
        .new
        .contains(NamespaceType::Time)
        .then(|| Visit::new_time(request.linux, request.proc))
        .transpose()?;
    // The cgroup namespace is made later, when the process is in its cgroup.
    let namespaces = request.new.without(NamespaceType::Time).without(NamespaceType::Cgroup);
    let options = CloneOptions { namespaces, cgroup: request.cgroup, sibling: false };
    match request.join_user {
        None => process::spawn(&options, init),
        Some(user) => spawn_in_user_namespace(user, options, init),
    }
}

fn spawn_in_user_namespace(
    user: BorrowedFd<'_>,
    options: CloneOptions<'_>,
    init: impl FnOnce() -> i32,
) -> io::Result<Child> {
    let (ours, theirs) = socket::pair()?;
    let helper = process::spawn(&CloneOptions::default(), || {
        // The helper's own new rights don't reach the host's cgroup, so it enters that before it joins.
        let made = enter(options.cgroup)
            .and_then(|()| namespace::join(user, NamespaceType::User))
            .and_then(|()| process::spawn(&CloneOptions { sibling: true, cgroup: None, ..options }, init));
        let answer = made.map(|child| child.pid).map_err(|error| error.raw_os_error().unwrap_or_default());
        let bytes = serde_json::to_vec(&answer).unwrap_or_default();
        i32::from(socket::send(&theirs, &bytes, &[]).is_err())
    })?;
    process::wait(&helper.pidfd)?;
    let message = socket::receive(&ours)?.ok_or_else(|| io::Error::other("the helper ended early"))?;
    let answer: Result<i32, i32> = serde_json::from_slice(&message.bytes)?;
    let pid = answer.map_err(io::Error::from_raw_os_error)?;
    // It is our child and unreaped, so the pid is still its own.
    Ok(Child { pid, pidfd: process::open(pid)? })
}

/// Moves the calling process into the v2 cgroup at `directory`.
fn enter(directory: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let Some(directory) = directory else { return Ok(()) };
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, "cgroup.procs", flags, Mode::empty())?);
    file.write_all(b"0")
}

/// The creator's own namespace for children, restored when this is dropped.
struct Visit {
    home: OwnedFd,
    kind: NamespaceType,
}

impl Visit {
    fn join(target: BorrowedFd<'_>, kind: NamespaceType) -> io::Result<Self> {
        let visit = Self::leave(kind)?;
        namespace::join(target, kind)?;
        Ok(visit)
    }

    /// Clocks can only be set while no process is in the namespace, so it is made before the clone.
    fn new_time(linux: &Linux, proc: &Proc) -> io::Result<Self> {
        let visit = Self::leave(NamespaceType::Time)?;
        namespace::unshare(Kinds::of(NamespaceType::Time))?;
        for (clock, offset) in &linux.time_offsets {
            let line = format!("{clock} {} {}\n", offset.secs, offset.nanosecs);
            proc.write("self/timens_offsets", line.as_bytes())?;
        }
        Ok(visit)
    }

    fn leave(kind: NamespaceType) -> io::Result<Self> {
        let home = File::open(format!("/proc/self/ns/{}", kind.proc_name()))?;
        Ok(Self { home: home.into(), kind })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Going home is always allowed; where it failed, later children would show it at once.
        let _ = namespace::join(self.home.as_fd(), self.kind);
    }
}
