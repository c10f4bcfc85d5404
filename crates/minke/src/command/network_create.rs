//! `minke network create`: which range, gateway and further addresses belong to which subnet is settled here, as the docker
//! command line does.

use std::net::IpAddr;

use clap::Parser;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
    run::{FlagError, limits},
};

/// Flags of `network create`.
#[derive(Debug, Parser)]
pub(crate) struct Create {
    /// Enable manual container attachment
    #[arg(long)]
    attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver
    #[arg(long, value_name = "map")]
    aux_address: Vec<String>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "string")]
    config_from: Option<String>,
    /// Create a configuration only network
    #[arg(long)]
    config_only: bool,
    /// Driver to manage the Network
    #[arg(short, long, value_name = "string", default_value = "bridge")]
    driver: String,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings")]
    gateway: Vec<String>,
    /// Create swarm routing-mesh network
    #[arg(long)]
    ingress: bool,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "strings")]
    ip_range: Vec<String>,
    /// IP Address Management Driver
    #[arg(long, value_name = "string", default_value = "default")]
    ipam_driver: String,
    /// Set IPAM driver specific options
    #[arg(long, value_name = "map")]
    ipam_opt: Vec<String>,
    /// Enable or disable IPv4 address assignment
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    ipv4: Option<bool>,
    /// Enable or disable IPv6 address assignment
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "bool")]
    ipv6: Option<bool>,
    /// Set metadata on a network
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// Control the network's scope
    #[arg(long, value_name = "string")]
    scope: Option<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "strings")]
    subnet: Vec<String>,
    /// The network's name
    network: String,
}

pub(crate) static CREATE: Verb =
    client_verb!(Create, create, Arity::Exactly(1), "[OPTIONS] NETWORK", "Create a network");

async fn create(context: &Context, args: Create) -> Result<(), Failure> {
    let body = body(&args).map_err(|FlagError(problem)| Failure::new(problem))?;
    let made: Value = context.client()?.post("/networks/create", &[], Some(&body)).await?;
    if let Some(warning) = made["Warning"].as_str().filter(|warning| !warning.is_empty()) {
        output::note(&format!("WARNING: {warning}"));
    }
    output::line(made["Id"].as_str().unwrap_or_default())
}

/// What is asked of the engine.
fn body(args: &Create) -> Result<Value, FlagError> {
    let mut body = json!({
        "Name": args.network,
        "CheckDuplicate": true,
        "Driver": args.driver,
        "Scope": args.scope.clone().unwrap_or_default(),
        "IPAM": {
            "Driver": args.ipam_driver,
            "Options": limits::pairs("ipam-opt", &args.ipam_opt)?,
            "Config": subnets(args)?,
        },
        "Internal": args.internal,
        "Ingress": args.ingress,
        "Attachable": args.attachable,
        "ConfigOnly": args.config_only,
        "ConfigFrom": args.config_from.as_ref().map(|network| json!({ "Network": network })),
        "Options": limits::pairs("opt", &args.opt)?,
        "Labels": limits::pairs("label", &args.label)?,
    });
    // Left to the engine's own mind unless somebody said so.
    for (name, choice) in [("EnableIPv4", args.ipv4), ("EnableIPv6", args.ipv6)] {
        if let Some(choice) = choice {
            body[name] = choice.into();
        }
    }
    Ok(body)
}

