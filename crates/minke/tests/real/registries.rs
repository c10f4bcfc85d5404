//! Images through registries: Debian's and minke's own, driven by docker's and minke's command lines.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::Path};

use minke_testkit::{Cli, Entry, Host, Registry, RegistryKind, Rootfs};
use rstest::rstest;

/// An image of three layers: busybox and two on top.
fn build(host: &Host, name: &str) {
    // Layers above the first come by an archive that the engine loads.
    host.import(name, Rootfs::busybox().add("etc/version", 0o644, Entry::File(name.as_bytes())));
}

#[rstest]
fn a_pushed_image_comes_back_the_same(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
    #[values(RegistryKind::Debian, RegistryKind::Minke)] kind: RegistryKind,
) {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, kind);
    let name = registry.name("team/tools:v1");
    let id = host.cli(cli, ["images", "-q", "--no-trunc", "busybox"]).ok();
    let _ = host.cli(cli, ["tag", "busybox", &name]).ok();
    let pushed = host.cli(cli, ["push", &name]).expect_code(0);
    assert!(pushed.stdout.contains("The push refers to repository [127.0.0.1:5000/team/tools]"), "{pushed}");
    assert!(pushed.stdout.contains("v1: digest: sha256:"), "{pushed}");
    let digest = host.cli(cli, ["inspect", "-f", "{{index .RepoDigests 0}}", &name]).ok();
    assert!(digest.starts_with("127.0.0.1:5000/team/tools@sha256:"), "{digest}");
    let _ = host.cli(cli, ["push", &name]).expect_code(0).expect_stdout("Layer already exists");

    let _ = host.cli(cli, ["rmi", "-f", &name, "busybox"]).ok();
    assert_eq!(host.cli(cli, ["images", "-q"]).ok(), "");
    let pulled = host.cli(cli, ["pull", &name]).expect_code(0);
    assert!(pulled.stdout.contains("v1: Pulling from team/tools"), "{pulled}");
    assert!(pulled.stdout.contains(&format!("Status: Downloaded newer image for {name}")), "{pulled}");
    assert_eq!(host.cli(cli, ["images", "-q", "--no-trunc", &name]).ok(), id);
    assert_eq!(host.cli(cli, ["run", "--rm", &name, "echo", "works"]).ok(), "works");
    let again = host.cli(cli, ["pull", &name]).expect_code(0);
    assert!(again.stdout.contains(&format!("Status: Image is up to date for {name}")), "{again}");

    let _ = host.cli(cli, ["rmi", "-f", &name]).ok();
    let _ = host.cli(cli, ["pull", &digest]).expect_code(0).expect_stdout("Downloaded newer image");
    assert_eq!(host.cli(cli, ["run", "--rm", &digest, "echo", "works"]).ok(), "works");
    drop(registry);
    host.expect_nothing_left();
}

/// Blobs of a store with their inodes.
fn blobs(store: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(store.join("content/blobs/sha256")).expect("a store");
    let entries = entries.map(|entry| entry.expect("an entry"));
    let inode = |entry: &fs::DirEntry| entry.metadata().expect("a file").ino();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), inode(&entry))).collect()
}

#[test]
fn what_is_pushed_to_a_registry_on_the_same_disk_is_there_once() {
    let host = Host::with_busybox();
    let engine = host.path("root");
    let settings = ["--engine-root", engine.to_str().unwrap()];
    let registry = Registry::start_with(&host, RegistryKind::Minke, 5000, &settings);
    let name = registry.name("once:1");
    let _ = host.minke(["tag", "busybox", &name]).ok();
    // The first push compresses what was imported.
    let _ = host.minke(["push", "-q", &name]).ok();
    let (engines, registrys) = (blobs(&engine), blobs(&host.path("registry-5000")));
    assert_eq!(registrys.len(), 3, "a layer, a configuration and a manifest");
    let layers: Vec<_> = registrys.iter().filter(|(digest, _)| engines.contains_key(*digest)).collect();
    assert!(layers.len() >= 2, "{registrys:?} {engines:?}");
    let shared = layers.iter().filter(|(digest, inode)| engines[*digest] == **inode).count();
    assert!(shared >= 2, "the layer and the configuration: {registrys:?} {engines:?}");
    let _ = host.minke(["rmi", "-f", &name, "busybox"]).ok();
    let _ = host.minke(["pull", "-q", &name]).ok();
    assert_eq!(host.minke(["run", "--rm", &name, "echo", "whole"]).ok(), "whole");
    drop(registry);
    host.expect_nothing_left();
}

