//! The process that joins the container with the host's rights and makes the one that becomes the program.
//!
//! It is a fork of the caller, which has one thread, so allocating and locking are allowed. It stays in the host's pid
//! namespace; only its child is in the container's. What that child inherits is written down in [`leave_behind`].

use std::os::fd::{AsFd, OwnedFd};

use minke_kernel::{
    limits, mount,
    namespace::{self, Kinds},
    path::Root,
    pid_slot::PidSlot,
    process,
    procfs::Proc,
    pty,
    seccomp::{self, Door},
};
use minke_model::runtime_spec::{NamespaceType, Process, Rlimit};
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};

use crate::{
    channel::{self, FromInit, ToInit},
    container::{Container, InitError, Stdio},
    init::{self, process::Ready},
    landlock::Rules,
    placement::Placement,
    step::{Step, failed},
};

/// What the escort works with.
pub(super) struct Job<'a> {
    pub(super) container: &'a Container,
    pub(super) process: &'a Process,
    /// In which namespaces the container's first process differs from the caller.
    pub(super) kinds: Kinds,
    pub(super) filter: Option<seccomp::Program>,
    pub(super) landlock: Option<Rules>,
    pub(super) proc: Proc,
    pub(super) placement: Placement,
    pub(super) stdio: Stdio,
    pub(super) passes_line_feeds: bool,
    pub(super) preserve_fds: u32,
    pub(super) door: Door,
    pub(super) made: &'a PidSlot,
    /// The limit that counts the user's processes.
    pub(super) process_limit: Option<&'a Rlimit>,
    /// The process waits for the caller before its execve.
    pub(super) is_attended: bool,
}

/// The escort, and after the clone the process, until it executes the program. Neither returns: what they have closed
/// under the hands of its owners must not be closed again.
pub(super) fn run(mut job: Job<'_>, channel: &OwnedFd) -> ! {
    let result = prepare(&mut job, channel).and_then(|ready| make(&job, ready, channel));
    if let Err(error) = result {
        let _ = channel::send(channel, &FromInit::Failed(error), None);
        process::exit_now(1);
    }
    process::exit_now(0)
}

/// All that needs rights.
fn prepare(job: &mut Job<'_>, channel: &OwnedFd) -> Result<Ready, InitError> {
    process::die_with_parent().step(|| "tie the process to its creator".into())?;
    close_others(job, channel);
    process::reset_signals();
    let affinity = job.process.exec_cpu_affinity.as_ref();
    if let Some(list) = affinity.and_then(|affinity| affinity.initial.as_ref()) {
        limits::set_cpu_affinity(list).step(|| "process.execCPUAffinity.initial: set".into())?;
    }
    match channel::receive(channel).step(|| "wait for the creator".into())? {
        Some((ToInit::Placed { .. }, _)) => {}
        _ => return Err(failed("wait for the creator", "it is gone")),
    }
    if let Some(list) = affinity.and_then(|affinity| affinity.last.as_ref()) {
        limits::set_cpu_affinity(list).step(|| "process.execCPUAffinity.final: set".into())?;
    }
    job.placement.enter()?;
    if affinity.is_none_or(|affinity| affinity.last.is_none()) {
        limits::reset_cpu_affinity().step(|| "run on all CPUs".into())?;
    }
    join(job)?;
    if !job.container.record.no_new_keyring {
        init::join_keyring(&job.container.record.id)?;
    }
    install_streams(job, channel)?;
    let in_user_namespace = job.kinds.contains(NamespaceType::User);
    let context = init::process::Context {
        proc: &job.proc,
        seccomp: job.filter.take(),
        notify: None,
        landlock: job.landlock.take(),
        in_user_namespace,
        memory_policy: job.container.exec.memory_policy.as_ref(),
        preserve_fds: job.preserve_fds,
        limits_are_set: in_user_namespace,
    };
    init::process::enter(job.process, job.container.exec.personality.as_ref(), context)
}

