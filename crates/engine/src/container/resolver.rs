//! What a container's /etc/hosts and /etc/resolv.conf say, and the `--dns` flags behind them.

use std::{
    collections::HashSet,
    fs,
    io::Read,
    net::{IpAddr, Ipv4Addr},
};

use minke_network::{
    Attachment,
    files::{self, DnsOverrides, ExtraHost, HostAddress},
};

use super::{Places, Record, links};
use crate::{
    Error,
    engine::Inner,
    networks::is_predefined,
    spec::modes::{Modes, NetworkMode},
};

/// Where the name server is that a container of a user-defined network asks. Docker's, since software looks for it.
const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// The longest /etc/hosts that is read back from a container, in bytes.
const LONGEST_HOSTS: u64 = 1 << 20;

/// Writes /etc/hosts, in place: a running container has this very file bound.
pub(super) fn write_hosts(
    inner: &Inner,
    record: &Record,
    modes: &Modes,
    places: &Places,
    attachment: Option<&Attachment>,
) -> Result<(), Error> {
    match hosts(inner, record, modes, attachment)? {
        Some(text) => fs::write(places.directory.join("hosts"), text).map_err(failed("write hosts")),
        None => Ok(()),
    }
}

/// Changes it for a container that runs and has come to other networks: what the container itself has written stays.
pub(super) fn update_hosts(
    inner: &Inner,
    records: [&Record; 2],
    modes: &Modes,
    places: &Places,
    attachments: [&Attachment; 2],
) -> Result<(), Error> {
    let text = |number: usize| hosts(inner, records[number], modes, Some(attachments[number]));
    let (Some(before), Some(after)) = (text(0)?, text(1)?) else { return Ok(()) };
    let path = places.directory.join("hosts");
    let mut current = String::new();
    let read = fs::File::open(&path).and_then(|file| file.take(LONGEST_HOSTS).read_to_string(&mut current));
    let text = match read {
        Ok(length) if (length as u64) < LONGEST_HOSTS => changed(&current, &before, &after),
        // It isn't one any more.
        _ => after,
    };
    fs::write(path, text).map_err(failed("write hosts"))
}

/// A text with the lines that `after` has and `before` has not, and without those that only `before` has.
fn changed(text: &str, before: &str, after: &str) -> String {
    let lines = |text| str::lines(text).collect::<HashSet<_>>();
    let (old, new) = (lines(before), lines(after));
    let kept = text.lines().filter(|line| !old.contains(line) || new.contains(line));
    let added = after.lines().filter(|line| !old.contains(line));
    kept.chain(added).map(|line| format!("{line}\n")).collect()
}

/// What the engine has to say in it; nothing where it is another container's.
fn hosts(
    inner: &Inner,
    record: &Record,
    modes: &Modes,
    attachment: Option<&Attachment>,
) -> Result<Option<String>, Error> {
    if matches!(modes.network, NetworkMode::Container(_)) {
        return Ok(None);
    }
    let mut extra = links::hosts(inner, record);
    extra.extend(extra_hosts(record)?);
    Ok(Some(match modes.network {
        NetworkMode::Host => host_hosts(inner, &extra),
        _ => {
            let (name, domain) = names(record);
            let own = attachment.map(addresses).unwrap_or_default();
            files::hosts(&own, name, domain, &host_gateways(inner, attachment), &extra, record.has_ipv6())
        }
    }))
}

/// Every address of a container, network by network.
fn addresses(attachment: &Attachment) -> Vec<IpAddr> {
    let of = |endpoint: &minke_network::Endpoint| {
        let ipv4 = endpoint.address_ipv4().map(IpAddr::V4);
        [ipv4, endpoint.address_ipv6().map(IpAddr::V6)].into_iter().flatten()
    };
    attachment.endpoints.iter().flat_map(of).collect()
}

/// The host as the container sees it: what the engine was told, or else the gateways of its own default routes. Docker takes
/// the default bridge's, which need not be there here.
fn host_gateways(inner: &Inner, attachment: Option<&Attachment>) -> Vec<IpAddr> {
    let told = &inner.config.networks.host_gateway_ips;
    if !told.is_empty() {
        return told.clone();
    }
    let Some(attachment) = attachment else { return Vec::new() };
    let ipv4 = attachment.gateway(true).and_then(|endpoint| endpoint.gateway_ipv4).map(IpAddr::V4);
    let ipv6 = attachment.gateway(false).and_then(|endpoint| endpoint.gateway_ipv6).map(IpAddr::V6);
    ipv4.into_iter().chain(ipv6).collect()
}

