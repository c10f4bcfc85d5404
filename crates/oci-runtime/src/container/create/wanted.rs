//! What a configuration asks for, checked and opened: nothing is made yet.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use minke_kernel::{
    mount::Overlay,
    namespace::{self, Kinds},
    process,
    procfs::Proc,
    seccomp,
};
use minke_model::runtime_spec::{Linux, NamespaceType, Process, Spec};
use serde::Deserialize;

use super::super::{
    CreateError, CreateOptions, rdt, rootless,
    validate::{self, config},
};
use crate::{
    init,
    landlock::Rules,
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

/// A configuration's wishes.
pub(super) struct Wanted<'a> {
    pub(super) process: &'a Process,
    pub(super) paths: Paths,
    pub(super) overlay: Option<Overlay>,
    pub(super) landlock: Option<Rules>,
    pub(super) namespaces: Namespaces,
    pub(super) filter: Option<seccomp::Checked<'a>>,
    pub(super) rdt: Option<rdt::Plan>,
    /// As the container's process will see it.
    pub(super) proc: Proc,
}

impl<'a> Wanted<'a> {
    /// Reads them. From then on nobody can look into the process.
    ///
    /// # Errors
    /// For what can't be had, with the field.
    pub(super) fn read(
        spec: &'a Spec,
        linux: &'a Linux,
        options: &CreateOptions,
    ) -> Result<Self, CreateError> {
        validate::spec(spec)?;
        let process = spec.process.as_ref().ok_or_else(|| config("process", "missing"))?;
        rootless::check(linux)?;
        refuse_absent_features(linux, process)?;
        // From here on, nobody in the container's namespaces may look into this process or its child.
        process::set_undumpable().action(|| "make the process undumpable".into())?;
        Ok(Self {
            process,
            paths: Paths::resolve(spec, &options.bundle)?,
            overlay: overlay(spec)?,
            landlock: Rules::find(&spec.annotations)?,
            namespaces: Namespaces::open(linux)?,
            filter: check_filter(linux)?,
            rdt: rdt::Plan::new(&options.id, linux.intel_rdt.as_ref())?,
            proc: Proc::open().action(|| "open /proc".into())?,
        })
    }

    /// Whether the container has a user namespace, a new one or another's.
    pub(super) fn has_user(&self) -> bool {
        (self.namespaces.new | self.namespaces.joined()).contains(NamespaceType::User)
    }

    /// Whether the first process is made inside a joined pid namespace by one that never enters it.
    pub(super) fn is_escorted(&self) -> Result<bool, CreateError> {
        let notifies = self.filter.as_ref().is_some_and(seccomp::Checked::notifies);
        Ok(self.namespaces.new.contains(NamespaceType::Mount)
            && !self.has_user()
            && !notifies
            && !rootless::is_rootless()
            && self.namespaces.copy(NamespaceType::Pid)?.as_ref().is_some_and(init::can_be_escorted))
    }
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
pub(in super::super) fn refuse_absent_labels(process: &Process) -> Result<(), CreateError> {
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
pub(in super::super) struct Paths {
    pub(in super::super) bundle: PathBuf,
    pub(in super::super) rootfs: PathBuf,
}

impl Paths {
    pub(in super::super) fn resolve(spec: &Spec, bundle: &Path) -> Result<Self, CreateError> {
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
pub(in super::super) fn resolve(path: &Path) -> io::Result<PathBuf> {
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
pub(super) struct Namespaces {
    pub(super) new: Kinds,
    pub(super) joins: Vec<(NamespaceType, OwnedFd)>,
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
    pub(super) fn foreign(&self) -> Result<Vec<(NamespaceType, OwnedFd)>, CreateError> {
        const KINDS: [NamespaceType; 3] = [NamespaceType::Network, NamespaceType::Ipc, NamespaceType::Uts];
        let copied = |kind| Ok(self.copy(kind)?.map(|fd| (kind, fd)));
        KINDS.into_iter().filter_map(|kind| copied(kind).transpose()).collect()
    }

    /// A copy of the descriptor of a namespace that is joined.
    pub(super) fn copy(&self, kind: NamespaceType) -> Result<Option<OwnedFd>, CreateError> {
        let found = self.joins.iter().find(|(joined, _)| *joined == kind);
        Ok(found.map(|(_, fd)| fd.try_clone()).transpose().action(|| format!("copy the {kind} namespace"))?)
    }
}

/// Checks the filter, so that a mistake in it shows before anything is made.
fn check_filter(linux: &Linux) -> Result<Option<seccomp::Checked<'_>>, CreateError> {
    let checked = linux.seccomp.as_ref().map(seccomp::check).transpose();
    checked.map_err(|error| CreateError::Part(format!("linux.{error}")))
}
