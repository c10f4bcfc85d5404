//! The engine is killed at random instants of what changes the store of images: nothing acknowledged is lost, nothing
//! half-written is used, and nothing is left on the disk that no image needs.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use minke_testkit::{Entry, Host, Registry, RegistryKind, Rootfs};

const ROUNDS: usize = 50;
/// Images that are pulled, and archives that are loaded.
const IMAGES: usize = 3;
/// Bytes of an image's own file: big enough that a transfer takes some milliseconds.
const SIZE: usize = 3 << 20;

/// Numbers of which each seed gives a row of its own (xorshift64).
pub(crate) struct Chance(u64);

impl Chance {
    /// Seeded by `SEED`, else by the clock; says so, since a failure is replayed with it.
    pub(crate) fn new() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::try_from(clock & u128::from(u64::MAX)).expect("64 bits")) | 1;
        eprintln!("SEED={seed}");
        Self(seed)
    }

    /// The row of another number in this one's row.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A file that does not compress, different for each image.
fn content(number: usize) -> Vec<u8> {
    let mut chance = Chance(number as u64 * 2 + 1);
    (0..SIZE / 8).flat_map(|_| chance.below(u64::MAX).to_le_bytes()).collect()
}

/// The files of every image that is listed are there, whole.
fn check_images(host: &Host) -> Vec<String> {
    let listed = host.minke(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    let names: Vec<String> = listed.lines().map(str::to_owned).collect();
    for name in &names {
        let folders = host.minke(["image", "inspect", "-f", "{{.GraphDriver.Data.LowerDir}}", name]).ok();
        let own = folders.split(':').map(|folder| Path::new(folder).join("own")).find(|own| own.is_file());
        let own = own.unwrap_or_else(|| panic!("{name} has lost its file: {folders}"));
        assert_eq!(fs::metadata(own).unwrap().len(), SIZE as u64, "{name}");
        // It checks the sizes of all blobs.
        let _ = host.minke(["save", "-o", host.path("saved.tar").to_str().unwrap(), name]).expect_code(0);
    }
    names
}

/// What lies below a folder of the store, the store's own folders left out.
fn entries(host: &Host, folder: &str) -> Vec<String> {
    let list = fs::read_dir(host.path("root").join(folder)).unwrap();
    let names = list.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn a_kill_at_any_instant_of_a_transfer_loses_nothing_and_leaves_nothing() {
    let mut chance = Chance::new();
    let mut host = Host::start();
    let registry = Registry::start(&host, RegistryKind::Minke);
    for number in 0..=IMAGES {
        let name = registry.name(&format!("image{number}:1"));
        host.import(&name, Rootfs::empty().add("own", 0o644, Entry::File(&content(number))));
        let _ = host.minke(["push", "-q", &name]).expect_code(0);
        let archive = host.path(format!("image{number}.tar")).display().to_string();
        let loaded = format!("loaded{number}:1");
        let _ = host.minke(["tag", &name, &loaded]).ok();
        let _ = host.minke(["save", "-o", &archive, &loaded]).ok();
        let _ = host.minke(["rmi", &name, &loaded]).ok();
    }
    // One that nobody touches again.
    let kept = registry.name(&format!("image{IMAGES}:1"));
    let _ = host.minke(["pull", "-q", &kept]).ok();
    let _ = host.minke(["create", "--name", "user", &kept, "true"]).ok();

    for round in 0..ROUNDS {
        let number = chance.below(IMAGES as u64);
        let (pulled, loaded) = (registry.name(&format!("image{number}:1")), format!("loaded{number}:1"));
        let archive = host.path(format!("image{number}.tar")).display().to_string();
        let (operation, arrives) = match chance.below(4) {
            0 => (vec!["pull", "-q", &pulled], Some(&pulled)),
            1 => (vec!["load", "-q", "-i", &archive], Some(&loaded)),
            2 => (vec!["rmi", "-f", &pulled], None),
            _ => (vec!["image", "prune", "-a", "-f"], None),
        };
        let shown = operation.join(" ");
        let run = match operation[..] {
            [a, b, c] => host.minke_run([a, b, c]),
            [a, b, c, d] => host.minke_run([a, b, c, d]),
            _ => unreachable!("operations have three or four words"),
        };
        let mut client = run.spawn();
        std::thread::sleep(Duration::from_micros(chance.below(60_000)));
        host.kill_daemon();
        let acknowledged = client.wait().unwrap().success();
        host.start_daemon();
        let names = check_images(&host);
        assert!(names.contains(&kept), "round {round}: {shown}: {kept} is gone");
        if let Some(name) = arrives.filter(|_| acknowledged) {
            assert!(
                names.contains(name),
                "round {round}: {shown} was acknowledged, but there are only {names:?}"
            );
        }
    }

    let _ = host.minke(["rm", "user"]).ok();
    let _ = host.minke(["image", "prune", "-a", "-f"]).expect_code(0);
    for folder in ["content/blobs/sha256", "content/ingest", "layers", "layers/.staging", "layers/.trash"] {
        host.until("the store is swept", || entries(&host, folder).is_empty());
    }
    drop(registry);
    host.expect_nothing_left();
}
