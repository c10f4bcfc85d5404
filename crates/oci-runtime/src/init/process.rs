//! What the first process and those that `exec` adds have in common: limits, user, capabilities, filter, program.
//!
//! [`enter`] does all that may be done before the start; [`Ready::execute`] the rest. The order matters: what needs privileges
//! comes before the user changes, the filter comes as late as it can.

use std::{
    ffi::CString,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use minke_kernel::{
    caps, identity, limits, process as kernel_process,
    procfs::Proc,
    seccomp::{self, Door},
    socket,
};
use minke_model::runtime_spec::{
    ContainerProcessState, MemoryPolicy, Personality, Process, Rlimit, Seccomp, State, VERSION,
};
use rustix::io::Errno;
use std::os::fd::AsFd;

use super::{program, stdio};
use crate::{
    container::{InitError, InitErrorKind},
    landlock::Rules,
    step::{Step, failed, plain},
};

/// What [`enter`] needs besides the process itself.
pub(crate) struct Context<'a> {
    pub(crate) proc: &'a Proc,
    pub(crate) seccomp: Option<seccomp::Program>,
    pub(crate) notify: Option<Notify>,
    pub(crate) landlock: Option<Rules>,
    pub(crate) in_user_namespace: bool,
    pub(crate) memory_policy: Option<&'a MemoryPolicy>,
    pub(crate) preserve_fds: u32,
    /// The creator has set the OOM score already, and rlimits that only it may raise.
    pub(crate) limits_are_set: bool,
}

/// A process that has only the last steps before it.
pub(crate) struct Ready {
    path: PathBuf,
    argv: Vec<CString>,
    envp: Vec<CString>,
    no_new_privileges: bool,
    capabilities: caps::Sets,
    seccomp: Option<seccomp::Program>,
    notify: Option<Notify>,
    landlock: Option<Rules>,
    /// Of open files, where the runtime itself needs more until it has been started.
    late_limits: Vec<(usize, Rlimit)>,
    /// The last privileges are gone already.
    dropped: bool,
}

/// A connection to the listener of a filter's notifications.
#[derive(Debug)]
pub(crate) struct NotifyTarget {
    socket: OwnedFd,
    metadata: Option<String>,
}

/// A listener, and what it is told.
pub(crate) struct Notify {
    socket: OwnedFd,
    state: ContainerProcessState,
}

impl NotifyTarget {
    /// What the listener is told about a container's process.
    pub(crate) fn for_container(self, pid: i32, state: State) -> Notify {
        let state = ContainerProcessState {
            oci_version: VERSION.into(),
            fds: vec!["seccompFd".into()],
            pid,
            metadata: self.metadata,
            state,
        };
        Notify { socket: self.socket, state }
    }
}

impl Notify {
    /// Sends the filter's descriptor to whoever listens.
    pub(crate) fn hand_over(&self, listener: &OwnedFd) -> Result<(), InitError> {
        let text = serde_json::to_vec(&self.state).map_err(std::io::Error::from);
        text.and_then(|text| socket::send(&self.socket, &text, &[listener.as_fd()]))
            .step(|| "linux.seccomp.listenerPath: send the descriptor".into())
    }
}

/// Connects to the listener, while the host's paths can be reached.
pub(crate) fn notify_target(
    profile: Option<&Seccomp>,
    notifies: bool,
) -> Result<Option<NotifyTarget>, InitError> {
    let Some(profile) = profile.filter(|_| notifies) else { return Ok(None) };
    let path = profile.listener_path.as_deref().filter(|path| !path.is_empty());
    let path =
        path.ok_or_else(|| failed("linux.seccomp.listenerPath", "missing, but SCMP_ACT_NOTIFY is used"))?;
    let socket = socket::connect(Path::new(path))
        .step(|| format!("linux.seccomp.listenerPath: failed to connect with seccomp agent {path}"))?;
    Ok(Some(NotifyTarget { socket, metadata: profile.listener_metadata.clone() }))
}

