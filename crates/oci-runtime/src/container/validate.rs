//! Checks of a configuration that need nothing but the configuration (specification, "Configuration").
//!
//! Every refusal names the field. What only the kernel can tell is left to the step that tries it.

use std::{collections::BTreeSet, path::Path};

use minke_kernel::{limits, procfs};
use minke_model::runtime_spec::{Hook, Hooks, Linux, Namespace, NamespaceType, Process, Spec};

use super::CreateError;

/// Makes the error about a field of config.json.
pub(crate) fn config(field: impl Into<String>, reason: impl Into<String>) -> CreateError {
    CreateError::Config { field: field.into(), reason: reason.into() }
}

/// An id may hold letters, digits and `_ + - .`; it names a directory (so not `.` or `..`).
pub(crate) fn id(id: &str) -> Result<(), CreateError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    let reason = match id {
        "" => "it is empty",
        "." | ".." => "it names a directory of its own",
        _ if id.len() > 255 => "it has more than 255 characters",
        _ if !id.chars().all(allowed) => "only letters, digits and _ + - . are allowed",
        _ => return Ok(()),
    };
    Err(CreateError::Id { id: id.to_owned(), reason })
}

/// Checks all that can be told from the configuration alone.
pub(crate) fn spec(spec: &Spec) -> Result<(), CreateError> {
    version(&spec.oci_version)?;
    match &spec.root {
        None => return Err(config("root", "missing: it names the container's root file system")),
        Some(root) if root.path.is_empty() => return Err(config("root.path", "missing")),
        Some(_) => {}
    }
    let default = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&default);
    namespaces(&linux.namespaces)?;
    names(spec, linux)?;
    id_mappings(linux)?;
    sysctls(linux)?;
    paths(spec, linux)?;
    spec.hooks.as_ref().map_or(Ok(()), hooks)?;
    match &spec.process {
        None => Err(config("process", "missing: it says what to run")),
        Some(wanted) => process(wanted),
    }
}

/// Any 1.x is understood; unknown fields of later ones are ignored, as the specification asks.
fn version(text: &str) -> Result<(), CreateError> {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<_> = numbers.split('.').map(str::parse::<u32>).collect();
    match parts.as_slice() {
        [Ok(1), Ok(_), Ok(_)] => Ok(()),
        [Ok(_), Ok(_), Ok(_)] => Err(config("ociVersion", format!("{text:?} is not supported: want 1.x"))),
        _ => Err(config("ociVersion", format!("{text:?} is not a version"))),
    }
}

/// Checks a process, of the configuration or of `exec`.
pub(crate) fn process(process: &Process) -> Result<(), CreateError> {
    if process.args.is_empty() {
        return Err(config("process.args", "must not be empty"));
    }
    if !process.cwd.starts_with('/') {
        return Err(config("process.cwd", format!("must be an absolute path, is {:?}", process.cwd)));
    }
    let user = &process.user;
    ids("process.user", Some(user.uid), Some(user.gid))?;
    if user.additional_gids.contains(&NO_ID) {
        return Err(config("process.user.additionalGids", format!("{NO_ID} is no id")));
    }
    let mut seen = BTreeSet::new();
    for (i, limit) in process.rlimits.iter().enumerate() {
        let field = format!("process.rlimits[{i}].type");
        if !limits::is_rlimit(&limit.kind) {
            return Err(config(field, format!("unknown limit {:?}", limit.kind)));
        }
        if !seen.insert(&limit.kind) {
            return Err(config(field, format!("{} is given twice", limit.kind)));
        }
    }
    if let Some(at) = process.env.iter().position(|entry| !entry.contains('=') || entry.starts_with('=')) {
        return Err(config(format!("process.env[{at}]"), "is not KEY=value"));
    }
    let zero = process.args.iter().chain(&process.env).chain([&process.cwd]).any(|text| text.contains('\0'));
    if zero { Err(config("process", "a string holds a zero byte")) } else { Ok(()) }
}

