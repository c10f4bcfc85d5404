//! The engine is killed at random instants while clients create, start, exec, read logs, stop, remove and pull: what was
//! acknowledged is there, what runs runs on with its log whole, nothing else remains, and no call hangs.
//!
//! ```text
//!  round: clients change objects of their own ──▶ SIGKILL ──▶ clients see their connections end ──▶ next engine ──▶ compare
//!            │ each keeps a ledger: before a call what may come of it, after its answer what is
//! ```
//!
//! `MINKE_TEST_KILLS` says how often (`make soak`: 100 times), `SEED` repeats the instants and the calls of a run.

use std::{collections::BTreeMap, time::Duration};

use minke_testkit::{Entry, Host, Registry, RegistryKind, Rootfs};

use crate::durability::Chance;

mod client;
mod containers;
mod ledger;

use client::Client;

/// Kills in an ordinary run.
const KILLS: usize = 10;
/// Clients at a time.
const CLIENTS: usize = 4;
/// The longest time that a round's clients have until the kill, in microseconds.
const ROUND: u64 = 400_000;
/// No call takes so long, whatever the machine has to do.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn kills_under_a_mixed_load_lose_nothing_and_leave_nothing() {
    let kills = std::env::var("MINKE_TEST_KILLS").ok().filter(|text| !text.is_empty());
    let kills = kills.map_or(KILLS, |text| text.parse().expect("MINKE_TEST_KILLS is a number"));
    let mut chance = Chance::new();
    let mut host = Host::with_busybox();
    let registry = Registry::start(&host, RegistryKind::Minke);
    let images: Vec<String> = (0..CLIENTS).map(|number| registry.name(&format!("image{number}:1"))).collect();
    for image in &images {
        host.import(image, Rootfs::empty().add("own", 0o644, Entry::File(image.as_bytes())));
        let _ = host.minke(["push", "-q", image]).expect_code(0);
        let _ = host.minke(["rmi", image]).expect_code(0);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut clients: Vec<Client> =
        images.into_iter().enumerate().map(|(number, image)| Client::new(number, image)).collect();
    let mut calls = BTreeMap::new();
    for round in 0..kills {
        let running: Vec<_> = clients
            .drain(..)
            .map(|client| runtime.spawn(client.work(host.endpoint(), chance.fork())))
            .collect();
        std::thread::sleep(Duration::from_micros(chance.below(ROUND)));
        host.kill_daemon();
        for client in running {
            let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, client).await });
            let ended =
                ended.unwrap_or_else(|_| panic!("round {round}: a call hangs after the engine's end"));
            clients
                .push(ended.unwrap_or_else(|error| panic!("round {round}: {error}\n{}", host.daemon_log())));
        }
        host.start_daemon();
        ledger::compare(&host, &runtime, &mut clients, round);
    }
    for client in &clients {
        client.count_into(&mut calls);
    }
    eprintln!("{kills} kills, answered calls: {calls:?}");
    for client in &mut clients {
        runtime.block_on(client.tidy(host.endpoint()));
    }
    ledger::compare(&host, &runtime, &mut clients, kills);
    drop(registry);
    host.expect_nothing_left();
}
