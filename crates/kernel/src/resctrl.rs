//! Where resctrl is mounted: the file system of cache and memory bandwidth allocation (the kernel's
//! Documentation/filesystems/resctrl.rst).

use std::{fs, io, path::PathBuf};

use crate::mount::unescape;

/// The directory that the kernel makes for it where the processors have what it controls.
const USUAL: &str = "/sys/fs/resctrl";
/// RDTGROUP_SUPER_MAGIC of linux/magic.h.
const MAGIC: i64 = 0x0765_5821;

/// The first place where it is mounted, the usual one before others; `None` where it isn't.
///
/// # Errors
/// What the kernel says about /proc/self/mountinfo.
pub fn mount_point() -> io::Result<Option<PathBuf>> {
    let Ok(about) = rustix::fs::statfs(USUAL) else { return Ok(None) };
    if about.f_type == MAGIC {
        return Ok(Some(USUAL.into()));
    }
    Ok(find(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// In the mountinfo of proc_pid_mountinfo(5).
fn find(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (source, point) = (fields.next()?, fields.next()?);
        // Not a part of it that is bound somewhere.
        (source == "/" && rest.starts_with("resctrl ")).then(|| unescape(point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_wherever_it_is_mounted() {
        let without = "22 1 8:1 / / rw - ext4 /dev/vda rw\n";
        assert_eq!(find(without), None);
        let bound = format!("{without}29 22 0:27 /gold /mnt/gold rw - resctrl resctrl rw\n");
        assert_eq!(find(&bound), None);
        let with = format!("{bound}30 22 0:27 / /mnt/cache\\040groups rw,relatime - resctrl resctrl rw\n");
        assert_eq!(find(&with), Some("/mnt/cache groups".into()));
    }
}
