//! `commit`: images of containers, running and stopped; and the engine killed in the middle of one.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{path::Path, time::Duration};

use minke_testkit::{Cli, Host};
use rstest::rstest;

use crate::durability::Chance;

/// Changes of every kind: new, changed, deleted, a folder made anew, a hard link, owners, modes.
const CHANGES: &str = "echo new >/etc/new; ln /etc/new /etc/same; echo changed >/etc/group; rm /etc/passwd; rm -r /var; \
    mkdir /var; echo mine >/var/own; chown 33:33 /var/own; chmod 4711 /var/own; ln -s own /var/link";

/// The engine's clock.
pub(crate) fn now(host: &Host) -> String {
    host.docker(["info", "-f", "{{.SystemTime}}"]).ok()
}

/// The topmost layer's folder.
fn layer(host: &Host, image: &str) -> std::path::PathBuf {
    let folders = host.minke(["image", "inspect", "-f", "{{.GraphDriver.Data.LowerDir}}", image]).ok();
    Path::new(folders.split(':').next().unwrap()).to_owned()
}

#[rstest]
fn an_image_of_a_container_has_its_changes_and_nothing_else(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "--name", "box", "busybox", "sh", "-c", CHANGES]).ok();
    let id = host.cli(cli, ["commit", "-m", "by hand", "-a", "me <me@x>", "box", "team/box:1"]).ok();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    let seen = host.cli(
        cli,
        [
            "run",
            "--rm",
            "team/box:1",
            "sh",
            "-c",
            "cat /etc/new /etc/group; ls /var; stat -c '%a %u %g' /var/own; cat /var/link; stat -c %h /etc/same; test -e /etc/passwd || echo gone",
        ],
    );
    let _ = seen.expect_code(0).expect_exact("new\nchanged\nlink\nown\n4711 33 33\nmine\n2\ngone\n");
    let of = |format: &str| host.cli(cli, ["image", "inspect", "-f", format, "team/box:1"]).ok();
    let base = host.cli(cli, ["image", "inspect", "-f", "{{.Id}}", "busybox"]).ok();
    assert_eq!(of("{{.Id}} {{.Parent}} {{len .RootFS.Layers}}"), format!("{id} {base} 2"));
    assert_eq!(of("{{.Author}}|{{.Comment}}"), "me <me@x>|by hand");
    let history = host
        .cli(cli, ["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "team/box:1"])
        .ok();
    assert!(
        history.lines().next().unwrap().ends_with("|by hand") && history.contains("echo new"),
        "{history}"
    );
    // What the engine mounts on is no change of the container's.
    let top = layer(&host, "team/box:1");
    for own in [".dockerenv", "dev", "proc", "sys", "etc/hosts", "etc/resolv.conf", "etc/hostname"] {
        assert!(std::fs::symlink_metadata(top.join(own)).is_err(), "{own} is in the image");
    }
    let _ = host.cli(cli, ["create", "--name", "fresh", "team/box:1", "true"]).ok();
    assert_eq!(host.cli(cli, ["diff", "fresh"]).ok(), "");
    host.expect_nothing_left();
}

#[rstest]
fn changes_of_the_configuration_come_on_top_of_the_containers(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(cli, ["create", "--name", "box", "-e", "A=1", "-w", "/tmp", "busybox", "sh", "-c", "echo $A$B"])
        .ok();
    let id = host
        .cli(
            cli,
            [
                "commit",
                "-c",
                "ENV B=2",
                "-c",
                "LABEL k=v",
                "-c",
                "EXPOSE 80",
                "--change",
                "USER alice",
                "box",
            ],
        )
        .ok();
    let config = host.cli(cli, ["image", "inspect", "-f", "{{json .Config}}", &id]).json();
    assert_eq!(config["Cmd"], serde_json::json!(["sh", "-c", "echo $A$B"]));
    assert!(
        config["Env"].to_string().contains("A=1") && config["Env"].to_string().contains("B=2"),
        "{config}"
    );
    assert_eq!((&config["User"], &config["WorkingDir"]), (&"alice".into(), &"/tmp".into()));
    assert_eq!(config["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
    let _ = host.cli(cli, ["run", "--rm", &id]).expect_code(0).expect_exact("12\n");
    let entry = host.cli(cli, ["commit", "-c", "ENTRYPOINT [\"echo\"]", "box", "entry"]).ok();
    let _ = host.cli(cli, ["run", "--rm", &entry, "said"]).expect_code(0).expect_exact("said\n");
    host.expect_nothing_left();
}

#[rstest]
fn a_running_container_is_frozen_meanwhile_and_everybody_is_told(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let begin = now(&host);
    let frozen = host.cli(cli, ["commit", "box", "one"]).ok();
    let _ = host.cli(cli, ["commit", "--pause=false", "box", "two:2"]).ok();
    let state = || host.cli(cli, ["inspect", "-f", "{{.State.Status}}", "box"]).ok();
    assert_eq!(state(), "running");
    let _ = host.cli(cli, ["pause", "box"]).ok();
    let _ = host.cli(cli, ["commit", "box", "three"]).ok();
    assert_eq!(state(), "paused", "who was frozen before stays so");
    let events = |kind: &str, format: &str| {
        let kind = format!("type={kind}");
        let now = host
            .cli(cli, ["events", "--since", &begin, "--until", "-1s", "-f", &kind, "--format", format])
            .ok();
        now.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let actions = events("container", "{{.Action}} {{.Actor.Attributes.imageRef}}");
    let told: Vec<&str> = actions.iter().map(|line| line.trim_end_matches(" <no value>").trim()).collect();
    assert_eq!(
        told,
        ["pause", "commit one:latest", "unpause", "commit two:2", "pause", "commit three:latest"],
    );
    let images = events("image", "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}");
    assert_eq!(images[..2], [format!("create {frozen} {frozen}"), format!("tag {frozen} one:latest")]);
    host.expect_nothing_left();
}

#[rstest]
fn what_cannot_be_committed_is_told(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["create", "--name", "box", "busybox"]).ok();
    let refused = |args: [&str; 4], words: &str| {
        let _ = host.cli(cli, args).expect_code(1).expect_stderr(words);
    };
    refused(["commit", "-m", "x", "nobody"], "No such container: nobody");
    refused(["commit", "-c", "RUN true", "box"], "RUN is not a valid change command");
    let _ = host.cli(cli, ["commit", "box", "UPPER:1"]).expect_code(1).expect_stderr("lowercase");
    assert_eq!(host.cli(cli, ["images", "-q"]).ok().lines().count(), 1, "nothing was made");
    host.expect_nothing_left();
}

#[test]
fn a_kill_at_any_instant_of_a_commit_leaves_a_running_container_and_whole_images() {
    const ROUNDS: usize = 12;
    let mut chance = Chance::new();
    let mut host = Host::with_busybox();
    let script = "dd if=/dev/urandom of=/own bs=64k count=64 2>/dev/null; echo ready; sleep 600";
    let _ = host.minke(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]).ok();
    host.until("the container has written its file", || host.minke(["logs", "box"]).ok().contains("ready"));
    for round in 0..ROUNDS {
        let name = format!("image:{round}");
        let mut client = host.minke_run(["commit", "box", &name]).spawn();
        std::thread::sleep(Duration::from_micros(chance.below(120_000)));
        host.kill_daemon();
        let acknowledged = client.wait().unwrap().success();
        host.start_daemon();
        assert_eq!(
            host.minke(["inspect", "-f", "{{.State.Status}}", "box"]).ok(),
            "running",
            "round {round}"
        );
        let listed = host.minke(["images", "--format", "{{.Repository}}:{{.Tag}}", "image"]).ok();
        assert!(
            !acknowledged || listed.lines().any(|line| line == name),
            "round {round}: {name} is lost: {listed}"
        );
        for name in listed.lines() {
            assert_eq!(std::fs::metadata(layer(&host, name).join("own")).unwrap().len(), 64 << 16, "{name}");
            // It checks the sizes of all blobs.
            let _ = host.minke(["save", "-o", host.path("saved.tar").to_str().unwrap(), name]).expect_code(0);
        }
    }
    let _ = host.minke(["rm", "-f", "box"]).ok();
    let _ = host.minke(["image", "prune", "-a", "-f"]).expect_code(0);
    for folder in ["content/blobs/sha256", "content/ingest", "layers", "layers/.staging", "layers/.trash"] {
        host.until("the store is swept", || {
            let entries = std::fs::read_dir(host.path("root").join(folder)).unwrap();
            entries.flatten().all(|entry| entry.file_name().to_string_lossy().starts_with('.'))
        });
    }
    host.expect_nothing_left();
}
