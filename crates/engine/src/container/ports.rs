//! Which ports a container publishes.

use std::{net::IpAddr, ops::RangeInclusive};

use bollard_stubs::models::{ContainerConfig, HostConfig, PortBinding};
use minke_network::{PortRequest, Protocol};

use crate::Error;

/// The ports to publish, in order: those of `-p`, with `-P` all exposed ones too.
///
/// # Errors
/// `InvalidParameter` for malformed ports.
pub(super) fn requests(config: &ContainerConfig, host: &HostConfig) -> Result<Vec<PortRequest>, Error> {
    let mut requests = Vec::new();
    for (key, bindings) in host.port_bindings.iter().flatten() {
        let (container_port, protocol) = parse(key)?;
        for binding in bindings.iter().flatten() {
            requests.push(request(container_port, protocol, binding)?);
        }
    }
    if host.publish_all_ports == Some(true) {
        for key in config.exposed_ports.iter().flatten() {
            let (container_port, protocol) = parse(key)?;
            let known = requests
                .iter()
                .any(|other| other.container_port == container_port && other.protocol == protocol);
            if !known {
                requests.push(PortRequest { container_port, protocol, host_address: None, host_ports: None });
            }
        }
    }
    requests.sort_by_key(|request| {
        (request.container_port, request.protocol, request.host_ports.as_ref().map(|range| *range.start()))
    });
    Ok(requests)
}

/// `80/tcp`, `53/udp`, `80`.
pub(super) fn parse(key: &str) -> Result<(u16, Protocol), Error> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let number = port.parse::<u16>().ok().filter(|port| *port > 0);
    let number = number.ok_or_else(|| Error::invalid(format!("invalid port specification: \"{key}\"")))?;
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Ok((number, Protocol::Tcp)),
        "udp" => Ok((number, Protocol::Udp)),
        "sctp" => Ok((number, Protocol::Sctp)),
        _ => Err(Error::invalid(format!("invalid proto: {protocol}"))),
    }
}

fn request(container_port: u16, protocol: Protocol, binding: &PortBinding) -> Result<PortRequest, Error> {
    let host_address = match binding.host_ip.as_deref().unwrap_or("") {
        "" => None,
        text => {
            let address = text.parse::<IpAddr>();
            let address = address.map_err(|_| Error::invalid(format!("invalid IP address: {text}")))?;
            // An IPv4 address in IPv6's words is the IPv4 address.
            Some(address.to_canonical())
        }
    };
    let host_ports = match binding.host_port.as_deref().unwrap_or("") {
        "" | "0" => None,
        text => Some(
            range(text).ok_or_else(|| Error::invalid(format!("invalid port specification: \"{text}\"")))?,
        ),
    };
    Ok(PortRequest { container_port, protocol, host_address, host_ports })
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(json: &str) -> HostConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn ports_are_published_on_addresses_ranges_and_any_free_port() {
        let host = host(
            r#"{"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}],"53/udp":[{"HostPort":"5000-5010"}],"9":[{"HostPort":""}]}}"#,
        );
        let requests = requests(&ContainerConfig::default(), &host).unwrap();
        let ports: Vec<_> = requests.iter().map(|r| (r.container_port, r.host_ports.clone())).collect();
        assert_eq!(ports, [(9, None), (53, Some(5000..=5010)), (80, Some(8080..=8080))]);
        assert_eq!(requests[2].host_address, Some("127.0.0.1".parse().unwrap()));
        let mapped: PortBinding = serde_json::from_str(r#"{"HostIp":"::ffff:127.0.0.1"}"#).unwrap();
        let request = request(80, Protocol::Tcp, &mapped).unwrap();
        assert_eq!(request.host_address, requests[2].host_address);
    }

    #[test]
    fn all_exposed_ports_can_be_published() {
        let config = ContainerConfig {
            exposed_ports: Some(vec!["80/tcp".into(), "81".into()]),
            ..ContainerConfig::default()
        };
        let host = host(r#"{"PublishAllPorts":true,"PortBindings":{"80/tcp":[{"HostPort":"1"}]}}"#);
        let requests = requests(&config, &host).unwrap();
        assert_eq!(requests.iter().map(|r| r.container_port).collect::<Vec<_>>(), [80, 81]);
    }

    #[test]
    fn nonsense_is_refused() {
        for json in [
            r#"{"PortBindings":{"x":[{}]}}"#,
            r#"{"PortBindings":{"0/tcp":[{}]}}"#,
            r#"{"PortBindings":{"80/icmp":[{}]}}"#,
            r#"{"PortBindings":{"80/tcp":[{"HostPort":"9-8"}]}}"#,
            r#"{"PortBindings":{"80/tcp":[{"HostIp":"localhost"}]}}"#,
        ] {
            assert!(requests(&ContainerConfig::default(), &host(json)).is_err(), "{json}");
        }
    }
}
