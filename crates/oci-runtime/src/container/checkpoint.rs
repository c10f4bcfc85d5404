//! Freezing a container into files, by criu.

use std::{
    collections::BTreeMap,
    fs,
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use minke_kernel::cgroup::{Layout, Mode};
use minke_model::runtime_spec::{Linux, Mount, NamespaceType, Spec};

use super::{Container, OperationError, error::chain};
use crate::{
    criu::{self, Criu, CriuError, CriuOptions, Details, Request},
    step::Step,
};

/// Devices that every container has, as far as they may be bound from the host.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// The configuration file that criu reads besides: the one that runc names, for its users' settings.
const CONFIG_FILE: &str = "/etc/criu/runc.conf";

/// Says another file, or with an empty value none.
const CONFIG_ANNOTATION: &str = "org.criu.config";

/// The network namespace is a manager's, who fills it again.
pub(super) const EMPTY_NAMESPACES: u32 = 0x4000_0000;

impl Container {
    /// Freezes the container into files. Unless it is left running its processes are gone then, and it can
    /// be deleted.
    ///
    /// # Errors
    /// What criu said, with the first error of its log; the container runs on.
    pub fn checkpoint(&self, spec: &Spec, options: &CriuOptions) -> Result<(), OperationError> {
        criu::check(options).map_err(|error| failed(&error))?;
        let images =
            criu::directory(&options.images).action(|| format!("open {}", options.images.display()))?;
        let work = options.work.as_deref().map(criu::directory).transpose();
        let work = work.action(|| "open the work directory".into())?;
        let empty = Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&empty);
        let mut details = Details {
            images_fd: images.as_raw_fd(),
            work_fd: work.as_ref().map(AsRawFd::as_raw_fd),
            log_file: "dump.log",
            root: self.record.rootfs.display().to_string(),
            pid: Some(self.pid()),
            freeze_cgroup: self.freezer(),
            external: external_namespaces(linux)?,
            config_file: config_file(spec),
            empty_namespaces: EMPTY_NAMESPACES,
            ..Details::default()
        };
        if !options.pre_dump {
            details.external_mounts =
                external_mounts(spec, &self.record.cgroup_paths, |_, place| place.to_owned());
            details.external_mounts.extend(self.masks(linux));
            let text = serde_json::to_string(&self.record.descriptors).unwrap_or_default();
            let path = criu::descriptors_file(options);
            fs::write(&path, text).action(|| format!("write {}", path.display()))?;
        }
        let request = if options.pre_dump { Request::PreDump } else { Request::Dump };
        let criu = Criu::start(false).map_err(|error| failed(&error))?;
        let mut status_fd = options.status_fd;
        let notified = &mut |notice: criu::Notice| {
            if notice.script == "status-ready"
                && let Some(number) = status_fd.take()
            {
                tell_status(number).map_err(|error| format!("--status-fd {number}: {error}"))?;
            }
            Ok(())
        };
        criu.work(request, options, &details, notified).map_err(|error| failed(&error))
    }

    /// The directory by whose freezer criu stops all processes at once.
    fn freezer(&self) -> Option<String> {
        let paths = &self.record.cgroup_paths;
        let path = paths.get("freezer").or_else(|| paths.get("").filter(|_| paths.len() == 1))?;
        Some(path.display().to_string())
    }

    /// Files that are covered by the host's /dev/null, since the container has none of its own. That is
    /// criu's to find.
    fn masks(&self, linux: &Linux) -> Vec<(String, String)> {
        let inside = |path: &str| fs::symlink_metadata(format!("/proc/{}/root{path}", self.pid())).ok();
        let own = inside("/dev/null").map(|found| found.dev());
        let is_foreign = |path: &&String| {
            inside(path).is_some_and(|found| found.file_type().is_char_device() && own != Some(found.dev()))
        };
        let masked = linux.masked_paths.iter().filter(is_foreign);
        masked.map(|path| (path.clone(), "/dev/null".to_owned())).collect()
    }
}

