//! Root file systems for test images, as tar archives.

use std::path::Path;

use crate::tools::busybox;

/// A root file system under construction.
pub struct Rootfs(tar::Builder<Vec<u8>>);

/// What kind of thing to add.
pub enum Entry<'a> {
    /// A directory.
    Dir,
    /// A file with this content.
    File(&'a [u8]),
    /// A symbolic link to this.
    Link(&'a str),
}

/// The busybox commands that get a link of their own: those that tests use.
const APPLETS: &str = "ash cat chmod chown cp cut date dd df dirname du echo env expr false find free grep head hostname httpd id \
    ifconfig ip kill killall ln ls md5sum mkdir mkfifo mknod mktemp mount mv nc netstat nproc nslookup od pgrep pidof ping \
    ps pwd readlink rm rmdir route sed seq sh sha256sum sleep sort stat stty sync tail tar tee telnet test time timeout touch \
    tr true truncate tty umount uname uniq unshare usleep vi wc wget which whoami xargs yes";

impl Rootfs {
    /// Nothing at all.
    pub fn empty() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// A small system: busybox with its usual commands, users and folders.
    ///
    /// # Panics
    /// When busybox-static is not installed.
    pub fn busybox() -> Self {
        let program = std::fs::read(busybox()).expect("busybox can be read");
        let mut rootfs = Self::empty();
        for dir in [
            "bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var", "var/log", "var/www",
        ] {
            rootfs = rootfs.add(dir, 0o755, Entry::Dir);
        }
        rootfs = rootfs.add("tmp", 0o1777, Entry::Dir).add("bin/busybox", 0o755, Entry::File(&program));
        for applet in APPLETS.split_whitespace() {
            rootfs = rootfs.add(format!("bin/{applet}"), 0o777, Entry::Link("busybox"));
        }
        rootfs
            .add("etc/passwd", 0o644, Entry::File(b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/bin/false\nalice:x:1000:1000::/home:/bin/sh\n"))
            .add("etc/group", 0o644, Entry::File(b"root:x:0:\nwww:x:33:\nalice:x:1000:\naudio:x:29:alice\n"))
    }

    /// Adds one entry, owned by root.
    ///
    /// # Panics
    /// When the path is too long for a tar header.
    pub fn add(mut self, path: impl AsRef<Path>, mode: u32, entry: Entry<'_>) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        let appended = match entry {
            Entry::Dir => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                self.0.append_data(&mut header, path, &[][..])
            }
            Entry::File(content) => {
                header.set_size(content.len() as u64);
                self.0.append_data(&mut header, path, content)
            }
            Entry::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                self.0.append_link(&mut header, path, target)
            }
        };
        appended.expect("a tar entry fits");
        self
    }

    /// The archive.
    pub fn tar(self) -> Vec<u8> {
        self.0.into_inner().expect("writing to memory does not fail")
    }
}
