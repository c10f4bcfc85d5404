//! `--publish` and `--expose`.

use std::{collections::HashMap, net::IpAddr};

use bollard_stubs::models::{PortBinding, PortMap};

use super::FlagError;

/// Most ports that one flag may name: all there are.
type Range = std::ops::RangeInclusive<u16>;

/// The ports a container exposes (`80/tcp`) and where they are published.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Ports {
    /// Sorted, each once.
    pub(super) exposed: Vec<String>,
    pub(super) bindings: PortMap,
}

/// Reads all `--publish` and `--expose` values.
///
/// # Errors
/// Names the part that is no port, address or protocol.
pub(super) fn read(publish: &[String], expose: &[String]) -> Result<Ports, FlagError> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for value in publish {
        for (port, binding) in published(&standard_form(value)?)? {
            bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    let mut exposed: Vec<String> = bindings.keys().cloned().collect();
    for value in expose {
        let (range, protocol) = port_and_protocol(value)
            .and_then(|(range, protocol)| Ok((parse_range(&range)?, protocol)))
            .map_err(|problem| {
                FlagError::new(format!("invalid range format for --expose: {value}, error: {problem}"))
            })?;
        exposed.extend(range.map(|port| format!("{port}/{protocol}")));
    }
    exposed.sort();
    exposed.dedup();
    Ok(Ports { exposed, bindings })
}

/// `published=8080,target=80,protocol=udp` in the short form `8080:80/udp`.
fn standard_form(value: &str) -> Result<String, FlagError> {
    if !value.contains('=') {
        return Ok(value.to_owned());
    }
    let (mut published, mut target, mut protocol, mut address) =
        (String::new(), String::new(), "tcp".to_owned(), String::new());
    for field in value.split(',') {
        let invalid = || {
            FlagError::new(format!("invalid publish opts format (should be name=value but got '{field}')"))
        };
        match field.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(invalid)? {
            ("published", value) => value.clone_into(&mut published),
            ("target", value) => value.clone_into(&mut target),
            ("protocol", value) => value.clone_into(&mut protocol),
            ("host_ip", value) => address = format!("{value}:"),
            ("mode", "host" | "ingress") => {}
            (name, _) => {
                return Err(FlagError::new(format!("--publish: unknown option {name:?} in {value:?}")));
            }
        }
    }
    Ok(format!("{address}{published}:{target}/{protocol}"))
}

/// `[ip:][host port or range:]container port or range[/protocol]`.
fn published(value: &str) -> Result<Vec<(String, PortBinding)>, FlagError> {
    let parts: Vec<&str> = value.rsplitn(3, ':').collect();
    let (container, host, address) = match parts.as_slice() {
        [container] => (*container, "", ""),
        [container, host] => (*container, *host, ""),
        [container, host, address] => (*container, *host, *address),
        _ => unreachable!("rsplitn(3) gives one to three parts"),
    };
    let (container, protocol) = port_and_protocol(container)?;
    let address = host_address(address)?;
    let container_ports =
        parse_range(&container).map_err(|_| FlagError::new(format!("invalid containerPort: {container}")))?;
    let host_ports = match host {
        "" => None,
        host => Some(parse_range(host).map_err(|_| FlagError::new(format!("invalid hostPort: {host}")))?),
    };
    let count = container_ports.len();
    if let Some(host_ports) = &host_ports
        && host_ports.len() != count
        && count != 1
    {
        return Err(FlagError::new(format!(
            "invalid ranges specified for container and host Ports: {container} and {host}"
        )));
    }
    let host_port = |offset: usize| match &host_ports {
        None => String::new(),
        // The engine takes a free one of the range.
        Some(range) if count == 1 && range.len() > 1 => format!("{}-{}", range.start(), range.end()),
        Some(range) => (usize::from(*range.start()) + offset).to_string(),
    };
    let bind = |(offset, port)| {
        let binding = PortBinding { host_ip: Some(address.clone()), host_port: Some(host_port(offset)) };
        (format!("{port}/{protocol}"), binding)
    };
    Ok(container_ports.enumerate().map(bind).collect())
}

fn port_and_protocol(text: &str) -> Result<(String, String), FlagError> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if port.is_empty() {
        return Err(FlagError::new(format!("no port specified: {text}<empty>")));
    }
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_lowercase() };
    match protocol.as_str() {
        "tcp" | "udp" | "sctp" => Ok((port.to_owned(), protocol)),
        _ => Err(FlagError::new(format!("invalid proto: {protocol}"))),
    }
}