/// Limits, scheduling, user and working directory; finds the program.
pub(crate) fn enter(
    process: &Process,
    personality: Option<&Personality>,
    context: Context<'_>,
) -> Result<Ready, InitError> {
    set_scheduling(process, personality, context.memory_policy)?;
    if !context.limits_are_set
        && let Some(score) = process.oom_score_adj
    {
        set_oom_score(context.proc, "self", score)?;
    }
    let late_limits = set_limits(process)?;
    set_labels(process, context.proc)?;
    let (capabilities, _unknown) = process.capabilities.as_ref().map(caps::parse).unwrap_or_default();
    stdio::give_to(process.user.uid);
    // As root first: the directory may be closed to the user (as runc does it).
    let early = change_directory(process);
    switch_user(process, &capabilities, &context)?;
    if early.is_err() {
        change_directory(process)?;
    }
    verify_directory(process)?;
    let inheritable = caps::are_inheritable(&capabilities);
    inheritable
        .and_then(|can| if can { Ok(()) } else { Err(rustix::io::Errno::PERM.into()) })
        .step(|| "process.capabilities.inheritable: set what the bounding set lacks".into())?;
    let env = program::environment(process);
    let path = program::find(&process.args[0], &env)?;
    kernel_process::close_on_exec_from(3 + context.preserve_fds)
        .step(|| "mark descriptors close-on-exec".into())?;
    Ok(Ready {
        path,
        argv: c_strings(&process.args, "process.args")?,
        envp: c_strings(&env, "process.env")?,
        no_new_privileges: process.no_new_privileges,
        capabilities,
        seccomp: context.seccomp,
        notify: context.notify,
        landlock: context.landlock,
        late_limits,
        dropped: false,
    })
}

impl Ready {
    /// Drops the last privileges: from here on, the process may do what the user's program may.
    pub(crate) fn drop_privileges(&mut self) -> Result<(), InitError> {
        if std::mem::replace(&mut self.dropped, true) {
            return Ok(());
        }
        let (filter, notify) = (self.seccomp.take(), self.notify.take());
        self.drop_privileges_under(filter, |listener| match notify {
            Some(notify) => notify.hand_over(&listener),
            None => Ok(()),
        })
    }

    /// Whether a listener waits for the filter.
    pub(crate) fn notifies(&self) -> bool {
        self.notify.is_some()
    }

    /// The same in a process that has yet to make the one that becomes the program: through `door`, whatever the
    /// filter says. `hand_over` gets the listener of the filter, if it has one.
    pub(crate) fn drop_privileges_before(
        &mut self,
        door: &Door,
        hand_over: impl FnOnce(OwnedFd) -> Result<(), InitError>,
    ) -> Result<(), InitError> {
        self.dropped = true;
        let filter = self.seccomp.take().map(|filter| filter.with_door(door)).transpose();
        let filter = filter.map_err(|error| failed("linux.seccomp", error.to_string()))?;
        self.drop_privileges_under(filter, hand_over)
    }

    /// The listener is handed over at once: what follows may need its consent.
    fn drop_privileges_under(
        &self,
        filter: Option<seccomp::Program>,
        hand_over: impl FnOnce(OwnedFd) -> Result<(), InitError>,
    ) -> Result<(), InitError> {
        let step = || "process.capabilities: set".to_owned();
        // The last that opens files, and needs CAP_SYS_ADMIN.
        self.landlock.as_ref().map_or(Ok(()), Rules::apply)?;
        self.late_limits.iter().try_for_each(|(number, limit)| set_limit(*number, limit))?;
        if self.no_new_privileges {
            caps::apply(&self.capabilities).step(step)?;
            caps::set_no_new_privileges().step(|| "process.noNewPrivileges: set".into())?;
            return install(filter)?.map_or(Ok(()), hand_over);
        }
        // Without no_new_privs only CAP_SYS_ADMIN may install a filter, so it comes before they are dropped.
        install(filter)?.map_or(Ok(()), hand_over)?;
        caps::apply(&self.capabilities).step(step)
    }

    /// Becomes the user's program; returns only why it couldn't.
    pub(crate) fn become_program(self) -> InitError {
        let Ok(path) = CString::new(self.path.as_os_str().as_encoded_bytes()) else {
            return failed("process.args[0]", "it holds a zero byte");
        };
        let error = kernel_process::exec(&path, &self.argv, &self.envp);
        program::exec_error(&self.path, &error)
    }
}

