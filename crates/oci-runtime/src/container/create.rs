//! Creating a container, from the creator's side: prepare, clone, place, answer the child until it is ready.
//!
//! Whatever was made is undone when a later step fails ([`Undo`]).

mod child;
mod wanted;

use std::{borrow::Cow, collections::BTreeMap, fs, io, path::Path};

use minke_kernel::{
    limits, mount,
    namespace::Kinds,
    pid_slot::PidSlot,
    process::{self, Child},
    procfs::Proc,
    seccomp::{self, Door},
    socket,
};
use minke_model::runtime_spec::{Hooks, Linux, NamespaceType, Process, Spec};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub use self::wanted::OVERLAY_ANNOTATION;
use self::{child::Joined, wanted::Wanted};
pub(super) use self::{
    child::start_time,
    wanted::{Paths, refuse_absent_labels, resolve},
};
use super::{
    Container, CreateError, CreateOptions, Created, ExecContext, Limits, Stdio,
    bind_sources::BindSources,
    cgroup::Group,
    delete,
    exec::Attention,
    id_map, net_devices, rootless,
    state::{Record, StateDir},
    undo::{Undo, kill},
};
use crate::{
    init::{Escort, Plan},
    step::Step,
};

/// See [`super::create`].
pub(super) fn create(spec: Spec, options: CreateOptions) -> Result<Created, CreateError> {
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    let wanted = Wanted::read(&spec, linux, &options)?;
    let (process, new) = (wanted.process, wanted.namespaces.new);
    let sources = BindSources::new(&spec.mounts, &wanted.paths.bundle, linux, wanted.has_user())?;

    let mut undo = Undo::default();
    let dir = claim(&options, &mut undo)?;
    let mut record = record(&spec, &options, &wanted.paths, linux, new);
    record.rdt = wanted.rdt.as_ref().map(|plan| plan.group().clone());
    // Before there is anything that a creator which is killed would leave without a trace.
    let mut group = Group::begin(&spec, linux, &options, &mut undo, |planned| {
        record.cgroup_paths = planned;
        Ok(dir.save(&record).action(|| "write the state".into())?)
    })?;
    if let Some(paths) = group.paths() {
        record.cgroup_paths = paths;
    }
    record.systemd = group.unit().cloned();
    let birthplace = group.birthplace(&record.cgroup_paths).action(|| "open the cgroup".into())?;
    let listener = dir.listen().action(|| "make the start socket".into())?;
    let (ours, theirs) = socket::pair().action(|| "make the channel".into())?;

    let made_inside = wanted.is_escorted()?.then(PidSlot::new).transpose();
    let made_inside = made_inside.action(|| "make room for a pid".into())?;
    let escort = made_inside.as_ref().map(|made| escort(made, process, &options.stdio)).transpose()?;
    let set_up = if escort.is_some() { Attention::postponed(process) } else { Cow::Borrowed(process) };
    let joined = Joined::of(&wanted, escort.is_some())?;
    let network = wanted.namespaces.copy(NamespaceType::Network)?;
    let plan = Plan {
        id: &options.id,
        spec: &spec,
        linux,
        process: &set_up,
        bundle: &wanted.paths.bundle,
        rootfs: &wanted.paths.rootfs,
        overlay: wanted.overlay,
        joins: wanted.namespaces.joins,
        new,
        by_creator: sources.by_creator().to_vec(),
        is_filtered: wanted.filter.is_some(),
        notifies: wanted.filter.as_ref().is_some_and(seccomp::Checked::notifies),
        landlock: wanted.landlock,
        proc: wanted.proc,
        cgroup_layout: group.layout.take(),
        cgroup_paths: record.cgroup_paths.clone(),
        listener,
        stdio: options.stdio,
        preserve_fds: options.preserve_fds,
        escort,
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
        by_ordinary_user: rootless::is_ordinary_user(),
    };
    let proc = Proc::open().action(|| "open /proc".into())?;
    if !plan.has(NamespaceType::Mount) {
        let below = mount::id_at(plan.rootfs).action(|| format!("stat {}", plan.rootfs.display()))?;
        record.mount_below = Some(below);
        let rootfs = plan.rootfs.to_owned();
        undo.add(move || drop(delete::unmount(&rootfs, below)));
    }
    let made = child::clone_init(plan, &joined, birthplace.as_ref(), &proc, theirs)?;
    drop(birthplace);
    let mut child = made.child;
    // Undone first, whatever is made from here on: a cgroup can't be removed as long as somebody is in it.
    let mut first_undone = Undo::default();
    undo_process(&mut first_undone, &child)?;
    let has_new_user = new.contains(NamespaceType::User);
    if has_new_user && !made.ids_are_mapped {
        id_map::write(&proc, child.pid, &linux.uid_mappings, &linux.gid_mappings)
            .action(|| "linux.uidMappings: write".into())?;
    }
    if has_new_user || joined.user.is_some() {
        child::raise_limits(&proc, child.pid, process)?;
    }
    if joined.user.is_some() {
        id_map::check(&proc, child.pid, linux)?;
    }
    net_devices::transfer(linux, child.pid, network.as_ref())?;
    if let Some(plan) = &wanted.rdt {
        plan.carry_out(child.pid, &mut undo)?;
    }
    group.complete(child.pid, &mut undo)?;
    child::let_in(&ours, child.pid, (!group.is_closed()).then_some(&record.cgroup_paths))?;
    // The process works on meanwhile.
    if let Some(filter) = &wanted.filter {
        child::send_filter(&ours, filter)?;
    }
    point_to(&mut record, child.pid)?;
    dir.save(&record).action(|| "write the state".into())?;
    let copy = |index| sources.copy(index, &proc, &child);
    let pty_master = match child::serve(&ours, spec.hooks.as_ref(), &record, copy) {
        Ok(master) => master,
        Err(error) => {
            if let Some(inside) = first_process(made_inside.as_ref()) {
                kill(&inside.pidfd);
            }
            drop(first_undone);
            drop(undo);
            // What went wrong is the error that counts.
            delete::poststop(&record);
            return Err(error);
        }
    };
    if let Some(inside) = first_process(made_inside.as_ref()) {
        // Who built the container has nothing more to do.
        let _ = process::wait(&child.pidfd);
        child = inside;
        undo_process(&mut first_undone, &child)?;
        if let Some(scheduler) = process.scheduler.as_ref().filter(|wanted| limits::is_lost_by_fork(wanted)) {
            limits::set_scheduler(child.pid, scheduler).action(|| "process.scheduler: set".into())?;
        }
        point_to(&mut record, child.pid)?;
    }
    let (warnings, notes) = group.told();
    let cgroup = group.settle()?;
    record.is_unfinished = false;
    dir.save(&record).action(|| "write the state".into())?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, child.pid).action(|| format!("write the pid file {}", path.display()))?;
    }
    first_undone.disarm();
    undo.disarm();
    let exec = spec.linux.map(ExecContext::of).unwrap_or_default();
    let container = Container { record, dir, pidfd: child.pidfd, channel: Some(ours), cgroup, exec };
    Ok(Created { container, warnings, notes, pty_master })
}

