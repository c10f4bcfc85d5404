//! Services as requests, against what Docker's API means.

use serde_json::json;

use super::*;
use crate::{
    model::{
        BindOptions, Build, Bytes, Config, ConfigMount, Deploy, Duration, FileMode, Mount as Wanted, Network,
        Port, Resource, Resources, RestartPolicy, Secret, SecretMount, ServiceNetwork, TmpfsOptions, Ulimit,
        Volume, VolumeOptions,
    },
    plan::observed::Image,
};

fn base() -> (Project, Service) {
    let mut project = Project { name: "p".into(), working_dir: "/p".into(), ..Project::default() };
    project.networks.insert("default".into(), Network { name: "p_default".into(), ..Network::default() });
    let mut service = Service { name: "web".into(), image: "nginx:1".into(), ..Service::default() };
    service.networks.insert("default".into(), None);
    (project, service)
}

fn made(project: &Project, service: &Service) -> Result<Value, PlanError> {
    let observed = Observed {
        images: [("nginx:1".to_owned(), Image { id: "sha256:1".into(), ..Image::default() })].into(),
        ..Observed::default()
    };
    let profiles = BTreeMap::from([("/strict.json".to_owned(), "{}".to_owned())]);
    let origin = Origin { project, observed: &observed, env_files: &[], profiles: &profiles };
    container(origin, service, Place { number: 1, ..Place::default() })
}

fn request(project: &Project, service: &Service) -> Value {
    made(project, service).unwrap()
}

#[test]
fn a_plain_service_asks_for_its_network_names_and_labels() {
    let (project, service) = base();
    let request = request(&project, &service);
    assert_eq!(request["Image"], "nginx:1");
    assert_eq!(request["HostConfig"]["NetworkMode"], "p_default");
    assert_eq!(
        request["NetworkingConfig"]["EndpointsConfig"],
        json!({"p_default": {"Aliases": ["p-web-1", "web"]}})
    );
    let labels = &request["Labels"];
    for (label, value) in [
        ("project", "p"),
        ("service", "web"),
        ("container-number", "1"),
        ("oneoff", "False"),
        ("image", "sha256:1"),
        ("project.working_dir", "/p"),
        ("depends_on", ""),
    ] {
        assert_eq!(labels[format!("com.docker.compose.{label}")], value, "{label}");
    }
    assert!(request.get("Cmd").is_none() && request.get("Entrypoint").is_none());
}

#[test]
fn an_empty_command_is_not_the_images() {
    let (project, mut service) = base();
    service.command = Some(vec![]);
    service.entrypoint = Some(vec!["/init".into()]);
    let request = request(&project, &service);
    assert_eq!((&request["Cmd"], &request["Entrypoint"]), (&json!([]), &json!(["/init"])));
}

#[test]
fn ports_are_exposed_and_bound() {
    let (project, mut service) = base();
    let port = |target, published: &str, host_ip: &str, protocol: &str| Port {
        target,
        published: published.into(),
        host_ip: host_ip.into(),
        protocol: protocol.into(),
        ..Port::default()
    };
    service.ports =
        vec![port(80, "8080", "127.0.0.1", "tcp"), port(80, "8081", "", "tcp"), port(53, "", "", "udp")];
    service.expose = vec!["3000".into(), "4000-4001/udp".into()];
    let request = request(&project, &service);
    let exposed: Vec<_> = request["ExposedPorts"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(exposed, ["3000/tcp", "4000/udp", "4001/udp", "53/udp", "80/tcp"]);
    assert_eq!(
        request["HostConfig"]["PortBindings"],
        json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "", "HostPort": "8081"}],
            "53/udp": [{"HostIp": "", "HostPort": ""}]})
    );
    service.expose = vec!["many".into()];
    assert!(made(&project, &service).unwrap_err().to_string().starts_with("services.web.expose: \"many\""));
}

#[test]
fn the_network_of_the_highest_priority_is_the_first() {
    let (mut project, mut service) = base();
    project.networks.insert("back".into(), Network { name: "p_back".into(), ..Network::default() });
    let settings = ServiceNetwork {
        priority: 10,
        aliases: vec!["db".into()],
        ipv4_address: "10.0.0.5".into(),
        gw_priority: 3,
        interface_name: "eth7".into(),
        ..ServiceNetwork::default()
    };
    service.networks.insert("back".into(), Some(settings));
    service.mac_address = "02:42:ac:11:00:02".into();
    let request = request(&project, &service);
    assert_eq!(request["HostConfig"]["NetworkMode"], "p_back");
    assert_eq!(
        request["NetworkingConfig"]["EndpointsConfig"]["p_back"],
        json!({"Aliases": ["p-web-1", "web", "db"], "IPAMConfig": {"IPv4Address": "10.0.0.5"}, "GwPriority": 3,
            "MacAddress": "02:42:ac:11:00:02", "DriverOpts": {"com.docker.network.endpoint.ifname": "eth7"}})
    );
}

