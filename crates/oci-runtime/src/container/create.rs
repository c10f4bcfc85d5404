//! Creating a container, from the creator's side: prepare, clone, place, answer the child until it is ready.
//!
//! Whatever was made is undone when a later step fails ([`Undo`]).

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use minke_kernel::{
    cgroup::{self, Cgroup, CgroupError, Layout},
    limits,
    mount::Overlay,
    namespace::{self, Kinds},
    process::{self, Child},
    procfs::Proc,
    seccomp, socket,
};
use minke_model::runtime_spec::{Hooks, Linux, NamespaceType, Process, Resources, Spec, Status};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Container, CreateError, CreateOptions, Created, ExecContext,
    clone::{self, CloneRequest},
    id_map,
    state::{Record, StateDir},
    undo::Undo,
    validate::{self, config},
};
use crate::{
    channel::{self, FromInit, ToInit},
    hooks,
    init::{self, Plan},
    placement::Placement,
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
pub(super) fn create(spec: &Spec, options: CreateOptions) -> Result<Created, CreateError> {
    validate::spec(spec)?;
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    let process = spec.process.as_ref().ok_or_else(|| config("process", "missing"))?;
    refuse_absent_features(spec, linux, process)?;
    // From here on, nobody in the container's namespaces may look into this process or its child.
    process::set_undumpable().action(|| "make the process undumpable".into())?;

    let paths = Paths::resolve(spec, &options.bundle)?;
    let overlay = overlay(spec)?;
    let namespaces = Namespaces::open(linux)?;
    let filter = compile_filter(linux)?;
    let proc = Proc::open().action(|| "open /proc".into())?;
    let user = (namespaces.new | namespaces.joined()).contains(NamespaceType::User);
    let maps = user.then_some((linux.uid_mappings.as_slice(), linux.gid_mappings.as_slice()));
    let prepared = id_map::prepare_mounts(&spec.mounts, &paths.bundle, &proc, maps)?;

    let mut undo = Undo::default();
    let dir = StateDir::claim(&options.root, &options.id)?;
    undo.add({
        let dir = dir.clone();
        move || drop(dir.remove())
    });
    let (layout, cgroup) = make_cgroup(&options.id, linux, &mut undo)?;
    let listener = dir.listen().action(|| "make the start socket".into())?;
    let (ours, theirs) = socket::pair().action(|| "make the channel".into())?;
    let cgroup_paths = cgroup.as_ref().map(Cgroup::paths).unwrap_or_default();
    let placement = Placement::open(&cgroup_paths).action(|| "open the cgroup".into())?;

    let user_join = namespaces.take_fd(NamespaceType::User)?;
    let pid_join = namespaces.take_fd(NamespaceType::Pid)?;
    let plan = Plan {
        id: &options.id,
        spec,
        linux,
        process,
        bundle: &paths.bundle,
        rootfs: &paths.rootfs,
        overlay,
        joins: namespaces.joins,
        new: namespaces.new,
        prepared,
        seccomp: filter,
        proc,
        cgroup_layout: layout,
        cgroup_paths,
        placement,
        listener,
        stdio: options.stdio,
        preserve_fds: options.preserve_fds,
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
    };
    let proc = Proc::open().action(|| "open /proc".into())?;
    let mut record = record(spec, &options.id, &paths, &plan);
    let unified = plan.placement.unified().map(|fd| fd.try_clone_to_owned()).transpose();
    let unified = unified.action(|| "copy the cgroup's descriptor".into())?;
    let child = clone_init(plan, user_join, pid_join, unified.as_ref(), &proc, &ours, theirs)?;
    let Child { pid, pidfd } = child;
    undo.add({
        let pidfd = pidfd.try_clone().action(|| "copy the pidfd".into())?;
        move || kill(&pidfd)
    });
    place(&proc, pid, linux, process, namespaces.new)?;
    record.pid = pid;
    record.start_time = start_time(pid)?;
    let has_hooks = spec.hooks.is_some();
    if has_hooks {
        dir.save(&record).action(|| "write the state".into())?;
    }
    let pty_master = serve(&ours, pid, spec.hooks.as_ref(), &record)?;
    dir.save(&record).action(|| "write the state".into())?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, pid).action(|| format!("write the pid file {}", path.display()))?;
    }
    undo.disarm();
    let exec = ExecContext { seccomp: linux.seccomp.clone(), personality: linux.personality.clone() };
    let container = Container { record, dir, pidfd, channel: Some(ours), cgroup, exec };
    Ok(Created { container, pty_master })
}

