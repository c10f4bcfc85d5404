//! What SDKs and scripts read from answers, beyond what the command lines show: fields, nulls, status codes,
//! words.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    process::Command,
    time::Duration,
};

use minke_testkit::{Cli, Host, Rootfs};
use rstest::rstest;
use serde_json::{Value, json};

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// One request on a connection of its own, as `curl --unix-socket` makes it: status, head and body.
pub(crate) fn ask(host: &Host, method: &str, target: &str, body: &str) -> (u16, String, String) {
    let mut socket = UnixStream::connect(host.path("docker.sock")).expect("the engine listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has timeouts");
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).expect("the engine reads");
    socket.write_all(body.as_bytes()).expect("the engine reads");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("the engine answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, head.to_owned(), body.to_owned())
}

fn create(host: &Host, name: &str, body: &Value) -> u16 {
    ask(host, "POST", &format!("/containers/create?name={name}"), &body.to_string()).0
}

fn inspect(host: &Host, name: &str) -> Value {
    let all = host.docker(["inspect", name]).expect_code(0).json();
    all[0].clone()
}

#[test]
fn an_inspected_container_has_the_defaults_that_docker_writes_out() {
    let host = Host::with_busybox();
    let _ = host.docker(["create", "--name", "plain", "busybox"]).ok();
    let plain = inspect(&host, "plain");
    let settings = &plain["HostConfig"];
    assert_eq!(settings["MemorySwappiness"], Value::Null);
    assert!(["host", "private"].contains(&settings["CgroupnsMode"].as_str().unwrap_or("")));
    assert!(settings["MaskedPaths"].as_array().is_some_and(|paths| paths.contains(&json!("/proc/kcore"))));
    assert!(settings["ReadonlyPaths"].as_array().is_some_and(|paths| paths.contains(&json!("/proc/sys"))));
    assert_eq!(plain["Config"]["Env"], Value::Null);
    assert!(plain.get("SizeRw").is_none());
    let _ = host.docker(["create", "--privileged", "--name", "all", "busybox"]).ok();
    assert_eq!(inspect(&host, "all")["HostConfig"]["MaskedPaths"], Value::Null);
    let _ =
        host.docker(["create", "--security-opt", "systempaths=unconfined", "--name", "open", "busybox"]).ok();
    assert_eq!(inspect(&host, "open")["HostConfig"]["MaskedPaths"], json!([]));
    host.expect_nothing_left();
}

#[test]
fn the_same_container_is_shown_the_same_way_each_time() {
    let host = Host::with_busybox();
    let ports: [&str; 8] = ["-p", "8001:1", "-p", "8002:2", "-p", "8003:3", "-p", "8004:4"];
    let mut args = vec!["run", "-d", "--name", "box"];
    args.extend(ports);
    args.extend(["-l", "a=1", "-l", "b=2", "-l", "c=3", "busybox", "sleep", "600"]);
    let args: [&str; 21] = args.try_into().expect("21 words");
    let _ = host.docker(args).ok();
    let first = ask(&host, "GET", "/containers/box/json", "").2;
    for _ in 0..5 {
        assert_eq!(ask(&host, "GET", "/containers/box/json", "").2, first);
    }
    host.expect_nothing_left();
}

