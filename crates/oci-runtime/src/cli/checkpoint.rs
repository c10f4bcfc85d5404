//! `checkpoint`: freeze a running container into files.

use std::{env, path::PathBuf};

use anyhow::{Context, anyhow, bail};
use minke_model::runtime_spec::Status;
use minke_oci_runtime::{
    container::{Container, is_rootless},
    criu::{CgroupsMode, CriuOptions},
};

use super::{
    Command, Global, create, find,
    flags::{Flag, Parsed},
};

pub(super) const COMMAND: Command = Command {
    name: "checkpoint",
    summary: "checkpoint a running container (needs criu)",
    operands: "<container-id>",
    count: 1..=1,
    flags: FLAGS,
    rest: None,
    sealed: false,
    run: checkpoint,
    failure: 1,
};

const FLAGS: &[Flag] = &[
    IMAGE_PATH,
    WORK_PATH,
    Flag::value("parent-path", None, "PATH", "images of an earlier pre-dump, relative to --image-path"),
    Flag::switch("leave-running", None, "let the container run on"),
    TCP_ESTABLISHED,
    Flag::switch("tcp-skip-in-flight", None, "skip tcp connections that are being made"),
    Flag::switch("link-remap", None, "give deleted files a name again where possible"),
    EXT_UNIX_SK,
    SHELL_JOB,
    LAZY_PAGES,
    Flag::value("status-fd", None, "FD", "a descriptor that gets a zero byte once lazy pages are served"),
    Flag::value("page-server", None, "ADDRESS:PORT", "a page server to send memory to"),
    FILE_LOCKS,
    Flag::switch("pre-dump", None, "only memory; the container runs on"),
    MANAGE_CGROUPS_MODE,
    EMPTY_NS,
    AUTO_DEDUP,
];

pub(super) const IMAGE_PATH: Flag =
    Flag::value("image-path", None, "PATH", "criu's images (default: checkpoint in the current directory)");
pub(super) const WORK_PATH: Flag = Flag::value("work-path", None, "PATH", "criu's work files and logs");
pub(super) const TCP_ESTABLISHED: Flag =
    Flag::switch("tcp-established", None, "allow established tcp connections");
pub(super) const EXT_UNIX_SK: Flag =
    Flag::switch("ext-unix-sk", None, "allow unix sockets with a peer outside");
pub(super) const SHELL_JOB: Flag = Flag::switch("shell-job", None, "allow shell jobs");
pub(super) const LAZY_PAGES: Flag =
    Flag::switch("lazy-pages", None, "restore memory when it is used, with userfaultfd");
pub(super) const FILE_LOCKS: Flag = Flag::switch("file-locks", None, "keep file locks");
pub(super) const MANAGE_CGROUPS_MODE: Flag =
    Flag::value("manage-cgroups-mode", None, "MODE", "soft, full, strict or ignore (default: soft)");
pub(super) const EMPTY_NS: Flag =
    Flag::value("empty-ns", None, "KIND", "make a namespace, but don't restore its content (repeatable)");
pub(super) const AUTO_DEDUP: Flag =
    Flag::switch("auto-dedup", None, "drop memory from the parent images that is here again");

fn checkpoint(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    if is_rootless() {
        global.log.warning("checkpoint is untested with rootless containers");
    }
    let stored = find(global, &parsed)?;
    let status = stored.status();
    if !matches!(status, Status::Running | Status::Paused) {
        bail!("Container cannot be checkpointed in {status} state");
    }
    let spec = create::load_spec(&stored.record.bundle)?;
    let options = options(&parsed)?;
    let container = Container::attach(stored, None)?.ok_or_else(|| anyhow!("container not running"))?;
    container.checkpoint(&spec, &options)?;
    if !options.leave_running && !options.pre_dump {
        create::warn(global, &container.delete(true)?, false);
    }
    Ok(0)
}

/// The options of `checkpoint` and `restore`.
pub(super) fn options(parsed: &Parsed) -> anyhow::Result<CriuOptions> {
    let images = match parsed.path("image-path") {
        Some(path) => path,
        None => env::current_dir().context("find the current directory")?.join("checkpoint"),
    };
    for kind in parsed.values("empty-ns") {
        let kind = kind?;
        if kind != "network" {
            bail!("namespace {kind:?} is not supported");
        }
    }
    let mode = parsed.text("manage-cgroups-mode")?.unwrap_or_default();
    let text = |name| parsed.text(name).map(|text| text.filter(|text| !text.is_empty()).map(str::to_owned));
    Ok(CriuOptions {
        parent: parent(parsed, &images)?,
        images,
        work: parsed.path("work-path").filter(|path| !path.as_os_str().is_empty()),
        leave_running: parsed.has("leave-running"),
        tcp_established: parsed.has("tcp-established"),
        tcp_skip_in_flight: parsed.has("tcp-skip-in-flight"),
        link_remap: parsed.has("link-remap"),
        ext_unix_sk: parsed.has("ext-unix-sk"),
        shell_job: parsed.has("shell-job"),
        file_locks: parsed.has("file-locks"),
        pre_dump: parsed.has("pre-dump"),
        auto_dedup: parsed.has("auto-dedup"),
        lazy_pages: parsed.has("lazy-pages"),
        status_fd: parsed.parsed("status-fd")?.filter(|number| *number >= 0),
        page_server: page_server(parsed)?,
        cgroups: CgroupsMode::parse(mode).ok_or_else(|| anyhow!("invalid manage-cgroups-mode value"))?,
        lsm_profile: text("lsm-profile")?,
        lsm_mount_context: text("lsm-mount-context")?,
    })
}

fn parent(parsed: &Parsed, images: &std::path::Path) -> anyhow::Result<Option<String>> {
    let Some(path) = parsed.text("parent-path")?.filter(|path| !path.is_empty()) else { return Ok(None) };
    if PathBuf::from(path).is_absolute() {
        bail!("--parent-path must be relative");
    }
    let real = images.join(path);
    if !real.is_dir() {
        bail!("invalid --parent-path: {} is not a directory", real.display());
    }
    Ok(Some(path.to_owned()))
}

fn page_server(parsed: &Parsed) -> anyhow::Result<Option<(String, u16)>> {
    let Some(text) = parsed.text("page-server")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let usage = || anyhow!("Use --page-server ADDRESS:PORT to specify page server");
    let (address, port) = text.rsplit_once(':').ok_or_else(usage)?;
    // An IPv6 address is in brackets.
    let address = address.trim_start_matches('[').trim_end_matches(']');
    if address.is_empty() || port.is_empty() {
        return Err(usage());
    }
    let port = port.parse().map_err(|_| anyhow!("Invalid port number"))?;
    Ok(Some((address.to_owned(), port)))
}