/// Features that are asked for and that the host hasn't are refused, for ignoring them would drop protection.
fn refuse_absent_features(spec: &Spec, linux: &Linux, process: &Process) -> Result<(), CreateError> {
    let given = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
    if given(&linux.mount_label) {
        return Err(config("linux.mountLabel", "SELinux labels of mounts are not supported"));
    }
    if linux.intel_rdt.is_some() {
        let reason = match Path::new("/sys/fs/resctrl/schemata").exists() {
            true => "not supported",
            false => "the host has no resctrl file system (Intel RDT)",
        };
        return Err(config("linux.intelRdt", reason));
    }
    if !linux.net_devices.is_empty() {
        return Err(config("linux.netDevices", "moving network devices is not supported"));
    }
    let _ = spec;
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
struct Paths {
    bundle: PathBuf,
    rootfs: PathBuf,
}

impl Paths {
    fn resolve(spec: &Spec, bundle: &Path) -> Result<Self, CreateError> {
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
fn resolve(path: &Path) -> io::Result<PathBuf> {
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

    /// A copy of the descriptor of a namespace that is joined.
    fn take_fd(&self, kind: NamespaceType) -> Result<Option<OwnedFd>, CreateError> {
        let found = self.joins.iter().find(|(joined, _)| *joined == kind);
        Ok(found.map(|(_, fd)| fd.try_clone()).transpose().action(|| format!("copy the {kind} namespace"))?)
    }
}

/// Compiles the filter, so that a mistake in it shows before anything is made.
pub(super) fn compile_filter(linux: &Linux) -> Result<Option<seccomp::Program>, CreateError> {
    let compiled = linux.seccomp.as_ref().map(seccomp::compile).transpose();
    compiled.map_err(|error| CreateError::Part(format!("linux.{error}")))
}

/// Makes the cgroup with its limits. A host without any hierarchy can still run a container that asks for no limits.
fn make_cgroup(
    id: &str,
    linux: &Linux,
    undo: &mut Undo,
) -> Result<(Option<Layout>, Option<Cgroup>), CreateError> {
    let part = |error: &CgroupError| CreateError::Part(chain(error));
    let layout = match Layout::detect() {
        Err(CgroupError::NoHierarchy) if linux.resources.is_none() && linux.cgroups_path.is_none() => {
            return Ok((None, None));
        }
        result => result.map_err(|error| part(&error))?,
    };
    let path = linux.cgroups_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(id);
    let group = Cgroup::create_in(&layout, path).map_err(|error| part(&error))?;
    let paths = group.paths();
    undo.add(move || drop(Cgroup::remove_paths(paths.values())));
    let mut resources = linux.resources.clone().unwrap_or_default();
    with_default_devices(&mut resources);
    group.apply(&resources).map_err(|error| part(&error))?;
    Ok((Some(layout), Some(group)))
}

/// Rules of the configuration come first, then what every container needs.
fn with_default_devices(resources: &mut Resources) {
    if !resources.devices.is_empty() {
        resources.devices.extend(cgroup::default_device_rules());
    }
}

/// The error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = match cause.downcast_ref::<io::Error>() {
            Some(error) => plain(error),
            None => cause.to_string(),
        };
        text = format!("{text}: {cause_text}");
        source = cause.source();
    }
    text
}

fn record(spec: &Spec, id: &str, paths: &Paths, plan: &Plan<'_>) -> Record {
    let hooks = spec.hooks.clone().unwrap_or_default();
    Record {
        id: id.to_owned(),
        bundle: paths.bundle.clone(),
        rootfs: paths.rootfs.clone(),
        pid: 0,
        start_time: 0,
        created: OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
        owner: minke_kernel::identity::effective_user(),
        shares_pid_namespace: !plan.new.contains(NamespaceType::Pid),
        annotations: spec.annotations.clone(),
        hooks: Hooks { poststart: hooks.poststart, poststop: hooks.poststop, ..Hooks::default() },
        cgroup_paths: plan.cgroup_paths.clone(),
    }
}

fn clone_init(
    plan: Plan<'_>,
    user: Option<OwnedFd>,
    pid: Option<OwnedFd>,
    unified: Option<&OwnedFd>,
    proc: &Proc,
    ours: &OwnedFd,
    theirs: OwnedFd,
) -> Result<Child, CreateError> {
    let request = CloneRequest {
        new: plan.new,
        join_user: user.as_ref().map(AsFd::as_fd),
        join_pid: pid.as_ref().map(AsFd::as_fd),
        cgroup: unified.map(AsFd::as_fd),
        linux: plan.linux,
        proc,
    };
    let ours = ours.as_fd();
    let made = clone::spawn(&request, || {
        // Else the child would keep its own channel open and never see the creator leave.
        process::close_copy_in_child(ours);
        init::run(plan, theirs)
    });
    Ok(made.action(|| "linux.namespaces: make the process".into())?)
}

/// What only the creator may do for its child: ids, and limits above its own.
fn place(proc: &Proc, pid: i32, linux: &Linux, process: &Process, new: Kinds) -> Result<(), CreateError> {
    if !new.contains(NamespaceType::User) {
        return Ok(());
    }
    id_map::write(proc, pid, &linux.uid_mappings, &linux.gid_mappings)
        .action(|| "linux.uidMappings: write".into())?;
    if let Some(score) = process.oom_score_adj {
        init::process::set_oom_score(proc, &pid.to_string(), score)?;
    }
    for (i, limit) in process.rlimits.iter().enumerate() {
        limits::set_rlimit(pid, limit).action(|| format!("process.rlimits[{i}]: set {}", limit.kind))?;
    }
    Ok(())
}

fn start_time(pid: i32) -> Result<u64, CreateError> {
    let stat = process::stat(pid).action(|| format!("read /proc/{pid}/stat"))?;
    stat.map(|stat| stat.start_time)
        .ok_or_else(|| CreateError::Part("the container's process ended early".into()))
}

/// Answers the child until it is ready; returns the terminal's master.
fn serve(
    channel: &OwnedFd,
    pid: i32,
    hooks: Option<&Hooks>,
    record: &Record,
) -> Result<Option<OwnedFd>, CreateError> {
    send(channel, &ToInit::Placed { pid })?;
    let mut master = None;
    loop {
        let received =
            channel::receive::<FromInit>(channel).action(|| "listen to the container's process".into())?;
        match received {
            Some((FromInit::Ready, _)) => return Ok(master),
            Some((FromInit::Terminal, fd)) => master = fd,
            Some((FromInit::MountsDone, _)) => {
                run_hooks(hooks, record)?;
                send(channel, &ToInit::HooksDone)?;
            }
            Some((FromInit::Failed(error), _)) => return Err(error.into()),
            None => {
                return Err(CreateError::Part("the container's process was killed while it was made".into()));
            }
        }
    }
}

/// A child that is gone already has said why: its message is read by the caller.
fn send(channel: &OwnedFd, message: &ToInit) -> Result<(), CreateError> {
    match channel::send(channel, message, None) {
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
