//! `--network` and the flags that belong to it.

use std::collections::HashMap;

use bollard_stubs::models::{EndpointIpamConfig, EndpointSettings};

use super::{FlagError, csv_fields, options::ContainerOptions};

/// What the network flags come to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Networks {
    /// HostConfig.NetworkMode.
    pub(super) mode: String,
    /// NetworkingConfig.EndpointsConfig.
    pub(super) endpoints: HashMap<String, EndpointSettings>,
}

/// One `--network`.
#[derive(Debug, Default, Clone)]
struct Attachment {
    target: String,
    settings: EndpointSettings,
}

/// Reads the network flags.
///
/// # Errors
/// Names options that make no sense or contradict each other.
pub(super) fn read(options: &ContainerOptions) -> Result<Networks, FlagError> {
    let mut attachments =
        options.network.iter().map(|value| attachment(value)).collect::<Result<Vec<_>, _>>()?;
    if attachments.is_empty() {
        attachments.push(Attachment { target: "default".to_owned(), ..Attachment::default() });
    }
    if let Some(first) = attachments.first_mut() {
        apply(first, options)?;
    }
    let mode = attachments[0].target.clone();
    let own = attachments.iter().filter(|attachment| is_user_defined(&attachment.target)).count();
    if own != 0 && own != attachments.len() {
        return Err(FlagError::new(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ));
    }
    let alone = attachments.len() == 1;
    let mut endpoints = HashMap::new();
    for Attachment { target, settings } in attachments {
        check(&target, &settings)?;
        // The engine makes the endpoint of a single network without settings by itself.
        if alone && settings == EndpointSettings::default() {
            continue;
        }
        if endpoints.insert(target.clone(), settings).is_some() {
            return Err(FlagError::new(format!("network {target:?} is specified multiple times")));
        }
    }
    Ok(Networks { mode, endpoints })
}

/// `--network name` or `--network name=…,alias=…,ip=…`.
fn attachment(value: &str) -> Result<Attachment, FlagError> {
    if !value.contains('=') {
        return Ok(Attachment { target: value.to_owned(), ..Attachment::default() });
    }
    let mut attachment = Attachment::default();
    let settings = &mut attachment.settings;
    for field in csv_fields(value)? {
        let (key, content) = field
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| FlagError::new(format!("invalid field {field}")))?;
        let content = content.trim().to_owned();
        match key.trim().to_lowercase().as_str() {
            "name" => attachment.target = content,
            "alias" => settings.aliases.get_or_insert_default().push(content),
            "ip" => ipam(settings).ipv4_address = Some(address(&content)?),
            "ip6" => ipam(settings).ipv6_address = Some(address(&content)?),
            "mac-address" => settings.mac_address = Some(mac(&content)?),
            "link-local-ip" => {
                let content = address(&content)?;
                ipam(settings).link_local_ips.get_or_insert_default().push(content);
            }
            "driver-opt" => {
                let invalid = || FlagError::new("invalid key value pair format in driver options");
                let (name, value) =
                    content.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(invalid)?;
                settings.driver_opts.get_or_insert_default().insert(name.to_owned(), value.to_owned());
            }
            "gw-priority" => {
                let number = content
                    .parse()
                    .map_err(|_| FlagError::new(format!("invalid gw-priority ({content})")))?;
                settings.gw_priority = Some(number);
            }
            other => return Err(FlagError::new(format!("invalid field key {other}"))),
        }
    }
    if attachment.target.is_empty() {
        return Err(FlagError::new("network name/id is not specified"));
    }
    Ok(attachment)
}

/// The flags of their own (`--ip`, `--network-alias`, …) are about the first network.
fn apply(first: &mut Attachment, options: &ContainerOptions) -> Result<(), FlagError> {
    let settings = &mut first.settings;
    let conflict = |flag: &str, what: &str| {
        FlagError::new(format!("conflicting options: cannot specify both --{flag} and per-network {what}"))
    };
    if !options.network_alias.is_empty() {
        if settings.aliases.is_some() {
            return Err(conflict("network-alias", "alias"));
        }
        settings.aliases = Some(options.network_alias.clone());
    }
    if !options.link.is_empty() && is_user_defined(&first.target) {
        settings.links = Some(options.link.clone());
    }
    if let Some(ip) = &options.ip
        && ipam(settings).ipv4_address.replace(ip.clone()).is_some()
    {
        return Err(conflict("ip", "IPv4 address"));
    }
    if let Some(ip) = &options.ip6
        && ipam(settings).ipv6_address.replace(ip.clone()).is_some()
    {
        return Err(conflict("ip6", "IPv6 address"));
    }
    if let Some(address) = &options.mac_address
        && settings.mac_address.replace(mac(address)?).is_some()
    {
        return Err(conflict("mac-address", "MAC address"));
    }
    if !options.link_local_ip.is_empty()
        && ipam(settings).link_local_ips.replace(options.link_local_ip.clone()).is_some()
    {
        return Err(conflict("link-local-ip", "link-local IP addresses"));
    }
    Ok(())
}

