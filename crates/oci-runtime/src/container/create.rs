//! Creating a container, from the creator's side: prepare, clone, place, answer the child until it is ready.
//!
//! Whatever was made is undone when a later step fails ([`Undo`]).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use minke_kernel::{
    cgroup::{self, Cgroup, CgroupError, Layout},
    limits,
    mount::{self, Overlay},
    namespace::{self, Kinds},
    pid_slot::PidSlot,
    process::{self, Child},
    procfs::Proc,
    seccomp::{self, Door},
    socket,
};
use minke_model::runtime_spec::{Hooks, Linux, NamespaceType, Process, Resources, Spec, Status};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Container, CreateError, CreateOptions, Created, ExecContext, Limits, Stdio,
    bind_sources::BindSources,
    clone::{self, CloneRequest, Made},
    delete,
    exec::Attention,
    id_map, late_cgroup, net_devices, rdt, rootless,
    state::{Record, StateDir},
    systemd_cgroup,
    undo::Undo,
    validate::{self, config},
};
use crate::{
    channel::{self, FromInit, ToInit},
    hooks,
    init::{self, Escort, Plan},
    landlock::Rules,
    placement::{Placement, birthplace},
    step::{Step, plain},
};

/// The annotation that asks for an overlay as the root file system, mounted at `root.path` in the
/// container's own mount namespace.
pub const OVERLAY_ANNOTATION: &str = "dev.minke.rootfs.overlay";

/// The annotation's value.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OverlayAnnotation {
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
    options: Vec<String>,
}