pub(super) fn failed(error: &CriuError) -> OperationError {
    OperationError::State(chain(error))
}

/// Writes the byte that tells that lazy pages are served; the descriptor closes with it.
fn tell_status(number: i32) -> std::io::Result<()> {
    let fd = minke_kernel::process::inherited_fd(number)?;
    rustix::io::write(&fd, &[0]).map(drop).map_err(Into::into)
}

/// The bind mounts and device nodes of the host's, by their place in the container; `value` says what criu
/// is told.
pub(super) fn external_mounts(
    spec: &Spec,
    cgroups: &BTreeMap<String, PathBuf>,
    value: impl Fn(&str, &str) -> String,
) -> Vec<(String, String)> {
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    let has_group_namespace =
        linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceType::Cgroup);
    let mut mounts = Vec::new();
    for mount in &spec.mounts {
        if is_bind(mount) {
            let source = mount.source.as_deref().unwrap_or_default();
            mounts.push((mount.destination.clone(), value(source, &mount.destination)));
        } else if mount.kind.as_deref() == Some("cgroup") && !has_group_namespace {
            mounts.extend(cgroup_binds(mount, cgroups, &value));
        }
    }
    for path in DEVICES.into_iter().chain(linux.devices.iter().map(|device| device.path.as_str())) {
        mounts.push((path.to_owned(), value(path, path)));
    }
    mounts
}

/// Whether a mount is a bind mount.
pub(super) fn is_bind(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("bind")
        || mount.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"))
}

/// Without a cgroup namespace the container's groups of v1 are bound below one mount.
fn cgroup_binds(
    mount: &Mount,
    cgroups: &BTreeMap<String, PathBuf>,
    value: &impl Fn(&str, &str) -> String,
) -> Vec<(String, String)> {
    let Ok(layout) = Layout::detect() else { return Vec::new() };
    if layout.mode() == Mode::Unified {
        return Vec::new();
    }
    let bind = |hierarchy: &minke_kernel::cgroup::Hierarchy| {
        let name = hierarchy.mount_point.file_name()?.to_str()?;
        let place = format!("{}/{name}", mount.destination.trim_end_matches('/'));
        // Its own group, and nothing above.
        let key = match &hierarchy.name {
            Some(name) => format!("name={name}"),
            None => hierarchy.controllers.iter().next()?.name().to_owned(),
        };
        Some((place.clone(), value(cgroups.get(&key)?.to_str()?, &place)))
    };
    layout.legacy.iter().filter_map(bind).collect()
}

/// The key by which criu knows a namespace that isn't the container's.
pub(super) fn namespace_key(kind: NamespaceType) -> Option<(&'static str, &'static str)> {
    match kind {
        NamespaceType::Network => Some(("net", "extRootNetNS")),
        NamespaceType::Pid => Some(("pid", "extRootPidNS")),
        _ => None,
    }
}

fn external_namespaces(linux: &Linux) -> Result<Vec<String>, OperationError> {
    let mut external = Vec::new();
    for namespace in &linux.namespaces {
        let path = namespace.path.as_deref().filter(|path| !path.is_empty());
        let (Some(path), Some((name, key))) = (path, namespace_key(namespace.kind)) else { continue };
        let found = rustix::fs::stat(Path::new(path)).map_err(std::io::Error::from);
        let found = found.action(|| format!("stat {path}"))?;
        external.push(format!("{name}[{}]:{key}", found.st_ino));
    }
    Ok(external)
}

/// The configuration file that criu is told.
pub(super) fn config_file(spec: &Spec) -> Option<String> {
    match spec.annotations.get(CONFIG_ANNOTATION) {
        None => Some(CONFIG_FILE.to_owned()),
        Some(path) if path.is_empty() => None,
        Some(path) => Some(path.clone()),
    }
}