/// What the kernel takes for "leave it as it is".
const NO_ID: u32 = u32::MAX;

fn ids(field: &str, uid: Option<u32>, gid: Option<u32>) -> Result<(), CreateError> {
    match [("uid", uid), ("gid", gid)].into_iter().find(|(_, id)| *id == Some(NO_ID)) {
        Some((name, _)) => Err(config(format!("{field}.{name}"), format!("{NO_ID} is no id"))),
        None => Ok(()),
    }
}

fn namespaces(namespaces: &[Namespace]) -> Result<(), CreateError> {
    let mut seen = BTreeSet::new();
    for (i, namespace) in namespaces.iter().enumerate() {
        if !seen.insert(namespace.kind) {
            let reason = format!("{} is given twice", namespace.kind);
            return Err(config(format!("linux.namespaces[{i}].type"), reason));
        }
    }
    Ok(())
}

fn has(linux: &Linux, kind: NamespaceType) -> bool {
    linux.namespaces.iter().any(|namespace| namespace.kind == kind)
}

fn names(spec: &Spec, linux: &Linux) -> Result<(), CreateError> {
    let uts = has(linux, NamespaceType::Uts);
    for (field, value) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        if value.as_ref().is_some_and(|value| !value.is_empty()) && !uts {
            return Err(config(field, "can't be set without a uts namespace"));
        }
    }
    if !linux.time_offsets.is_empty() && !has(linux, NamespaceType::Time) {
        return Err(config("linux.timeOffsets", "can't be set without a time namespace"));
    }
    if let Some(clock) =
        linux.time_offsets.keys().find(|clock| !matches!(clock.as_str(), "monotonic" | "boottime"))
    {
        return Err(config("linux.timeOffsets", format!("unknown clock {clock:?}")));
    }
    if !linux.net_devices.is_empty() && !has(linux, NamespaceType::Network) {
        return Err(config("linux.netDevices", "can't be moved without a network namespace"));
    }
    super::net_devices::check(linux)
}

fn id_mappings(linux: &Linux) -> Result<(), CreateError> {
    let user = linux.namespaces.iter().find(|namespace| namespace.kind == NamespaceType::User);
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    let joins = user.is_some_and(|namespace| namespace.path.as_ref().is_some_and(|path| !path.is_empty()));
    match user {
        None if mapped => Err(config("linux.uidMappings", "ids can't be mapped without a user namespace")),
        Some(_) if !joins && (linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty()) => {
            Err(config("linux.uidMappings", "a new user namespace needs uidMappings and gidMappings"))
        }
        _ => Ok(()),
    }
}

/// A parameter may only be set where it belongs to a namespace of the container's own.
fn sysctls(linux: &Linux) -> Result<(), CreateError> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    for name in linux.sysctl.keys() {
        let Some(path) = procfs::sysctl_path(name) else {
            return Err(config(format!("linux.sysctl[{name:?}]"), "is not the name of a parameter"));
        };
        let dotted = path.replace('/', ".");
        let needed = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
            NamespaceType::Ipc
        } else if dotted.starts_with("net.") {
            NamespaceType::Network
        } else if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
            NamespaceType::Uts
        } else if dotted.starts_with("user.") {
            NamespaceType::User
        } else {
            let reason = "the parameter belongs to no namespace, so it would change the host";
            return Err(config(format!("linux.sysctl[{name:?}]"), reason));
        };
        if dotted == "kernel.hostname" {
            // As with runc, whether that is set or not.
            let reason = "is not allowed as it conflicts with the field \"hostname\": set that instead";
            return Err(config(format!("linux.sysctl[{name:?}]"), reason));
        }
        if !has(linux, needed) {
            let reason = format!("can't be set without a namespace of kind {needed}");
            return Err(config(format!("linux.sysctl[{name:?}]"), reason));
        }
    }
    Ok(())
}

