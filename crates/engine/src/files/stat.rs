//! What a path is, in the words of Docker's clients.

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use minke_kernel::path::Root;
use rustix::fs::{self, AtFlags, FileType, Stat};
use time::OffsetDateTime;

use crate::{PathStat, time_text};

/// The path itself; the last symbolic link is not followed unless the client asked with a slash at the end.
pub(super) fn stat(root: &Root, path: &Path, asked: &str) -> io::Result<PathStat> {
    let follows = asked.ends_with('/') || asked.ends_with("/.");
    let (stat, link_target) = if let Some(name) = path.file_name().filter(|_| !follows) {
        // Only looked up: asking about a path must not make its parents.
        let parent = root.locate(path.parent().unwrap_or(Path::new("/")))?;
        let stat = fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let link = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = fs::readlinkat(&parent, name, Vec::new())?;
                let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes())).to_owned();
                resolved(path, &target)
            }
            _ => String::new(),
        };
        (stat, link)
    } else {
        let place = root.locate(path)?;
        (fs::fstat(&place)?, String::new())
    };
    let seconds = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    let mtime = OffsetDateTime::from_unix_timestamp_nanos(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    Ok(PathStat {
        name: super::base_name(path),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: go_mode(&stat),
        mtime: time_text::format(mtime),
        link_target,
    })
}

/// Where a link leads, as an absolute path in the container.
fn resolved(path: &Path, target: &Path) -> String {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let joined: PathBuf = parent.join(target);
    crate::volumes::clean_path(&joined.to_string_lossy())
}

/// The bits of Go's `os.FileMode`.
fn go_mode(stat: &Stat) -> u32 {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let bits = special.iter().filter(|(bit, _)| stat.st_mode & bit != 0).map(|(_, go)| go).sum::<u32>();
    kind | bits | (stat.st_mode & 0o777)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_are_told_in_gos_bits_and_links_by_their_target_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/file"), "four").unwrap();
        symlink("/etc/file", dir.path().join("etc/absolute")).unwrap();
        symlink("../etc", dir.path().join("etc/up")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let file = stat(&root, Path::new("/etc/file"), "/etc/file").unwrap();
        assert_eq!((file.name.as_str(), file.size, file.mode & 1 << 31), ("file", 4, 0));
        assert_eq!(stat(&root, Path::new("/etc"), "/etc").unwrap().mode >> 31, 1);
        assert_eq!(
            stat(&root, Path::new("/etc/absolute"), "/etc/absolute").unwrap().link_target,
            "/etc/file"
        );
        assert_eq!(stat(&root, Path::new("/etc/up"), "/etc/up").unwrap().link_target, "/etc");
        assert_eq!(stat(&root, Path::new("/"), "/").unwrap().name, "/");
        assert!(stat(&root, Path::new("/none"), "/none").is_err());
        assert!(stat(&root, Path::new("/new/below"), "/new/below").is_err());
        assert!(!dir.path().join("new").exists(), "asking makes nothing");
    }

    #[test]
    fn links_never_lead_outside() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/", dir.path().join("out")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(stat(&root, Path::new("/out/etc/passwd"), "/out/etc/passwd").is_err());
    }
}
