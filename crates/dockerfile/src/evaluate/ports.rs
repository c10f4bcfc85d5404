//! `EXPOSE`: `80`, `8000-8010/udp`, and what older files have before the port: an address and a port of the host, which
//! mean nothing.

use std::net::IpAddr;

use crate::quote::quoted;

/// Ports with one protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ports {
    first: u16,
    last: u16,
    protocol: String,
    /// Whether the protocol was written in capitals.
    pub(super) has_capitals: bool,
    /// Whether there is an address or a port of the host.
    pub(super) has_host: bool,
}

impl Ports {
    /// Each as an image's configuration has it.
    pub(super) fn ports(&self) -> impl Iterator<Item = String> + '_ {
        (self.first..=self.last).map(|port| format!("{port}/{}", self.protocol))
    }
}

/// Reads one.
pub(super) fn parse(text: &str) -> Result<Ports, String> {
    let parts: Vec<&str> = text.rsplitn(3, ':').collect();
    let (container, host, address) =
        (parts[0], parts.get(1).copied().unwrap_or_default(), parts.get(2).copied().unwrap_or_default());
    let (range, written) = container.split_once('/').unwrap_or((container, ""));
    let invalid = |reason: String| format!("invalid port: {}: {reason}", quoted(text));
    if range.is_empty() {
        return Err(invalid("no port specified".to_owned()));
    }
    let protocol = match written.to_lowercase() {
        none if none.is_empty() => "tcp".to_owned(),
        known if matches!(known.as_str(), "tcp" | "udp" | "sctp") => known,
        _ => return Err(invalid(format!("invalid proto: {written}"))),
    };
    check_address(address)?;
    let (first, last) = numbers(range).ok_or_else(|| format!("invalid containerPort: {range}"))?;
    if !host.is_empty() {
        let (host_first, host_last) = numbers(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
        if last - first != host_last - host_first && first != last {
            return Err(format!("invalid ranges specified for container and host Ports: {range} and {host}"));
        }
    }
    Ok(Ports {
        first,
        last,
        has_capitals: written != protocol && !written.is_empty(),
        has_host: !host.is_empty() || !address.is_empty(),
        protocol,
    })
}

fn check_address(address: &str) -> Result<(), String> {
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if address.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(format!("invalid IP address: {bare}"))
}

/// `80` or `8000-8010`.
fn numbers(range: &str) -> Option<(u16, u16)> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<String> {
        parse(text).unwrap().ports().collect()
    }

    #[test]
    fn a_port_gets_its_protocol_and_a_range_becomes_ports() {
        assert_eq!(listed("80"), ["80/tcp"]);
        assert_eq!(listed("8000-8002/UDP"), ["8000/udp", "8001/udp", "8002/udp"]);
        assert_eq!(listed("127.0.0.1:80:8080"), ["8080/tcp"]);
        assert_eq!(listed("[::1]:80:8080/sctp"), ["8080/sctp"]);
        assert_eq!(listed("8000-8010:80"), ["80/tcp"]);
    }

    #[test]
    fn what_shouldnt_be_written_so_is_noticed() {
        assert!(parse("80/TCP").unwrap().has_capitals && !parse("80/tcp").unwrap().has_capitals);
        assert!(parse("80:80").unwrap().has_host && !parse("80").unwrap().has_host);
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(parse("80/icmp").unwrap_err(), "invalid port: \"80/icmp\": invalid proto: icmp");
        assert_eq!(parse("/tcp").unwrap_err(), "invalid port: \"/tcp\": no port specified");
        assert_eq!(parse("http").unwrap_err(), "invalid containerPort: http");
        assert_eq!(parse("70000").unwrap_err(), "invalid containerPort: 70000");
        assert_eq!(parse("9-8").unwrap_err(), "invalid containerPort: 9-8");
        assert_eq!(parse("x:80:80").unwrap_err(), "invalid IP address: x");
        assert!(parse("1-2:5-7").is_err());
    }
}
