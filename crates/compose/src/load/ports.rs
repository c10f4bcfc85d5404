//! The short form of a port: `[[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL]`, of which both ports may be ranges.

use std::net::IpAddr;

/// One port of a short form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShortPort {
    pub(crate) host_ip: String,
    pub(crate) published: String,
    pub(crate) target: u16,
    pub(crate) protocol: String,
}

/// The ports that a short form means, in the order of their names, or what is wrong with it.
pub(crate) fn parse(spec: &str) -> Result<Vec<ShortPort>, String> {
    let (address, published, target) = parts(spec);
    let (target, protocol) = match target.split_once('/') {
        Some((target, "")) => (target, "tcp"),
        Some((target, protocol)) => (target, protocol),
        None => (target, "tcp"),
    };
    if target.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let host_ip = host_ip(&address)?;
    let (first, last) = range(target).ok_or_else(|| format!("invalid containerPort: {target}"))?;
    let published_range = match published {
        "" => None,
        text => Some(range(text).ok_or_else(|| format!("invalid hostPort: {text}"))?),
    };
    if let Some((from, to)) = published_range
        && last - first != to - from
        && first != last
    {
        return Err(format!(
            "invalid ranges specified for container and host Ports: {target} and {published}"
        ));
    }
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let published_of = |index: u16| match published_range {
        None => String::new(),
        Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
        Some((from, _)) => (from + index).to_string(),
    };
    let port = |target: u16| ShortPort {
        host_ip: host_ip.clone(),
        published: published_of(target - first),
        target,
        protocol: protocol.clone(),
    };
    let mut ports: Vec<ShortPort> = (first..=last).map(port).collect();
    ports.sort_by_key(|port| format!("{}/{}", port.target, port.protocol));
    Ok(ports)
}

/// Address, published and target; what stands before the last two colons is the address.
fn parts(spec: &str) -> (String, &str, &str) {
    let Some((rest, target)) = spec.rsplit_once(':') else { return (String::new(), "", spec) };
    match rest.rsplit_once(':') {
        Some((address, published)) => (address.to_owned(), published, target),
        None => (String::new(), rest, target),
    }
}

fn host_ip(address: &str) -> Result<String, String> {
    let bare = match address.strip_prefix('[') {
        Some(rest) => {
            rest.strip_suffix(']').ok_or_else(|| format!("invalid IP address {address}: missing ']'"))?
        }
        None => address,
    };
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {bare}"));
    }
    Ok(bare.to_owned())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (first, last): (u16, u16) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(spec: &str) -> String {
        let port = |port: ShortPort| {
            format!("{}|{}|{}/{}", port.host_ip, port.published, port.target, port.protocol)
        };
        parse(spec).unwrap().into_iter().map(port).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_short_form_is_read() {
        for (spec, expected) in [
            ("80", "||80/tcp"),
            ("8080:80", "|8080|80/tcp"),
            ("127.0.0.1:8080:80/udp", "127.0.0.1|8080|80/udp"),
            ("127.0.0.1::80", "127.0.0.1||80/tcp"),
            ("[::1]:8080:80", "::1|8080|80/tcp"),
            ("::1:8080:80", "::1|8080|80/tcp"),
            ("8000-8001:80", "|8000-8001|80/tcp"),
            ("9-10", "||10/tcp ||9/tcp"),
            ("3000-3001:9-10", "|3001|10/tcp |3000|9/tcp"),
            ("80/SCTP", "||80/sctp"),
        ] {
            assert_eq!(shown(spec), expected, "{spec}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for (spec, expected) in [
            ("x", "invalid containerPort: x"),
            ("80:x", "invalid containerPort: x"),
            ("70000", "invalid containerPort: 70000"),
            ("8000-8002:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000-8002"),
            ("80/icmp", "invalid proto: icmp"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("90-80", "invalid containerPort: 90-80"),
            ("8080:", "no port specified: 8080:<empty>"),
        ] {
            assert_eq!(parse(spec).unwrap_err(), expected, "{spec}");
        }
    }
}
