//! Names of containers.

use minke_dns::{Link, Membership};

use super::world::{FRONT, World, view};

/// Nobody knows the rest: nothing listens where the host's resolv.conf points.
fn world() -> World {
    let world = World::new("");
    world.name(FRONT, "web", &["web", "www"], "10.1.0.2", None);
    world.name(FRONT, "db", &["db.store_1"], "10.1.0.3", Some("fd01::3"));
    world.name("back", "secret", &["secret", "web"], "10.2.0.2", Some("fd02::2"));
    world
}

#[test]
fn a_name_has_its_address_whatever_its_case_for_ten_minutes() {
    let world = world();
    let container = world.container(view());
    container.dig("web A").expect(&["600 A 10.1.0.2"]);
    container.dig("WwW. A").expect(&["600 A 10.1.0.2"]);
    container.dig("DB.Store_1 AAAA").expect(&["600 AAAA fd01::3"]);
    container.dig("+tcp db.store_1 A").expect(&["600 A 10.1.0.3"]);
    assert_eq!(container.dig("web A").flags, "qr rd ra");
}

#[test]
fn what_a_name_doesn_t_have_is_no_error_and_nobody_is_asked() {
    let world = world();
    let container = world.container(view());
    for kind in ["AAAA", "MX", "TXT", "SRV", "HTTPS"] {
        container.dig(&format!("web {kind}")).expect_nothing("NOERROR");
    }
    container.dig("+notcp db.store_1 ANY").expect(&["600 A 10.1.0.3", "600 AAAA fd01::3"]);
}

#[test]
fn addresses_have_names_in_both_families() {
    let world = world();
    let container = world.container(view());
    container.dig("-x 10.1.0.2").expect(&["600 PTR web.front."]);
    container.dig("-x fd01::3").expect(&["600 PTR db.store_1.front."]);
}

#[test]
fn names_and_addresses_of_other_networks_are_nobody_s() {
    let world = world();
    let container = world.container(view());
    for question in ["secret A", "secret AAAA", "secret.back A", "secret TXT", "-x 10.2.0.2", "-x fd02::2"] {
        container.dig(question).expect_nothing("SERVFAIL");
    }
}

#[test]
fn connecting_and_disconnecting_change_what_is_seen() {
    let world = world();
    let container = world.container(view());
    let mut both = view();
    both.networks.push(Membership::new("back".into(), "back"));
    both.networks[1].links.push(Link { alias: "vault".into(), target: "secret".into() });
    container.update(both);
    container.dig("secret A").expect(&["600 A 10.2.0.2"]);
    container.dig("vault A").expect(&["600 A 10.2.0.2"]);
    container.dig("web.back A").expect(&["600 A 10.2.0.2"]);
    container.dig("web A").expect(&["600 A 10.1.0.2"]);
    container.update(view());
    container.dig("vault A").expect_nothing("SERVFAIL");
    world.server.zones().remove(&"web".into());
    container.dig("web A").expect_nothing("SERVFAIL");
    world.name(FRONT, "web", &["web"], "10.1.0.9", None);
    container.dig("web A").expect(&["600 A 10.1.0.9"]);
}

#[test]
fn a_shared_name_has_all_addresses_each_of_them_first_in_turn() {
    let world = world();
    for n in 1..=3 {
        world.name(FRONT, &format!("app-{n}"), &["app"], &format!("10.1.1.{n}"), None);
    }
    let container = world.container(view());
    let mut firsts: Vec<String> = (0..3).map(|_| container.dig("app A").answers.remove(0)).collect();
    firsts.sort();
    assert_eq!(firsts, ["600 A 10.1.1.1", "600 A 10.1.1.2", "600 A 10.1.1.3"]);
}

#[test]
fn more_addresses_than_a_datagram_holds_are_had_by_tcp() {
    let world = world();
    for n in 0..300 {
        world.name(FRONT, &format!("app-{n}"), &["app"], &format!("10.1.{}.{}", 1 + n / 200, n % 200), None);
    }
    let container = world.container(view());
    let cut = container.dig("+ignore +noedns app A");
    assert_eq!((cut.flags.as_str(), cut.answers.len()), ("qr tc rd ra", 30), "{}", cut.all);
    assert_eq!(container.dig("+ignore +bufsize=1400 app A").answers.len(), 85);
    assert_eq!(container.dig("app A").answers.len(), 300);
}

#[test]
fn a_container_is_served_as_long_as_it_is_kept() {
    let world = world();
    let mut container = world.container(view());
    let served = container.dig("web A");
    container.serving = None;
    served.expect(&["600 A 10.1.0.2"]);
    super::world::wait_for("the socket to close", || container.dig("web A").status.is_empty());
}

#[test]
fn two_containers_see_what_each_of_them_is_in() {
    let world = world();
    let (one, other) = (world.container(view()), world.container(minke_dns::View::default()));
    one.dig("web A").expect(&["600 A 10.1.0.2"]);
    other.dig("web A").expect_nothing("SERVFAIL");
}
