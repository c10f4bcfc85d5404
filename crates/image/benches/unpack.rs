//! Unpacking and packing side by side with GNU tar, printed as ratios.
//!
//! `cargo bench -p minke-image --profile fast [FOLDER]` packs FOLDER (`/usr/lib/python3` without one), then unpacks
//! the tar in turns with both programs into fresh folders and prints medians. As root, so that owners count.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::{
    fs::File,
    os::fd::AsFd,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use minke_image::archive::{PackOptions, UnpackOptions, Whiteouts, pack, unpack};

const ROUNDS: usize = 5;

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.unwrap_or_else(|| "/usr/lib/python3".to_owned());
    let work = tempfile::tempdir().unwrap();
    let tar = work.path().join("tree.tar");
    assert!(Command::new("tar").args(["-C", &folder, "-cf"]).arg(&tar).arg(".").status().unwrap().success());
    let size = std::fs::metadata(&tar).unwrap().len();
    println!("{folder}: {:.1} MB of tar", size as f64 / 1e6);

    let ours = |to: &Path| {
        let options = UnpackOptions { whiteouts: Whiteouts::Overlay, ..UnpackOptions::default() };
        unpack(File::open(&tar).unwrap(), File::open(to).unwrap().as_fd(), &options).unwrap();
    };
    let theirs = |to: &Path| {
        let status = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(to).status().unwrap();
        assert!(status.success());
    };
    compare("unpack", size, work.path(), &ours, &theirs);

    let ours = |_: &Path| {
        let out = std::io::BufWriter::with_capacity(1 << 20, File::create("/dev/null").unwrap());
        pack(File::open(&folder).unwrap().as_fd(), Path::new(""), out, &PackOptions::default()).unwrap();
    };
    // To a pipe: GNU tar does not read files at all when it writes to /dev/null itself.
    let theirs = |_: &Path| {
        let mut tar = Command::new("tar")
            .args(["-C", &folder, "-cf", "-", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::copy(tar.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
        assert!(tar.wait().unwrap().success());
    };
    compare("pack", size, work.path(), &ours, &theirs);
}

fn compare(what: &str, size: u64, work: &Path, ours: &dyn Fn(&Path), theirs: &dyn Fn(&Path)) {
    let timed = |run: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir_in(work).unwrap();
        let start = Instant::now();
        run(folder.path());
        start.elapsed()
    };
    let rounds: Vec<(Duration, Duration)> = (0..ROUNDS).map(|_| (timed(ours), timed(theirs))).collect();
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let ours = median(rounds.iter().map(|round| round.0).collect());
    let theirs = median(rounds.iter().map(|round| round.1).collect());
    let speed = |time: Duration| size as f64 / 1e6 / time.as_secs_f64();
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!("{what}: minke {:.0} MB/s, GNU tar {:.0} MB/s, ratio {ratio:.2}", speed(ours), speed(theirs));
}
