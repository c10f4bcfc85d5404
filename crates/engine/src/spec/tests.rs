//! The whole configuration for typical containers.

use super::*;

pub(super) fn facts() -> Facts {
    Facts {
        open_files: Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) },
        resources: HostResources { cpus: 2, unified: false },
        capabilities: Mask((1 << 41) - 1),
        hard_limits: HardLimits::default(),
        architecture: "amd64",
        kernel: (6, 18),
        oom_score_adj: 0,
    }
}

fn build_with(edit: impl FnOnce(&mut ContainerConfig, &mut HostConfig)) -> Result<Spec, Error> {
    let mut config = ContainerConfig { cmd: Some(vec!["sh".into()]), ..ContainerConfig::default() };
    let mut host = HostConfig::default();
    edit(&mut config, &mut host);
    let facts = facts();
    let modes = Modes::parse(&host, false)?;
    let joined = Joined { network: Some("/proc/self/fd/3".into()), ..Joined::default() };
    let user = user::Accounts::default().resolve(config.user.as_deref().unwrap_or(""), &[])?;
    build(Inputs {
        facts: &facts,
        config: &config,
        host: &host,
        modes: &modes,
        joined: &joined,
        user: &user,
        root: "rootfs",
        mounts: &[],
        sources: &[],
        images: &BTreeMap::new(),
        files: &[("/etc/hosts", Path::new("/x/hosts"))],
        init: Some(Path::new("/x/minke-oci")),
        shared_shm: None,
        devices: Vec::new(),
        device_rules: Vec::new(),
        cgroup: "/minke/abc",
        hostname: "abc",
    })
}

#[test]
fn a_plain_container_is_confined_as_dockers() {
    let mut spec = build_with(|_, _| {}).unwrap();
    // The filter has tests of its own and three hundred names.
    assert!(spec.linux.as_mut().unwrap().seccomp.take().is_some());
    insta::assert_json_snapshot!(spec);
}

#[test]
fn a_privileged_container_is_not() {
    let spec = build_with(|_, host| host.privileged = Some(true)).unwrap();
    let linux = spec.linux.unwrap();
    assert!(linux.seccomp.is_none() && linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    assert_eq!(linux.resources.unwrap().devices, resources::all_devices());
    assert_eq!(spec.process.unwrap().capabilities.unwrap().bounding.len(), 41);
}

#[test]
fn an_entry_point_comes_before_the_command_and_an_empty_one_is_none() {
    let config = |entrypoint: &[&str]| ContainerConfig {
        entrypoint: Some(entrypoint.iter().map(|word| (*word).to_owned()).collect()),
        cmd: Some(vec!["-v".into()]),
        ..ContainerConfig::default()
    };
    assert_eq!(arguments(&config(&["nginx"])), ["nginx", "-v"]);
    assert_eq!(arguments(&config(&[""])), ["-v"]);
    assert_eq!(arguments(&config(&[])), ["-v"]);
}

#[test]
fn the_hosts_namespaces_are_not_in_the_list() {
    let spec = build_with(|_, host| {
        host.pid_mode = Some("host".into());
        host.ipc_mode = Some("host".into());
        host.uts_mode = Some("host".into());
    })
    .unwrap();
    let kinds: Vec<_> = spec.linux.unwrap().namespaces.iter().map(|namespace| namespace.kind).collect();
    assert_eq!(kinds, [NamespaceType::Mount, NamespaceType::Network]);
    assert_eq!(spec.hostname, None);
    assert!(
        spec.mounts.iter().any(|m| m.destination == "/dev/shm" && m.source.as_deref() == Some("/dev/shm"))
    );
}

#[test]
fn kernel_parameters_must_belong_to_a_namespace_of_the_containers_own() {
    let set = |key: &str, network: &str| {
        build_with(|_, host| {
            host.sysctls = Some([(key.to_owned(), "1".to_owned())].into());
            host.network_mode = Some(network.to_owned());
        })
    };
    let spec = set("net.core.somaxconn", "bridge").unwrap();
    assert_eq!(spec.linux.unwrap().sysctl["net.core.somaxconn"], "1");
    assert!(set("net.core.somaxconn", "host").unwrap_err().to_string().contains("network namespace"));
    assert!(set("vm.swappiness", "bridge").unwrap_err().to_string().contains("vm.swappiness"));
    assert!(set("kernel.shmmax", "host").is_ok());
}

#[test]
fn a_terminal_has_a_size_and_a_type() {
    let spec = build_with(|config, host| {
        config.tty = Some(true);
        host.console_size = Some(vec![24, 80]);
    })
    .unwrap();
    let process = spec.process.unwrap();
    assert_eq!(process.console_size, Some(ConsoleSize { height: 24, width: 80 }));
    assert!(process.terminal && process.env.contains(&"TERM=xterm".to_owned()));
}

#[test]
fn the_oom_score_cannot_be_lowered_without_the_capability() {
    let host = HostConfig { oom_score_adj: Some(-5), ..HostConfig::default() };
    let weak = Facts { capabilities: Mask(((1 << 41) - 1) & !(1 << 24)), ..facts() };
    assert!(oom_score_adj(&host, &weak).unwrap_err().to_string().contains("CAP_SYS_RESOURCE"));
    assert_eq!(oom_score_adj(&host, &facts()).unwrap(), Some(-5));
}

#[test]
fn an_init_comes_before_the_program_unless_another_one_is_there() {
    let build = |pid: &str| {
        build_with(|config, host| {
            config.entrypoint = Some(vec!["nginx".into()]);
            (host.init, host.pid_mode) = (Some(true), Some(pid.into()));
        })
        .unwrap()
    };
    let spec = build("");
    assert_eq!(spec.process.unwrap().args, ["/sbin/docker-init", "--", "nginx", "sh"]);
    let bound = spec.mounts.iter().find(|mount| mount.destination == "/sbin/docker-init").unwrap();
    assert_eq!(bound.source.as_deref(), Some("/x/minke-oci"));
    assert!(bound.options.contains(&"ro".into()));
    let spec = build("host");
    assert_eq!(spec.process.unwrap().args, ["nginx", "sh"]);
    assert!(spec.mounts.iter().all(|mount| mount.destination != "/sbin/docker-init"));
}