#[rstest]
fn run_pulls_what_is_not_there(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, RegistryKind::Minke);
    let name = registry.name("tools");
    let _ = host.cli(cli, ["tag", "busybox", &name]).ok();
    let _ = host.cli(cli, ["push", "-q", &name]).ok();
    let _ = host.cli(cli, ["rmi", &name, "busybox"]).ok();
    let ran = host.cli(cli, ["run", "--rm", &name, "echo", "pulled"]).expect_code(0);
    assert_eq!(ran.stdout, "pulled\n");
    assert!(ran.stderr.contains(&format!("Unable to find image '{name}:latest' locally")), "{ran}");
    let _ =
        host.cli(cli, ["run", "--rm", "--pull", "never", &registry.name("other"), "true"]).expect_code(125);
    drop(registry);
    host.expect_nothing_left();
}

#[rstest]
fn all_tags_come_and_go_together(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::start();
    let registry = Registry::start(&host, RegistryKind::Debian);
    for tag in ["one", "two", "three"] {
        build(&host, &registry.name(&format!("all:{tag}")));
    }
    let repository = registry.name("all");
    let _ = host.cli(cli, ["push", "-a", &repository]).expect_code(0).expect_stdout("three: digest: sha256:");
    for tag in ["one", "two", "three"] {
        let _ = host.cli(cli, ["rmi", &registry.name(&format!("all:{tag}"))]).ok();
    }
    let _ = host.cli(cli, ["pull", "-a", &repository]).expect_code(0).expect_stdout("two: Pulling from all");
    let mut tags: Vec<String> =
        host.cli(cli, ["images", "--format", "{{.Tag}}"]).ok().lines().map(str::to_owned).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["one", "three", "two"]);
    drop(registry);
    host.expect_nothing_left();
}

#[rstest]
fn what_the_registry_has_not_is_said_as_docker_says_it(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
    #[values(RegistryKind::Debian, RegistryKind::Minke)] kind: RegistryKind,
) {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, kind);
    let name = registry.name("here:1");
    let _ = host.cli(cli, ["tag", "busybox", &name]).ok();
    let _ = host.cli(cli, ["push", &name]).ok();
    let _ = host
        .cli(cli, ["pull", &registry.name("here:2")])
        .expect_code(1)
        .expect_stderr(&format!("manifest for {} not found", registry.name("here:2")));
    let _ = host.cli(cli, ["pull", &registry.name("nowhere")]).expect_code(1).expect_stderr("not found");
    let _ = host
        .cli(cli, ["push", &registry.name("unknown:1")])
        .expect_code(1)
        .expect_stderr("does not exist locally");
    // Nobody listens there.
    let _ = host.cli(cli, ["pull", "127.0.0.1:5001/x"]).expect_code(1).expect_stderr("refused");
    let _ = host
        .cli(cli, ["pull", &name, "--platform", "linux/s390x"])
        .expect_code(1)
        .expect_stderr("linux/s390x");
    drop(registry);
    host.expect_nothing_left();
}