#[test]
fn filters_can_be_typed_as_they_stand_in_the_documentation() {
    let host = Host::with_busybox();
    let _ = host.docker(["create", "--name", "web-1", "busybox"]).ok();
    let listed = |filters: &str| {
        let (status, _, body) = ask(&host, "GET", &format!("/containers/json?all=1&filters={filters}"), "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON").as_array().map_or(0, Vec::len)
    };
    assert_eq!(listed(r#"{"status":["created"]}"#), 1);
    assert_eq!(listed(r#"{"name":{"^/web-[0-9]$":true}}"#), 1);
    assert_eq!(listed("%7B%22name%22:%5B%22db%7Cweb%22%5D%7D"), 1);
    assert_eq!(listed(r#"{"name":["eb-1$"]}"#), 1);
    assert_eq!(listed(r#"{"name":["^eb"]}"#), 0);
    let (status, _, body) = ask(&host, "GET", r#"/containers/json?filters={"status":["gone"]}"#, "");
    assert_eq!(status, 400);
    assert!(body.contains("must be one of created, running"), "{body}");
    let (_, head, _) = ask(&host, "GET", "/_ping", "");
    assert!(head.contains("\r\nApi-Version: 1."), "{head}");
    host.expect_nothing_left();
}

#[test]
fn what_another_container_lacks_is_not_a_missing_image() {
    let host = Host::with_busybox();
    for settings in [
        json!({"PidMode": "container:no"}),
        json!({"IpcMode": "container:no"}),
        json!({"VolumesFrom": ["no"]}),
    ] {
        assert_eq!(
            create(&host, "bad", &json!({"Image": "busybox", "HostConfig": settings})),
            400,
            "{settings}"
        );
    }
    // The network's donor may come later; then it is remembered by its id.
    let late = json!({"Image": "busybox", "HostConfig": {"NetworkMode": "container:donor"}});
    assert_eq!(create(&host, "late", &late), 201);
    let _ = host.docker(["start", "late"]).expect_code(1).expect_stderr("joining network namespace");
    let id =
        host.docker(["run", "-d", "--name", "donor", "--hostname", "shared", "busybox", "sleep", "600"]).ok();
    let _ = host.docker(["start", "late"]).expect_code(0);
    assert_eq!(create(&host, "now", &late), 201);
    let now = inspect(&host, "now");
    assert_eq!(now["HostConfig"]["NetworkMode"], format!("container:{id}"));
    assert_eq!(now["Config"]["Hostname"], "shared");
    let _ = host.docker(["rename", "donor", "renamed"]).ok();
    assert_eq!(host.docker(["start", "now"]).ok(), "now");
    let named =
        json!({"Image": "busybox", "Hostname": "x", "HostConfig": {"NetworkMode": "container:renamed"}});
    assert_eq!(create(&host, "named", &named), 400);
    let named = json!({"Image": "busybox", "Hostname": "x", "HostConfig": {"UTSMode": "host"}});
    assert_eq!(create(&host, "named", &named), 400);
    host.expect_nothing_left();
}

#[test]
fn an_image_of_another_platform_is_missing() {
    let host = Host::with_busybox();
    let body = r#"{"Image":"busybox"}"#;
    let (status, _, text) = ask(&host, "POST", "/containers/create?platform=linux/s390x", body);
    assert_eq!(status, 404);
    assert!(text.contains("does not match the specified platform (linux/s390x)"), "{text}");
    assert_eq!(ask(&host, "POST", "/containers/create?platform=a/b/c/d", body).0, 400);
    assert_eq!(ask(&host, "POST", "/containers/create?platform=linux", body).0, 201);
    host.expect_nothing_left();
}

#[test]
fn a_process_is_in_its_primary_group() {
    let host = Host::with_busybox();
    let id = |user: &str| host.docker(["run", "--rm", "-u", user, "busybox", "id"]).ok();
    assert!(id("0").ends_with("groups=0(root)"));
    assert!(id("alice").ends_with("groups=29(audio),1000(alice)"));
    assert!(id("1234:33").ends_with("groups=33(www)"));
    let _ = host
        .docker(["run", "--rm", "-u", "-1", "busybox", "id"])
        .expect_code(125)
        .expect_stderr("uids and gids must be in range 0-2147483647");
    host.expect_nothing_left();
}

#[test]
fn a_container_says_what_it_is_and_joins_the_hosts_queues() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "--name", "box", "busybox", "test", "-f", "/.dockerenv"]).expect_code(0);
    assert_eq!(host.docker(["diff", "box"]).ok(), "");
    let _ = host.docker(["run", "--rm", "--ipc", "host", "busybox", "ls", "/dev/mqueue"]).expect_code(0);
    let shown = host.docker(["run", "--rm", "--hostname", "a.b.c", "busybox", "cat", "/etc/hosts"]).ok();
    assert!(shown.ends_with("\ta.b.c a"), "{shown}");
    host.expect_nothing_left();
}

#[rstest]
fn the_whole_of_a_running_container_can_be_copied(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let _ = host.cli(cli, ["exec", "box", "sh", "-c", "echo content > /srv.txt"]).ok();
    let out = host.path("out").display().to_string();
    let _ = host.cli(cli, ["cp", "box:/", &out]).expect_code(0);
    let text = std::fs::read_to_string(host.path("out/srv.txt")).expect("it was copied");
    assert_eq!(text, "content\n");
    assert_eq!(std::fs::read_dir(host.path("out/proc")).expect("a directory").count(), 0);
    let _ = host.cli(cli, ["cp", &format!("{out}/srv.txt"), "box:/no/such/x"]).expect_code(1);
    let _ = host.cli(cli, ["exec", "box", "ls", "/no"]).expect_code(1);
    host.expect_nothing_left();
}

#[test]
fn clients_may_resize_and_attach_without_looking() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    assert_eq!(ask(&host, "POST", "/containers/box/resize?h=10&w=20", "").0, 200);
    let (status, _, rest) = ask(&host, "POST", "/containers/box/attach?stdout=1", "");
    assert_eq!((status, rest.as_str()), (200, ""));
    let stats = ask(&host, "GET", "/containers/box/stats?stream=0&one-shot=1", "").2;
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    assert!(stats["pids_stats"].get("limit").is_none(), "{stats}");
    let (status, _, _) = ask(&host, "POST", "/containers/box/exec", r#"{"Cmd":["true"]}"#);
    assert_eq!(status, 201);
    host.expect_nothing_left();
}

#[test]
fn the_log_drivers_of_compose_files_work() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "--name", "one", "--log-driver", "local", "busybox", "echo", "hello"]).ok();
    assert_eq!(host.docker(["logs", "one"]).ok(), "hello");
    assert_eq!(inspect(&host, "one")["LogPath"], "");
    let with = ["run", "--name", "two", "-l", "a=1", "-e", "B=2 3"];
    let options = ["--log-opt", "labels=a", "--log-opt", "env=B", "--log-opt", "tag={{.Name}}"];
    let args: Vec<&str> = with.into_iter().chain(options).chain(["busybox", "echo", "hi"]).collect();
    let args: [&str; 16] = args.try_into().expect("sixteen words");
    let _ = host.docker(args).ok();
    assert_eq!(host.docker(["logs", "--details", "two"]).ok(), "B=2+3,a=1,tag=two hi");
    host.expect_nothing_left();
}

#[test]
fn errors_have_dockers_words() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let _ = host.docker(["create", "--name", "other", "busybox"]).ok();
    let cases: [(&[&str], &str); 9] = [
        (&["kill", "-s", "FOO", "box"], "cannot kill container: box: invalid signal: FOO"),
        (&["kill", "nosuch"], "cannot kill container: nosuch: No such container: nosuch"),
        (&["rename", "box", "other"], "Error when allocating new name: Conflict. The container name"),
        (&["create", "--cap-add", "FOO", "busybox"], "invalid CapAdd: unknown capability: \"CAP_FOO\""),
        (&["create", "--tmpfs", "/t:bad=1", "busybox"], "invalid tmpfs option \"bad\""),
        (&["create", "-v", "/a:rel", "busybox"], "invalid volume specification: '/a:rel'"),
        (&["create", "-v", "/a:/b:zz", "busybox"], "invalid mode: zz"),
        (&["start", "nosuch"], "No such container: nosuch"),
        (
            &["create", "--device", "/nosuch", "busybox"],
            "custom device \"/nosuch\": No such file or directory\n",
        ),
    ];
    for (args, words) in cases {
        let ran = minke_testkit::Run::new(minke_testkit::docker_cli(), args)
            .env("DOCKER_HOST", host.endpoint())
            .within(host.netns())
            .run();
        assert_ne!(ran.code, Some(0));
        let _ = ran.expect_stderr(words);
    }
    host.expect_nothing_left();
}

#[test]
fn json_that_go_would_take_is_taken() {
    let host = Host::start();
    host.import("busybox", Rootfs::busybox());
    let body = json!({"Image": "busybox", "Cmd": "true", "HostConfig": {"CapAdd": "NET_ADMIN"}});
    assert_eq!(create(&host, "box", &body), 201);
    assert_eq!(ask(&host, "POST", "/containers/create", "{}").0, 400);
    host.expect_nothing_left();
}

#[test]
fn a_program_that_was_started_only_now_gets_its_signals() {
    let host = Host::with_busybox();
    let script = "trap 'exit 9' TERM; while :; do sleep 0.01; done";
    for round in 0..5 {
        let name = format!("new{round}");
        assert_eq!(create(&host, &name, &json!({"Image": "busybox", "Cmd": ["sh", "-c", script]})), 201);
        assert_eq!(ask(&host, "POST", &format!("/containers/{name}/start"), "").0, 204);
        assert_eq!(ask(&host, "POST", &format!("/containers/{name}/stop"), "").0, 204);
        assert_eq!(inspect(&host, &name)["State"]["ExitCode"], 9);
    }
    host.expect_nothing_left();
}

#[test]
fn a_limit_of_processes_is_taken_away_again() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "-d", "--name", "box", "--pids-limit", "32", "busybox", "sleep", "600"]).ok();
    let update = |path: &str, limit: i64| {
        let body = json!({"PidsLimit": limit}).to_string();
        assert_eq!(ask(&host, "POST", &format!("{path}/containers/box/update"), &body).0, 200);
        inspect(&host, "box")["HostConfig"]["PidsLimit"].clone()
    };
    // Clients of the versions before it send what they mean nothing by.
    assert_eq!(update("/v1.39", 16), 32);
    assert_eq!(update("", 16), 16);
    assert_eq!(update("", -1), 0);
    let limit = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max";
    assert_eq!(host.docker(["exec", "box", "sh", "-c", limit]).ok(), "max");
    host.expect_nothing_left();
}