/// See [`super::create`].
pub(super) fn create(spec: Spec, options: CreateOptions) -> Result<Created, CreateError> {
    validate::spec(&spec)?;
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    let process = spec.process.as_ref().ok_or_else(|| config("process", "missing"))?;
    rootless::check(linux)?;
    refuse_absent_features(linux, process)?;
    // From here on, nobody in the container's namespaces may look into this process or its child.
    process::set_undumpable().action(|| "make the process undumpable".into())?;

    let paths = Paths::resolve(&spec, &options.bundle)?;
    let overlay = overlay(&spec)?;
    let landlock = Rules::find(&spec.annotations)?;
    let namespaces = Namespaces::open(linux)?;
    let filter = check_filter(linux)?;
    let proc = Proc::open().action(|| "open /proc".into())?;
    let user = (namespaces.new | namespaces.joined()).contains(NamespaceType::User);
    let sources = BindSources::new(&spec.mounts, &paths.bundle, linux, user)?;
    let rdt = rdt::Plan::new(&options.id, linux.intel_rdt.as_ref())?;

    let mut undo = Undo::default();
    let dir = StateDir::claim(&options.root, &options.id)?;
    undo.add({
        let dir = dir.clone();
        move || drop(dir.remove())
    });
    if options.notify {
        dir.make_notify().action(|| "make the directory of the notify socket".into())?;
    }
    let mut record = record(&spec, &options, &paths, linux, namespaces.new);
    record.rdt = rdt.as_ref().map(|plan| plan.group().clone());
    // Before there is anything that a creator which is killed would leave without a trace.
    let announce = |planned| {
        record.cgroup_paths = planned;
        Ok(dir.save(&record).action(|| "write the state".into())?)
    };
    let (mut warnings, mut notes) = (Vec::new(), Vec::new());
    let (mut filling, mut late) = (None, None);
    let (layout, cgroup) = match (options.systemd_cgroup, options.rootless) {
        (true, _) => {
            let (layout, group, made) = systemd_cgroup::make(&options.id, &spec, linux, &mut undo)?;
            filling = Some(made);
            (Some(layout), Some(group))
        }
        (false, true) => {
            rootless::make_cgroup(&options.id, linux, &mut undo, (&mut warnings, &mut notes), announce)?
        }
        (false, false) => {
            let begun = late_cgroup::begin(&options.id, linux, &mut undo, announce)?;
            late = begun.rest;
            (begun.layout, begun.whole)
        }
    };
    let listener = dir.listen().action(|| "make the start socket".into())?;
    let (ours, theirs) = socket::pair().action(|| "make the channel".into())?;
    if let Some(group) = &cgroup {
        record.cgroup_paths = group.paths();
    }
    let cgroup_paths = record.cgroup_paths.clone();
    // Into a user's cgroups only systemd can bring a process from outside.
    let systemd_moves = filling.as_ref().is_some_and(|filling| filling.unit().user);
    let birthplace = (!systemd_moves).then(|| birthplace(&cgroup_paths)).transpose();
    let birthplace = birthplace.action(|| "open the cgroup".into())?.flatten();

    let network = namespaces.take_fd(NamespaceType::Network)?;
    let notifies = filter.as_ref().is_some_and(seccomp::Checked::notifies);
    let is_escorted = namespaces.new.contains(NamespaceType::Mount)
        && !user
        && !notifies
        && !rootless::is_rootless()
        && namespaces.take_fd(NamespaceType::Pid)?.as_ref().is_some_and(init::can_be_escorted);
    let made_inside = is_escorted.then(PidSlot::new).transpose();
    let made_inside = made_inside.action(|| "make room for a pid".into())?;
    let door = is_escorted.then(Door::new).transpose().action(|| "draw random numbers".into())?;
    let escort = made_inside.as_ref().zip(door).map(|(made, door)| Escort {
        door,
        made,
        process_limit: Attention::process_limit(process),
        has_terminal: matches!(options.stdio, Stdio::Pty),
    });
    let set_up = if is_escorted { Attention::postponed(process) } else { Cow::Borrowed(process) };
    let joined = Joined {
        user: namespaces.take_fd(NamespaceType::User)?,
        pid: namespaces.take_fd(NamespaceType::Pid)?.filter(|_| !is_escorted),
        time: namespaces.take_fd(NamespaceType::Time)?,
        early: if user { namespaces.foreign()? } else { Vec::new() },
    };
    let plan = Plan {
        id: &options.id,
        spec: &spec,
        linux,
        process: &set_up,
        bundle: &paths.bundle,
        rootfs: &paths.rootfs,
        overlay,
        joins: namespaces.joins,
        new: namespaces.new,
        by_creator: sources.by_creator().to_vec(),
        is_filtered: filter.is_some(),
        notifies,
        landlock,
        proc,
        cgroup_layout: layout,
        cgroup_paths,
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
        let below = mount::id_at(&paths.rootfs).action(|| format!("stat {}", paths.rootfs.display()))?;
        record.mount_below = Some(below);
        let rootfs = paths.rootfs.clone();
        undo.add(move || drop(delete::unmount(&rootfs, below)));
    }
    record.systemd = filling.as_ref().map(|filling| filling.unit().clone());
    let made = clone_init(plan, &joined, birthplace.as_ref(), &proc, theirs)?;
    drop(birthplace);
    let Child { mut pid, mut pidfd } = made.child;
    // Undone first, whatever is made from here on: a cgroup can't be removed as long as somebody is in it.
    let mut first_undone = Undo::default();
    first_undone.add({
        let pidfd = pidfd.try_clone().action(|| "copy the pidfd".into())?;
        move || kill(&pidfd)
    });
    if let Some(filling) = &mut filling {
        filling.add(pid)?;
    }
    if namespaces.new.contains(NamespaceType::User) && !made.ids_are_mapped {
        id_map::write(&proc, pid, &linux.uid_mappings, &linux.gid_mappings)
            .action(|| "linux.uidMappings: write".into())?;
    }
    if user {
        place(&proc, pid, process)?;
    }
    if joined.user.is_some() {
        id_map::check(&proc, pid, linux)?;
    }
    net_devices::transfer(linux, pid, network.as_ref())?;
    if let Some(plan) = &rdt {
        plan.carry_out(pid, &mut undo)?;
    }
    let cgroup = match late {
        Some(late) => Some(late.finish(&mut undo)?),
        None => cgroup,
    };
    let doors = match systemd_moves {
        true => Placement::default(),
        false => Placement::open_doors(&record.cgroup_paths).action(|| "open the cgroup".into())?,
    };
    send(&ours, &ToInit::Placed { pid, doors: doors.doors().len() }, &doors.doors())?;
    drop(doors);
    // The process works on meanwhile.
    if let Some(filter) = &filter {
        let compiled = filter.compile().map_err(|error| CreateError::Part(format!("linux.{error}")))?;
        heard(channel::send_filter(&ours, &compiled))?;
    }
    record.pid = pid;
    record.start_time = start_time(pid)?;
    dir.save(&record).action(|| "write the state".into())?;
    let served = serve(&ours, spec.hooks.as_ref(), &record, |index| {
        sources.copy(
            index,
            &proc,
            &Child { pid, pidfd: pidfd.try_clone().action(|| "copy the pidfd".into())? },
        )
    });
    let pty_master = match served {
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
        let _ = process::wait(&pidfd);
        (pid, pidfd) = (inside.pid, inside.pidfd);
        first_undone.add({
            let pidfd = pidfd.try_clone().action(|| "copy the pidfd".into())?;
            move || kill(&pidfd)
        });
        if let Some(scheduler) = process.scheduler.as_ref().filter(|wanted| limits::is_lost_by_fork(wanted)) {
            limits::set_scheduler(pid, scheduler).action(|| "process.scheduler: set".into())?;
        }
        record.pid = pid;
        record.start_time = start_time(pid)?;
    }
    if let Some(filling) = filling {
        filling.settle(cgroup.as_ref())?;
    }
    record.is_unfinished = false;
    dir.save(&record).action(|| "write the state".into())?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, pid).action(|| format!("write the pid file {}", path.display()))?;
    }
    first_undone.disarm();
    undo.disarm();
    let exec = spec.linux.map(ExecContext::of).unwrap_or_default();
    let container = Container { record, dir, pidfd, channel: Some(ours), cgroup, exec };
    Ok(Created { container, warnings, notes, pty_master })
}

