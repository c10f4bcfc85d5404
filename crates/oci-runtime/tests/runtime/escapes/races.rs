//! Races with a process that shares a volume with the container: it exchanges a directory or file for a link, again and
//! again, while the runtime makes containers.
//!
//! Each test first shows, by doing naively what the runtime must not, that the race is one: the link is hit.

use crate::bundle::Bundle;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs,
    os::unix::fs::{FileTypeExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

const ROUNDS: usize = 60;
/// How often the naive way is tried at most.
const NAIVE_ROUNDS: usize = 100_000;

/// Exchanges two names until it is dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    fn start(one: PathBuf, other: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// Asserts that an attempt either succeeded, or failed with one line that has `words`.
#[track_caller]
fn harmless(outcome: crate::bundle::Outcome, words: &str) -> bool {
    match outcome.code {
        Some(0) => true,
        _ => {
            outcome.failed_with(1, &[words]);
            false
        }
    }
}

/// CVE-2021-30465, CVE-2024-45310: a part of a mount's destination becomes a link to the host.
#[test]
fn a_mount_does_not_follow_a_directory_that_becomes_a_link() {
    let mut bundle = Bundle::new("test -e /vol/target/marker && echo escaped; echo ran");
    let (volume, outside) = (bundle.path().join("volume"), bundle.path().join("outside"));
    fs::create_dir_all(volume.join("target")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("marker"), "").unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    let swapper = Swapper::start(volume.join("target"), volume.join("link"));
    let naive = (0..NAIVE_ROUNDS).any(|_| {
        let _ = fs::create_dir_all(volume.join("target/sub/new"));
        entries(&outside) > 1
    });
    assert!(naive, "the race is never lost: the test shows nothing");
    fs::remove_dir_all(outside.join("sub")).unwrap();
    bundle.mount("/vol", "bind", volume.to_str().unwrap(), &["rbind"]);
    bundle.mount("/vol/target/sub/new", "tmpfs", "tmpfs", &[]);
    let file = bundle.path().join("config.json").display().to_string();
    bundle.mount("/vol/target/sub/file", "bind", &file, &["bind"]);
    let mut ran = 0;
    for _ in 0..ROUNDS {
        let outcome = bundle.run();
        assert!(!outcome.stdout.contains("escaped"), "{outcome:?}");
        ran += usize::from(harmless(outcome, "mounts["));
        assert_eq!(entries(&outside), 1, "only the marker");
    }
    drop(swapper);
    println!("{ran} of {ROUNDS} ran");
    bundle.left_nothing();
}

/// CVE-2025-31133: the null device that masks becomes a link to something else.
#[test]
fn a_mask_is_the_null_device_whatever_becomes_of_its_path() {
    let mut bundle = Bundle::new("stat -c '%F %t:%T' /secret; cat /secret");
    bundle.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    fs::write(bundle.rootfs().join("secret"), "secret\n").unwrap();
    fs::write(bundle.rootfs().join("victim"), "victim\n").unwrap();
    let dev = bundle.path().join("dev");
    fs::create_dir(&dev).unwrap();
    let null = dev.join("null");
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(CWD, &null, rustix::fs::FileType::CharacterDevice, mode, device).unwrap();
    symlink("/victim", dev.join("link")).unwrap();
    bundle.mount("/dev", "bind", dev.to_str().unwrap(), &["rbind"]);
    bundle.linux().masked_paths = vec!["/secret".into()];
    let swapper = Swapper::start(null.clone(), dev.join("link"));
    // Checked by its path and then used by its path, it is another thing at times.
    let is_null = || fs::symlink_metadata(&null).is_ok_and(|file| file.file_type().is_char_device());
    let naive = (0..NAIVE_ROUNDS).any(|_| is_null() && !is_null());
    assert!(naive, "the race is never lost: the test shows nothing");
    for _ in 0..ROUNDS {
        // With the image's gone, the host's serves: there is no round without a mask.
        let outcome = bundle.run().succeeded();
        assert_eq!(outcome.stdout, "character special file 1:3\n");
    }
    drop(swapper);
    bundle.left_nothing();
}

/// CVE-2025-52565: /dev/console becomes a link to a file of /proc.
#[test]
fn the_terminal_is_not_bound_on_what_its_place_becomes() {
    let mut bundle = Bundle::new("grep -c ' /proc/uptime ' /proc/self/mountinfo; echo ran");
    bundle.process().terminal = true;
    bundle.spec.mounts.retain(|mount| mount.destination != "/dev");
    let dev = bundle.rootfs().join("dev");
    fs::write(dev.join("console"), "").unwrap();
    symlink("/proc/uptime", dev.join("link")).unwrap();
    let swapper = Swapper::start(dev.join("console"), dev.join("link"));
    let naive = (0..NAIVE_ROUNDS).any(|_| {
        let looks = |path: &Path| fs::symlink_metadata(path).is_ok_and(|file| file.is_file());
        looks(&dev.join("console")) && !looks(&dev.join("console"))
    });
    assert!(naive, "the race is never lost: the test shows nothing");
    let mut ran = 0;
    for _ in 0..ROUNDS {
        let outcome = bundle.run();
        assert!(outcome.code != Some(0) || outcome.stdout.split_whitespace().eq(["0", "ran"]), "{outcome:?}");
        ran += usize::from(harmless(outcome, "/dev/console"));
    }
    drop(swapper);
    println!("{ran} of {ROUNDS} ran");
    // The control for what the script looks for: a mount on that file does show.
    bundle.process().terminal = false;
    let own = bundle.path().join("config.json").display().to_string();
    bundle.mount("/proc/uptime", "bind", &own, &["bind"]);
    assert_eq!(bundle.run().succeeded().stdout, "1\nran\n");
    bundle.left_nothing();
}

/// CVE-2025-52881: what the runtime writes to /proc goes to a file of the image.
#[test]
fn what_is_written_to_proc_arrives_there_whatever_the_image_does() {
    let mut bundle = Bundle::new("cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj");
    bundle.linux().sysctl.insert("net.ipv4.ip_forward".into(), "1".into());
    bundle.process().oom_score_adj = Some(321);
    let root = bundle.rootfs();
    for fake in ["fake/sys/net/ipv4", "fake/self/attr", "fake/thread-self"] {
        fs::create_dir_all(root.join(fake)).unwrap();
    }
    let decoys = ["sys/net/ipv4/ip_forward", "self/oom_score_adj", "self/attr/exec"]
        .map(|name| root.join("fake").join(name));
    decoys.iter().for_each(|decoy| fs::write(decoy, "decoy").unwrap());
    symlink("/fake", root.join("link")).unwrap();
    let swapper = Swapper::start(root.join("proc"), root.join("link"));
    let naive = (0..NAIVE_ROUNDS).any(|_| fs::read_link(root.join("proc")).is_ok());
    assert!(naive, "the race is never lost: the test shows nothing");
    let mut ran = 0;
    for _ in 0..ROUNDS {
        let outcome = bundle.run();
        assert!(decoys.iter().all(|decoy| fs::read(decoy).unwrap() == b"decoy"), "{outcome:?}");
        if outcome.code == Some(0) && !outcome.stdout.contains("decoy") {
            assert_eq!(outcome.lines(), ["1", "321"]);
            ran += 1;
        }
    }
    drop(swapper);
    println!("{ran} of {ROUNDS} ran");
    bundle.left_nothing();
}
