//! `minke network ls`, `rm`, `connect` and `disconnect`.

use clap::Parser;
use serde_json::{Value, json};

use super::{batch, filters};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        self, Layout,
        networks::{KIND, Network},
    },
    output,
    run::{FlagError, limits},
};

/// Flags of `network ls`.
#[derive(Debug, Parser)]
pub(crate) struct Ls {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) static LS: Verb = client_verb!(Ls, ls, Arity::None, "[OPTIONS]", "List networks");

async fn ls(context: &Context, args: Ls) -> Result<(), Failure> {
    let layout =
        Layout::choose(args.format.as_deref(), &context.config().networks_format, args.quiet, &KIND)?;
    let query: Vec<_> = filters::query(&args.filter)?.into_iter().collect();
    let mut networks: Vec<Network> = context.client()?.get("/networks", &query).await?;
    networks.sort_by(|a, b| a.name().cmp(b.name()));
    let rows: Vec<_> = networks.iter().map(|network| network.row(args.no_trunc)).collect();
    output::print(&layout.render(&KIND, rows, format::terminal_width())?)
}

/// Flags of `network rm`.
#[derive(Debug, Parser)]
pub(crate) struct Rm {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,
    /// The networks
    networks: Vec<String>,
}

/// Flags of `network connect`.
#[derive(Debug, Parser)]
pub(crate) struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings")]
    alias: Vec<String>,
    /// Driver options for the network
    #[arg(long, value_name = "strings")]
    driver_opt: Vec<String>,
    /// Highest gw-priority provides the default gateway. Accepts positive and negative values
    #[arg(long, value_name = "int")]
    gw_priority: Option<i64>,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "string")]
    ip: Option<String>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "string")]
    ip6: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "list")]
    link: Vec<String>,
    /// Add a link-local address for the container
    #[arg(long, value_name = "strings")]
    link_local_ip: Vec<String>,
    /// The network
    network: String,
    /// The container
    container: String,
}

/// Flags of `network disconnect`.
#[derive(Debug, Parser)]
pub(crate) struct Disconnect {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    force: bool,
    /// The network
    network: String,
    /// The container
    container: String,
}

pub(crate) static RM: Verb =
    client_verb!(Rm, rm, Arity::AtLeast(1), "[OPTIONS] NETWORK [NETWORK...]", "Remove one or more networks");

pub(crate) static CONNECT: Verb = client_verb!(
    Connect,
    connect,
    Arity::Exactly(2),
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network"
);

pub(crate) static DISCONNECT: Verb = client_verb!(
    Disconnect,
    disconnect,
    Arity::Exactly(2),
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network"
);

async fn rm(context: &Context, args: Rm) -> Result<(), Failure> {
    let client = context.client()?;
    batch::in_order(&args.networks, async |name| {
        match client.delete::<()>(&format!("/networks/{name}"), &[]).await {
            Ok(()) => Ok(name.to_owned()),
            // `network rm -f` of what isn't there has reached its goal.
            Err(error) if args.force && error.is_not_found() => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

async fn connect(context: &Context, args: Connect) -> Result<(), Failure> {
    let body = connection(&args).map_err(|FlagError(problem)| Failure::new(problem))?;
    Ok(context.client()?.post(&format!("/networks/{}/connect", args.network), &[], Some(&body)).await?)
}

fn connection(args: &Connect) -> Result<Value, FlagError> {
    Ok(json!({
        "Container": args.container,
        "EndpointConfig": {
            "IPAMConfig": {
                "IPv4Address": args.ip.clone().unwrap_or_default(),
                "IPv6Address": args.ip6.clone().unwrap_or_default(),
                "LinkLocalIPs": args.link_local_ip,
            },
            "Links": args.link,
            "Aliases": args.alias,
            "DriverOpts": limits::pairs("driver-opt", &args.driver_opt)?,
            "GwPriority": args.gw_priority.unwrap_or(0),
        },
    }))
}

async fn disconnect(context: &Context, args: Disconnect) -> Result<(), Failure> {
    let body = json!({ "Container": args.container, "Force": args.force });
    Ok(context.client()?.post(&format!("/networks/{}/disconnect", args.network), &[], Some(&body)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_carries_what_its_flags_say() {
        let line = ["connect", "--ip", "10.1.0.9", "--alias", "db", "--driver-opt", "a=b", "net", "box"];
        let body = connection(&Connect::parse_from(line)).unwrap();
        assert_eq!(body["Container"], "box");
        let endpoint = &body["EndpointConfig"];
        assert_eq!(endpoint["IPAMConfig"]["IPv4Address"], "10.1.0.9");
        assert_eq!((&endpoint["Aliases"], &endpoint["DriverOpts"]), (&json!(["db"]), &json!({"a": "b"})));
        let line = ["connect", "--driver-opt", "=b", "net", "box"];
        assert!(connection(&Connect::parse_from(line)).unwrap_err().to_string().contains("--driver-opt"));
    }
}