fn check(target: &str, settings: &EndpointSettings) -> Result<(), FlagError> {
    if target.trim().is_empty() {
        return Err(FlagError::new("no name set for network"));
    }
    if settings.aliases.is_some() && !is_user_defined(target) {
        return Err(FlagError::new("network-scoped aliases are only supported for user-defined networks"));
    }
    Ok(())
}

fn is_user_defined(target: &str) -> bool {
    !matches!(target, "default" | "bridge" | "host" | "none") && !target.starts_with("container:")
}

fn ipam(settings: &mut EndpointSettings) -> &mut EndpointIpamConfig {
    settings.ipam_config.get_or_insert_default()
}

fn address(text: &str) -> Result<String, FlagError> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(FlagError::new(format!("{text} is not an ip address"))),
    }
}

/// Six pairs of hexadecimal digits with colons or hyphens.
fn mac(text: &str) -> Result<String, FlagError> {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    let trimmed = text.trim();
    let parts: Vec<_> = trimmed.split([':', '-']).collect();
    if parts.len() == 6 && parts.into_iter().all(pair) {
        Ok(trimmed.to_owned())
    } else {
        Err(FlagError::new(format!("{text} is not a valid mac address")))
    }
}

/// `--add-host name:address`, `name=address`, with or without brackets, or `name:host-gateway`.
///
/// # Errors
/// Names the value.
pub(super) fn extra_host(value: &str) -> Result<String, FlagError> {
    let pair = value.split_once('=').or_else(|| value.split_once(':'));
    let (name, target) = pair
        .filter(|(name, _)| !name.is_empty() && !name.contains(':'))
        .ok_or_else(|| FlagError::new(format!("bad format for add-host: {value:?}")))?;
    let bare = target.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(target);
    if bare != "host-gateway" && address(bare).is_err() {
        return Err(FlagError::new(format!("invalid IP address in add-host: {bare:?}")));
    }
    Ok(format!("{name}:{bare}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(networks: &[&str]) -> ContainerOptions {
        ContainerOptions {
            network: networks.iter().map(|network| (*network).to_owned()).collect(),
            ..ContainerOptions::default()
        }
    }

    #[test]
    fn a_plain_network_is_only_a_mode() {
        assert_eq!(
            read(&options(&[])).unwrap(),
            Networks { mode: "default".to_owned(), endpoints: HashMap::new() }
        );
        for name in ["host", "none", "container:web", "mine"] {
            assert_eq!(
                read(&options(&[name])).unwrap(),
                Networks { mode: name.to_owned(), endpoints: HashMap::new() }
            );
        }
    }

    #[test]
    fn settings_of_both_forms_reach_the_endpoint() {
        let mut own = options(&["mine"]);
        own.ip = Some("10.0.0.5".to_owned());
        own.network_alias = vec!["db".to_owned()];
        own.mac_address = Some("92:d0:c6:0a:29:33".to_owned());
        let short = read(&own).unwrap();
        let long = read(&options(&["name=mine,alias=db,ip=10.0.0.5,mac-address=92:d0:c6:0a:29:33"])).unwrap();
        assert_eq!(short, long);
        assert_eq!(short.endpoints["mine"].aliases, Some(vec!["db".to_owned()]));
        let two = read(&options(&["a", "name=b,gw-priority=2,driver-opt=x=y"])).unwrap();
        assert_eq!((two.mode.as_str(), two.endpoints.len()), ("a", 2));
    }

    #[test]
    fn contradictions_are_named() {
        let error = |options: ContainerOptions| read(&options).unwrap_err().to_string();
        assert!(error(options(&["mine", "host"])).contains("cannot attach both"));
        assert!(error(options(&["a", "a"])).contains("specified multiple times"));
        assert!(error(options(&["name=a,nope=1"])).contains("invalid field key nope"));
        assert!(error(options(&["alias=x"])).contains("not specified"));
        assert!(error(options(&["name=a,ip=x"])).contains("x is not an ip address"));
        let mut aliased = options(&["host"]);
        aliased.network_alias = vec!["x".to_owned()];
        assert!(error(aliased).contains("only supported for user-defined"));
        let mut twice = options(&["name=a,ip=10.0.0.1"]);
        twice.ip = Some("10.0.0.2".to_owned());
        assert!(error(twice).contains("--ip and per-network IPv4"));
        let mut bad = options(&["a"]);
        bad.mac_address = Some("zz".to_owned());
        assert!(error(bad).contains("not a valid mac address"));
    }

    #[test]
    fn extra_hosts_take_both_separators_and_brackets() {
        for (value, expected) in [
            ("a:1.2.3.4", "a:1.2.3.4"),
            ("a=1.2.3.4", "a:1.2.3.4"),
            ("a:::1", "a:::1"),
            ("a=[::1]", "a:::1"),
            ("a:host-gateway", "a:host-gateway"),
        ] {
            assert_eq!(extra_host(value).unwrap(), expected);
        }
        for value in ["a", ":1.2.3.4", "a:x", "a:b=1.2.3.4"] {
            assert!(extra_host(value).is_err(), "{value}");
        }
    }
}
