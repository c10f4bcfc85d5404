//! One entry of a folder as it is announced, and its translation from Go's modes to the kernel's and back.

use std::collections::BTreeMap;

use rustix::fs::{FileType, Timespec};

use super::SyncError;
use crate::pb::fsutil::Stat;

/// Extended attributes of a file that are kept, and their total size.
const XATTRS: (usize, usize) = (64, 64 * 1024);

/// Go's type bits (`io/fs.FileMode`).
const DIRECTORY: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const FIFO: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHARACTER: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;
const TYPES: u32 = DIRECTORY | LINK | DEVICE | FIFO | SOCKET | CHARACTER | IRREGULAR;

const NANOS: i64 = 1_000_000_000;
/// The longest path and the longest target of a link, as in the kernel.
const PATH_LIMIT: usize = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Fifo,
}

/// An entry whose path and type were looked at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Relative, without `.`, `..` and empty parts.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// Permissions with setuid, setgid and the sticky bit.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) modified: Timespec,
    /// Where a link leads, or the earlier name of the same file.
    pub(crate) target: String,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

impl Entry {
    /// Looks at what was announced.
    ///
    /// # Errors
    /// For paths that aren't relative and clean, and for sockets and devices.
    pub(crate) fn read(stat: Stat) -> Result<Self, SyncError> {
        let refuse = |reason| SyncError::Entry { path: shortened(&stat.path), reason };
        check_path(&stat.path).map_err(refuse)?;
        let kind = match stat.mode & TYPES {
            0 => Kind::File,
            DIRECTORY => Kind::Directory,
            LINK => Kind::Link,
            FIFO => Kind::Fifo,
            _ => {
                return Err(refuse(
                    "sockets and devices can't be part of a build's files; leave it out with .dockerignore",
                ));
            }
        };
        if stat.linkname.len() > PATH_LIMIT || stat.linkname.contains('\0') {
            return Err(refuse("a link with an impossible target"));
        }
        match kind {
            Kind::Link if stat.linkname.is_empty() => return Err(refuse("a link that leads nowhere")),
            Kind::File if !stat.linkname.is_empty() => check_path(&stat.linkname).map_err(refuse)?,
            _ => {}
        }
        Ok(Self {
            kind,
            mode: permissions(stat.mode),
            size: u64::try_from(stat.size).map_err(|_| refuse("a negative size"))?,
            modified: Timespec {
                tv_sec: stat.mod_time.div_euclid(NANOS),
                tv_nsec: stat.mod_time.rem_euclid(NANOS),
            },
            path: stat.path,
            target: stat.linkname,
            xattrs: kept_xattrs(stat.xattrs),
        })
    }

    /// The folder that it is in, and its name there.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.path.rsplit_once('/').unwrap_or(("", &self.path))
    }

    /// Whether its content comes in packets of its own.
    pub(crate) fn has_content(&self) -> bool {
        self.kind == Kind::File && self.target.is_empty()
    }
}

/// The attributes that mean something in an image, as far as they are few: what a client says of a file waits in memory.
fn kept_xattrs(xattrs: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let mut size = 0;
    let means_something = |name: &str| name.starts_with("user.") || name == "security.capability";
    let kept = xattrs.into_iter().filter(|(name, _)| means_something(name)).take(XATTRS.0);
    kept.take_while(|(name, value)| {
        size += name.len() + value.len();
        size <= XATTRS.1
    })
    .collect()
}

/// What clients are told of an entry that they ask about; `None` for a socket.
pub fn stat_of(name: &str, stat: &rustix::fs::Stat) -> Option<Stat> {
    announced(name, stat, String::new())
}

/// An entry of this host's, to be announced; `None` for what isn't sent (sockets).
pub(crate) fn announced(path: &str, stat: &rustix::fs::Stat, target: String) -> Option<Stat> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => 0,
        FileType::Directory => DIRECTORY,
        FileType::Symlink => LINK,
        FileType::Fifo => FIFO,
        FileType::CharacterDevice => DEVICE | CHARACTER,
        FileType::BlockDevice => DEVICE,
        _ => return None,
    };
    let device = kind & DEVICE != 0;
    let bits = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
    let special = bits.iter().filter(|(bit, _)| stat.st_mode & bit != 0).map(|(_, go)| go).sum::<u32>();
    Some(Stat {
        path: path.to_owned(),
        mode: kind | special | (stat.st_mode & 0o777),
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: if kind == 0 { stat.st_size } else { 0 },
        mod_time: stat
            .st_mtime
            .saturating_mul(NANOS)
            .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        linkname: target,
        devmajor: if device { rustix::fs::major(stat.st_rdev).into() } else { 0 },
        devminor: if device { rustix::fs::minor(stat.st_rdev).into() } else { 0 },
        xattrs: BTreeMap::new(),
    })
}

fn permissions(mode: u32) -> u32 {
    let bits = [(SETUID, 0o4000), (SETGID, 0o2000), (STICKY, 0o1000)];
    let special = bits.iter().filter(|(go, _)| mode & go != 0).map(|(_, bit)| bit).sum::<u32>();
    special | (mode & 0o777)
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > PATH_LIMIT || path.contains('\0') {
        return Err("an impossible path");
    }
    if path.starts_with('/') {
        return Err("an absolute path");
    }
    match path.split('/').any(|part| part.is_empty() || part == "." || part == ".." || part.len() > 255) {
        true => Err("a path that isn't clean, or leads outside"),
        false => Ok(()),
    }
}

/// As much of a path as an error shows.
fn shortened(path: &str) -> String {
    path.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &str, mode: u32) -> Stat {
        Stat { path: path.into(), mode, mod_time: -1, ..Stat::default() }
    }

    #[test]
    fn modes_and_times_are_translated() {
        let entry = Entry::read(stat("a/b", SETUID | STICKY | 0o751)).unwrap();
        assert_eq!((entry.kind, entry.mode), (Kind::File, 0o5751));
        assert_eq!((entry.modified.tv_sec, entry.modified.tv_nsec), (-1, 999_999_999));
        assert_eq!(entry.split(), ("a", "b"));
        assert_eq!(Entry::read(stat("d", DIRECTORY | 0o755)).unwrap().kind, Kind::Directory);
    }

    #[test]
    fn paths_that_lead_outside_are_refused() {
        for path in ["", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/", "a\0b"] {
            assert!(Entry::read(stat(path, 0o644)).is_err(), "{path:?}");
        }
        assert!(Entry::read(stat(&"x".repeat(256), 0o644)).is_err());
        let hard = Stat { linkname: "../x".into(), ..stat("a", 0o644) };
        assert!(Entry::read(hard).is_err());
    }

    #[test]
    fn devices_and_sockets_are_refused() {
        for mode in [DEVICE, DEVICE | CHARACTER, SOCKET, IRREGULAR, DIRECTORY | LINK] {
            assert!(Entry::read(stat("a", mode)).is_err());
        }
        assert!(Entry::read(stat("a", LINK)).is_err(), "a link without a target");
    }
}
