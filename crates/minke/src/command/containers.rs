//! Small questions about and changes of one container: `minke rename`, `port`, `diff`.

use std::collections::BTreeMap;

use clap::Parser;
use serde_json::Value;

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
};

/// `rename` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Rename {
    /// The container
    container: String,
    /// Its new name
    new_name: String,
}

/// `port` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Port {
    /// The container
    container: String,
    /// Its own port, e.g. 80 or 53/udp
    private_port: Option<String>,
}

/// `diff` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Diff {
    /// The container
    container: String,
}

pub(crate) static RENAME: Verb =
    client_verb!(Rename, rename, Arity::Exactly(2), "CONTAINER NEW_NAME", "Rename a container");

pub(crate) static PORT: Verb = client_verb!(
    Port,
    port,
    Arity::Between(1, 2),
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container"
);

pub(crate) static DIFF: Verb = client_verb!(
    Diff,
    diff,
    Arity::Exactly(1),
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem"
);

async fn rename(context: &Context, args: Rename) -> Result<(), Failure> {
    if args.container.trim().is_empty() || args.new_name.trim().is_empty() {
        return Err(Failure::new("Error: Neither old nor new names may be empty"));
    }
    let query = [("name", args.new_name)];
    let renamed =
        context.client()?.post_empty(&format!("/containers/{}/rename", args.container), &query).await;
    renamed.map_err(|error| {
        Failure::new(format!("{error}\nError: failed to rename container named {}", args.container))
    })
}

async fn port(context: &Context, args: Port) -> Result<(), Failure> {
    let container: Value =
        context.client()?.get(&format!("/containers/{}/json", args.container), &[]).await?;
    let ports = published(&container["NetworkSettings"]["Ports"]);
    let Some(asked) = args.private_port else {
        let lines = ports
            .iter()
            .flat_map(|(port, hosts)| hosts.iter().map(move |host| format!("{port} -> {host}\n")));
        return output::print(&lines.collect::<String>());
    };
    let port = if asked.contains('/') { asked.clone() } else { format!("{asked}/tcp") };
    match ports.get(&port).filter(|hosts| !hosts.is_empty()) {
        Some(hosts) => output::print(&hosts.iter().map(|host| format!("{host}\n")).collect::<String>()),
        None => {
            Err(Failure::new(format!("Error: No public port '{asked}' published for {}", args.container)))
        }
    }
}

/// For each of the container's ports the host's addresses that lead to it.
fn published(ports: &Value) -> BTreeMap<String, Vec<String>> {
    let address = |binding: &Value| {
        let (ip, port) = (
            binding["HostIp"].as_str().unwrap_or_default(),
            binding["HostPort"].as_str().unwrap_or_default(),
        );
        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
    };
    let of_port = |bindings: &Value| bindings.as_array().into_iter().flatten().map(address).collect();
    let ports = ports.as_object().into_iter().flatten();
    ports.map(|(port, bindings)| (port.clone(), of_port(bindings))).collect()
}

async fn diff(context: &Context, args: Diff) -> Result<(), Failure> {
    let changes: Option<Vec<Value>> =
        context.client()?.get(&format!("/containers/{}/changes", args.container), &[]).await?;
    let line = |change: &Value| {
        let kind = match change["Kind"].as_u64() {
            Some(1) => 'A',
            Some(2) => 'D',
            _ => 'C',
        };
        format!("{kind} {}\n", change["Path"].as_str().unwrap_or_default())
    };
    output::print(&changes.unwrap_or_default().iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn published_ports_are_listed_with_their_addresses() {
        let ports = published(
            &json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}], "81/tcp": null}),
        );
        assert_eq!(ports["80/tcp"], ["0.0.0.0:8080", "[::]:8080"]);
        assert!(ports["81/tcp"].is_empty());
        assert!(published(&Value::Null).is_empty());
    }
}
