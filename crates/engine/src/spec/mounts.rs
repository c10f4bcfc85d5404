//! What is mounted in a container beyond its root: the kernel's file systems, the files that name it, the
//! user's volumes.

use std::{collections::BTreeMap, path::Path};

use minke_model::runtime_spec::Mount;

use crate::volumes::{MountKind, MountRecord, Seen};

/// What decides about the engine's own mounts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    pub(crate) privileged: bool,
    pub(crate) writable_cgroups: bool,
    /// Mount nothing on /dev/shm (`--ipc none`), a directory of the host, or a file system of this many
    /// bytes.
    pub(crate) shm: Shm<'a>,
    /// /etc/resolv.conf, /etc/hostname and /etc/hosts are these files of the host.
    pub(crate) files: &'a [(&'static str, &'a Path)],
    /// They are no more writable than the root is.
    pub(crate) read_only: bool,
    /// [`INIT`] is this program of the host.
    pub(crate) init: Option<&'a Path>,
    /// What mounts of images show, by their destinations.
    pub(crate) images: &'a BTreeMap<String, Seen>,
}

/// Where Docker shows the init of `--init`.
pub(crate) const INIT: &str = "/sbin/docker-init";

/// What /dev/shm is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shm<'a> {
    None,
    Bind(&'a Path),
    Size(i64),
}

/// Every mount in the order of making: shallow ones first, so that none hides another.
pub(crate) fn mounts(base: Base<'_>, user: &[MountRecord], sources: &[Option<String>]) -> Vec<Mount> {
    let taken = |destination: &str| user.iter().any(|mount| mount.destination == destination);
    let mut mounts: Vec<Mount> = kernel_mounts(base).into_iter().filter(|m| !taken(&m.destination)).collect();
    let mut more: Vec<Mount> =
        user.iter().zip(sources).map(|(mount, source)| user_mount(base, mount, source.as_deref())).collect();
    for (destination, source) in base.files {
        if !taken(destination) {
            let options: &[&str] =
                if base.read_only { &["rbind", "rprivate", "ro"] } else { &["rbind", "rprivate"] };
            more.push(bind(destination, source, options));
        }
    }
    if let Some(program) = base.init {
        more.push(bind(INIT, program, &["bind", "rprivate", "ro", "nosuid", "nodev"]));
    }
    more.sort_by_key(|mount| mount.destination.split('/').filter(|part| !part.is_empty()).count());
    mounts.extend(more);
    mounts
}