/// The process that was made inside a joined pid namespace: a child of the caller's that isn't reaped.
fn first_process(made: Option<&PidSlot>) -> Option<Child> {
    let pid = made?.get()?;
    Some(Child { pid, pidfd: process::open(pid).ok()? })
}

/// Features that are asked for and that the host hasn't are refused, for ignoring them would drop protection.
fn refuse_absent_features(linux: &Linux, process: &Process) -> Result<(), CreateError> {
    let given = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
    if given(&linux.mount_label) && !init::process::has_selinux() {
        return Err(config("linux.mountLabel", "SELinux is not enabled on this host"));
    }
    refuse_absent_labels(process)
}

/// The security modules' labels of a process.
pub(super) fn refuse_absent_labels(process: &Process) -> Result<(), CreateError> {
    let given = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
    let unconfined = process.apparmor_profile.as_deref() == Some("unconfined");
    if given(&process.apparmor_profile) && !unconfined && !init::process::has_apparmor() {
        return Err(config("process.apparmorProfile", "AppArmor is not enabled on this host"));
    }
    if given(&process.selinux_label) && !init::process::has_selinux() {
        return Err(config("process.selinuxLabel", "SELinux is not enabled on this host"));
    }
    Ok(())
}

/// The bundle's and the root's absolute paths.
pub(super) struct Paths {
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
}

impl Paths {
    pub(super) fn resolve(spec: &Spec, bundle: &Path) -> Result<Self, CreateError> {
        let bundle = resolve(bundle).action(|| format!("find the bundle {}", bundle.display()))?;
        let root = spec.root.as_ref().map(|root| root.path.as_str()).unwrap_or_default();
        let rootfs = bundle.join(root);
        let fault =
            |error: &io::Error| config("root.path", format!("{}: {}", rootfs.display(), plain(error)));
        let resolved = resolve(&rootfs).map_err(|error| fault(&error))?;
        if !resolved.is_dir() {
            return Err(config("root.path", format!("{} is not a directory", rootfs.display())));
        }
        if resolved == Path::new("/") {
            return Err(config("root.path", "must not be the host's own root"));
        }
        Ok(Self { bundle, rootfs: resolved })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "bundle and root are where the caller says; nothing in them is followed"
)]
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