fn host_address(text: &str) -> Result<String, FlagError> {
    let bare = match text.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').unwrap_or(text),
        None => text,
    };
    // A zone names an interface: fe80::1%eth0.
    let address = bare.split('%').next().unwrap_or(bare);
    if bare.is_empty() || address.parse::<IpAddr>().is_ok() {
        Ok(bare.to_owned())
    } else {
        Err(FlagError::new(format!("invalid IP address: {text}")))
    }
}

fn parse_range(text: &str) -> Result<Range, FlagError> {
    let invalid = || FlagError::new(format!("invalid port range: {text}"));
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(invalid()),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last { Err(invalid()) } else { Ok(first..=last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(publish: &[&str], expose: &[&str]) -> Result<String, String> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let ports = read(&owned(publish), &owned(expose)).map_err(|error| error.to_string())?;
        let mut bindings: Vec<_> = ports
            .bindings
            .into_iter()
            .map(|(port, list)| {
                let list = list
                    .unwrap()
                    .into_iter()
                    .map(|b| format!("{}|{}", b.host_ip.unwrap(), b.host_port.unwrap()));
                format!("{port}={}", list.collect::<Vec<_>>().join("+"))
            })
            .collect();
        bindings.sort();
        Ok(format!("{} # {}", ports.exposed.join(" "), bindings.join(" ")))
    }

    #[test]
    fn every_documented_form_is_read() {
        let cases = [
            (vec!["80"], "80/tcp # 80/tcp=|"),
            (vec!["8080:80"], "80/tcp # 80/tcp=|8080"),
            (vec!["8080:80/udp"], "80/udp # 80/udp=|8080"),
            (vec!["127.0.0.1:8080:80"], "80/tcp # 80/tcp=127.0.0.1|8080"),
            (vec!["127.0.0.1::80"], "80/tcp # 80/tcp=127.0.0.1|"),
            (vec!["[::1]:8080:80"], "80/tcp # 80/tcp=::1|8080"),
            (vec!["::1:8080:80"], "80/tcp # 80/tcp=::1|8080"),
            (vec!["8000-8001:80-81"], "80/tcp 81/tcp # 80/tcp=|8000 81/tcp=|8001"),
            (vec!["8000-8010:80"], "80/tcp # 80/tcp=|8000-8010"),
            (vec!["80", "127.0.0.1:80:80", "53:53/UDP"], "53/udp 80/tcp # 53/udp=|53 80/tcp=|+127.0.0.1|80"),
            (vec!["published=8080,target=80,protocol=udp"], "80/udp # 80/udp=|8080"),
            (vec!["target=80,published=8080,mode=host,host_ip=127.0.0.1"], "80/tcp # 80/tcp=127.0.0.1|8080"),
        ];
        for (publish, expected) in cases {
            assert_eq!(shown(&publish, &[]).unwrap(), expected, "{publish:?}");
        }
        assert_eq!(shown(&["80:80"], &["90-91/udp", "80"]).unwrap(), "80/tcp 90/udp 91/udp # 80/tcp=|80");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("abc", "invalid containerPort: abc"),
            ("80:", "no port specified"),
            ("x:80", "invalid hostPort: x"),
            ("1.2.3.4.5:80:80", "invalid IP address: 1.2.3.4.5"),
            ("80/xyz", "invalid proto: xyz"),
            ("80-81:90-93", "invalid ranges specified"),
            ("99999", "invalid containerPort: 99999"),
            ("81-80", "invalid containerPort: 81-80"),
            ("+80", "invalid containerPort: +80"),
            ("target=80,foo", "should be name=value but got 'foo'"),
            ("target=80,nope=1", "unknown option \"nope\""),
        ];
        for (value, expected) in cases {
            let error = shown(&[value], &[]).unwrap_err();
            assert!(error.contains(expected), "{value}: {error}");
        }
        assert!(shown(&[], &["x"]).unwrap_err().contains("--expose: x"));
    }
}
