//! Who else filters what this host forwards, and would drop our containers' packets?
//!
//! A packet passes every base chain of a hook, and one drop is final: an accept in our own table
//! can't save what another table drops. Docker's `FORWARD` chain has the policy drop, ufw's and many
//! a hand-written firewall's too. Other people's tables are theirs, so all that is done here is to
//! find such a chain and to tell the administrator which rule would help. docs/firewalls.md has more.

mod walk;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::Ipv4Addr,
    sync::Mutex,
    time::{Duration, Instant},
};

use minke_netlink::{
    Error,
    nft::{BaseChain, Family, Hook, NftSocket, Step, Table, Verdict},
    route::RouteSocket,
};

use crate::{error::chain, networks::locked};
use walk::{Packet, Ruleset};

/// How old an answer may be for an attach to do without looking again: a look costs some 100 µs,
/// and more where there are many rules.
const FRESH: Duration = Duration::from_secs(30);

/// What the host's other firewalls do to one bridge.
#[derive(Debug, Default)]
pub(crate) struct Foreign(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    /// What was logged already.
    logged: HashSet<String>,
    looked: Option<Instant>,
}

/// The bridge that others should let through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours<'a> {
    /// The table that is ours.
    pub(crate) table: &'a str,
    /// The bridge, whether it is there or not.
    pub(crate) bridge: &'a str,
    /// An address that a container on it could have.
    pub(crate) container: Ipv4Addr,
}

impl Foreign {
    /// Looks again, if the last look was not just now.
    pub(crate) fn check_again(&self, ours: Ours<'_>) {
        if locked(&self.0).looked.is_none_or(|looked| looked.elapsed() > FRESH) {
            self.check(ours);
        }
    }

    /// One warning for each chain that drops packets of ours. What is new is logged as well.
    pub(crate) fn check(&self, ours: Ours<'_>) -> Vec<String> {
        // Not under the lock: a host may have a great many rules.
        let warnings = look(ours).unwrap_or_else(|error| {
            tracing::debug!(error = chain(&error), "the host's other firewalls can't be read");
            Vec::new()
        });
        let mut found = locked(&self.0);
        // What is gone is told again when it comes back.
        found.logged.retain(|warning| warnings.contains(warning) || !warning.contains(ours.bridge));
        for warning in &warnings {
            if found.logged.insert(warning.clone()) {
                tracing::warn!("{warning}");
            }
        }
        found.looked = Some(Instant::now());
        warnings
    }
}

fn look(ours: Ours<'_>) -> Result<Vec<String>, Error> {
    let mut nft = NftSocket::open()?;
    let mut tables: BTreeMap<(Family, String), Vec<BaseChain>> = BTreeMap::new();
    for chain in nft.base_chains()? {
        let own = chain.family == Family::Inet && chain.table == ours.table;
        let sees_us = chain.family != Family::Ipv6 && chain.hook == Hook::Forward as u32;
        if sees_us && !own && chain.kind == "filter" {
            tables.entry((chain.family, chain.table.clone())).or_default().push(chain);
        }
    }
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let index = RouteSocket::open()?.link(ours.bridge)?.map(|link| link.index);
    let mut warnings = Vec::new();
    for ((family, name), chains) in tables {
        let rules = read(&mut nft, &Table { family, name }, chains.iter().any(|chain| chain.drops))?;
        for chain in chains {
            let dropped = directions(&rules, &chain, ours, index);
            warnings.extend((!dropped.is_empty()).then(|| warning(&chain, &rules, ours.bridge, &dropped)));
        }
    }
    Ok(warnings)
}

/// The rules of a table, with the sets they look into. Where no chain drops by policy or by a rule,
/// the sets don't matter.
fn read(nft: &mut NftSocket, table: &Table, drops: bool) -> Result<Ruleset, Error> {
    let mut chains: HashMap<String, Vec<Vec<Step>>> = HashMap::new();
    let mut looked_into = HashSet::new();
    let mut drops = drops;
    for rule in nft.rules(table)? {
        for step in &rule.steps {
            match step {
                Step::InSet { set, .. } | Step::VerdictMap { map: set, .. } => {
                    looked_into.insert(set.clone());
                }
                Step::Reject | Step::Verdict(Verdict::Drop) => drops = true,
                _ => {}
            }
        }
        chains.entry(rule.chain).or_default().push(rule.steps);
    }
    let mut sets = HashMap::new();
    for set in looked_into.into_iter().filter(|_| drops) {
        sets.insert(set.clone(), nft.elements(table, &set)?);
    }
    Ok(Ruleset { chains, sets })
}

/// What of ours the chain drops, in words.
fn directions(rules: &Ruleset, chain: &BaseChain, ours: Ours<'_>, index: Option<u32>) -> Vec<&'static str> {
    let Ours { bridge, container, .. } = ours;
    let dropped = |from, to| {
        let packet = Packet { bridge, index, container, from, to };
        walk::drops(rules, &chain.name, chain.drops, packet)
    };
    [
        (dropped(true, false), "what containers send to other hosts"),
        (dropped(false, true), "what other hosts send to published ports"),
        (bridged_packets_are_filtered() && dropped(true, true), "what containers send each other"),
    ]
    .into_iter()
    .filter_map(|(dropped, what)| dropped.then_some(what))
    .collect()
}

/// With br_netfilter, what goes from one port of a bridge to another passes the forward hook too.
fn bridged_packets_are_filtered() -> bool {
    crate::sysctl::filters_bridged(true)
}

fn warning(chain: &BaseChain, rules: &Ruleset, bridge: &str, dropped: &[&str]) -> String {
    let family = family_name(chain.family);
    format!(
        "chain {} of the nftables table {family} {} drops {}; to let it through, run: {}",
        chain.name,
        chain.table,
        enumerate(dropped),
        remedy(chain, rules, bridge),
    )
}

/// `a`, `a and b`, `a, b and c`.
fn enumerate(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [item] => (*item).to_owned(),
        [items @ .., last] => format!("{} and {last}", items.join(", ")),
    }
}

/// The commands that help, in the language of whoever keeps the chain.
fn remedy(chain: &BaseChain, rules: &Ruleset, bridge: &str) -> String {
    let has = |name: &str| rules.chains.contains_key(name) || jumps_to(rules, name);
    let iptables = |chain: &str| {
        format!("iptables -I {chain} -i {bridge} -j ACCEPT; iptables -I {chain} -o {bridge} -j ACCEPT")
    };
    let is_iptables = chain.family == Family::Ipv4 && chain.table == "filter" && chain.name == "FORWARD";
    if is_iptables && has("DOCKER-USER") {
        iptables("DOCKER-USER")
    } else if is_iptables && has("ufw-before-forward") {
        format!("ufw route allow in on {bridge}; ufw route allow out on {bridge}")
    } else if is_iptables {
        iptables("FORWARD")
    } else if chain.table == "firewalld" {
        format!("firewall-cmd --permanent --zone=trusted --add-interface={bridge}; firewall-cmd --reload")
    } else {
        let insert = format!("nft insert rule {} {} {}", family_name(chain.family), chain.table, chain.name);
        format!("{insert} iifname {bridge} accept; {insert} oifname {bridge} accept")
    }
}

fn jumps_to(rules: &Ruleset, name: &str) -> bool {
    let jumps = |step: &Step| matches!(step, Step::Verdict(Verdict::Jump(chain)) if chain == name);
    rules.chains.values().flatten().flatten().any(jumps)
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Ipv4 => "ip",
        Family::Ipv6 => "ip6",
        Family::Bridge => "bridge",
    }
}
