//! `restore`: thaw a container from the files of a checkpoint.

use std::os::fd::AsFd;

use anyhow::Context;
use minke_kernel::process;
use minke_oci_runtime::container::{self, is_rootless};

use super::{
    Command, Global,
    checkpoint::{
        self, AUTO_DEDUP, EMPTY_NS, EXT_UNIX_SK, FILE_LOCKS, IMAGE_PATH, LAZY_PAGES, MANAGE_CGROUPS_MODE,
        SHELL_JOB, TCP_ESTABLISHED, WORK_PATH,
    },
    create::{self, BUNDLE, CONSOLE_SOCKET, NO_PIVOT, PID_FILE},
    flags::{Flag, Parsed},
    foreground::Foreground,
};

pub(super) const COMMAND: Command = Command {
    name: "restore",
    summary: "restore a container from a previous checkpoint (needs criu)",
    operands: "<container-id>",
    count: 1..=1,
    flags: FLAGS,
    rest: None,
    sealed: false,
    run: restore,
    failure: 1,
};

const FLAGS: &[Flag] = &[
    CONSOLE_SOCKET,
    IMAGE_PATH,
    WORK_PATH,
    TCP_ESTABLISHED,
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    MANAGE_CGROUPS_MODE,
    BUNDLE,
    Flag::switch("detach", Some('d'), "don't wait for the container's process"),
    PID_FILE,
    Flag::switch("no-subreaper", None, "don't adopt orphans of the container's processes"),
    NO_PIVOT,
    EMPTY_NS,
    AUTO_DEDUP,
    LAZY_PAGES,
    Flag::value("lsm-profile", None, "TYPE:NAME", "the security module's profile for the processes"),
    Flag::value("lsm-mount-context", None, "CONTEXT", "the security module's context for mounts"),
];

fn restore(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    if is_rootless() {
        global.log.warning("restore is untested with rootless containers");
    }
    let criu = checkpoint::options(&parsed)?;
    let detach = parsed.has("detach");
    let (spec, options) = create::prepare(global, &parsed, detach)?;
    if !detach && !parsed.has("no-subreaper") {
        process::become_subreaper().context("become a subreaper")?;
    }
    let foreground = (!detach).then(Foreground::prepare).transpose()?;
    let restored = container::restore(&spec, options, &criu)?;
    let container = restored.container;
    let master = restored.pty_master;
    let sent = create::send_descriptors(
        &parsed,
        master.as_ref().map(AsFd::as_fd).filter(|_| detach),
        container.pidfd(),
    );
    if let Err(error) = sent {
        // The first error is what matters.
        let _ = container.delete(true);
        return Err(error);
    }
    let Some(foreground) = foreground else { return Ok(0) };
    let status = foreground.attend(container.pidfd(), master);
    create::warn(global, &container.delete(true)?, false);
    status
}
