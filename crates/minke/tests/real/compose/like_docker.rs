//! The real `docker compose` beside minke's, on the same engine over the same projects: equal containers, networks and labels, and
//! the two take turns.

use minke_testkit::Host;
use serde_json::{Value, json};

use super::{Application, PAIR};

/// Many attributes of a service in one project.
const RICH: &str = r#"
name: rich
services:
  base: {image: busybox, command: sleep infinity, init: true, environment: {A: "1", B: ""}, labels: {x.y: z}}
  rich:
    image: busybox
    command: ["sleep", "infinity"]
    init: true
    hostname: box
    user: "1000:1000"
    working_dir: /tmp
    restart: on-failure:3
    stop_grace_period: 2s
    stop_signal: SIGINT
    cap_add: [SYS_TIME]
    cap_drop: [NET_RAW]
    mem_limit: 64m
    cpus: 0.5
    pids_limit: 50
    shm_size: 8m
    read_only: true
    tmpfs: ["/run:size=1m"]
    ulimits: {nofile: {soft: 100, hard: 200}, nproc: 300}
    sysctls: {net.core.somaxconn: 100}
    extra_hosts: ["other:10.1.2.3"]
    expose: ["3000", "4000-4001"]
    ports: ["127.0.0.1:9000:9000", "9001:9001/udp"]
    networks: {default: {aliases: [also]}, back: {priority: 10}}
    volumes: ["data:/data", "./files:/files:ro", "/anonymous"]
    healthcheck: {test: [CMD, "true"], interval: 10s, retries: 5}
    logging: {driver: json-file, options: {max-size: 1m}}
    depends_on: [base]
    security_opt: [no-new-privileges]
networks: {default: {}, back: {internal: true, labels: {kind: back}}}
volumes: {data: {labels: {kind: data}}}
"#;

/// Secrets, configs, profiles, another file's services, addresses, links, replicas and health checks.
const WIDE: &str = r#"
name: wide
include: [told.yaml]
x-common: &common {image: busybox, command: sleep infinity, init: true, stop_grace_period: 1s}
services:
  web:
    extends: {file: base.yaml, service: base}
    links: ["db:database"]
    networks: {front: {ipv4_address: 10.91.7.10, aliases: [www]}, default: {}}
    secrets: [token, {source: token, target: other, mode: 0440}]
    configs: [{source: settings, target: /etc/settings}]
    depends_on: {db: {condition: service_healthy}}
    environment: {LATE: "${NOTHING:-by default}"}
  db:
    <<: *common
    healthcheck: {test: "true", interval: 1s, timeout: 2s, retries: 3, start_period: 5s}
    networks: [default]
  sidecar: {<<: *common, network_mode: "service:db", pid: "service:db", volumes_from: [told]}
  many:
    <<: *common
    deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 32M, pids: 20}, reservations: {memory: 16M}}}
    networks: [front]
  debug: {<<: *common, profiles: [debug]}
networks: {front: {ipam: {config: [{subnet: 10.91.7.0/24, gateway: 10.91.7.1}]}}}
secrets: {token: {file: ./token.txt}}
configs: {settings: {file: ./token.txt}}
"#;

/// What one of its services begins from.
const BASE: &str = r#"
services:
  base:
    image: busybox
    command: [sh, -c, "exec sleep infinity"]
    init: true
    labels: [from=base]
    environment: [EARLY=base]
    dns: [10.1.1.1]
    dns_search: [example.org]
    group_add: ["7"]
"#;

/// What it takes from another file.
const INCLUDED: &str = r#"
services:
  told:
    image: busybox
    command: [sleep, infinity]
    init: true
    volumes: [{type: volume, source: kept, target: /kept, volume: {nocopy: true}}, {type: tmpfs, target: /t, tmpfs: {size: 1m}}]
    cap_drop: [ALL]
volumes: {kept: {driver: local, labels: {kind: kept}}}
"#;