/// The subnets, each with the range, the gateway and the further addresses that lie in it.
fn subnets(args: &Create) -> Result<Vec<Value>, FlagError> {
    let subnets = args.subnet.iter().map(|text| net("subnet", text)).collect::<Result<Vec<_>, _>>()?;
    for (at, subnet) in subnets.iter().enumerate() {
        if subnets[..at].iter().any(|other| other.contains(subnet) || subnet.contains(other)) {
            return Err(FlagError::new("multiple overlapping subnet configuration is not supported"));
        }
    }
    let mut configs: Vec<Map<String, Value>> = args
        .subnet
        .iter()
        .map(|text| Map::from_iter([("Subnet".to_owned(), text.as_str().into())]))
        .collect();
    let mut put = |key: &str, flag: &str, text: &str, holds: &dyn Fn(&IpNet) -> bool| {
        let at = subnets.iter().position(holds);
        let at = at.ok_or_else(|| FlagError::new(format!("no matching subnet for {flag} {text}")))?;
        match configs[at].insert(key.to_owned(), text.into()) {
            None => Ok(()),
            Some(other) => Err(FlagError::new(format!(
                "cannot configure multiple {flag}s ({text}, {}) on the same subnet ({})",
                other.as_str().unwrap_or_default(),
                subnets[at]
            ))),
        }
    };
    for text in &args.ip_range {
        let range = net("ip-range", text)?;
        put("IPRange", "range", text, &|subnet| subnet.contains(&range))?;
    }
    for text in &args.gateway {
        let gateway = address("gateway", text)?;
        put("Gateway", "gateway", text, &|subnet| subnet.contains(&gateway))?;
    }
    for (name, text) in sorted(limits::pairs("aux-address", &args.aux_address)?) {
        let further = address("aux-address", &text)?;
        let at = subnets.iter().position(|subnet| subnet.contains(&further));
        let at = at.ok_or_else(|| FlagError::new(format!("no matching subnet for aux-address {text}")))?;
        let addresses = configs[at].entry("AuxiliaryAddresses").or_insert_with(|| json!({}));
        addresses[name] = text.into();
    }
    Ok(configs.into_iter().map(Value::Object).collect())
}

/// In an order of their own, so that of several mistakes always the same is told.
fn sorted(pairs: std::collections::HashMap<String, String>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort();
    pairs
}

fn net(flag: &str, text: &str) -> Result<IpNet, FlagError> {
    text.parse().map_err(|_| {
        FlagError::new(format!(
            "invalid {flag} {text:?}: want an address and the bits of its network, e.g. 172.28.0.0/16"
        ))
    })
}

fn address(flag: &str, text: &str) -> Result<IpAddr, FlagError> {
    text.parse().map_err(|_| FlagError::new(format!("invalid {flag} {text:?}: want an IP address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Value, String> {
        let words = std::iter::once("create").chain(line.split_whitespace()).chain(["net"]);
        body(&Create::parse_from(words)).map_err(|error| error.to_string())
    }

    #[test]
    fn ranges_gateways_and_addresses_go_to_their_subnets() {
        let line = "--subnet 10.1.0.0/16 --subnet fd00::/64 --ip-range 10.1.5.0/24 --gateway fd00::1 --gateway 10.1.5.254 \
                    --aux-address a=10.1.5.5 --aux-address b=10.1.5.6 --ipv6 -o com.example=1 --label x";
        let body = asked(line).unwrap();
        let expected = json!([
            {"Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24", "Gateway": "10.1.5.254", "AuxiliaryAddresses": {"a": "10.1.5.5", "b": "10.1.5.6"}},
            {"Subnet": "fd00::/64", "Gateway": "fd00::1"}
        ]);
        assert_eq!(body["IPAM"]["Config"], expected);
        assert_eq!((&body["EnableIPv6"], &body["EnableIPv4"]), (&json!(true), &Value::Null));
        assert_eq!((&body["Options"], &body["Labels"]), (&json!({"com.example": "1"}), &json!({"x": ""})));
        assert_eq!((&body["Driver"], &body["Name"]), (&json!("bridge"), &json!("net")));
    }

    #[test]
    fn what_fits_nowhere_is_refused_by_name() {
        for (line, problem) in [
            ("--subnet 10.1.0.0", "invalid subnet \"10.1.0.0\""),
            ("--subnet 10.1.0.0/16 --subnet 10.1.2.0/24", "overlapping"),
            ("--ip-range 10.1.0.0/24", "no matching subnet for range 10.1.0.0/24"),
            ("--subnet 10.1.0.0/16 --gateway 10.2.0.1", "no matching subnet for gateway 10.2.0.1"),
            (
                "--subnet 10.1.0.0/16 --gateway 10.1.0.1 --gateway 10.1.0.2",
                "multiple gateways (10.1.0.2, 10.1.0.1)",
            ),
            ("--subnet 10.1.0.0/16 --aux-address a=10.2.0.1", "no matching subnet for aux-address 10.2.0.1"),
        ] {
            let error = asked(line).unwrap_err();
            assert!(error.contains(problem), "{line}: {error}");
        }
    }
}
