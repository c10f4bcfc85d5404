//! What `events` tells of a container's life, in Docker's order and with Docker's attributes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use minke_testkit::{Cli, Host};
use rstest::rstest;
use serde_json::Value;

use crate::commit::now;

/// The events since `begin`, as the docker command line prints them. It ends at a whole second, so the next one is waited
/// for.
fn events(host: &Host, begin: &str) -> Vec<Value> {
    let text = host.docker(["events", "--since", begin, "--until", "-1s", "--format", "{{json .}}"]).ok();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `type action`, of one container where there are several.
fn told(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| format!("{} {}", event["Type"].as_str().unwrap(), event["Action"].as_str().unwrap()))
        .collect()
}

fn attribute<'a>(events: &'a [Value], action: &str, name: &str) -> &'a str {
    let event = events.iter().find(|event| event["Action"].as_str().unwrap().starts_with(action));
    event.unwrap_or_else(|| panic!("no {action}"))["Actor"]["Attributes"][name].as_str().unwrap_or_default()
}

#[rstest]
fn a_container_tells_its_whole_life(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let begin = now(&host);
    let _ = host
        .cli(
            cli,
            [
                "create",
                "--name",
                "box",
                "-l",
                "k=v",
                "-v",
                "data:/d",
                "busybox",
                "sh",
                "-c",
                "trap 'exit 3' TERM; sleep 600 & wait",
            ],
        )
        .ok();
    let _ = host.cli(cli, ["start", "box"]).ok();
    let _ = host.cli(cli, ["exec", "box", "true"]).ok();
    let _ = host.cli(cli, ["pause", "box"]).ok();
    let _ = host.cli(cli, ["unpause", "box"]).ok();
    let _ = host.cli(cli, ["rename", "box", "crate"]).ok();
    let _ = host.cli(cli, ["update", "--cpu-shares", "512", "crate"]).ok();
    let _ = host.cli(cli, ["top", "crate"]).ok();
    let file = host.path("file");
    let _ = host.cli(cli, ["cp", "crate:/etc/passwd", file.to_str().unwrap()]).ok();
    let _ = host.cli(cli, ["cp", file.to_str().unwrap(), "crate:/tmp/passwd"]).ok();
    let _ = host.cli(cli, ["export", "-o", file.to_str().unwrap(), "crate"]).ok();
    let _ = host.cli(cli, ["commit", "--pause=false", "-m", "why", "crate", "kept:1"]).ok();
    let _ = host.cli(cli, ["stop", "crate"]).ok();
    let _ = host.cli(cli, ["rm", "crate"]).ok();
    let events = events(&host, &begin);
    let actions = told(&events);
    // Where a path leads is asked before a copy, and told by neither.
    assert_eq!(
        actions,
        [
            "volume create",
            "container create",
            "volume mount",
            "network connect",
            "container start",
            "container exec_create: true ",
            "container exec_start: true ",
            "container exec_die",
            "container pause",
            "container unpause",
            "container rename",
            "container update",
            "container top",
            "container archive-path",
            "container extract-to-dir",
            "container export",
            "image create",
            "image tag",
            "container commit",
            "container kill",
            "network disconnect",
            "volume unmount",
            "container die",
            "container stop",
            "container destroy",
        ],
    );
    let is = |action: &str, name: &str, value: &str| {
        assert_eq!(attribute(&events, action, name), value, "{action} {name}");
    };
    is("start", "image", "busybox");
    is("start", "k", "v");
    is("exec_die", "exitCode", "0");
    assert_eq!(attribute(&events, "exec_die", "execID").len(), 64);
    is("rename", "oldName", "/box");
    is("rename", "name", "crate");
    is("commit", "comment", "why");
    is("commit", "imageRef", "kept:1");
    is("kill", "signal", "15");
    is("die", "exitCode", "3");
    is("mount", "destination", "/d");
    is("mount", "read/write", "true");
    is("connect", "name", "bridge");
    is("tag", "name", "kept:1");
    is("tag", "k", "v");
    host.expect_nothing_left();
}

#[rstest]
fn images_tell_of_their_names_and_of_their_end(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let begin = now(&host);
    let _ = host.cli(cli, ["tag", "busybox", "again:1"]).ok();
    let archive = host.path("image.tar");
    let _ = host.cli(cli, ["save", "-o", archive.to_str().unwrap(), "again:1"]).ok();
    let _ = host.cli(cli, ["rmi", "again:1"]).ok();
    let _ = host.cli(cli, ["rmi", "busybox"]).ok();
    let _ = host.cli(cli, ["load", "-q", "-i", archive.to_str().unwrap()]).ok();
    let _ = host.cli(cli, ["rmi", "again:1"]).ok();
    assert_eq!(
        told(&events(&host, &begin)),
        [
            "image tag",
            "image save",
            "image untag",
            "image untag",
            "image delete",
            "image load",
            "image untag",
            "image delete"
        ],
    );
    host.expect_nothing_left();
}