#[test]
fn what_is_wrong_is_told_when_it_is_asked_for() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let exec = json!({"Cmd": ["true"], "User": "nobody-here"}).to_string();
    let (status, _, told) = ask(&host, "POST", "/containers/box/exec", &exec);
    assert!(status == 400 && told.contains("unable to find user nobody-here"), "{status} {told}");
    for (target, body, words) in [
        (
            "/containers/create",
            "{nonsense",
            "invalid character 'n' looking for beginning of object key string",
        ),
        ("/networks/create", "{} trailing", "unexpected content after JSON"),
        ("/containers/box/resize?h=-1&w=1", "", "invalid resize height \\\"-1\\\": value out of range"),
        (
            "/containers/create",
            r#"{"Image":"busybox","Healthcheck":{"Interval":1000}}"#,
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            "/containers/create",
            r#"{"Image":"busybox","HostConfig":{"Annotations":{"":"a"}}}"#,
            "the empty string is not permitted as an annotation key",
        ),
    ] {
        let (status, _, told) = ask(&host, "POST", target, body);
        assert!(status == 400 && told.contains(words), "{target}: {status} {told}");
    }
    for (path, words) in
        [("/none", "Could not find the file /none in container box"), ("/etc/hosts/", "not a directory")]
    {
        let (_, _, told) = ask(&host, "GET", &format!("/containers/box/archive?path={path}"), "");
        assert!(told.contains(words), "{told}");
    }
    host.expect_nothing_left();
}