#[rstest]
fn a_closed_registry_is_opened_by_login(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let line = format!("who:{}\n", bcrypt::hash("secret", 4).unwrap());
    std::fs::write(host.path("htpasswd"), line).unwrap();
    let htpasswd = host.path("htpasswd").display().to_string();
    let registry = Registry::start_with(&host, RegistryKind::Minke, 5000, &["--htpasswd", &htpasswd]);
    let name = registry.name("closed:1");
    let config = host.path("docker-config");
    let run = |args: Vec<&str>| match args[..] {
        [a, b] => host.cli_run(cli, [a, b]).env("DOCKER_CONFIG", &config).run(),
        [a, b, c, d] => host.cli_run(cli, [a, b, c, d]).env("DOCKER_CONFIG", &config).run(),
        _ => panic!("two or four"),
    };
    let _ = run(vec!["tag", "busybox"]).expect_code(1);
    let _ = host.cli(cli, ["tag", "busybox", &name]).ok();
    let _ = run(vec!["push", &name]).expect_code(1);
    let login = |password: &str| {
        host.cli_run(cli, ["login", "-u", "who", "--password-stdin", "127.0.0.1:5000"])
            .env("DOCKER_CONFIG", &config)
            .input(password)
            .run()
    };
    let _ = login("wrong").expect_code(1).expect_stderr("/v2/ failed with status: 401 Unauthorized");
    let _ = login("secret").expect_code(0).expect_stdout("Login Succeeded");
    let _ = run(vec!["push", &name]).expect_code(0);
    let _ = host.cli(cli, ["rmi", &name, "busybox"]).ok();
    let _ = run(vec!["pull", &name]).expect_code(0).expect_stdout("Downloaded newer image");
    let _ = run(vec!["logout", "127.0.0.1:5000"]).expect_code(0);
    let _ = run(vec!["push", &name]).expect_code(1);
    drop(registry);
    host.expect_nothing_left();
}

#[test]
fn a_registry_without_a_lock_lets_nobody_in_particular_in() {
    let host = Host::start();
    let line = format!("who:{}\n", bcrypt::hash("secret", 4).unwrap());
    std::fs::write(host.path("htpasswd"), line).unwrap();
    let htpasswd = host.path("htpasswd").display().to_string();
    let open = Registry::start_with(&host, RegistryKind::Minke, 5000, &[]);
    let closed = Registry::start_with(&host, RegistryKind::Minke, 5001, &["--htpasswd", &htpasswd]);
    for (port, wanted) in [(5000, (200, "Login Succeeded")), (5001, (401, "401 Unauthorized"))] {
        let body = format!("{{\"serveraddress\": \"http://127.0.0.1:{port}\"}}");
        let (status, _, told) = crate::conformance::ask(&host, "POST", "/auth", &body);
        assert_eq!(status, wanted.0, "{told}");
        assert!(told.contains(wanted.1), "{told}");
    }
    drop((open, closed));
    host.expect_nothing_left();
}

#[test]
fn pulls_of_one_image_at_the_same_time_all_have_it() {
    let host = Host::start();
    let registry = Registry::start(&host, RegistryKind::Debian);
    let names: Vec<String> = (0..4).map(|number| registry.name(&format!("app{number}:1"))).collect();
    // Their lowest layer is the same one.
    host.import(&names[0], Rootfs::busybox().add("etc/big", 0o644, Entry::File(&vec![7; 4 << 20])));
    for name in &names {
        let _ = host.docker(["tag", &names[0], name]).ok();
        let _ = host.docker(["push", "-q", name]).ok();
    }
    let _ = host.docker(["rmi", &names[0], &names[1], &names[2], &names[3]]).ok();
    let pulling = names.iter().chain(&names).map(|name| host.minke_run(["pull", "-q", name]).spawn());
    for mut client in pulling.collect::<Vec<_>>() {
        assert!(client.wait().unwrap().success());
    }
    assert_eq!(host.docker(["run", "--rm", &names[3], "echo", "whole"]).ok(), "whole");
    drop(registry);
    host.expect_nothing_left();
}

