//! The subnets of a request to create a network, checked as Docker checks them and in its words. Pure.
//!
//! Whether a subnet is free is not known here: the network crate asks the host.

use std::{collections::BTreeMap, net::IpAddr};

use bollard_stubs::models::{Ipam, IpamConfig};
use minke_network::{IpNet, PoolRequest};

use crate::Error;

/// What is asked for in each family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AskedPools {
    pub(super) ipv4: Option<PoolRequest>,
    pub(super) ipv6: Option<PoolRequest>,
    /// Beyond the first of a family.
    pub(super) further: Vec<PoolRequest>,
}

/// Reads the subnets; those of a family that the network is not to have don't count, as in Docker.
///
/// # Errors
/// `InvalidParameter` with everything that is wrong.
pub(super) fn read(ipam: Option<&Ipam>, ipv4: bool, ipv6: bool) -> Result<AskedPools, Error> {
    let mut asked = AskedPools {
        ipv4: ipv4.then(PoolRequest::default),
        ipv6: ipv6.then(PoolRequest::default),
        further: Vec::new(),
    };
    let mut problems = Vec::new();
    for config in ipam.iter().flat_map(|ipam| ipam.config.iter().flatten()) {
        let Some(pool) = pool(config, ipv6, &mut problems) else { continue };
        let Some(subnet) = pool.subnet else { continue };
        let slot = if subnet.is_ipv4() { &mut asked.ipv4 } else { &mut asked.ipv6 };
        match slot {
            None => {}
            Some(first) if first.subnet.is_none() => *first = pool,
            // Whether the driver takes several is for the network crate to say.
            Some(_) => asked.further.push(pool),
        }
    }
    match joined(&problems) {
        None => Ok(asked),
        Some(text) => Err(Error::invalid(format!("invalid network config:\n{text}"))),
    }
}

/// Several problems as Docker lists them; one stands alone.
pub(super) fn joined(problems: &[String]) -> Option<String> {
    match problems {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("* {}", several.join("\n* "))),
    }
}

fn pool(config: &IpamConfig, ipv6: bool, problems: &mut Vec<String>) -> Option<PoolRequest> {
    let text = config.subnet.as_deref().unwrap_or("");
    let Some(subnet) = net(text) else {
        problems.push(format!("invalid subnet {text}: invalid CIDR block notation"));
        return None;
    };
    if !subnet.is_ipv4() && !ipv6 {
        return None;
    }
    if subnet.address() != subnet.first() {
        problems.push(format!("invalid subnet {subnet}: it should be {}", subnet.subnet()));
    }
    let mut address = |what: String, text: &str| match inside(text, subnet) {
        Ok(address) => Some(address),
        Err(problem) => {
            problems.push(format!("invalid {what}: {problem}"));
            None
        }
    };
    let gateway = config.gateway.as_deref().filter(|text| !text.is_empty());
    let gateway = gateway.and_then(|text| address(format!("gateway {text}"), text));
    let auxiliary: BTreeMap<_, _> = config.auxiliary_addresses.iter().flatten().collect();
    let auxiliary = auxiliary
        .into_iter()
        .filter_map(|(name, text)| Some((name.clone(), address(format!("auxiliary address {name}"), text)?)));
    let auxiliary = auxiliary.collect();
    let range = config.ip_range.as_deref().filter(|text| !text.is_empty());
    let range = range.and_then(|text| range_in(text, subnet, problems));
    Some(PoolRequest { subnet: Some(subnet.subnet()), range, gateway, auxiliary })
}

/// A network in CIDR notation, whose IPv6 form may not hide an IPv4 address.
fn net(text: &str) -> Option<IpNet> {
    let net: IpNet = text.parse().ok()?;
    (net.address().to_canonical() == net.address()).then_some(net)
}

fn family(ipv4: bool) -> &'static str {
    if ipv4 { "IPv4" } else { "IPv6" }
}

fn range_in(text: &str, subnet: IpNet, problems: &mut Vec<String>) -> Option<IpNet> {
    let before = problems.len();
    let Some(range) = net(text) else {
        problems.push(format!("invalid ip-range {text}: invalid CIDR block notation"));
        return None;
    };
    if range.is_ipv4() != subnet.is_ipv4() {
        problems
            .push(format!("invalid ip-range {text}: parent subnet is an {} block", family(subnet.is_ipv4())));
        return None;
    }
    if range.prefix_len() < subnet.prefix_len() {
        problems
            .push(format!("invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"));
    }
    if range.address() != range.first() {
        problems.push(format!("invalid ip-range {range}: it should be {}", range.subnet()));
    }
    if !subnet.overlaps(range) {
        problems.push(format!("invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"));
    }
    (problems.len() == before).then_some(range)
}