#[test]
fn a_network_has_its_bridge_before_its_first_container() {
    let host = Host::with_busybox();
    let _ = host.docker(["network", "create", "-o", "com.docker.network.driver.mtu=1200", "thin"]).ok();
    let id = host.docker(["network", "inspect", "-f", "{{slice .Id 0 12}}", "thin"]).ok();
    let bridge = format!("/sys/class/net/br-{id}");
    let _ =
        host.docker(["run", "--rm", "--network", "host", "busybox", "test", "-e", &bridge]).expect_code(0);
    // IPv6 wants 1280 bytes, and the kernel has none on such an interface.
    let run = ["run", "--rm", "--network", "thin", "busybox", "ip", "-4", "addr", "show", "eth0"];
    let first = host.docker(run).ok();
    assert!(first.contains("mtu 1200"), "{first}");
    let address =
        |shown: &str| shown.split_whitespace().skip_while(|word| *word != "inet").nth(1).map(str::to_owned);
    // As in Docker, an address is given out again at once.
    assert_eq!(address(&host.docker(run).ok()), address(&first));
    let _ = host.docker(["network", "rm", "thin"]).ok();
    host.expect_nothing_left();
}

#[test]
fn programs_of_the_host_find_the_gateways_of_all_networks_while_an_engine_runs() {
    let mut host = Host::with_busybox();
    let listens = |host: &Host, gateway: &str| host.netns().enter(|| TcpListener::bind((gateway, 0)).is_ok());
    host.until("the default bridge", || listens(&host, "172.17.0.1"));
    let _ = host.docker(["network", "create", "--subnet", "10.9.0.0/24", "own"]).ok();
    host.stop_daemon();
    assert!(!listens(&host, "172.17.0.1") && !listens(&host, "10.9.0.1"));
    host.start_daemon();
    for gateway in ["172.17.0.1", "10.9.0.1"] {
        host.until(gateway, || listens(&host, gateway));
    }
    let run = host.docker(["run", "--rm", "busybox", "ip", "-4", "addr", "show", "eth0"]).ok();
    assert!(run.contains("inet 172.17.0.2/16"), "{run}");
    let _ = host.docker(["network", "rm", "own"]).ok();
    assert!(!listens(&host, "10.9.0.1"));
    host.expect_nothing_left();
}

#[test]
fn a_volume_that_a_container_names_stays_when_the_container_goes() {
    let host = Host::with_busybox();
    let (_, _, made) = ask(&host, "POST", "/volumes/create", "{}");
    let volume = parsed(&made)["Name"].as_str().unwrap().to_owned();
    let named = format!("{volume}:/a");
    let _ = host.docker(["create", "--name", "first", "-v", &named, "-v", "/b", "busybox", "true"]).ok();
    let all = || host.docker(["volume", "ls", "-q"]).ok();
    assert_eq!(all().lines().count(), 2);
    let _ = host.docker(["create", "--name", "heir", "--volumes-from", "first", "busybox", "true"]).ok();
    for (name, left) in [("first", 2), ("heir", 1)] {
        let _ = host.docker(["rm", "-v", name]).ok();
        assert_eq!(all().lines().count(), left, "that of /b goes with the last who has it");
    }
    assert_eq!(all(), volume);
    let _ = host.docker(["run", "--rm", "-v", &named, "busybox", "true"]).expect_code(0);
    assert_eq!(all(), volume);
    let _ = host.docker(["volume", "rm", &volume]).ok();
    host.expect_nothing_left();
}