#[test]
fn plain_volumes_and_folders_are_binds_and_all_else_mounts() {
    let (mut project, mut service) = base();
    project.volumes.insert("data".into(), Volume { name: "p_data".into(), ..Volume::default() });
    let mount = |kind: &str, source: &str, target: &str| Wanted {
        kind: kind.into(),
        source: source.into(),
        target: target.into(),
        ..Wanted::default()
    };
    let bind = BindOptions { create_host_path: true, ..BindOptions::default() };
    service.volumes = vec![
        mount("volume", "data", "/a"),
        Wanted { bind: Some(bind), read_only: true, ..mount("bind", "/host", "/b") },
        Wanted { bind: Some(BindOptions::default()), ..mount("bind", "/must-be", "/c") },
        Wanted {
            volume: Some(VolumeOptions { subpath: "x".into(), ..Default::default() }),
            ..mount("volume", "data", "/d")
        },
        Wanted {
            tmpfs: Some(TmpfsOptions { size: Bytes(1024), mode: 0o700, ..Default::default() }),
            ..mount("tmpfs", "", "/e")
        },
        mount("image", "alpine", "/f"),
        mount("volume", "", "/g"),
    ];
    let host = &request(&project, &service)["HostConfig"];
    assert_eq!(host["Binds"], json!(["p_data:/a:rw", "/host:/b:ro"]));
    assert_eq!(
        host["Mounts"],
        json!([
            {"Type": "bind", "Source": "/must-be", "Target": "/c"},
            {"Type": "volume", "Source": "p_data", "Target": "/d", "VolumeOptions": {"Subpath": "x"}},
            {"Type": "tmpfs", "Target": "/e", "TmpfsOptions": {"SizeBytes": 1024, "Mode": 448}},
            {"Type": "image", "Source": "alpine", "Target": "/f"},
            {"Type": "volume", "Target": "/g"}
        ])
    );
}

#[test]
fn a_container_made_anew_goes_on_with_its_anonymous_volumes_and_no_others() {
    let (project, mut service) = base();
    service.volumes = vec![Wanted { kind: "volume".into(), target: "/mine".into(), ..Wanted::default() }];
    let mount = |name: &str, destination: &str| Mount {
        kind: "volume".into(),
        name: name.into(),
        destination: destination.into(),
        writable: true,
        ..Mount::default()
    };
    let inherits = [mount("v1", "/mine"), mount("v2", "/images"), mount("v3", "/gone")];
    let image = Image { id: "sha256:1".into(), volumes: ["/images".to_owned()].into(), ..Image::default() };
    let observed = Observed { images: [("nginx:1".to_owned(), image)].into(), ..Observed::default() };
    let origin =
        Origin { project: &project, observed: &observed, env_files: &[], profiles: &BTreeMap::new() };
    let place = Place { number: 1, inherits: &inherits, replaces: Some("p-web-1") };
    let request = container(origin, &service, place).unwrap();
    let kept: Vec<_> =
        request["HostConfig"]["Mounts"].as_array().unwrap().iter().map(|mount| &mount["Source"]).collect();
    assert_eq!(kept, ["v2", "v1"]);
    assert_eq!(request["Labels"][labels::REPLACE], "p-web-1");
}

#[test]
fn files_of_secrets_and_configs_are_mounted_read_only() {
    let (mut project, mut service) = base();
    project.secrets.insert("key".into(), Secret { file: "/s/key".into(), ..Secret::default() });
    project.configs.insert("conf".into(), Config { file: "/c/conf".into(), ..Config::default() });
    project.configs.insert("text".into(), Config { content: "x".into(), ..Config::default() });
    service.secrets =
        vec![SecretMount { source: "key".into(), target: "renamed".into(), ..Default::default() }];
    service.configs = vec![
        ConfigMount { source: "conf".into(), target: "/etc/conf".into(), ..Default::default() },
        ConfigMount { source: "text".into(), mode: Some(FileMode(0o400)), ..Default::default() },
    ];
    let request = request(&project, &service);
    assert_eq!(
        request["HostConfig"]["Mounts"],
        json!([
            {"Type": "bind", "Source": "/c/conf", "Target": "/etc/conf", "ReadOnly": true},
            {"Type": "bind", "Source": "/s/key", "Target": "/run/secrets/renamed", "ReadOnly": true}
        ])
    );
}

