//! `spec`: write a `config.json` to start from.

use std::{fs::File, io::Write, path::Path};

use anyhow::{Context, bail};
use minke_kernel::cgroup::{Layout, Mode};
use minke_model::runtime_spec::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceType, Process, Resources, Rlimit,
    Root, Spec, VERSION,
};
use serde::Serialize;

use super::{
    Command, Global,
    create::BUNDLE,
    flags::{Flag, Parsed},
};

pub(super) const COMMAND: Command = Command {
    name: "spec",
    summary: "create a new specification file",
    operands: "",
    count: 0..=0,
    flags: &[BUNDLE, Flag::switch("rootless", None, "for a container without root privileges")],
    rest: None,
    sealed: false,
    run: spec,
    failure: 1,
};

fn spec(_: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let path = parsed.path("bundle").unwrap_or_default().join("config.json");
    let unified = Layout::detect().is_ok_and(|layout| layout.mode() == Mode::Unified);
    let mut spec = template(unified);
    if parsed.has("rootless") {
        make_rootless(&mut spec);
    }
    write(&path, &spec)?;
    Ok(0)
}

fn write(path: &Path, spec: &Spec) -> anyhow::Result<()> {
    let mut file = match File::create_new(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("File {} exists. Remove it first", path.display())
        }
        result => result.with_context(|| format!("create {}", path.display()))?,
    };
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    spec.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    file.write_all(&text).with_context(|| format!("write {}", path.display()))
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: strings(options),
        ..Mount::default()
    }
}

fn template(unified: bool) -> Spec {
    let capabilities = strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let process = Process {
        terminal: true,
        args: strings(&["sh"]),
        env: strings(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]),
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities,
            ..Capabilities::default()
        }),
        rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 1024, soft: 1024 }],
        no_new_privileges: true,
        ..Process::default()
    };
    Spec {
        oci_version: VERSION.into(),
        process: Some(process),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: Some("minke".into()),
        mounts: mounts(),
        linux: Some(linux(unified)),
        ..Spec::default()
    }
}

fn mounts() -> Vec<Mount> {
    let restricted = ["nosuid", "noexec", "nodev"];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &restricted),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn linux(unified: bool) -> Linux {
    let kinds = [
        NamespaceType::Pid,
        NamespaceType::Network,
        NamespaceType::Ipc,
        NamespaceType::Uts,
        NamespaceType::Mount,
    ];
    let cgroup = unified.then_some(NamespaceType::Cgroup);
    let namespace = |kind| Namespace { kind, path: None };
    let deny = DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() };
    Linux {
        resources: Some(Resources { devices: vec![deny], ..Resources::default() }),
        namespaces: kinds.into_iter().chain(cgroup).map(namespace).collect(),
        masked_paths: strings(&[
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ]),
        readonly_paths: strings(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
        ..Linux::default()
    }
}

/// A user namespace in which the caller is root, and nothing that only the host's root may do.
fn make_rootless(spec: &mut Spec) {
    for mount in &mut spec.mounts {
        mount.options.retain(|option| !option.starts_with("gid="));
        if mount.destination == "/sys" {
            *mount = self::mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]);
        }
    }
    let Some(linux) = &mut spec.linux else { return };
    linux.namespaces.retain(|namespace| namespace.kind != NamespaceType::Network);
    linux.namespaces.push(Namespace { kind: NamespaceType::User, path: None });
    let root = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1 }];
    linux.uid_mappings = root(rustix::process::geteuid().as_raw());
    linux.gid_mappings = root(rustix::process::getegid().as_raw());
    linux.resources = None;
}