#[test]
fn a_bind_keeps_what_its_source_restricts() {
    let host = Host::with_busybox();
    let source = host.path("restricted");
    std::fs::create_dir(&source).unwrap();
    let mount = |program: &str, words: &[&str]| {
        assert!(Command::new(program).args(words).arg(&source).status().unwrap().success());
    };
    mount("mount", &["-t", "tmpfs", "-o", "nosuid,nodev,noexec", "tmpfs"]);
    let volume = format!("{}:/vol", source.display());
    let run = host.docker(["run", "--rm", "-v", &volume, "busybox", "grep", " /vol ", "/proc/mounts"]);
    mount("umount", &[]);
    assert!(run.ok().contains(" rw,nosuid,nodev,noexec,"));
    host.expect_nothing_left();
}

#[test]
fn an_empty_entry_point_is_none_and_an_images_patience_is_its_own() {
    let host = Host::with_busybox();
    let changes =
        ["commit", "-c", "ENTRYPOINT [\"echo\", \"entry\"]", "-c", "CMD [\"cmd\"]", "base", "image"];
    let _ = host.docker(["create", "--name", "base", "--stop-timeout", "7", "busybox", "true"]).ok();
    let _ = host.docker(changes).ok();
    let create = |name: &str, body: Value| {
        let (status, _, told) =
            ask(&host, "POST", &format!("/containers/create?name={name}"), &body.to_string());
        assert_eq!(status, 201, "{told}");
        host.docker(["start", "-a", name]).ok()
    };
    assert_eq!(create("silent", json!({"Image": "image"})), "entry cmd");
    let emptied = json!({"Image": "image", "Entrypoint": [], "Cmd": ["echo", "alone"]});
    assert_eq!(create("emptied", emptied), "alone");
    let (_, _, shown) = ask(&host, "GET", "/containers/silent/json", "");
    assert_eq!(parsed(&shown)["Config"].get("StopTimeout"), None);
    host.expect_nothing_left();
}

#[test]
fn a_restart_tells_of_the_stop_and_a_check_of_its_process() {
    let host = Host::with_busybox();
    let check = ["--health-cmd", "test -e /well", "--health-interval", "200ms"];
    let run = [
        &["run", "-d", "--name", "web"],
        &check[..],
        &["busybox", "sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"],
    ];
    let _ = host.client_words(minke_testkit::docker_cli(), &run.concat()).run().expect_code(0);
    let until = |what: &str| {
        let since = ["events", "--since", "0", "--until", "0s", "--format", "{{.Action}}"];
        host.until(what, || host.docker(since).stdout.lines().any(|line| line.starts_with(what)));
        host.docker(since).ok()
    };
    let told = until("exec_die");
    for action in ["exec_create: /bin/sh -c test -e /well", "exec_start: /bin/sh -c test -e /well"] {
        assert!(told.contains(action), "{told}");
    }
    let _ = host.docker(["restart", "web"]).ok();
    let told = until("restart");
    let actions: Vec<&str> =
        told.lines().filter(|line| !line.contains(':') && !line.starts_with("exec")).collect();
    let end = actions.iter().position(|action| *action == "die").unwrap();
    let after = |wanted: &str| actions[end..].contains(&wanted);
    assert!(after("stop") && after("start") && after("restart"), "{actions:?}");
    host.expect_nothing_left();
}

#[test]
fn what_prunes_nothing_lists_nothing() {
    let host = Host::with_busybox();
    for (path, list) in
        [("containers", "ContainersDeleted"), ("images", "ImagesDeleted"), ("build", "CachesDeleted")]
    {
        let filters = "filters=%7B%22label%22%3A%5B%22none%22%5D%7D";
        let (status, _, told) = ask(&host, "POST", &format!("/{path}/prune?{filters}"), "");
        assert_eq!((status, &parsed(&told)[list]), (200, &Value::Null), "{path}: {told}");
    }
    host.expect_nothing_left();
}