fn kernel_mounts(base: Base<'_>) -> Vec<Mount> {
    let writable = if base.privileged { "rw" } else { "ro" };
    let cgroups = if base.privileged || base.writable_cgroups { "rw" } else { "ro" };
    let mut mounts = vec![
        new("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        new("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        new(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        new("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", writable]),
        new("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", cgroups]),
    ];
    // A new mount shows the queues of the IPC namespace that the container is in, the host's included.
    mounts.push(new("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    match base.shm {
        Shm::None => {}
        Shm::Bind(source) => mounts.push(bind("/dev/shm", source, &["rbind", "rprivate"])),
        Shm::Size(bytes) => {
            let size = format!("size={bytes}");
            mounts.push(new("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]));
        }
    }
    mounts
}

/// One of the user's mounts; `source` is its place on the host, as found when the container is started.
fn user_mount(base: Base<'_>, mount: &MountRecord, source: Option<&str>) -> Mount {
    if let Some(seen) = base.images.get(&mount.destination).filter(|_| mount.kind == MountKind::Image) {
        return image_mount(&mount.destination, seen);
    }
    if mount.kind == MountKind::Tmpfs {
        let mut options = vec!["nosuid", "nodev", "noexec"];
        let given: Vec<&str> = mount.tmpfs_options.iter().map(String::as_str).collect();
        options.retain(|option| !given.contains(&option.trim_start_matches("no")));
        options.extend(given.iter().filter(|option| !matches!(**option, "exec" | "suid" | "dev")));
        return new(&mount.destination, "tmpfs", "tmpfs", &options);
    }
    let bind = if mount.non_recursive { "bind" } else { "rbind" };
    let mut options = vec![bind, &mount.propagation];
    match (mount.rw, mount.read_only_non_recursive) {
        // Nothing named keeps what its source has: nosuid, nodev, and so on.
        (true, _) => {}
        (false, true) => options.push("ro"),
        // Also what is mounted below the source (Docker since 25).
        (false, false) => options.extend(["ro", "rro"]),
    }
    let mut mount = new(&mount.destination, "bind", source.unwrap_or(&mount.source), &options);
    mount.options.retain(|option| !option.is_empty());
    mount
}

/// An overlay without an upper directory, or a single file.
fn image_mount(destination: &str, seen: &Seen) -> Mount {
    match seen {
        Seen::File(path) => bind(destination, path, &["bind", "rprivate", "ro"]),
        Seen::Directory(layers) => {
            let layers: Vec<_> = layers.iter().map(|path| format!("lowerdir+={}", path.display())).collect();
            let options: Vec<&str> = layers.iter().map(String::as_str).chain(["ro"]).collect();
            new(destination, "overlay", "overlay", &options)
        }
    }
}

fn bind(destination: &str, source: &Path, options: &[&str]) -> Mount {
    new(destination, "bind", &source.to_string_lossy(), options)
}

fn new(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base<'static> {
        static NONE: BTreeMap<String, Seen> = BTreeMap::new();
        Base {
            privileged: false,
            writable_cgroups: false,
            shm: Shm::Size(64 << 20),
            files: &[],
            read_only: false,
            init: None,
            images: &NONE,
        }
    }

    fn volume(destination: &str) -> MountRecord {
        MountRecord {
            kind: MountKind::Bind,
            source: "/srv".into(),
            destination: destination.into(),
            rw: true,
            propagation: "rprivate".into(),
            ..MountRecord::default()
        }
    }

    fn destinations(mounts: &[Mount]) -> Vec<&str> {
        mounts.iter().map(|mount| mount.destination.as_str()).collect()
    }

    #[test]
    fn the_kernels_file_systems_come_first_and_read_only() {
        let mounts = mounts(base(), &[], &[]);
        let expected = ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"];
        assert_eq!(destinations(&mounts), expected);
        assert!(mounts[3].options.contains(&"ro".into()) && mounts[4].options.contains(&"ro".into()));
        assert!(mounts[6].options.contains(&"size=67108864".into()));
    }

    #[test]
    fn privileged_containers_may_write_sys_and_cgroups() {
        let mounts = mounts(Base { privileged: true, ..base() }, &[], &[]);
        assert!(mounts[3].options.contains(&"rw".into()) && mounts[4].options.contains(&"rw".into()));
    }

    #[test]
    fn files_that_name_a_container_are_as_writable_as_its_root() {
        let files = [("/etc/hosts", Path::new("/x/hosts"))];
        let is_read_only = |read_only| {
            let mounts = mounts(Base { files: &files, read_only, ..base() }, &[], &[]);
            mounts.last().is_some_and(|mount| mount.options.contains(&"ro".to_owned()))
        };
        assert_eq!([is_read_only(false), is_read_only(true)], [false, true]);
    }

    #[test]
    fn a_users_mount_replaces_the_engines_and_shallow_ones_come_first() {
        let user = [volume("/a/b/c"), volume("/dev/shm"), volume("/a")];
        let mounts = mounts(base(), &user, &[None, None, None]);
        assert_eq!(destinations(&mounts)[6..], ["/a", "/dev/shm", "/a/b/c"]);
    }

    #[test]
    fn read_only_binds_are_so_all_the_way_down_unless_told() {
        let mut mount = volume("/data");
        mount.rw = false;
        assert_eq!(user_mount(base(), &mount, Some("/x")).options, ["rbind", "rprivate", "ro", "rro"]);
        mount.read_only_non_recursive = true;
        assert_eq!(user_mount(base(), &mount, Some("/x")).options, ["rbind", "rprivate", "ro"]);
        assert_eq!(user_mount(base(), &mount, Some("/x")).source.as_deref(), Some("/x"));
    }

    #[test]
    fn an_image_is_an_overlay_of_its_layers_and_one_file_of_it_is_bound() {
        let mut mount = volume("/tools");
        mount.kind = MountKind::Image;
        let shown = |seen: Seen| {
            let images = [("/tools".to_owned(), seen)].into();
            user_mount(Base { images: &images, ..base() }, &mount, None)
        };
        let overlay = shown(Seen::Directory(vec!["/l/2".into(), "/l/1".into()]));
        assert_eq!(overlay.kind.as_deref(), Some("overlay"));
        assert_eq!(overlay.options, ["lowerdir+=/l/2", "lowerdir+=/l/1", "ro"]);
        let file = shown(Seen::File("/l/2/f".into()));
        assert_eq!(
            (file.source.as_deref(), file.options.last().map(String::as_str)),
            (Some("/l/2/f"), Some("ro"))
        );
    }

    #[test]
    fn tmpfs_options_replace_the_careful_defaults() {
        let mut mount = volume("/tmp");
        mount.kind = MountKind::Tmpfs;
        mount.tmpfs_options = vec!["exec".into(), "size=1m".into()];
        assert_eq!(user_mount(base(), &mount, None).options, ["nosuid", "nodev", "size=1m"]);
    }
}