/// The host's and the domain's name; `--hostname a.b.c` is both.
fn names(record: &Record) -> (&str, &str) {
    match record.config.domainname.as_deref().filter(|domain| !domain.is_empty()) {
        Some(domain) => (record.hostname(), domain),
        None => record.hostname().split_once('.').unwrap_or((record.hostname(), "")),
    }
}

/// A container on the host's network sees the host's own names, with its extra ones.
fn host_hosts(inner: &Inner, extra: &[ExtraHost]) -> String {
    let mut text = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let told = &inner.config.networks.host_gateway_ips;
    let gateways = if told.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { told.clone() };
    for host in extra {
        let addresses = match &host.address {
            HostAddress::Literal(address) => std::slice::from_ref(address),
            HostAddress::HostGateway => &gateways,
        };
        for address in addresses {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("{address}\t{}\n", host.name));
        }
    }
    text
}

/// `--add-host`.
///
/// # Errors
/// `InvalidParameter`.
pub(super) fn extra_hosts(record: &Record) -> Result<Vec<ExtraHost>, Error> {
    let hosts = record.host.extra_hosts.iter().flatten();
    hosts
        .map(|text| text.parse().map_err(|error: files::ExtraHostError| Error::invalid(error.to_string())))
        .collect()
}

/// `--dns` and its relatives: the container's, or else the engine's.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn dns(inner: &Inner, record: &Record) -> Result<DnsOverrides, Error> {
    let engine = &inner.config.networks;
    let list = |own: &Option<Vec<String>>, engine: &[String]| {
        own.clone().filter(|own| !own.is_empty()).unwrap_or_else(|| engine.to_vec())
    };
    let own = record.host.dns.iter().flatten();
    let mut servers = own
        .map(|text| text.parse().map_err(|_| Error::invalid(format!("invalid IP address in --dns: {text}"))))
        .collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() {
        servers.clone_from(&engine.dns);
    }
    let overrides = DnsOverrides {
        servers,
        search: list(&record.host.dns_search, &engine.dns_search),
        options: list(&record.host.dns_options, &engine.dns_options),
    };
    let lines = overrides.search.iter().chain(&overrides.options);
    if let Some(bad) = lines.into_iter().find(|text| text.contains(char::is_whitespace)) {
        return Err(Error::invalid(format!("{bad:?} is not a valid domain or option")));
    }
    Ok(overrides)
}

/// Whether a container is on a user-defined network, and so asks the name server of its own.
fn asks_names(record: &Record) -> bool {
    record.networks.keys().any(|name| !is_predefined(name))
}

/// The contents of /etc/resolv.conf.
///
/// # Errors
/// `InvalidParameter`, `Internal`.
pub(super) fn resolv_conf(inner: &Inner, record: &Record, modes: &Modes) -> Result<String, Error> {
    let host =
        files::host_resolv_conf().map_err(|error| Error::internal("read the host's resolv.conf", &error))?;
    let overrides = dns(inner, record)?;
    let as_it_is = modes.network == NetworkMode::Host && overrides == DnsOverrides::default();
    Ok(if as_it_is {
        // On the host's network its loopback name servers can be reached.
        fs::read_to_string("/etc/resolv.conf").unwrap_or(host)
    } else if asks_names(record) {
        files::resolv_conf_of(NAME_SERVER, &host, &overrides)
    } else {
        files::resolv_conf(&host, &overrides)
    })
}

/// Points a running container that had no name server of its own to it, unless somebody has edited the file since.
///
/// # Errors
/// `InvalidParameter`, `Internal`.
pub(super) fn ask_names_from_now_on(
    inner: &Inner,
    before: &Record,
    now: &Record,
    modes: &Modes,
    places: &Places,
) -> Result<(), Error> {
    let path = places.directory.join("resolv.conf");
    let expected = resolv_conf(inner, before, modes)?;
    // No more than it should have: the container may have made it as large as it likes.
    let mut written = Vec::new();
    fs::File::open(&path)
        .and_then(|file| file.take(expected.len() as u64 + 1).read_to_end(&mut written))
        .map_err(failed("read resolv.conf"))?;
    if written != expected.as_bytes() {
        return Ok(());
    }
    fs::write(&path, resolv_conf(inner, now, modes)?).map_err(failed("write resolv.conf"))
}

/// An error about a file, for `map_err`.
fn failed(action: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::internal(action, &error)
}