#[test]
fn the_exit_code_is_there_when_the_attached_stream_ends() {
    let host = Host::with_busybox();
    for round in 0..10 {
        let name = format!("short{round}");
        let body = json!({"Image": "busybox", "Cmd": ["sh", "-c", "echo hi; exit 7"]});
        assert_eq!(create(&host, &name, &body), 201);
        let target = format!("/containers/{name}/attach?stream=1&stdout=1");
        let attached = std::thread::scope(|scope| {
            let attached = scope.spawn(|| ask(&host, "POST", &target, ""));
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(ask(&host, "POST", &format!("/containers/{name}/start"), "").0, 204);
            let rest = attached.join().expect("the stream ends").2;
            (rest, ask(&host, "GET", &format!("/containers/{name}/json"), "").2)
        });
        let state: Value = serde_json::from_str(&attached.1).expect("JSON");
        assert!(attached.0.contains("hi"), "{}", attached.0);
        assert_eq!((&state["State"]["Status"], &state["State"]["ExitCode"]), (&json!("exited"), &json!(7)));
    }
    host.expect_nothing_left();
}

#[test]
fn a_quiet_load_is_done_when_its_answer_begins() {
    let host = Host::with_busybox();
    let archive = host.path("image.tar");
    let _ = host.docker(["save", "-o", archive.to_str().expect("a name in UTF-8"), "busybox"]).ok();
    let _ = host.docker(["rmi", "busybox"]).ok();
    let tar = std::fs::read(archive).expect("it was saved");
    let mut socket = UnixStream::connect(host.path("docker.sock")).expect("the engine listens");
    let head = format!(
        "POST /images/load?quiet=1 HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        tar.len()
    );
    socket.write_all(head.as_bytes()).expect("the engine reads");
    socket.write_all(&tar).expect("the engine reads");
    let mut begin = [0; 12];
    socket.read_exact(&mut begin).expect("the engine answers");
    drop(socket);
    assert_eq!(&begin, b"HTTP/1.1 200");
    assert_eq!(host.docker(["run", "--rm", "busybox", "echo", "there"]).ok(), "there");
    host.expect_nothing_left();
}

#[test]
fn when_a_followed_log_has_ended_the_container_has_too() {
    let host = Host::with_busybox();
    for round in 0..20 {
        let body =
            json!({ "Image": "busybox", "Cmd": ["echo", "word"], "HostConfig": { "NetworkMode": "none" } });
        assert_eq!(create(&host, "box", &body), 201);
        assert_eq!(ask(&host, "POST", "/containers/box/start", "").0, 204);
        let (status, _, log) = ask(&host, "GET", "/containers/box/logs?follow=1&stdout=1", "");
        assert!(status == 200 && log.contains("word"), "{status} {log}");
        let (status, _, body) = ask(&host, "DELETE", "/containers/box", "");
        assert_eq!(status, 204, "round {round}: {body}");
    }
    host.expect_nothing_left();
}

#[test]
fn an_image_for_another_platform_than_was_named_is_left_alone() {
    let host = Host::with_busybox();
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let json =
        |architecture: &str| format!("%7B%22os%22:%22linux%22,%22architecture%22:%22{architecture}%22%7D");
    let (foreign, native) = (json(other), json(own));
    for (method, target) in [
        ("DELETE", format!("/images/busybox?platforms={foreign}")),
        ("DELETE", format!("/images/busybox?force=1&platforms={foreign}")),
        ("GET", format!("/images/busybox/json?platform={foreign}")),
        ("GET", format!("/images/busybox/history?platform={foreign}")),
        ("GET", format!("/images/get?names=busybox&platform={foreign}")),
    ] {
        let (status, _, body) = ask(&host, method, &target, "");
        assert_eq!(status, 404, "{target}: {body}");
        assert!(body.contains("does not match the specified platform"), "{target}: {body}");
    }
    assert_eq!(ask(&host, "GET", &format!("/images/busybox/json?platform={native}"), "").0, 200);
    let archive = host.path("image.tar");
    let _ = host.docker(["save", "-o", archive.to_str().expect("a name in UTF-8"), "busybox"]).ok();
    let load = |platform: &str| {
        let url = format!("http://d/images/load?quiet=1&platform={platform}");
        let mut words = vec!["-sS", "-g", "--unix-socket"];
        let (socket, data) =
            (host.path("docker.sock").display().to_string(), format!("@{}", archive.display()));
        words.extend([socket.as_str(), "-X", "POST", "--data-binary", &data, &url]);
        minke_testkit::Run::new("curl", words).ok()
    };
    assert_eq!(ask(&host, "DELETE", &format!("/images/busybox?platforms={native}"), "").0, 200);
    let refused = load(&foreign);
    assert!(refused.contains(&format!("nothing for linux/{other}, only for linux/{own}")), "{refused}");
    assert_eq!(ask(&host, "GET", "/images/busybox/json", "").0, 404);
    assert!(load(&native).contains("Loaded image"));
    host.expect_nothing_left();
}