fn overlay(spec: &Spec) -> Result<Option<Overlay>, CreateError> {
    let field = || format!("annotations[{OVERLAY_ANNOTATION:?}]");
    let Some(text) = spec.annotations.get(OVERLAY_ANNOTATION) else { return Ok(None) };
    let wanted: OverlayAnnotation =
        serde_json::from_str(text).map_err(|error| config(field(), error.to_string()))?;
    if wanted.lower.is_empty() {
        return Err(config(field(), "lower: at least one directory is needed"));
    }
    let (upper, work) = (given(wanted.upper), given(wanted.work));
    if upper.is_some() != work.is_some() {
        return Err(config(field(), "upper and work need each other"));
    }
    Ok(Some(Overlay { lower: wanted.lower, upper, work, options: wanted.options }))
}

fn given(path: PathBuf) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then_some(path)
}

/// The namespaces that the configuration asks for.
struct Namespaces {
    new: Kinds,
    joins: Vec<(NamespaceType, OwnedFd)>,
}

impl Namespaces {
    fn open(linux: &Linux) -> Result<Self, CreateError> {
        let mut all = Self { new: Kinds::default(), joins: Vec::new() };
        for (i, wanted) in linux.namespaces.iter().enumerate() {
            match wanted.path.as_deref().filter(|path| !path.is_empty()) {
                None => all.new = all.new | Kinds::of(wanted.kind),
                Some(path) => {
                    let fd = namespace::open(Path::new(path), wanted.kind).map_err(|error| {
                        config(format!("linux.namespaces[{i}].path"), format!("{path}: {}", plain(&error)))
                    })?;
                    all.joins.push((wanted.kind, fd));
                }
            }
        }
        Ok(all)
    }

    fn joined(&self) -> Kinds {
        self.joins.iter().map(|(kind, _)| *kind).collect()
    }

    /// Copies of the descriptors of namespaces that another user namespace may own.
    fn foreign(&self) -> Result<Vec<(NamespaceType, OwnedFd)>, CreateError> {
        const KINDS: [NamespaceType; 3] = [NamespaceType::Network, NamespaceType::Ipc, NamespaceType::Uts];
        let copy = |kind| Ok(self.take_fd(kind)?.map(|fd| (kind, fd)));
        KINDS.into_iter().filter_map(|kind| copy(kind).transpose()).collect()
    }

    /// A copy of the descriptor of a namespace that is joined.
    fn take_fd(&self, kind: NamespaceType) -> Result<Option<OwnedFd>, CreateError> {
        let found = self.joins.iter().find(|(joined, _)| *joined == kind);
        Ok(found.map(|(_, fd)| fd.try_clone()).transpose().action(|| format!("copy the {kind} namespace"))?)
    }
}

/// Checks the filter, so that a mistake in it shows before anything is made.
fn check_filter(linux: &Linux) -> Result<Option<seccomp::Checked<'_>>, CreateError> {
    let checked = linux.seccomp.as_ref().map(seccomp::check).transpose();
    checked.map_err(|error| CreateError::Part(format!("linux.{error}")))
}

/// Makes the cgroup with its limits. A host without any hierarchy can still run a container that asks for no limits.
pub(super) fn make_cgroup(id: &str, linux: &Linux, undo: &mut Undo) -> Result<Option<Cgroup>, CreateError> {
    let Some((layout, path)) = find_cgroup(id, linux)? else { return Ok(None) };
    let planned = Cgroup::planned_paths(&layout, path).map_err(|error| CreateError::Part(chain(&error)))?;
    refuse_frozen(&planned, path)?;
    limit_cgroup(&layout, path, linux, undo).map(Some)
}

/// Where the cgroup is to be made.
pub(super) fn find_cgroup<'a>(
    id: &'a str,
    linux: &'a Linux,
) -> Result<Option<(Layout, &'a str)>, CreateError> {
    let layout = match Layout::detect() {
        Err(CgroupError::NoHierarchy) if linux.resources.is_none() && linux.cgroups_path.is_none() => {
            return Ok(None);
        }
        result => result.map_err(|error| CreateError::Part(chain(&error)))?,
    };
    let path = linux.cgroups_path.as_deref().filter(|path| !path.is_empty());
    Ok(Some((layout, path.unwrap_or(id))))
}