/// Claims the id.
pub(super) fn claim(options: &CreateOptions, undo: &mut Undo) -> Result<StateDir, CreateError> {
    let dir = StateDir::claim(&options.root, &options.id)?;
    undo.add({
        let dir = dir.clone();
        move || drop(dir.remove())
    });
    if options.notify {
        dir.make_notify().action(|| "make the directory of the notify socket".into())?;
    }
    Ok(dir)
}

/// How the first process is made inside a joined pid namespace.
fn escort<'a>(made: &'a PidSlot, process: &'a Process, stdio: &Stdio) -> Result<Escort<'a>, CreateError> {
    Ok(Escort {
        door: Door::new().action(|| "draw random numbers".into())?,
        made,
        process_limit: Attention::process_limit(process),
        has_terminal: matches!(stdio, Stdio::Pty),
    })
}

/// The process that was made inside a joined pid namespace: a child of the caller's that isn't reaped.
fn first_process(made: Option<&PidSlot>) -> Option<Child> {
    let pid = made?.get()?;
    Some(Child { pid, pidfd: process::open(pid).ok()? })
}

/// The container's process is this one.
fn point_to(record: &mut Record, pid: i32) -> Result<(), CreateError> {
    (record.pid, record.start_time) = (pid, start_time(pid)?);
    Ok(())
}

fn undo_process(undo: &mut Undo, child: &Child) -> Result<(), CreateError> {
    let pidfd = child.pidfd.try_clone().action(|| "copy the pidfd".into())?;
    undo.add(move || kill(&pidfd));
    Ok(())
}

pub(super) fn record(
    spec: &Spec,
    options: &CreateOptions,
    paths: &Paths,
    linux: &Linux,
    new: Kinds,
) -> Record {
    let hooks = spec.hooks.clone().unwrap_or_default();
    Record {
        id: options.id.clone(),
        is_unfinished: true,
        bundle: paths.bundle.clone(),
        rootfs: paths.rootfs.clone(),
        mount_below: None,
        pid: 0,
        start_time: 0,
        created: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
        owner: minke_kernel::identity::effective_user(),
        shares_pid_namespace: !new.contains(NamespaceType::Pid),
        no_new_keyring: options.no_new_keyring,
        annotations: spec.annotations.clone(),
        hooks: Hooks { poststart: hooks.poststart, poststop: hooks.poststop, ..Hooks::default() },
        cgroup_paths: BTreeMap::new(),
        limits: Limits::of(linux.resources.as_ref()),
        systemd: None,
        rdt: None,
        descriptors: streams(&options.stdio),
    }
}

/// What the standard streams are, which a restore after a checkpoint gives back: `pipe:[4026]`.
fn streams(stdio: &Stdio) -> Vec<String> {
    let name = |number| fs::read_link(format!("/proc/self/fd/{number}"));
    match stdio {
        Stdio::Inherit => {
            (0..3).map(|number| name(number).unwrap_or_default().display().to_string()).collect()
        }
        Stdio::Fds { .. } | Stdio::Pty => Vec::new(),
    }
}

/// Replaces the pid file, so that whoever waits for it never reads half a number.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let temporary = path.with_file_name(format!(".{}", name.to_string_lossy()));
    fs::write(&temporary, pid.to_string())?;
    fs::rename(temporary, path)
}