#[test]
fn pruned_names_are_those_that_no_container_was_made_from() {
    let host = Host::with_busybox();
    for name in ["busybox:b", "busybox:a", "other:1"] {
        let _ = host.docker(["tag", "busybox", name]).ok();
    }
    let names = || {
        let all = host.docker(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
        let mut all: Vec<_> = all.lines().map(str::to_owned).collect();
        all.sort();
        all
    };
    let _ = host.docker(["create", "--name", "box", "busybox:b"]).ok();
    let _ = host.docker(["image", "prune", "-a", "-f"]).expect_code(0).expect_stdout("untagged: other:1");
    assert_eq!(names(), ["busybox:b"]);
    // Of one that was asked for by its id, one name stays.
    let _ = host.docker(["rm", "box"]).ok();
    let id = host.docker(["images", "-q", "--no-trunc"]).ok();
    let _ = host.docker(["tag", "busybox:b", "busybox:c"]).ok();
    let _ = host.docker(["create", &id]).ok();
    let _ = host.docker(["image", "prune", "-a", "-f"]).expect_code(0);
    assert_eq!(names().len(), 1);
    host.expect_nothing_left();
}

#[test]
fn layers_that_are_here_may_be_left_out_of_an_archive() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "--name", "box", "busybox", "touch", "/new"]).ok();
    let _ = host.docker(["commit", "box", "thin"]).ok();
    let folder = host.path("thin");
    std::fs::create_dir(&folder).expect("a folder");
    let text = |name: &str| folder.join(name).display().to_string();
    let _ = host.docker(["save", "-o", &text("whole.tar"), "thin"]).ok();
    let tar = |words: &[&str]| minke_testkit::Run::new("tar", words).current_dir(&folder).ok();
    tar(&["-xf", "whole.tar"]);
    let manifest = parsed(&std::fs::read_to_string(folder.join("manifest.json")).expect("a manifest"));
    let (config, layers) = (&manifest[0]["Config"], manifest[0]["Layers"].as_array().expect("layers"));
    let (config, base, top) =
        (config.as_str().unwrap_or(""), layers[0].as_str().unwrap_or(""), layers[1].as_str().unwrap_or(""));
    tar(&["-cf", "thin.tar", "manifest.json", config, top]);
    tar(&["-cf", "no-top.tar", "manifest.json", config, base]);
    let _ = host.docker(["rm", "box"]).ok();
    let _ = host.docker(["rmi", "thin"]).ok();
    let _ = host
        .docker(["load", "-i", &text("no-top.tar")])
        .expect_code(1)
        .expect_stderr("is not in the archive");
    let _ = host.docker(["load", "-i", &text("thin.tar")]).expect_code(0).expect_stdout("thin:latest");
    let _ = host.docker(["run", "--rm", "thin", "ls", "/new"]).expect_code(0);
    host.expect_nothing_left();
}

#[test]
fn binds_of_the_engines_root_follow_the_hosts_mounts() {
    let host = Host::with_busybox();
    let propagation = |bind: &str, name: &str| {
        let _ = host.docker(["create", "--name", name, "-v", bind, "busybox"]).ok();
        inspect(&host, name)["Mounts"][0]["Propagation"].as_str().unwrap_or("").to_owned()
    };
    let root = host.docker(["info", "-f", "{{.DockerRootDir}}"]).ok();
    assert_eq!(propagation("/:/host:ro", "all"), "rslave");
    assert_eq!(propagation(&format!("{root}:/root"), "root"), "rslave");
    assert_eq!(propagation(&format!("{root}:/root:rshared"), "shared"), "rshared");
    assert_eq!(propagation("/etc:/e", "etc"), "rprivate");
    let _ = host
        .docker(["create", "-v", "/:/host:rprivate", "busybox"])
        .expect_code(1)
        .expect_stderr("must use either propagation mode \"rslave\" or \"rshared\"");
    let _ = host
        .docker(["run", "--rm", "-v", "/:/host:ro", "busybox", "ls", "/host/etc/hostname"])
        .expect_code(0);
    host.expect_nothing_left();
}

#[rstest]
fn who_is_in_anothers_network_has_its_names_and_publishes_nothing(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let host = Host::with_busybox();
    let _ =
        host.cli(cli, ["run", "-d", "--name", "one", "--hostname", "first", "busybox", "sleep", "600"]).ok();
    let _ = host
        .cli(cli, ["run", "-d", "--name", "two", "--net", "container:one", "busybox", "sleep", "600"])
        .ok();
    let third = ["run", "--rm", "--net", "container:two", "busybox", "cat", "/etc/hostname"];
    assert_eq!(host.cli(cli, third).ok(), "first");
    for (option, told) in
        [("-P", "port publishing and"), ("-p80", "port publishing and"), ("--expose=80", "port exposing and")]
    {
        let refused = host.minke(["create", "--net", "container:one", option, "busybox"]);
        let _ = refused.expect_code(1).expect_stderr(told);
    }
    host.expect_nothing_left();
}