fn inside(text: &str, subnet: IpNet) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| "invalid address".to_owned())?;
    if address.is_ipv4() != subnet.is_ipv4() {
        return Err(format!("parent subnet is an {} block", family(subnet.is_ipv4())));
    }
    match subnet.contains(address) {
        true => Ok(address),
        false => Err(format!("parent subnet {subnet} doesn't contain this address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str, ipv6: bool) -> Result<AskedPools, String> {
        let ipam: Ipam = serde_json::from_str(&format!(r#"{{"Config":{json}}}"#)).unwrap();
        read(Some(&ipam), true, ipv6).map_err(|error| error.to_string())
    }

    #[test]
    fn a_subnet_comes_with_its_range_gateway_and_further_addresses() {
        let json = r#"[{"Subnet":"10.1.0.0/16","IPRange":"10.1.5.0/24","Gateway":"10.1.5.254","AuxiliaryAddresses":{"a":"10.1.5.5"}}]"#;
        let pool = asked(json, false).unwrap().ipv4.unwrap();
        assert_eq!(pool.subnet, "10.1.0.0/16".parse().ok());
        assert_eq!((pool.range, pool.gateway), ("10.1.5.0/24".parse().ok(), "10.1.5.254".parse().ok()));
        assert_eq!(pool.auxiliary["a"], "10.1.5.5".parse::<IpAddr>().unwrap());
        assert_eq!(read(None, false, false).unwrap(), AskedPools::default());
    }

    #[test]
    fn ipv6_subnets_count_only_where_there_is_ipv6() {
        let json = r#"[{"Subnet":"fd00::/64"},{"Subnet":"10.1.0.0/24"}]"#;
        assert_eq!(asked(json, false).unwrap().ipv6, None);
        let both = asked(json, true).unwrap();
        assert!(both.ipv4.unwrap().subnet.is_some() && both.ipv6.unwrap().subnet.is_some());
    }

    #[test]
    fn further_subnets_of_a_family_come_behind_the_first() {
        let json = r#"[{"Subnet":"10.1.0.0/24"},{"Subnet":"fd00::/64"},{"Subnet":"10.1.1.0/24","Gateway":"10.1.1.9"}]"#;
        let asked = asked(json, true).unwrap();
        assert_eq!(asked.ipv4.unwrap().subnet, "10.1.0.0/24".parse().ok());
        assert_eq!(asked.further.len(), 1);
        assert_eq!(asked.further[0].gateway, "10.1.1.9".parse().ok());
    }

    #[test]
    fn nonsense_is_told_in_dockers_words() {
        for (json, words) in [
            (r#"[{"Subnet":""}]"#, "invalid network config:\ninvalid subnet : invalid CIDR block notation"),
            (r#"[{"Subnet":"10.1.0.0/33"}]"#, "invalid subnet 10.1.0.0/33: invalid CIDR block notation"),
            (r#"[{"Subnet":"::ffff:10.1.0.0/112"}]"#, "invalid CIDR block notation"),
            (r#"[{"Subnet":"10.1.2.0/16"}]"#, "invalid subnet 10.1.2.0/16: it should be 10.1.0.0/16"),
            (
                r#"[{"Subnet":"10.1.0.0/16","Gateway":"10.2.0.1"}]"#,
                "invalid gateway 10.2.0.1: parent subnet 10.1.0.0/16 doesn't contain this address",
            ),
            (
                r#"[{"Subnet":"10.1.0.0/16","Gateway":"fd00::1"}]"#,
                "invalid gateway fd00::1: parent subnet is an IPv4 block",
            ),
            (
                r#"[{"Subnet":"10.1.0.0/16","IPRange":"10.0.0.0/8"}]"#,
                "CIDR block is bigger than its parent subnet 10.1.0.0/16",
            ),
            (r#"[{"Subnet":"10.1.0.0/16","IPRange":"10.2.0.0/24"}]"#, "doesn't contain ip-range"),
            (
                r#"[{"Subnet":"10.1.0.0/16","AuxiliaryAddresses":{"a":"x"}}]"#,
                "invalid auxiliary address a: invalid address",
            ),
            (
                r#"[{"Subnet":"a"},{"Subnet":"b"}]"#,
                "config:\n* invalid subnet a: invalid CIDR block notation\n* ",
            ),
        ] {
            let error = asked(json, true).unwrap_err();
            assert!(error.contains(words), "{json}: {error}");
        }
    }
}