fn paths(spec: &Spec, linux: &Linux) -> Result<(), CreateError> {
    for (i, mount) in spec.mounts.iter().enumerate() {
        if mount.destination.is_empty() {
            return Err(config(format!("mounts[{i}].destination"), "missing"));
        }
    }
    let hides = !linux.masked_paths.is_empty() || !linux.readonly_paths.is_empty();
    if hides && !has(linux, NamespaceType::Mount) {
        let reason =
            "maskedPaths and readonlyPaths need a mount namespace: all mounts are the host's without one";
        return Err(config("linux.namespaces", reason));
    }
    for (i, device) in linux.devices.iter().enumerate() {
        ids(&format!("linux.devices[{i}]"), device.uid, device.gid)?;
    }
    // Masked and read-only paths start at the container's root however they are written, as runc has it.
    if let Some(device) = linux.devices.iter().find(|device| !Path::new(&device.path).is_absolute()) {
        return Err(config("linux.devices", format!("{:?} is not an absolute path", device.path)));
    }
    Ok(())
}

fn hooks(hooks: &Hooks) -> Result<(), CreateError> {
    let stages: [(&str, &[Hook]); 6] = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (stage, hooks) in stages {
        for (i, hook) in hooks.iter().enumerate() {
            if !Path::new(&hook.path).is_absolute() {
                let reason = format!("must be an absolute path, is {:?}", hook.path);
                return Err(config(format!("hooks.{stage}[{i}].path"), reason));
            }
            if hook.timeout.is_some_and(|seconds| seconds <= 0) {
                return Err(config(format!("hooks.{stage}[{i}].timeout"), "must be greater than 0"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use minke_model::runtime_spec::{Root, VERSION};

    fn good() -> Spec {
        Spec {
            oci_version: VERSION.into(),
            root: Some(Root { path: "rootfs".into(), readonly: false }),
            process: Some(Process { args: vec!["sh".into()], cwd: "/".into(), ..Process::default() }),
            linux: Some(Linux {
                namespaces: vec![Namespace { kind: NamespaceType::Mount, path: None }],
                ..Linux::default()
            }),
            ..Spec::default()
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Spec), field: &str) {
        let mut changed = good();
        change(&mut changed);
        let error = spec(&changed).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }

    #[test]
    fn each_refusal_names_the_field() {
        spec(&good()).unwrap();
        refused(|spec| spec.oci_version = "2.0.0".into(), "ociVersion");
        refused(|spec| spec.root = None, "root");
        refused(|spec| spec.process = None, "process");
        refused(|spec| spec.process.as_mut().unwrap().cwd = "tmp".into(), "process.cwd");
        refused(|spec| spec.process.as_mut().unwrap().args.clear(), "process.args");
        refused(|spec| spec.hostname = Some("x".into()), "hostname");
        let sysctl = |name: &str| {
            let name = name.to_owned();
            move |spec: &mut Spec| drop(spec.linux.as_mut().unwrap().sysctl.insert(name, "1".into()))
        };
        refused(sysctl("kernel.core_pattern"), "linux.sysctl");
        refused(sysctl("net.ipv4.ip_forward"), "linux.sysctl");
        refused(
            sysctl("net/../kernel/core_pattern"),
            "linux.sysctl[\"net/../kernel/core_pattern\"]: is not the name",
        );
        refused(
            sysctl("net.//.kernel.core_pattern"),
            "linux.sysctl[\"net.//.kernel.core_pattern\"]: is not the name",
        );
        let twice = |spec: &mut Spec| {
            spec.hostname = Some("web".into());
            let linux = spec.linux.as_mut().unwrap();
            linux.namespaces.push(Namespace { kind: NamespaceType::Uts, path: None });
            linux.sysctl.insert("kernel.hostname".into(), "db".into());
        };
        refused(twice, "linux.sysctl[\"kernel.hostname\"]");
    }

    #[test]
    fn ids_that_would_leave_the_state_directory_are_refused() {
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(256)] {
            assert!(id(bad).is_err(), "{bad}");
        }
        id("web-1_2.3+x").unwrap();
    }
}