#[rstest]
fn a_read_only_containers_names_are_read_only_too(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    for name in ["hosts", "hostname", "resolv.conf"] {
        let path = format!("/etc/{name}");
        let ran = host.cli(cli, ["run", "--rm", "--read-only", "busybox", "touch", &path]);
        let _ = ran.expect_code(1).expect_stderr("Read-only file system");
    }
    host.expect_nothing_left();
}

#[rstest]
fn volumes_of_another_are_its_own_and_go_at_once(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    for name in ["one", "two"] {
        let script = format!("echo {name} > /srv/x/who");
        let _ = host.cli(cli, ["run", "--name", name, "-v", "/srv/x", "busybox", "sh", "-c", &script]).ok();
    }
    let full = ["run", "--name", "full", "busybox", "sh", "-c", "mkdir -p /srv/x; touch /srv/x/image"];
    let _ = host.cli(cli, full).ok();
    let _ = host.cli(cli, ["commit", "full", "full"]).ok();
    let from = [
        "run",
        "--rm",
        "--volumes-from",
        "one",
        "--volumes-from",
        "two",
        "full",
        "sh",
        "-c",
        "ls /srv/x; cat /srv/x/who",
    ];
    assert_eq!(host.cli_args(cli, &from).ok(), "who\ntwo");
    let source = host.cli(cli, ["inspect", "-f", "{{(index .Mounts 0).Source}}", "one"]).ok();
    let _ = host.cli(cli, ["rm", "-v", "one"]).ok();
    assert!(!std::path::Path::new(&source).exists(), "{source}");
    let shared =
        ["run", "--rm", "--tmpfs", "/t:shared", "busybox", "grep", " /t .*shared:", "/proc/self/mountinfo"];
    let _ = host.cli_args(cli, &shared).ok();
    host.expect_nothing_left();
}

#[rstest]
fn lists_know_what_runs_and_what_images_are_of(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["create", "--name", "first", "busybox"]).ok();
    let _ = host.cli(cli, ["run", "--name", "ended", "busybox", "true"]).ok();
    let _ = host.cli(cli, ["commit", "-c", "LABEL a=b", "first", "labelled"]).ok();
    let _ = host.cli(cli, ["run", "-d", "--name", "runs", "labelled", "sleep", "600"]).ok();
    let names = |filter: &str| host.cli(cli, ["ps", "--format", "{{.Names}}", "-f", filter]).ok();
    assert_eq!(names("since=first"), "runs");
    let of = ["ps", "-a", "--format", "{{.Names}}", "-f", "ancestor=labelled"];
    assert_eq!(host.cli(cli, of).ok(), "runs");
    let _ = host.cli(cli, ["tag", "labelled", "second:1"]).ok();
    let id = host.cli(cli, ["image", "inspect", "-f", "{{.Id}}", "labelled"]).ok();
    let _ = host.cli(cli, ["rmi", &id]).expect_code(1).expect_stderr("cannot be forced");
    // Its name is another image's now.
    let _ = host.cli(cli, ["tag", "busybox", "labelled"]).ok();
    let image = ["ps", "--no-trunc", "--format", "{{.Image}}"];
    assert_eq!(host.cli(cli, image).ok(), id);
    host.expect_nothing_left();
}

#[rstest]
fn a_root_file_system_is_imported_by_url(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let serve = "echo it >/etc/one; tar -cf /etc/root.tar -C /etc one; exec httpd -f -p 80 -h /etc";
    let _ = host.docker(["run", "-d", "--name", "www", "-p", "8088:80", "busybox", "sh", "-c", serve]).ok();
    let _ = host.fetch("127.0.0.1:8088");
    let _ = host.cli(cli, ["import", "http://127.0.0.1:8088/root.tar", "imported"]).ok();
    let _ = host.cli(cli, ["create", "--name", "look", "imported", "none"]).ok();
    let to = host.path("one");
    let _ = host.cli(cli, ["cp", "look:/one", to.to_str().expect("a name in UTF-8")]).ok();
    assert_eq!(std::fs::read_to_string(to).expect("it was copied"), "it\n");
    let missing = ["import", "http://127.0.0.1:8088/none.tar", "none"];
    let _ = host.cli(cli, missing).expect_code(1).expect_stderr("no such file");
    host.expect_nothing_left();
}