#[test]
fn a_pull_whose_client_goes_away_ends_and_leaves_nothing() {
    let host = Host::start();
    let registry = Registry::start(&host, RegistryKind::Minke);
    let name = registry.name("big:1");
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let content: Vec<u8> = (0..24 << 20).map(|_| noise()).collect();
    host.import(&name, Rootfs::empty().add("big", 0o644, Entry::File(&content)));
    let _ = host.docker(["push", "-q", &name]).ok();
    let _ = host.docker(["rmi", &name]).ok();
    let staged = |folder: &str| std::fs::read_dir(host.path("root").join(folder)).unwrap().count();
    let mut client = host.minke_run(["pull", "-q", &name]).spawn();
    host.until("the pull has begun", || staged("layers/.staging") > 0);
    client.kill().unwrap();
    client.wait().unwrap();
    host.until("what came of it is gone", || staged("layers/.staging") + staged("content/ingest") == 0);
    assert_eq!(host.docker(["images", "-q"]).ok(), "");
    let _ = host.docker(["pull", "-q", &name]).expect_code(0);
    drop(registry);
    host.expect_nothing_left();
}

#[rstest]
fn a_cache_serves_what_its_registry_has_and_goes_on_without_it(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, RegistryKind::Debian);
    let cache =
        Registry::start_with(&host, RegistryKind::Minke, 5001, &["--cache-of", "http://127.0.0.1:5000"]);
    let _ = host.cli(cli, ["tag", "busybox", &registry.name("team/tools:1")]).ok();
    let _ = host.cli(cli, ["push", &registry.name("team/tools:1")]).expect_code(0);
    let _ = host.cli(cli, ["rmi", "-f", "busybox", &registry.name("team/tools:1")]).ok();
    let cached = cache.name("team/tools:1");
    let _ = host.cli(cli, ["pull", &cached]).expect_code(0).expect_stdout("Downloaded newer image");
    let _ = host.cli(cli, ["rmi", &cached]).ok();
    drop(registry);
    let _ = host.cli(cli, ["pull", &cached]).expect_code(0).expect_stdout("Downloaded newer image");
    assert_eq!(host.cli(cli, ["run", "--rm", &cached, "echo", "kept"]).ok(), "kept");
    let _ = host.cli(cli, ["push", &cached]).expect_code(1);
    drop(cache);
    host.expect_nothing_left();
}

#[rstest]
fn a_mirror_stands_in_for_docker_hub(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::start_with(&["--registry-mirror", "http://127.0.0.1:5000"]);
    let registry = Registry::start(&host, RegistryKind::Debian);
    host.import("seed", Rootfs::busybox());
    let _ = host.cli(cli, ["tag", "seed", &registry.name("library/tools")]).ok();
    let _ = host.cli(cli, ["push", &registry.name("library/tools")]).expect_code(0);
    let _ = host.cli(cli, ["rmi", "-f", "seed", &registry.name("library/tools")]).ok();
    let _ =
        host.cli(cli, ["pull", "tools"]).expect_code(0).expect_stdout("latest: Pulling from library/tools");
    assert_eq!(host.cli(cli, ["run", "--rm", "tools", "echo", "mirrored"]).ok(), "mirrored");
    let info = host.cli(cli, ["info", "-f", "{{json .RegistryConfig.Mirrors}}"]).ok();
    assert_eq!(info, r#"["http://127.0.0.1:5000/"]"#);
    drop(registry);
    host.expect_nothing_left();
}

#[rstest]
fn an_image_is_looked_at_without_being_pulled(
    #[values(RegistryKind::Debian, RegistryKind::Minke)] kind: RegistryKind,
) {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, kind);
    let name = registry.name("looked:1");
    let _ = host.docker(["tag", "busybox", &name]).ok();
    let _ = host.docker(["push", &name]).expect_code(0);
    let socket = host.path("docker.sock").display().to_string();
    let url = format!("http://minke/v1.45/distribution/{name}/json");
    let seen = minke_testkit::Run::new("curl", ["-s", "--unix-socket", &socket, &url]).ok();
    assert!(seen.contains(r#""mediaType":"application/vnd.oci.image.manifest.v1+json""#), "{seen}");
    assert!(seen.contains(r#""os":"linux""#), "{seen}");
    drop(registry);
    host.expect_nothing_left();
}