/// Closes what the escort has of its maker's and doesn't need.
fn close_others(job: &Job<'_>, channel: &OwnedFd) {
    let mut kept = vec![channel.as_fd(), job.proc.as_fd(), job.container.pidfd.as_fd()];
    kept.extend(job.placement.descriptors());
    if let Stdio::Fds { stdin, stdout, stderr } = &job.stdio {
        kept.extend([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
    }
    process::close_other_copies_in_child(&kept, job.preserve_fds);
}

/// Joins all namespaces at once; pid is for the child.
fn join(job: &Job<'_>) -> Result<(), InitError> {
    let step = || "join the namespaces".to_owned();
    let (pidfd, user) = (&job.container.pidfd, job.kinds.contains(NamespaceType::User));
    let root = root_without_namespace(job)?;
    if !job.kinds.is_empty() {
        match namespace::join_process(pidfd, job.kinds) {
            // Some of them may be the host's, where only the host's rights count.
            Err(error) if user && error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                namespace::join_process(pidfd, job.kinds.without(NamespaceType::User)).step(step)?;
                namespace::join_process(pidfd, Kinds::of(NamespaceType::User)).step(step)?;
            }
            result => result.step(step)?,
        }
    }
    if let Some(root) = root {
        mount::change_root(root.as_fd()).step(|| "enter the container's root".into())?;
    }
    if user { init::become_root() } else { Ok(()) }
}

/// The first process's root, where it has no mount namespace of its own that would bring it along.
fn root_without_namespace(job: &Job<'_>) -> Result<Option<OwnedFd>, InitError> {
    if job.container.record.mount_below.is_none() {
        return Ok(None);
    }
    let step = || "open the container's root".to_owned();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::openat(&job.proc, format!("{}/root", job.container.pid()), flags, Mode::empty());
    let root = root.map_err(std::io::Error::from).step(step)?;
    // Only now is it sure that the pid is still the first process's.
    process::signal(&job.container.pidfd, 0).step(step)?;
    Ok(Some(root))
}

fn install_streams(job: &mut Job<'_>, channel: &OwnedFd) -> Result<(), InitError> {
    let Stdio::Pty = job.stdio else {
        return init::stdio::install(std::mem::take(&mut job.stdio));
    };
    let root = Root::open("/".as_ref()).step(|| "open the root".into())?;
    let terminal = init::console::open(&root, job.process)?;
    if job.passes_line_feeds {
        // Before the program can write anything.
        pty::pass_line_feeds(&terminal.slave).step(|| "set up the terminal".into())?;
    }
    channel::send(channel, &FromInit::Terminal, Some(&terminal.master))
        .step(|| "answer the creator".into())?;
    init::stdio::install_everywhere(&terminal.slave)
}

/// Gives up everything, then makes the process and ends.
fn make(job: &Job<'_>, mut ready: Ready, channel: &OwnedFd) -> Result<(), InitError> {
    leave_behind(job, channel)?;
    // The listener of its own filter isn't the process's either, so it isn't kept.
    ready.drop_privileges_before(&job.door, |listener| {
        channel::send(channel, &FromInit::Listener, Some(&listener)).step(|| "answer the creator".into())
    })?;
    let is_process = job.door.make_sibling(job.made).step(|| "make the process".into())?;
    if is_process {
        return Err(become_program(job, ready, channel));
    }
    if job.is_attended {
        channel::send(channel, &FromInit::Made, None).step(|| "answer the creator".into())?;
    }
    Ok(())
}

/// The process is visible in the container from its first moment. It has the standard streams, the descriptors that it is
/// meant to have, and the channel, which can say nothing that the program couldn't by failing; of memory, a copy of the
/// escort's with the container's own configuration, and none of the caller's environment.
fn leave_behind(job: &Job<'_>, channel: &OwnedFd) -> Result<(), InitError> {
    process::close_other_copies_in_child(&[channel.as_fd()], job.preserve_fds);
    process::wipe_environment();
    job.made.hide_from_children().step(|| "hide the pid's page".into())?;
    // Changing ids may have undone it (fs.suid_dumpable).
    process::set_undumpable().step(|| "make the process undumpable".into())
}

/// Returns only why the process couldn't become the program.
fn become_program(job: &Job<'_>, ready: Ready, channel: &OwnedFd) -> InitError {
    let prepared = job.door.new_session().step(|| "start a session".into()).and_then(|()| {
        if matches!(job.stdio, Stdio::Pty) {
            let make = job.door.make_controlling(std::io::stdin());
            make.step(|| "make the terminal the controlling one".into())?;
        }
        if let Some(limit) = job.process_limit {
            job.door.limit_processes(limit).step(|| "process.rlimits: set RLIMIT_NPROC".into())?;
        }
        if job.is_attended {
            match channel::receive(channel).step(|| "wait for the creator".into())? {
                Some((ToInit::Start, _)) => {}
                _ => return Err(failed("wait for the creator", "it is gone")),
            }
        }
        Ok(())
    });
    match prepared {
        Ok(()) => ready.become_program(),
        Err(error) => error,
    }
}