fn install(filter: Option<seccomp::Program>) -> Result<Option<OwnedFd>, InitError> {
    let Some(filter) = filter else { return Ok(None) };
    filter.install().map_err(|error| InitError {
        kind: InitErrorKind::Other,
        step: "linux.seccomp".into(),
        message: with_source(&error),
        errno: None,
    })
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn set_scheduling(
    process: &Process,
    personality: Option<&Personality>,
    memory_policy: Option<&MemoryPolicy>,
) -> Result<(), InitError> {
    if let Some(scheduler) = &process.scheduler {
        limits::set_scheduler(0, scheduler).step(|| "process.scheduler: set".into())?;
    }
    if let Some(priority) = &process.io_priority {
        limits::set_io_priority(priority).step(|| "process.ioPriority: set".into())?;
    }
    if let Some(personality) = personality {
        limits::set_personality(personality).step(|| "linux.personality: set".into())?;
    }
    if let Some(policy) = memory_policy {
        limits::set_memory_policy(policy).step(|| "linux.memoryPolicy: set".into())?;
    }
    Ok(())
}

/// Whether AppArmor is on.
pub(crate) fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

/// Whether SELinux is on.
pub(crate) fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Labels take effect with the next execve; absent modules were refused by the creator.
fn set_labels(process: &Process, proc: &Proc) -> Result<(), InitError> {
    let given = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
    if let Some(profile) = given(&process.apparmor_profile).filter(|_| has_apparmor()) {
        let text = format!("exec {profile}");
        // The shared file belongs to the first module of several; AppArmor has one of its own since 5.8.
        proc.write("self/attr/apparmor/exec", text.as_bytes())
            .or_else(|_| proc.write("self/attr/exec", text.as_bytes()))
            .step(|| format!("process.apparmorProfile: set {profile:?}"))?;
    }
    if let Some(label) = given(&process.selinux_label) {
        proc.write("self/attr/exec", label.as_bytes())
            .step(|| format!("process.selinuxLabel: set {label:?}"))?;
    }
    Ok(())
}

/// Gives back those that are to be set late: fewer open files than there may be now, which takes no privilege.
fn set_limits(process: &Process) -> Result<Vec<(usize, Rlimit)>, InitError> {
    let mut late = Vec::new();
    for (number, limit) in process.rlimits.iter().enumerate() {
        let can_wait = limit.kind == "RLIMIT_NOFILE" && limit.soft <= limit.hard;
        if can_wait && limits::raises(limit).is_ok_and(|raises| !raises) {
            late.push((number, limit.clone()));
        } else {
            set_limit(number, limit)?;
        }
    }
    Ok(late)
}

fn set_limit(number: usize, limit: &Rlimit) -> Result<(), InitError> {
    limits::set_rlimit(0, limit).step(|| format!("process.rlimits[{number}]: set {}", limit.kind))
}

/// Sets the OOM score of `process`, a pid or `self`.
pub(crate) fn set_oom_score(proc: &Proc, process: &str, score: i32) -> Result<(), InitError> {
    proc.write(format!("{process}/oom_score_adj"), score.to_string().as_bytes())
        .step(|| format!("process.oomScoreAdj: set {score}"))
}

/// Ids, groups and what must happen around their change. Capabilities are kept until [`Ready::execute`].
fn switch_user(process: &Process, capabilities: &caps::Sets, context: &Context<'_>) -> Result<(), InitError> {
    let user = &process.user;
    caps::limit_bounding(capabilities.bounding).step(|| "process.capabilities.bounding: set".into())?;
    caps::keep_over_setuid(true).step(|| "keep capabilities".into())?;
    match identity::set_supplementary_groups(&user.additional_gids) {
        // A user namespace with a single id may not change groups: none were asked for, or it is one that the runtime
        // was started in, where an image's groups are nothing that its caller could grant.
        Err(error)
            if (user.additional_gids.is_empty() || !context.in_user_namespace)
                && error.kind() == std::io::ErrorKind::PermissionDenied
                && context.proc.read("self/setgroups").is_ok_and(|text| text.starts_with("deny")) => {}
        result => result.step(|| format!("process.user.additionalGids: set {:?}", user.additional_gids))?,
    }
    identity::set_group(user.gid)
        .map_err(explain_id)
        .step(|| format!("process.user.gid: set {}", user.gid))?;
    identity::set_user(user.uid)
        .map_err(explain_id)
        .step(|| format!("process.user.uid: set {}", user.uid))?;
    caps::keep_over_setuid(false).step(|| "keep capabilities".into())?;
    caps::raise_effective().step(|| "keep capabilities".into())?;
    identity::set_umask(user.umask.unwrap_or(0o022));
    Ok(())
}

/// The kernel calls an id invalid that the user namespace doesn't map.
fn explain_id(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::INVAL) => io::Error::new(error.kind(), "it is not mapped in the user namespace"),
        _ => error,
    }
}

fn change_directory(process: &Process) -> Result<(), InitError> {
    identity::change_directory(Path::new(&process.cwd)).map_err(|error| {
        failed(
            format!("process.cwd: chdir to cwd ({:?}) set in config.json failed", process.cwd),
            plain(&error),
        )
    })
}

fn verify_directory(process: &Process) -> Result<(), InitError> {
    if identity::is_inside_root() {
        return Ok(());
    }
    Err(failed(format!("process.cwd: {}", process.cwd), "it is outside of the container"))
}

fn c_strings(strings: &[String], field: &str) -> Result<Vec<CString>, InitError> {
    let convert = |text: &String| CString::new(text.as_str());
    strings
        .iter()
        .map(convert)
        .collect::<Result<_, _>>()
        .map_err(|_| failed(field, "a string holds a zero byte"))
}
