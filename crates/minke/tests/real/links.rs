//! Legacy links on the default bridge.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn a_link_gives_a_name_an_address_and_variables(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let mut host = Host::with_busybox();
    let server = "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp";
    let _ = host
        .cli(
            cli,
            ["run", "-d", "--name", "db", "-e", "MODE=fast", "--expose", "80", "busybox", "sh", "-c", server],
        )
        .ok();
    let script = "env | sort | grep ^WEB_; exec sleep 600";
    let _ =
        host.cli(cli, ["run", "-d", "--name", "box", "--link", "db:web", "busybox", "sh", "-c", script]).ok();
    let address = host.cli(cli, ["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "db"]).ok();
    host.until("the variables are logged", || host.cli(cli, ["logs", "box"]).stdout.contains("PROTO"));
    let logged = host.cli(cli, ["logs", "box"]).ok();
    let expected = format!(
        "WEB_ENV_MODE=fast\nWEB_NAME=/box/web\nWEB_PORT=tcp://{address}:80\nWEB_PORT_80_TCP=tcp://{address}:80\n\
         WEB_PORT_80_TCP_ADDR={address}\nWEB_PORT_80_TCP_PORT=80\nWEB_PORT_80_TCP_PROTO=tcp"
    );
    assert_eq!(logged, expected);
    host.until("the server answers", || {
        host.cli(cli, ["exec", "box", "wget", "-q", "-O", "-", "http://web/"]).stdout == "hello\n"
    });
    let _ = host.cli(cli, ["exec", "box", "wget", "-q", "-O", "-", "http://db/"]).expect_exact("hello\n");
    assert_eq!(
        host.cli(cli, ["inspect", "-f", "{{json .HostConfig.Links}}", "box"]).ok(),
        "[\"/db:/box/web\"]"
    );

    // With another address after a restart, and under another name.
    let _ = host.cli(cli, ["rename", "db", "base"]).ok();
    let _ = host.cli(cli, ["stop", "-t", "0", "base"]).ok();
    let _ = host.cli(cli, ["run", "-d", "--name", "taker", "busybox", "sleep", "600"]).ok();
    let _ = host.cli(cli, ["start", "base"]).ok();
    host.until("the server answers again", || {
        host.cli(cli, ["exec", "box", "wget", "-q", "-O", "-", "http://web/"]).stdout == "hello\n"
    });
    assert_eq!(
        host.cli(cli, ["inspect", "-f", "{{json .HostConfig.Links}}", "box"]).ok(),
        "[\"/base:/box/web\"]"
    );

    let _ = host.cli(cli, ["rm", "-f", "base"]).ok();
    let _ = host.cli(cli, ["stop", "-t", "0", "box"]).ok();
    // Who is gone cannot be linked to, and needs not be.
    let _ = host.cli(cli, ["start", "box"]).ok();
    host.kill_daemon();
    host.start_daemon();
    host.expect_nothing_left();
}

#[rstest]
fn a_link_is_removed_by_its_name(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "db", "busybox", "sleep", "600"]).ok();
    let run = ["run", "-d", "--name", "box", "--link", "db:web", "--link", "db", "busybox", "sleep", "600"];
    let _ = host.cli_args(cli, &run).ok();
    assert!(host.cli(cli, ["exec", "box", "cat", "/etc/hosts"]).ok().contains("web"));
    let _ = host.cli(cli, ["rm", "--link", "/box/web"]).ok();
    let hosts = host.cli(cli, ["exec", "box", "cat", "/etc/hosts"]).ok();
    assert!(!hosts.contains("web") && hosts.contains("db"), "{hosts}");
    let links = host.cli(cli, ["inspect", "-f", "{{json .HostConfig.Links}}", "box"]).ok();
    assert_eq!(links, "[\"/db:/box/db\"]");
    let _ = host.cli(cli, ["rm", "--link", "box/web"]).expect_code(1).expect_stderr("Could not find entity");
    let _ = host
        .cli(cli, ["rm", "--link", "box"])
        .expect_code(1)
        .expect_stderr("cannot remove the default link name");
    host.expect_nothing_left();
}

#[rstest]
fn a_links_name_is_a_name_of_whom_it_leads_to(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "db", "busybox", "sleep", "600"]).ok();
    let _ =
        host.cli(cli, ["run", "-d", "--name", "web", "--link", "db:data", "busybox", "sleep", "600"]).ok();
    let names = ["ps", "--no-trunc", "--format", "{{.Names}}", "--filter", "name=web/data"];
    assert_eq!(host.cli(cli, names).ok(), "db,web/data");
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.Name}}", "web/data"]).ok(), "/db");
    let _ = host.cli(cli, ["inspect", "web/other"]).expect_code(1);
    // Who is in another's network is reached there.
    let _ = host
        .cli(cli, ["run", "-d", "--name", "inner", "--net", "container:db", "busybox", "sleep", "600"])
        .ok();
    let hosts = host.cli(cli, ["run", "--rm", "--link", "inner:it", "busybox", "cat", "/etc/hosts"]).ok();
    let address =
        host.cli(cli, ["inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "db"]).ok();
    assert!(hosts.lines().any(|line| line.starts_with(&address) && line.contains("it")), "{hosts}");
    let _ = host.cli(cli, ["run", "-d", "--name", "outer", "--net", "host", "busybox", "sleep", "600"]).ok();
    let _ = host
        .cli(cli, ["run", "--rm", "--link", "outer", "busybox"])
        .expect_code(125)
        .expect_stderr("host type networking can't be used with links");
    host.expect_nothing_left();
}

#[rstest]
fn links_that_cannot_be_are_refused(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["create", "--name", "db", "busybox"]).ok();
    let refused = |args: [&str; 5], code: i32, words: &str| {
        let _ = host.cli(cli, args).expect_code(code).expect_stderr(words);
    };
    refused(["run", "--rm", "--link", "nobody:x", "busybox"], 125, "could not get container for nobody");
    refused(
        ["run", "--rm", "--link", "db", "busybox"],
        125,
        "Cannot link to a non running container: /db AS",
    );
    // The docker command line refuses this by itself.
    let _ = host
        .minke(["create", "--network", "host", "--link", "db", "busybox"])
        .expect_code(1)
        .expect_stderr("host type networking can't be used with links");
    host.expect_nothing_left();
}
