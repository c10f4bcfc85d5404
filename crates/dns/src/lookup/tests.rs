//! What containers see of names, without a socket.

use std::net::IpAddr;

use super::*;
use crate::{
    Endpoint, EndpointKey, NetworkKey, Zones,
    view::{Link, Upstreams},
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Networks `front` and `back`, with a name in both.
fn zones() -> Zones {
    let zones = Zones::new();
    let insert = |network: &str, key: &str, names: &[&str], ipv4: Option<&str>, ipv6: Option<&str>| {
        let endpoint = Endpoint {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            ipv4: ipv4.map(|text| text.parse().unwrap()),
            ipv6: ipv6.map(|text| text.parse().unwrap()),
        };
        zones.insert(&NetworkKey::from(network), EndpointKey::from(key), endpoint);
    };
    insert("1", "web", &["web", "www", "web.example"], Some("10.1.0.2"), None);
    insert("1", "db", &["db"], Some("10.1.0.3"), Some("fd01::3"));
    insert("2", "other-db", &["db"], Some("10.2.0.3"), None);
    insert("2", "web6", &["web"], None, Some("fd02::2"));
    insert("3", "secret", &["secret"], Some("10.3.0.2"), Some("fd03::2"));
    zones
}

fn view(networks: &[(&str, &str)]) -> View {
    let networks = networks.iter().map(|&(key, name)| Membership::new(key.into(), name)).collect();
    View { networks, upstreams: Upstreams::Host, forwards: true, keeps_single_words: false }
}

fn ask(view: &View, name: &str, kind: RecordType) -> Local {
    lookup(&Query::query(Name::from_ascii(name).unwrap(), kind), view, &zones().read())
}

fn found(addresses: &[&str]) -> Local {
    Local::Addresses(addresses.iter().map(|text| ip(text)).collect())
}

#[test]
fn a_name_is_known_to_the_containers_of_its_network_alone() {
    let front = view(&[("1", "front")]);
    assert_eq!(ask(&front, "WEB.", RecordType::A), found(&["10.1.0.2"]));
    assert_eq!(ask(&front, "www", RecordType::A), found(&["10.1.0.2"]));
    for name in ["secret.", "secret.hidden.", "2.0.3.10.in-addr.arpa."] {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::PTR, RecordType::ANY] {
            assert_eq!(ask(&front, name, kind), Local::Unknown, "{name} {kind}");
        }
    }
    assert_eq!(ask(&view(&[]), "web", RecordType::A), Local::Unknown);
}

#[test]
fn a_known_name_without_what_was_asked_for_is_still_known() {
    let front = view(&[("1", "front")]);
    for kind in [RecordType::AAAA, RecordType::MX, RecordType::TXT, RecordType::HTTPS] {
        assert_eq!(ask(&front, "web", kind), found(&[]), "{kind}");
    }
    assert_eq!(ask(&front, "db", RecordType::ANY), found(&["10.1.0.3", "fd01::3"]));
}

#[test]
fn the_first_network_that_has_such_an_address_answers() {
    let both = [("1", "front"), ("2", "back")];
    assert_eq!(ask(&view(&both), "db", RecordType::A), found(&["10.1.0.3"]));
    assert_eq!(ask(&view(&[both[1], both[0]]), "db", RecordType::A), found(&["10.2.0.3"]));
    assert_eq!(ask(&view(&both), "web", RecordType::AAAA), found(&["fd02::2"]));
}

#[test]
fn a_network_s_name_behind_a_name_chooses_that_network() {
    let both = view(&[("1", "front"), ("2", "back.Office")]);
    assert_eq!(ask(&both, "db.front.", RecordType::A), found(&["10.1.0.3"]));
    assert_eq!(ask(&both, "DB.BACK.OFFICE", RecordType::A), found(&["10.2.0.3"]));
    assert_eq!(ask(&both, "web.example", RecordType::A), found(&["10.1.0.2"]));
    assert_eq!(ask(&both, "web.example.front", RecordType::A), found(&["10.1.0.2"]));
    assert_eq!(ask(&both, "www.back.office", RecordType::A), Local::Unknown);
    assert_eq!(ask(&both, "front", RecordType::A), Local::Unknown);
}

#[test]
fn addresses_have_the_first_name_and_their_network_s() {
    let both = view(&[("1", "front"), ("2", "Back")]);
    assert_eq!(ask(&both, "2.0.1.10.in-addr.arpa.", RecordType::PTR), Local::Pointer("web.front".into()));
    assert_eq!(ask(&both, "3.0.2.10.IN-ADDR.arpa.", RecordType::PTR), Local::Pointer("db.back".into()));
    let six = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.d.f.ip6.arpa.";
    assert_eq!(ask(&both, six, RecordType::PTR), Local::Pointer("db.front".into()));
    for name in
        ["0.1.10.in-addr.arpa.", "9.0.1.10.in-addr.arpa.", "x.in-addr.arpa.", "in-addr.arpa.", "arpa."]
    {
        assert_eq!(ask(&both, name, RecordType::PTR), Local::Unknown, "{name}");
    }
}

#[test]
fn a_link_is_what_one_container_alone_says() {
    let mut linked = view(&[("1", "front"), ("2", "back")]);
    linked.networks[0].links = vec![
        Link { alias: "Store".into(), target: "db".into() },
        Link { alias: "www".into(), target: "gone".into() },
    ];
    assert_eq!(ask(&linked, "store", RecordType::A), found(&["10.1.0.3"]));
    assert_eq!(ask(&linked, "store.front", RecordType::AAAA), found(&["fd01::3"]));
    assert_eq!(ask(&linked, "store.back", RecordType::A), Local::Unknown);
    assert_eq!(ask(&linked, "www", RecordType::A), Local::Unknown, "its link leads nowhere now");
    assert_eq!(ask(&view(&[("1", "front")]), "store", RecordType::A), Local::Unknown);
}

#[test]
fn single_words_are_kept_when_search_domains_are_to_come() {
    let mut view = view(&[("1", "front")]);
    view.keeps_single_words = true;
    assert_eq!(ask(&view, "elsewhere.", RecordType::A), Local::NoData);
    assert_eq!(ask(&view, "elsewhere.", RecordType::MX), Local::Unknown);
    assert_eq!(ask(&view, "elsewhere.example.", RecordType::A), Local::Unknown);
    assert_eq!(ask(&view, "web", RecordType::A), found(&["10.1.0.2"]));
}

#[test]
fn questions_of_other_classes_are_not_about_containers() {
    let mut question = Query::query(Name::from_ascii("web.").unwrap(), RecordType::A);
    question.query_class = DNSClass::CH;
    assert_eq!(lookup(&question, &view(&[("1", "front")]), &zones().read()), Local::Unknown);
}
