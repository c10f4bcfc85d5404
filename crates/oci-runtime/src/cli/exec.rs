//! `exec`: run a further process in a container.

use std::{fs, os::fd::AsFd};

use anyhow::{Context, anyhow, bail};
use minke_kernel::limits;
use minke_model::runtime_spec::{Capabilities, Process, Spec, Status};
use minke_oci_runtime::{
    config,
    container::{Container, ExecOptions},
};

use super::{
    Command, Global, create,
    create::{CONSOLE_SOCKET, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS},
    find,
    flags::{Flag, Parsed},
    foreground::Foreground,
};

pub(super) const COMMAND: Command = Command {
    name: "exec",
    summary: "execute a new process inside a container",
    operands: "<container-id> <command> [arguments...] | -p process.json <container-id>",
    count: 1..=usize::MAX,
    flags: FLAGS,
    rest: Some(1),
    sealed: true,
    run,
    failure: 255,
};

const FLAGS: &[Flag] = &[
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    Flag::value("cwd", None, "PATH", "the working directory in the container"),
    Flag::value("env", Some('e'), "VAR=VALUE", "set an environment variable (repeatable)"),
    Flag::switch("tty", Some('t'), "allocate a pseudo terminal"),
    Flag::value("user", Some('u'), "UID[:GID]", "as whom to run"),
    Flag::value("additional-gids", Some('g'), "GID", "add a supplementary group (repeatable)"),
    Flag::value("process", Some('p'), "PATH", "take the process from a JSON file"),
    Flag::switch("detach", Some('d'), "don't wait for the process"),
    PID_FILE,
    Flag::value("process-label", None, "LABEL", "the process's SELinux label"),
    Flag::value("apparmor", None, "PROFILE", "the process's AppArmor profile"),
    Flag::switch("no-new-privs", None, "set no_new_privs"),
    Flag::value("cap", Some('c'), "CAP", "add a capability to all sets (repeatable)"),
    PRESERVE_FDS,
    Flag::value("cgroup", None, "[CONTROLLER:]PATH", "run in an existing cgroup below (repeatable)"),
    Flag::switch("ignore-paused", None, "go on in a paused container"),
];

fn run(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    exec(global, &parsed).context("exec failed")
}

fn exec(global: &Global, parsed: &Parsed) -> anyhow::Result<u8> {
    let stored = find(global, parsed)?;
    match stored.status() {
        Status::Stopped | Status::Creating => bail!("cannot exec in a stopped container"),
        Status::Paused if !parsed.has("ignore-paused") => {
            bail!("cannot exec in a paused container (use --ignore-paused to override)")
        }
        _ => {}
    }
    let spec = create::load_spec(&stored.record.bundle)?;
    let mut process = wanted_process(parsed, &spec)?;
    let warnings = create::capability_warnings(Some(&process));
    let affinity = process.exec_cpu_affinity.as_ref().and_then(|affinity| affinity.initial.as_deref());
    if let Some(mask) = affinity.and_then(|list| limits::mask_text(list).ok()) {
        global.log.debug(|| format!("initial CPU affinity: {mask}"));
    }
    let detach = parsed.has("detach");
    let preserve_fds = parsed.parsed("preserve-fds")?.unwrap_or(0) + create::pass_listen_fds(&mut process);
    let options = ExecOptions {
        passes_line_feeds: !detach,
        stdio: create::stdio(parsed, process.terminal, detach)?,
        preserve_fds,
        pid_file: parsed.path("pid-file"),
        cgroups: parsed.values("cgroup").map(|text| text.map(str::to_owned)).collect::<Result<_, _>>()?,
    };
    let container = Container::attach(stored, Some(spec))?;
    let container = container.ok_or_else(|| anyhow!("cannot exec in a stopped container"))?;
    let foreground = (!detach).then(Foreground::prepare).transpose()?;
    if !detach {
        create::warn(global, &warnings, detach);
    }
    let child = container.exec(&process, options).context("unable to start container process")?;
    if detach {
        create::warn(global, &warnings, detach);
    }
    let master = child.pty_master.as_ref().map(AsFd::as_fd).filter(|_| detach);
    create::send_descriptors(parsed, master, child.pidfd.as_fd())?;
    match foreground {
        None => Ok(0),
        Some(foreground) => foreground.attend(child.pidfd.as_fd(), child.pty_master),
    }
}

/// The process of `--process`, or the container's own with other arguments and what the flags change.
fn wanted_process(parsed: &Parsed, spec: &Spec) -> anyhow::Result<Process> {
    if let Some(path) = parsed.path("process") {
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        return config::process(&text).with_context(|| path.display().to_string());
    }
    let args: Vec<String> = (1..parsed.operands.len())
        .map(|at| parsed.operand(at).map(str::to_owned))
        .collect::<Result<_, _>>()?;
    if args.is_empty() {
        bail!("exec args cannot be empty");
    }
    let own = spec.process.clone().ok_or_else(|| anyhow!("the container's configuration has no process"))?;
    let mut process = Process { args, terminal: parsed.has("tty"), ..own };
    for entry in parsed.values("env") {
        process.env.push(entry?.to_owned());
    }
    if let Some(cwd) = parsed.text("cwd")? {
        process.cwd = cwd.to_owned();
    }
    if let Some(user) = parsed.text("user")? {
        set_user(&mut process, user)?;
    }
    for gid in parsed.values("additional-gids") {
        let gid = gid?;
        let gid = gid.parse().with_context(|| format!("--additional-gids {gid:?}"))?;
        process.user.additional_gids.push(gid);
    }
    for name in parsed.values("cap") {
        add_capability(process.capabilities.get_or_insert_default(), name?);
    }
    process.no_new_privileges |= parsed.has("no-new-privs");
    process.apparmor_profile = parsed.text("apparmor")?.map(str::to_owned).or(process.apparmor_profile);
    process.selinux_label = parsed.text("process-label")?.map(str::to_owned).or(process.selinux_label);
    Ok(process)
}

fn set_user(process: &mut Process, text: &str) -> anyhow::Result<()> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    process.user.uid = uid.parse().with_context(|| format!("--user: {uid:?} is not a user id"))?;
    if let Some(gid) = gid {
        process.user.gid = gid.parse().with_context(|| format!("--user: {gid:?} is not a group id"))?;
    }
    Ok(())
}

fn add_capability(sets: &mut Capabilities, name: &str) {
    // What isn't inheritable can't be ambient. An inheritable capability that nobody asked for would be given to
    // programs whose files only say that they may have it (CVE-2022-29162).
    let ambient = (!sets.inheritable.is_empty()).then_some(&mut sets.ambient);
    let lists = [&mut sets.bounding, &mut sets.effective, &mut sets.permitted];
    for list in lists.into_iter().chain(ambient) {
        if !list.iter().any(|known| known == name) {
            list.push(name.to_owned());
        }
    }
}
