//! Networks of users' own: made, listed and removed; containers on them; names; what becomes of them when
//! an engine dies, and beside the firewalls of others.

mod containers;
mod cost;
mod daemon;
mod faults;
mod firewalls;
mod forwarding;
mod load;
mod names;
mod objects;
mod relays;
mod ways;

use minke_testkit::{Cli, Host};

/// A container that runs until it is removed.
fn idle(host: &Host, cli: Cli, name: &str, networks: &[&str]) {
    let mut args = vec!["run", "-d", "--name", name];
    for network in networks {
        args.extend(["--network", network]);
    }
    args.extend(["busybox", "sleep", "600"]);
    let _ = host.cli_args(cli, &args).ok();
}

/// What a template says of a container.
fn inspect(host: &Host, cli: Cli, template: &str, name: &str) -> String {
    host.cli(cli, ["inspect", "-f", template, name]).ok()
}

/// What a container's /etc/hosts, resolver and interfaces know.
fn exec(host: &Host, cli: Cli, container: &str, script: &str) -> String {
    host.cli(cli, ["exec", container, "sh", "-c", script]).stdout
}
