//! What a container asks of its place on a network (`EndpointSettings`), checked as Docker checks it and in its words. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bollard_stubs::models::EndpointSettings;
use minke_network::{EndpointRequest, Mac};

use super::{NetworkRecord, is_predefined, pools};
use crate::{Error, container::Record};

const INTERFACE: &str = "com.docker.network.endpoint.ifname";
/// What the names of options begin with that are for the network drivers.
const OWN_OPTIONS: &str = "com.docker.network.";
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// The settings as types.
#[derive(Debug, Default)]
struct Asked {
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
    link_local: Vec<IpAddr>,
    mac: Option<Mac>,
    interface: Option<String>,
    sysctls: Vec<(String, String)>,
    gateway_priority: i32,
}

/// Checks what is asked of a network of this name, which may not be there yet.
///
/// # Errors
/// `InvalidParameter` with everything that is wrong; `NotImplemented` for a driver's option that there is not.
pub(crate) fn check(
    name: &str,
    network: Option<&NetworkRecord>,
    settings: &EndpointSettings,
) -> Result<(), Error> {
    let mut problems = Vec::new();
    let asked = parse(settings, &mut problems)?;
    if is_predefined(network.map_or(name, |network| &network.name)) {
        if asked.ipv4.is_some() || asked.ipv6.is_some() {
            problems.push("user specified IP address is supported on user defined networks only".to_owned());
        }
        if settings.aliases.iter().flatten().next().is_some() {
            problems.push(
                "network-scoped alias is supported only for containers in user defined networks".to_owned(),
            );
        }
        if settings.links.iter().flatten().next().is_some() {
            problems.push(
                "links of an endpoint are only supported for user-defined networks; use HostConfig.Links"
                    .to_owned(),
            );
        }
    }
    if let Some(spec) = network.and_then(NetworkRecord::spec) {
        let addresses = asked.ipv4.map(IpAddr::V4).into_iter().chain(asked.ipv6.map(IpAddr::V6));
        for address in addresses {
            if !spec.pools().any(|pool| pool.subnet.contains(address)) {
                problems.push(format!("no configured subnet contains IP address {address}"));
            }
        }
    }
    for link in settings.links.iter().flatten() {
        let (name, alias) = link_words(link);
        if name.is_empty() || alias.is_empty() || link.matches(':').count() > 1 {
            problems.push(format!("bad format for links: {link}"));
        }
    }
    match pools::joined(&problems) {
        None => Ok(()),
        Some(text) => Err(Error::invalid(format!("invalid endpoint settings:\n{text}"))),
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// What the network crate is asked for. `has_ipv6`: the container's own settings don't turn it off.
///
/// # Errors
/// As [`check`].
pub(crate) fn request(
    network: &NetworkRecord,
    settings: &EndpointSettings,
    has_ipv6: bool,
) -> Result<EndpointRequest, Error> {
    check(&network.name, Some(network), settings)?;
    let asked = parse(settings, &mut Vec::new())?;
    Ok(EndpointRequest {
        ipv4: asked.ipv4,
        ipv6: asked.ipv6,
        link_local: asked.link_local,
        mac: asked.mac,
        interface: asked.interface,
        sysctls: asked.sysctls,
        gateway_priority: asked.gateway_priority,
        has_ipv6,
        ..EndpointRequest::new(network.id.clone(), network.name.clone())
    })
}

/// The names that a container has on a user-defined network, in Docker's order: the first is the one that addresses are
/// resolved to.
pub(crate) fn dns_names(record: &Record, settings: &EndpointSettings) -> Vec<String> {
    let mut names: Vec<String> = vec![record.name.clone()];
    names.extend(settings.aliases.iter().flatten().cloned());
    names.push(record.id.short().to_owned());
    names.push(record.hostname().to_owned());
    let mut distinct: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        if !name.is_empty() && !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

/// A link's container and the alias that it has for the other one.
pub(crate) fn link_words(text: &str) -> (&str, &str) {
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    let name = name.trim_start_matches('/');
    // `/db:/web/alias`, as `inspect` shows it.
    (name, alias.rsplit('/').next().unwrap_or(alias))
}

fn parse(settings: &EndpointSettings, problems: &mut Vec<String>) -> Result<Asked, Error> {
    let mut asked = Asked::default();
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let text = |field: Option<String>| field.filter(|text| !text.is_empty());
    if let Some(address) = text(ipam.ipv4_address) {
        match address.parse().ok().filter(|address: &Ipv4Addr| !address.is_unspecified()) {
            Some(parsed) => asked.ipv4 = Some(parsed),
            None => problems.push(format!("invalid IPv4 address: {address}")),
        }
    }
    if let Some(address) = text(ipam.ipv6_address) {
        let usable = |address: &Ipv6Addr| !address.is_unspecified() && address.to_ipv4_mapped().is_none();
        match address.parse().ok().filter(usable) {
            Some(parsed) => asked.ipv6 = Some(parsed),
            None => problems.push(format!("invalid IPv6 address: {address}")),
        }
    }
    for address in ipam.link_local_ips.into_iter().flatten() {
        match address.parse().ok().filter(is_link_local) {
            Some(parsed) => asked.link_local.push(parsed),
            None => problems.push(format!("invalid link-local IP address: {address}")),
        }
    }
    if let Some(mac) = text(settings.mac_address.clone()) {
        match mac.parse() {
            Ok(parsed) => asked.mac = Some(parsed),
            Err(error) => problems.push(format!("{error}")),
        }
    }
    match i32::try_from(settings.gw_priority.unwrap_or(0)) {
        Ok(priority) => asked.gateway_priority = priority,
        Err(_) => problems.push("invalid gateway priority: want a number of 32 bits".to_owned()),
    }
    options(settings, &mut asked, problems)?;
    Ok(asked)
}

fn options(settings: &EndpointSettings, asked: &mut Asked, problems: &mut Vec<String>) -> Result<(), Error> {
    let mut options: Vec<_> = settings.driver_opts.iter().flatten().collect();
    options.sort();
    for (key, value) in options {
        match key.as_str() {
            INTERFACE => asked.interface = Some(value.clone()).filter(|name| !name.is_empty()),
            SYSCTLS => {
                for sysctl in value.split(',').map(str::trim).filter(|sysctl| !sysctl.is_empty()) {
                    match read_sysctl(sysctl) {
                        Some(pair) => asked.sysctls.push(pair),
                        None => problems.push(format!(
                            "unrecognised network interface sysctl '{sysctl}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
                        )),
                    }
                }
            }
            _ if key.starts_with(OWN_OPTIONS) => {
                return Err(Error::not_implemented(format!(
                    "DriverOpts can't be honoured: the networks have no option {key:?}"
                )));
            }
            // Somebody else's, as labels are.
            _ => {}
        }
    }
    Ok(())
}

/// `net.ipv4.conf.IFNAME.log_martians=1`; the docker command line makes the letters small.
fn read_sysctl(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let parts: Vec<_> = key.splitn(5, '.').collect();
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match parts.as_slice() {
        ["net", family @ ("ipv4" | "ipv6" | "mpls"), group, "IFNAME" | "ifname", name]
            if plain(group) && plain(name) && !value.is_empty() =>
        {
            Some((format!("net.{family}.{group}.IFNAME.{name}"), value.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> EndpointSettings {
        serde_json::from_str(json).unwrap()
    }

    fn problem(name: &str, json: &str) -> String {
        check(name, None, &settings(json)).unwrap_err().to_string()
    }

    #[test]
    fn a_default_network_has_no_addresses_to_choose_and_no_aliases() {
        for name in ["bridge", "default"] {
            let json = r#"{"IPAMConfig":{"IPv4Address":"10.0.0.9"},"Aliases":["db"]}"#;
            let told = problem(name, json);
            assert!(told.starts_with("invalid endpoint settings:\n* user specified IP address"), "{told}");
            assert!(told.contains("\n* network-scoped alias is supported only"), "{told}");
        }
        assert!(check("mine", None, &settings(r#"{"Aliases":["db"]}"#)).is_ok());
    }

    #[test]
    fn what_is_no_address_option_or_link_is_told() {
        for (json, words) in [
            (r#"{"IPAMConfig":{"IPv4Address":"fd00::1"}}"#, "invalid IPv4 address: fd00::1"),
            (r#"{"IPAMConfig":{"IPv4Address":"0.0.0.0"}}"#, "invalid IPv4 address"),
            (r#"{"IPAMConfig":{"IPv6Address":"::ffff:1.2.3.4"}}"#, "invalid IPv6 address"),
            (r#"{"IPAMConfig":{"LinkLocalIPs":["x"]}}"#, "invalid link-local IP address: x"),
            (r#"{"MacAddress":"zz"}"#, "zz"),
            (r#"{"Links":["a:b:c"]}"#, "bad format for links: a:b:c"),
            (
                r#"{"DriverOpts":{"com.docker.network.endpoint.sysctls":"net.ipv4.conf.eth0.log_martians=1"}}"#,
                "unrecognised network interface sysctl",
            ),
            (r#"{"DriverOpts":{"com.docker.network.b":"c"}}"#, "DriverOpts can't be honoured"),
            (r#"{"GwPriority":9223372036854775807}"#, "invalid gateway priority"),
        ] {
            let told = problem("mine", json);
            assert!(told.contains(words), "{json}: {told}");
        }
        let json = r#"{"DriverOpts":{"com.docker.network.endpoint.sysctls":"net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.ifname.accept_ra=2","com.docker.network.endpoint.ifname":"lan0"}}"#;
        let asked = parse(&settings(json), &mut Vec::new()).unwrap();
        assert_eq!((asked.sysctls.len(), asked.interface.as_deref()), (2, Some("lan0")));
        assert!(check("mine", None, &settings(r#"{"DriverOpts":{"org.example":"yes"}}"#)).is_ok());
    }

    #[test]
    fn names_are_the_containers_its_aliases_its_id_and_its_host_name() {
        let mut record = Record::for_tests();
        record.config.hostname = Some("whale".to_owned());
        let names = dns_names(&record, &settings(r#"{"Aliases":["db","web"]}"#));
        assert_eq!(names, ["web", "db", record.id.short(), "whale"]);
    }

    #[test]
    fn a_link_names_a_container_and_perhaps_an_alias() {
        assert_eq!(link_words("db:database"), ("db", "database"));
        assert_eq!(link_words("db"), ("db", "db"));
        assert_eq!(link_words("/db:/web/database"), ("db", "database"));
    }
}
