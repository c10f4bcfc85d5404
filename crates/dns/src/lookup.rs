//! Whether a question is about the container's own networks, and what the answer is. Pure.

use std::net::IpAddr;

use hickory_proto::{
    op::Query,
    rr::{DNSClass, Name, RecordType},
};

use crate::{
    name,
    view::{Membership, View},
    zones::{Found, Table},
};

/// What is known about a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// The name is one of the networks', with these addresses of the kind that was asked for: maybe none.
    Addresses(Vec<IpAddr>),
    /// The address is one of the networks', and this is its name.
    Pointer(String),
    /// A word that is left to the container's search domains.
    NoData,
    /// Somebody else has to know.
    Unknown,
}

/// Answers a question as one container sees it.
pub(crate) fn lookup(question: &Query, view: &View, table: &Table) -> Local {
    if !matches!(question.query_class, DNSClass::IN | DNSClass::ANY) {
        return Local::Unknown;
    }
    if question.query_type == RecordType::PTR
        && let Some(name) = pointer(&question.name, view, table)
    {
        return Local::Pointer(name);
    }
    let Some(name) = name::asked(&question.name) else { return Local::Unknown };
    if let Some(addresses) = addresses(&name, question.query_type, view, table) {
        return Local::Addresses(addresses);
    }
    let is_for_an_address = matches!(question.query_type, RecordType::A | RecordType::AAAA);
    if is_for_an_address && view.keeps_single_words && !name.contains('.') {
        return Local::NoData;
    }
    Local::Unknown
}

/// `name.network`, as Docker says it.
fn pointer(name: &Name, view: &View, table: &Table) -> Option<String> {
    let net = name.parse_arpa_name().ok().filter(|net| net.prefix_len() == net.max_prefix_len())?;
    let address = net.addr();
    view.networks.iter().find_map(|member| {
        let name = table.name_of(&member.network, address)?;
        name::written(&format!("{name}.{}", member.name))
    })
}

/// Both names of containers and names of networks may have dots, so `a.b.c` is looked for in all networks, then `a.b` in
/// the network `c`, then `a` in the network `b.c`.
fn addresses(name: &str, kind: RecordType, view: &View, table: &Table) -> Option<Vec<IpAddr>> {
    let qualified = name.rmatch_indices('.').map(|(dot, _)| (&name[..dot], Some(&name[dot + 1..])));
    std::iter::once((name, None)).chain(qualified).find_map(|(name, network)| {
        linked(name, network, kind, view, table).or_else(|| named(name, network, kind, view, table))
    })
}

/// By what this container alone calls others.
fn linked(
    name: &str,
    network: Option<&str>,
    kind: RecordType,
    view: &View,
    table: &Table,
) -> Option<Vec<IpAddr>> {
    let targets = members(view, network).filter_map(|member| {
        let link = member.links.iter().find(|link| is_called(&link.alias, name))?;
        table.find(&member.network, &name::written(&link.target)?)
    });
    first_with_addresses(targets, kind)
}

/// By what all containers of a network call it. A link has precedence in its network, even one that leads nowhere now.
fn named(
    name: &str,
    network: Option<&str>,
    kind: RecordType,
    view: &View,
    table: &Table,
) -> Option<Vec<IpAddr>> {
    let found = members(view, network)
        .filter(|member| !member.links.iter().any(|link| is_called(&link.alias, name)))
        .filter_map(|member| table.find(&member.network, name));
    first_with_addresses(found, kind)
}

fn members<'a>(view: &'a View, network: Option<&'a str>) -> impl Iterator<Item = &'a Membership> {
    view.networks.iter().filter(move |member| network.is_none_or(|name| is_called(&member.name, name)))
}

/// The first network that has an address of the kind answers; one that has the name alone says so if no other does.
fn first_with_addresses<'a>(found: impl Iterator<Item = &'a Found>, kind: RecordType) -> Option<Vec<IpAddr>> {
    let mut is_known = None;
    for found in found {
        let addresses = of_kind(found, kind);
        if !addresses.is_empty() {
            return Some(addresses);
        }
        is_known = Some(addresses);
    }
    is_known
}

fn of_kind(found: &Found, kind: RecordType) -> Vec<IpAddr> {
    let v4 = || found.ipv4().into_iter().map(IpAddr::V4);
    let v6 = || found.ipv6().into_iter().map(IpAddr::V6);
    match kind {
        RecordType::A => v4().collect(),
        RecordType::AAAA => v6().collect(),
        RecordType::ANY => v4().chain(v6()).collect(),
        _ => Vec::new(),
    }
}

/// Whether what a user wrote is a name in its form for comparison.
fn is_called(written: &str, name: &str) -> bool {
    written.strip_suffix('.').unwrap_or(written).eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests;