/// Makes the cgroup at a known place.
pub(super) fn limit_cgroup(
    layout: &Layout,
    path: &str,
    linux: &Linux,
    undo: &mut Undo,
) -> Result<Cgroup, CreateError> {
    let part = |error: &CgroupError| CreateError::Part(chain(error));
    let group = Cgroup::create_in(layout, path).map_err(|error| part(&error))?;
    refuse_inhabited(&group, path)?;
    let paths = group.paths();
    undo.add(move || drop(Cgroup::remove_paths(paths.values())));
    let mut resources = linux.resources.clone().unwrap_or_default();
    with_default_devices(&mut resources);
    group.apply(&resources).map_err(|error| part(&error))?;
    Ok(group)
}

/// What is put into a frozen cgroup runs no further: the container would never be made.
pub(super) fn refuse_frozen(planned: &BTreeMap<String, PathBuf>, path: &str) -> Result<(), CreateError> {
    let freezer = ["freezer", ""].iter().find_map(|key| planned.get_key_value(*key));
    let Some((key, directory)) = freezer else { return Ok(()) };
    let frozen =
        Cgroup::open(&BTreeMap::from([(key.clone(), directory.clone())])).and_then(|group| group.is_frozen());
    match frozen {
        Ok(true) => {
            Err(config("linux.cgroupsPath", format!("{path}: container's cgroup unexpectedly frozen")))
        }
        // A cgroup that isn't there yet, as it should be; what else is wrong shows when it is made.
        Ok(false) | Err(_) => Ok(()),
    }
}

/// A cgroup with processes is another container's: this one's limits would be theirs, and its end their end.
fn refuse_inhabited(group: &Cgroup, path: &str) -> Result<(), CreateError> {
    let inhabitants = group.pids().map_err(|error| {
        // Nobody is known to be in it, and what is inhabited can't be removed anyway.
        drop(Cgroup::remove_paths(group.paths().values()));
        CreateError::Part(chain(&error))
    })?;
    match inhabitants.len() {
        0 => Ok(()),
        count => {
            let reason = format!("{path}: container's cgroup is not empty: {count} process(es) found");
            Err(config("linux.cgroupsPath", reason))
        }
    }
}

/// Rules of the configuration come first, then what every container needs.
pub(super) fn with_default_devices(resources: &mut Resources) {
    if !resources.devices.is_empty() {
        resources.devices.extend(cgroup::default_device_rules());
    }
}

/// The error with its causes, in one line, and those of the kernel without their numbers.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    minke_model::chain_of(error, |cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => plain(error),
        None => cause.to_string(),
    })
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

/// Namespaces that exist and that matter to how the process is made.
struct Joined {
    user: Option<OwnedFd>,
    pid: Option<OwnedFd>,
    time: Option<OwnedFd>,
    /// See [`Namespaces::foreign`].
    early: Vec<(NamespaceType, OwnedFd)>,
}

fn clone_init(
    plan: Plan<'_>,
    joined: &Joined,
    unified: Option<&OwnedFd>,
    proc: &Proc,
    theirs: OwnedFd,
) -> Result<Made, CreateError> {
    let ordinary_user = rootless::is_ordinary_user();
    let linux = plan.linux;
    let request = CloneRequest {
        new: plan.new,
        join_user: joined.user.as_ref().map(AsFd::as_fd),
        join_pid: joined.pid.as_ref().map(AsFd::as_fd),
        join_time: joined.time.as_ref().map(AsFd::as_fd),
        join_early: joined.early.iter().map(|(kind, namespace)| (*kind, namespace.as_fd())).collect(),
        cgroup: unified.map(AsFd::as_fd),
        linux,
        proc,
        map_ids: &|pid| id_map::write(proc, pid, &linux.uid_mappings, &linux.gid_mappings),
    };
    // Ids are mapped through /proc/PID, which is root's while a process is undumpable. The child hides again by itself.
    let shows = ordinary_user && plan.new.contains(NamespaceType::User);
    if shows {
        process::set_dumpable().action(|| "make the process dumpable".into())?;
    }
    let made = clone::spawn(&request, || {
        // Else the child would keep its own channel open and never see the creator leave; and what the caller has open is
        // nothing that a container's process should have, not even while it waits.
        process::close_other_copies_in_child(&plan.descriptors(&theirs), plan.preserve_fds);
        init::run(plan, theirs)
    });
    if shows {
        process::set_undumpable().action(|| "make the process undumpable".into())?;
    }
    Ok(made.action(|| "linux.namespaces: make the process".into())?)
}