#[test]
fn resources_of_deploy_go_before_the_services_own() {
    let (project, mut service) = base();
    service.mem_limit = Bytes(1);
    service.cpus = 0.1;
    service.pids_limit = 7;
    service.restart = "on-failure:3".into();
    let of = |service: &Service| request(&project, service)["HostConfig"].clone();
    let host = of(&service);
    assert_eq!(
        (&host["Memory"], &host["NanoCpus"], &host["PidsLimit"]),
        (&json!(1), &json!(100_000_001), &json!(7))
    );
    assert_eq!(host["RestartPolicy"], json!({"Name": "on-failure", "MaximumRetryCount": 3}));
    let limits = Resource { cpus: 0.5, memory: Bytes(2), ..Resource::default() };
    let policy = RestartPolicy { condition: "any".into(), ..RestartPolicy::default() };
    service.deploy = Some(Deploy {
        resources: Resources { limits: Some(limits), ..Resources::default() },
        restart_policy: Some(policy),
        ..Deploy::default()
    });
    let host = of(&service);
    assert_eq!(
        (&host["Memory"], &host["NanoCpus"], &host["PidsLimit"]),
        (&json!(2), &json!(500_000_000), &json!(7))
    );
    assert_eq!(host["RestartPolicy"], json!({"Name": "always"}));
}

#[test]
fn checks_limits_security_and_time_are_in_the_apis_units() {
    let (project, mut service) = base();
    service.healthcheck = Some(Healthcheck {
        test: vec!["CMD".into(), "true".into()],
        interval: Some(Duration(2_000_000_000)),
        retries: Some(4),
        ..Healthcheck::default()
    });
    service.stop_grace_period = Some(Duration(90_000_000_000));
    service.ulimits.insert("nofile".into(), Ulimit { soft: 1, hard: 2, ..Ulimit::default() });
    service.ulimits.insert("nproc".into(), Ulimit { single: 9, ..Ulimit::default() });
    service.security_opt =
        vec!["systempaths=unconfined".into(), "no-new-privileges".into(), "seccomp=/strict.json".into()];
    service.extra_hosts.insert("a".into(), vec!["10.0.0.1".into(), "10.0.0.2".into()]);
    let request = request(&project, &service);
    assert_eq!(
        request["Healthcheck"],
        json!({"Test": ["CMD", "true"], "Interval": 2_000_000_000, "Retries": 4})
    );
    assert_eq!(request["StopTimeout"], 90);
    let host = &request["HostConfig"];
    assert_eq!(
        host["Ulimits"],
        json!([{"Name": "nofile", "Soft": 1, "Hard": 2}, {"Name": "nproc", "Soft": 9, "Hard": 9}])
    );
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges", "seccomp={}"]));
    assert_eq!(host["MaskedPaths"], json!([]));
    assert_eq!(host["ExtraHosts"], json!(["a:10.0.0.1", "a:10.0.0.2"]));
    service.healthcheck = Some(Healthcheck { disable: true, ..Healthcheck::default() });
    assert_eq!(made(&project, &service).unwrap()["Healthcheck"], json!({"Test": ["NONE"]}));
}

#[test]
fn what_no_engine_does_is_refused_with_what_to_do_instead() {
    let (project, service) = base();
    let refused = |change: &dyn Fn(&mut Service)| {
        let mut service = service.clone();
        change(&mut service);
        made(&project, &service).unwrap_err().to_string()
    };
    assert!(
        refused(&|service| service.secrets.push(SecretMount { source: "x".into(), ..Default::default() }))
            .contains("no such secret")
    );
    assert!(
        refused(&|service| service.security_opt.push("nonsense".into())).contains("invalid security-opt")
    );
    assert!(refused(&|service| service.network_mode = "service:gone".into()).contains("container missing"));
}

#[test]
fn a_container_of_run_has_a_slug_and_only_its_own_name() {
    let (project, mut service) = base();
    service.stdin_open = true;
    service.build = Some(Build::default());
    let observed = Observed::default();
    let origin = Origin {
        project: &project,
        observed: &observed,
        env_files: &["/p/.env".into()],
        profiles: &BTreeMap::new(),
    };
    let one = Oneoff {
        slug: "abc".into(),
        name: "p-web-run-abc".into(),
        stdin: true,
        remove: true,
        aliases: false,
    };
    let request = oneoff(origin, &service, &one).unwrap();
    assert_eq!(request["Labels"][labels::ONEOFF], "True");
    assert_eq!(request["Labels"][labels::SLUG], "abc");
    assert_eq!(request["Labels"][labels::ENVIRONMENT_FILE], "/p/.env");
    assert!(request["Labels"].get(labels::NUMBER).is_none());
    assert_eq!(request["HostConfig"]["AutoRemove"], true);
    assert_eq!(request["StdinOnce"], true);
    assert_eq!(
        request["NetworkingConfig"]["EndpointsConfig"]["p_default"],
        json!({"Aliases": ["p-web-run-abc"]})
    );
}
