//! The host's name servers, as they are now: its resolv.conf changes with networks, VPNs and DHCP while containers run.
//!
//! The file is looked at when somebody asks, at most once a second. Nothing watches it: an inotify instance or a timer
//! would cost an idle engine something, and the host's own programs look no more often either (glibc, since 2.26).

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

pub use resolv_conf::HostDns;

mod resolv_conf;

/// How old what is known may be.
const FRESH: Duration = Duration::from_secs(1);

/// What the host's resolv.conf says. Clones share what was read.
#[derive(Debug, Clone)]
pub struct HostResolvers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    looked: Instant,
    stamp: Option<Stamp>,
    dns: Arc<HostDns>,
}

/// Device, inode, length, and when it was changed: a replaced file differs, and so does one that was written over.
type Stamp = (u64, u64, u64, i64, i64);

impl HostResolvers {
    /// Reads the file at `path`, usually `/etc/resolv.conf`. One that is missing or can't be read says nothing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let known = Known::read(&path, stamp(&path));
        Self(Arc::new(Inner { path, known: Mutex::new(known) }))
    }

    /// What it says now, or said up to a second ago.
    pub fn current(&self) -> Arc<HostDns> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= FRESH {
            let stamp = stamp(&self.0.path);
            if stamp == known.stamp {
                known.looked = Instant::now();
            } else {
                *known = Known::read(&self.0.path, stamp);
                tracing::info!(path = %self.0.path.display(), servers = ?known.dns.servers, "the host's name servers changed");
            }
        }
        known.dns.clone()
    }
}

impl Known {
    fn read(path: &Path, stamp: Option<Stamp>) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let dns = Arc::new(HostDns::parse(&String::from_utf8_lossy(&bytes)));
        Self { looked: Instant::now(), stamp, dns }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_change_is_seen_and_a_missing_file_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let resolvers = HostResolvers::new(&path);
        let loopback = resolvers.current();
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        while Arc::ptr_eq(&loopback, &resolvers.current()) {
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(resolvers.current().servers, ["192.0.2.1:53".parse().unwrap()]);
    }
}