/// What only the creator may do for its child in a user namespace: limits above its own.
fn place(proc: &Proc, pid: i32, process: &Process) -> Result<(), CreateError> {
    if let Some(score) = process.oom_score_adj {
        init::process::set_oom_score(proc, &pid.to_string(), score)?;
    }
    for (i, limit) in process.rlimits.iter().enumerate() {
        // The process sets them all, but late: what it does until then may need more files than its program may have.
        if !limits::raises(limit).action(|| format!("process.rlimits[{i}]: read {}", limit.kind))? {
            continue;
        }
        limits::set_rlimit(pid, limit).action(|| format!("process.rlimits[{i}]: set {}", limit.kind))?;
    }
    Ok(())
}

pub(super) fn start_time(pid: i32) -> Result<u64, CreateError> {
    let stat = process::stat(pid).action(|| format!("read /proc/{pid}/stat"))?;
    stat.map(|stat| stat.start_time)
        .ok_or_else(|| CreateError::Part("the container's process ended early".into()))
}

/// Answers the child until it is ready; returns the terminal's master.
fn serve(
    channel: &OwnedFd,
    hooks: Option<&Hooks>,
    record: &Record,
    copy: impl Fn(usize) -> Result<OwnedFd, CreateError>,
) -> Result<Option<OwnedFd>, CreateError> {
    let (mut master, mut hooks_have_run) = (None, false);
    let mut copied = BTreeSet::new();
    loop {
        let received =
            channel::receive::<FromInit>(channel).action(|| "listen to the container's process".into())?;
        match received {
            Some((FromInit::Ready, _)) => return Ok(master),
            // Each is said once, and first by who may say it: a process that was made in a joined pid namespace may be in
            // other hands already.
            Some((FromInit::Source(index), _))
                if !hooks_have_run && master.is_none() && copied.insert(index) =>
            {
                send(channel, &ToInit::Source, &[copy(index)?.as_fd()])?;
            }
            Some((FromInit::Terminal, fd)) if master.is_none() => master = fd,
            Some((FromInit::MountsDone, _)) if !hooks_have_run => {
                hooks_have_run = true;
                run_hooks(hooks, record)?;
                send(channel, &ToInit::HooksDone, &[])?;
            }
            Some((FromInit::Failed(error), _)) => return Err(error.into()),
            Some(_) => {
                return Err(CreateError::Part("unexpected message".into()));
            }
            None => {
                return Err(CreateError::Part("the container's process was killed while it was made".into()));
            }
        }
    }
}

fn send(channel: &OwnedFd, message: &ToInit, descriptors: &[BorrowedFd<'_>]) -> Result<(), CreateError> {
    heard(channel::send_all(channel, message, descriptors))
}

/// A child that is gone already has said why: its message is read by the caller.
fn heard(sent: io::Result<()>) -> Result<(), CreateError> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result.action(|| "speak to the container's process".into())?),
    }
}

fn run_hooks(hooks: Option<&Hooks>, record: &Record) -> Result<(), CreateError> {
    let Some(all) = hooks else { return Ok(()) };
    let state = record.state(Status::Creating);
    for (stage, hooks) in [("prestart", &all.prestart), ("createRuntime", &all.create_runtime)] {
        hooks::run_all(stage, hooks, &state).map_err(|error| CreateError::Part(error.to_string()))?;
    }
    Ok(())
}

/// Kills a child and reaps it.
pub(super) fn kill(pidfd: &OwnedFd) {
    let _ = process::signal(pidfd, rustix::process::Signal::KILL.as_raw());
    let _ = process::wait(pidfd);
}

/// Replaces the pid file, so that whoever waits for it never reads half a number.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let temporary = path.with_file_name(format!(".{}", name.to_string_lossy()));
    fs::write(&temporary, pid.to_string())?;
    fs::rename(temporary, path)
}