/// What Compose decides of a container, without what the engine adds and what differs each time.
fn made(container: &Value) -> Value {
    let mut labels = container["Config"]["Labels"].clone();
    if let Some(labels) = labels.as_object_mut() {
        // Of these two, older versions of docker compose write other texts.
        labels.retain(|name, _| {
            !matches!(name.as_str(), "com.docker.compose.version" | "com.docker.compose.config-hash")
        });
    }
    if let Some(dependencies) = labels["com.docker.compose.depends_on"].as_str() {
        // Docker compose writes them in no order.
        let mut dependencies: Vec<&str> = dependencies.split(',').collect();
        dependencies.sort_unstable();
        labels["com.docker.compose.depends_on"] = dependencies.join(",").into();
    }
    let config = [
        "Hostname",
        "User",
        "Env",
        "Cmd",
        "Entrypoint",
        "WorkingDir",
        "ExposedPorts",
        "StopSignal",
        "StopTimeout",
        "Healthcheck",
        "Image",
        "Tty",
        "OpenStdin",
    ];
    let host = [
        "NetworkMode",
        "RestartPolicy",
        "CapAdd",
        "CapDrop",
        "Memory",
        "NanoCpus",
        "PidsLimit",
        "ShmSize",
        "ReadonlyRootfs",
        "Tmpfs",
        "Ulimits",
        "Sysctls",
        "ExtraHosts",
        "PortBindings",
        "LogConfig",
        "SecurityOpt",
        "Init",
        "Privileged",
    ];
    let pick = |from: &Value, fields: &[&str]| -> Value {
        fields
            .iter()
            .map(|field| ((*field).to_owned(), from[*field].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mut picked = pick(&container["Config"], &config);
    if let Some(environment) = picked["Env"].as_array_mut() {
        // Docker compose sends a map's entries in no order.
        environment.sort_by_key(ToString::to_string);
    }
    picked["ExposedPorts"] = exposed(&container["Config"]["ExposedPorts"]);
    if container["Config"]["Hostname"]
        .as_str()
        .is_some_and(|name| container["Id"].as_str().expect("an id").starts_with(name))
    {
        picked["Hostname"] = Value::Null;
    }
    let mut mounts: Vec<Value> = container["Mounts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|mount| {
            // An anonymous volume has another name each time.
            let name = mount["Name"].as_str().filter(|name| name.len() != 64);
            json!([mount["Type"], name, mount["Destination"], mount["RW"]])
        })
        .collect();
    mounts.sort_by_key(ToString::to_string);
    let networks: serde_json::Map<String, Value> = container["NetworkSettings"]["Networks"]
        .as_object()
        .expect("an object")
        .iter()
        .map(|(name, endpoint)| {
            let mut aliases: Vec<&str> =
                endpoint["Aliases"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            // An id may well begin with "db".
            let id = container["Id"].as_str().expect("an id");
            aliases.retain(|alias| *alias != &id[..12] && *alias != id);
            aliases.sort_unstable();
            (name.clone(), json!([aliases, endpoint["IPAMConfig"]["IPv4Address"]]))
        })
        .collect();
    let mut host_config = pick(&container["HostConfig"], &host);
    if host_config["NetworkMode"].as_str().is_some_and(|mode| mode.starts_with("container:")) {
        // Its id is another each time.
        host_config["NetworkMode"] = "container".into();
        picked["Hostname"] = Value::Null;
    }
    if let Some(limits) = host_config["Ulimits"].as_array_mut() {
        limits.sort_by_key(ToString::to_string);
    }
    json!({"labels": labels, "config": picked, "host": host_config, "mounts": mounts, "networks": networks})
}

/// Ports one by one and with their protocol: older docker composes leave that to the engine.
fn exposed(ports: &Value) -> Value {
    let one_by_one = |port: &String| {
        let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u16, u16) = (first.parse().expect("a port"), last.parse().expect("a port"));
        (first..=last).map(|number| format!("{number}/{protocol}")).collect::<Vec<_>>()
    };
    let mut all: Vec<String> =
        ports.as_object().into_iter().flat_map(|ports| ports.keys()).flat_map(one_by_one).collect();
    all.sort_unstable();
    json!(all)
}

/// A project, and the containers that are made of it.
const PROJECTS: [(&str, &str, &[&str]); 3] = [
    ("rich", RICH, &["rich-base-1", "rich-rich-1"]),
    ("pair", PAIR, &["pair-db-1", "pair-web-1"]),
    (
        "wide",
        WIDE,
        &["wide-db-1", "wide-many-1", "wide-many-2", "wide-sidecar-1", "wide-told-1", "wide-web-1"],
    ),
];

/// A project for Debian's dockerd 20.10, too: it has no start interval, and there docker compose's own `volumes_from` of WIDE ends
/// with "no such volume".
fn for_older_engines(file: &str) -> String {
    file.replace(", start_interval: 100ms", "").replace(", volumes_from: [told]", "")
}

fn expect_equal_containers(host: &Host) {
    for (name, file, containers) in PROJECTS {
        let application = Application::new(host, name, &for_older_engines(file));
        std::fs::create_dir_all(application.folder.join("files")).expect("a folder");
        application.write("base.yaml", BASE);
        application.write("told.yaml", INCLUDED);
        application.write("token.txt", "secret\n");
        let all = |compose: &dyn Fn(&str) -> minke_testkit::Ran| -> Vec<Value> {
            let _ = compose("up -d").expect_code(0);
            let made = containers.iter().map(|container| made(&application.inspect(container))).collect();
            assert_eq!(
                application.containers().len(),
                containers.len(),
                "none of a profile that nobody asked for"
            );
            let _ = compose("down -v -t 1").expect_code(0);
            made
        };
        let theirs = all(&|words| application.docker_compose(words));
        let ours = all(&|words| application.compose(words));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(format!("{ours:#}"), format!("{theirs:#}"));
        }
    }
}

#[test]
fn both_make_equal_containers() {
    let host = Host::with_busybox();
    expect_equal_containers(&host);
    host.expect_nothing_left();
}

#[test]
fn both_make_equal_containers_on_dockerd() {
    let host = Host::with_dockerd();
    expect_equal_containers(&host);
    host.expect_nothing_left();
}

#[test]
fn verbs_say_the_same_on_dockerd() {
    let host = Host::with_dockerd();
    let application = Application::new(&host, "pair", PAIR);
    let _ = application.docker_compose("up -d").expect_code(1).expect_stderr("healthcheck.start_interval");
    let refused = application.compose("up -d").expect_code(1);
    let _ = refused.expect_stderr("healthcheck.start_interval needs an engine of API version 1.44");
    let refused = application.compose("run --rm --no-deps db true").expect_code(1);
    let _ = refused.expect_stderr("healthcheck.start_interval needs an engine of API version 1.44");
    application.write("compose.yaml", &for_older_engines(PAIR));
    let _ = application.compose("up -d --wait").expect_code(0);
    let first = application.containers();
    let same = |words: &str| {
        let (ours, theirs) = (application.compose(words), application.docker_compose(words));
        // Docker compose clears a line even where there is no terminal.
        let said = theirs.stdout.replace("\u{1b}[2K", "");
        assert_eq!((ours.code, &ours.stdout), (theirs.code, &said), "{words}: {}", ours.stderr);
        ours.stdout
    };
    for words in [
        "ps -q",
        "ps --services",
        "ps --format {{.Name}}={{.Service}}={{.State}}={{.Health}}={{.ExitCode}}",
        "ls --format json",
        "images -q",
        "logs --no-color web",
        "logs --no-log-prefix web",
        "config",
        "config --services",
        "config --volumes",
        "config --images",
        "exec -T web false",
        "exec -T web cat /www/index.html",
        "exec -T -u 5:6 web id",
        "exec -T -w /tmp web pwd",
        "exec -T -e A=b web env",
        "exec -T nosuch true",
        "port web 8000",
    ] {
        let said = same(words);
        let nothing = words.ends_with("false") || words.ends_with("true") || words.starts_with("port");
        assert_eq!(said.is_empty(), nothing, "{words}");
    }
    // Each finds what the other left as it wants it, or does the rest.
    for words in [
        "up -d",
        "stop -t 1",
        "start",
        "up -d --scale web=2",
        "up -d",
        "pause web",
        "unpause web",
        "restart -t 1 web",
    ] {
        let _ = application.docker_compose(words).expect_code(0);
        let _ = application.compose(words).expect_code(0);
        same("ps -a --format {{.Name}}={{.State}}");
    }
    // The hash of a service with dependencies is another in Debian's version of docker compose.
    assert_eq!(application.containers()[0], first[0]);
    let _ = application.compose("down -v -t 1").expect_code(0);
    assert_eq!(same("ps -aq"), "");
    assert_eq!(
        host.docker(["volume", "ls", "-q"]).ok()
            + &host.docker(["network", "ls", "-q", "-f", "type=custom"]).ok(),
        ""
    );
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn every_verb_and_flag_of_docker_compose_is_there() {
    let host = Host::without_engine();
    let help = |program: std::path::PathBuf, words: &[&str]| host.client_words(program, words).run().ok();
    let flags = |help: &str| -> std::collections::BTreeSet<String> {
        let words =
            help.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(str::split_whitespace);
        let flags = words.filter(|word| word.starts_with("--")).map(|word| word.trim_end_matches([',', '.']));
        // It may stand after any verb.
        let flags = flags
            .map(|flag| flag.split(['=', '[']).next().unwrap_or(flag))
            .filter(|flag| *flag != "--dry-run");
        flags.map(str::to_lowercase).collect()
    };
    let theirs = |words: &[&str]| help(minke_testkit::docker_compose(), words);
    let top = theirs(&["--help"]);
    let verbs = top.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let verbs: Vec<&str> =
        verbs.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.len() > 20, "{top}");
    for verb in [""].into_iter().chain(verbs) {
        let own: Vec<&str> = [verb, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let words: Vec<&str> = ["compose"].into_iter().chain(own.iter().copied()).collect();
        let ours = flags(&help(minke_testkit::program("minke"), &words));
        let missing: Vec<_> = flags(&theirs(&own)).into_iter().filter(|flag| !ours.contains(flag)).collect();
        assert!(missing.is_empty(), "minke compose {verb} lacks {missing:?}");
    }
}

#[test]
fn the_two_take_turns_on_one_project() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let _ = application.docker_compose("up -d").expect_code(0);
    let first = application.containers();
    assert!(application.compose("ps").ok().contains("pair-db-1"));
    let _ = application.compose("stop -t 1").expect_code(0);
    let _ = application.docker_compose("start").expect_code(0);
    assert_eq!(application.containers(), first);
    let _ = application.compose("up -d --scale web=2").expect_code(0);
    let listed = application.docker_compose("ps -q").expect_code(0).ok();
    assert_eq!(listed.lines().count(), 3);
    let _ = application.docker_compose("down -v -t 1").expect_code(0);
    assert!(application.containers().is_empty());
    let _ = application.compose("up -d").expect_code(0);
    let _ = application.docker_compose("logs web").expect_code(0).expect_stdout("serving");
    let _ = application.compose("down -v -t 1").expect_code(0);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn docker_runs_it_as_its_plugin() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let plugins = host.path("docker-config/cli-plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    std::os::unix::fs::symlink(minke_testkit::program("minke"), plugins.join("docker-compose")).unwrap();
    let docker = |words: &[&str]| {
        host.client_words(minke_testkit::docker_cli(), words).current_dir(&application.folder).run()
    };
    assert!(docker(&["compose", "version"]).ok().starts_with("minke compose version v"));
    let _ = docker(&["compose", "up", "-d"]).expect_code(0);
    assert!(docker(&["compose", "ps"]).ok().contains("pair-web-1"));
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn the_users_proxies_reach_a_projects_containers() {
    let host = Host::with_busybox();
    let settings = host.path("docker-config");
    std::fs::create_dir_all(&settings).expect("a folder");
    std::fs::write(
        settings.join("config.json"),
        r#"{"proxies": {"default": {"httpProxy": "http://proxy:1"}}}"#,
    )
    .expect("a file");
    let file = "name: p\nservices: {app: {image: busybox, command: [sleep, infinity], init: true, network_mode: none, \
                environment: {http_proxy: own}}}\n";
    let application = Application::new(&host, "p", file);
    let run = |program: std::path::PathBuf, words: &[&str]| {
        host.client_words(program, words).current_dir(&application.folder).run().expect_code(0)
    };
    let seen = || {
        let env = host.docker(["exec", "p-app-1", "env"]).ok();
        let mut proxies: Vec<String> =
            env.lines().filter(|line| line.to_lowercase().contains("proxy")).map(str::to_owned).collect();
        proxies.sort_unstable();
        proxies
    };
    let _ = run(minke_testkit::docker_compose(), &["up", "-d"]);
    let theirs = seen();
    let _ = run(minke_testkit::docker_compose(), &["down", "-t", "1"]);
    let _ = run(minke_testkit::program("minke"), &["compose", "up", "-d"]);
    assert_eq!(theirs, ["HTTP_PROXY=http://proxy:1", "http_proxy=own"]);
    assert_eq!(seen(), theirs);
    let once = run(minke_testkit::program("minke"), &["compose", "run", "--rm", "-T", "app", "env"]).ok();
    assert!(once.contains("HTTP_PROXY=http://proxy:1") && once.contains("http_proxy=own"), "{once}");
    let _ = run(minke_testkit::program("minke"), &["compose", "down", "-t", "1"]);
    drop(application);
    host.expect_nothing_left();
}
