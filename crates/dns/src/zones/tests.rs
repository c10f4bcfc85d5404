//! The table of names against a list of endpoints that is searched from end to end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Known = BTreeMap<String, (String, Endpoint)>;

fn endpoint(names: &[&str], ipv4: &str) -> Endpoint {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Endpoint { names, ipv4: Some(ipv4.parse().unwrap()), ipv6: None }
}

#[test]
fn endpoints_that_share_a_name_take_turns_at_being_first() {
    let (zones, network) = (Zones::new(), NetworkKey::from("1"));
    for n in 1..=3 {
        let key = format!("web-{n}");
        zones.insert(&network, key.as_str().into(), endpoint(&["web", &key], &format!("10.0.0.{n}")));
    }
    let turns: Vec<Vec<u8>> = (0..4)
        .map(|_| {
            let found = zones.read().find(&network, "web").unwrap().ipv4();
            found.iter().map(|address| address.octets()[3]).collect()
        })
        .collect();
    assert_eq!(turns, [[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]);
    assert_eq!(zones.read().find(&network, "web-2").unwrap().ipv4().len(), 1);
}

#[test]
fn the_families_take_turns_by_themselves() {
    let (zones, network) = (Zones::new(), NetworkKey::from("1"));
    for n in 1..=2 {
        let mut endpoint = endpoint(&["web"], &format!("10.0.0.{n}"));
        endpoint.ipv6 = Some(format!("fd00::{n}").parse().unwrap());
        zones.insert(&network, format!("{n}").into(), endpoint);
    }
    let table = zones.read();
    let found = table.find(&network, "web").unwrap();
    let first: BTreeSet<_> = (0..2)
        .map(|_| {
            found.ipv6();
            found.ipv4()[0]
        })
        .collect();
    assert_eq!(first.len(), 2, "a resolver that asks for both families gets either endpoint first");
}

#[test]
fn an_address_that_two_have_for_a_moment_stays_with_the_one_that_remains() {
    let (zones, network) = (Zones::new(), NetworkKey::from("1"));
    zones.insert(&network, "old".into(), endpoint(&["old", "app"], "10.0.0.1"));
    zones.insert(&network, "new".into(), endpoint(&["new", "app"], "10.0.0.1"));
    assert_eq!(zones.read().find(&network, "app").unwrap().ipv4().len(), 1, "an address is said once");
    zones.remove(&"old".into());
    assert_eq!(zones.read().name_of(&network, "10.0.0.1".parse().unwrap()), Some("new"));
    assert_eq!(zones.read().find(&network, "app").unwrap().ipv4().len(), 1);
}

#[test]
fn an_endpoint_without_an_address_is_known_all_the_same() {
    let (zones, network) = (Zones::new(), NetworkKey::from("1"));
    zones.insert(&network, "web".into(), Endpoint { names: vec!["web".into()], ..Endpoint::default() });
    assert!(zones.read().find(&network, "web").is_some());
}

#[derive(Debug, Clone)]
enum Change {
    Insert(String, String, Endpoint),
    Remove(String),
}

fn change() -> impl Strategy<Value = Change> {
    let name = prop::sample::select(vec!["web", "WEB", "db", "a.b", "a.b.", "", "no..name", "_x"]);
    let network = prop::sample::select(vec!["1", "2"]);
    let key = prop::sample::select(vec!["p", "q", "r", "s"]);
    let names = prop::collection::vec(name.prop_map(str::to_owned), 0..4);
    let ipv4 = prop::option::of((0u8..4).prop_map(|n| Ipv4Addr::new(10, 0, 0, n)));
    let ipv6 = prop::option::of((0u16..4).prop_map(|n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n)));
    let insert = (network, key.clone(), names, ipv4, ipv6).prop_map(|(network, key, names, ipv4, ipv6)| {
        Change::Insert(network.into(), key.into(), Endpoint { names, ipv4, ipv6 })
    });
    prop_oneof![3 => insert, 1 => key.prop_map(|key| Change::Remove(key.into()))]
}

fn apply(zones: &Zones, known: &mut Known, change: Change) {
    match change {
        Change::Insert(network, key, endpoint) => {
            zones.insert(&network.as_str().into(), key.as_str().into(), endpoint.clone());
            known.insert(key, (network, endpoint));
        }
        Change::Remove(key) => {
            zones.remove(&key.as_str().into());
            known.remove(&key);
        }
    }
}

/// What the list says about a name: none when nobody has it.
fn expected(known: &Known, network: &str, name: &str) -> Option<(BTreeSet<Ipv4Addr>, BTreeSet<Ipv6Addr>)> {
    let has = |endpoint: &&Endpoint| {
        endpoint.names.iter().any(|other| crate::name::written(other).as_deref() == Some(name))
    };
    let of_network = known.values().filter(|(other, _)| other == network).map(|(_, endpoint)| endpoint);
    let owners: Vec<_> = of_network.filter(has).collect();
    let addresses = (
        owners.iter().filter_map(|endpoint| endpoint.ipv4).collect(),
        owners.iter().filter_map(|endpoint| endpoint.ipv6).collect(),
    );
    (!owners.is_empty()).then_some(addresses)
}

proptest! {
    #[test]
    fn whatever_comes_and_goes_the_table_says_what_is_there(changes in prop::collection::vec(change(), 0..40)) {
        let (zones, mut known) = (Zones::new(), Known::new());
        for change in changes {
            apply(&zones, &mut known, change);
            let table = zones.read();
            for network in ["1", "2"] {
                let key = NetworkKey::from(network);
                for name in ["web", "db", "a.b", "_x", "no..name", ""] {
                    let found = table.find(&key, name).map(|found| {
                        (found.ipv4().into_iter().collect(), found.ipv6().into_iter().collect())
                    });
                    prop_assert_eq!(found, expected(&known, network, name), "{} in {}", name, network);
                }
            }
        }
        for key in known.keys() {
            zones.remove(&key.as_str().into());
        }
        prop_assert!(zones.is_empty());
        prop_assert_eq!(zones.read().networks(), 0);
    }
}
