//! Device nodes and links in /dev (specification, "Devices" and "Dev symbolic links").

use std::{ffi::OsStr, io, os::fd::OwnedFd, path::Path};

use minke_kernel::{mount, path::Root};
use minke_model::runtime_spec::{Device, DeviceType};
use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, Uid},
    io::Errno,
};

use super::{Plan, mounts, open_host};
use crate::{container::InitError, step::Step};

/// Devices that every container has, with their numbers.
const DEFAULT: [(&str, i64, i64); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Links that every container has.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Makes default and configured devices and the links.
pub(super) fn make_all(plan: &Plan<'_>, root: &Root) -> Result<(), InitError> {
    let bind = plan.in_user_namespace();
    let configured = |path: &str| plan.linux.devices.iter().any(|device| device.path == path);
    let dev = root.mkdir_all(Path::new("/dev")).step(|| "make /dev".into())?;
    for (path, major, minor) in DEFAULT.iter().filter(|(path, ..)| !configured(path)) {
        let device = Device {
            kind: DeviceType::Character,
            path: (*path).to_owned(),
            major: *major,
            minor: *minor,
            file_mode: Some(0o666),
            ..Device::default()
        };
        let name = OsStr::new(&path["/dev/".len()..]);
        place(root, &device, &dev, name, bind).step(|| format!("make {path}"))?;
    }
    for (i, device) in plan.linux.devices.iter().enumerate() {
        let path = Path::new(&device.path);
        let step = || format!("linux.devices[{i}]: make {}", device.path);
        // The terminal's links below win over nodes of the same name. Of two at one place the first is made, as runc does.
        let is_taken = plan.linux.devices[..i].iter().any(|earlier| earlier.path == device.path);
        if is_taken || device.path == "/dev/ptmx" {
            continue;
        }
        let (parent, name) = root.parent_of(path).step(step)?;
        place(root, device, &parent, name, bind).step(step)?;
    }
    links(plan, root, &dev).step(|| "make the links in /dev".into())
}

/// Makes one node; where that isn't allowed (user namespaces), the host's node is bound.
fn place(root: &Root, device: &Device, parent: &OwnedFd, name: &OsStr, bind: bool) -> io::Result<()> {
    if !bind {
        match make_node(device, parent, name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            result => return result,
        }
    }
    bind_node(root, device)
}

fn make_node(device: &Device, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let kind = file_type(device.kind)?;
    let number = match kind {
        FileType::Fifo => 0,
        _ => fs::makedev(part(device.major)?, part(device.minor)?),
    };
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    match fs::mknodat(parent, name, kind, mode, number) {
        Ok(()) => {}
        // An image's own node is fine if it is the same device; its owner and mode are the image's.
        Err(Errno::EXIST) => {
            return check_node(fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?, kind, number);
        }
        Err(error) => return Err(error.into()),
    }
    let (uid, gid) = (device.uid.unwrap_or_default(), device.gid.unwrap_or_default());
    if (uid, gid) != (0, 0) {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        // The mode stays: only set-id bits would be lost, which mean nothing here. Setting it again would follow a link
        // that somebody who shares the directory has put in the node's place.
        fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn check_node(stat: fs::Stat, kind: FileType, number: u64) -> io::Result<()> {
    let same =
        FileType::from_raw_mode(stat.st_mode) == kind && (kind == FileType::Fifo || stat.st_rdev == number);
    if same { Ok(()) } else { Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there")) }
}

fn bind_node(root: &Root, device: &Device) -> io::Result<()> {
    let host = open_host(Path::new(&device.path))?;
    let kind = file_type(device.kind)?;
    let number = fs::makedev(part(device.major)?, part(device.minor)?);
    check_node(fs::fstat(&host)?, kind, number)?;
    let target = root.create_file_without_links(Path::new(&device.path))?;
    mount::attach(mount::clone_fd(&host, false)?, target)
}

fn file_type(kind: DeviceType) -> io::Result<FileType> {
    match kind {
        DeviceType::Block => Ok(FileType::BlockDevice),
        DeviceType::Character => Ok(FileType::CharacterDevice),
        DeviceType::Fifo => Ok(FileType::Fifo),
        DeviceType::All => Err(io::Error::new(io::ErrorKind::InvalidInput, "its type must be c, b or p")),
    }
}

fn part(number: i64) -> io::Result<u32> {
    u32::try_from(number)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{number} is not a device number")))
}

fn links(plan: &Plan<'_>, root: &Root, dev: &OwnedFd) -> io::Result<()> {
    for (name, target) in LINKS {
        link(dev, name, target, false)?;
    }
    if super::exists(root, Path::new("/proc/kcore")) {
        link(dev, "core", "/proc/kcore", false)?;
    }
    let has_terminals =
        plan.spec.mounts.iter().any(|mount| mounts::clean(&mount.destination) == Path::new("/dev/pts"));
    if has_terminals { link(dev, "ptmx", "pts/ptmx", true) } else { Ok(()) }
}

fn link(dev: &OwnedFd, name: &str, target: &str, replace: bool) -> io::Result<()> {
    match fs::symlinkat(target, dev, name) {
        Err(Errno::EXIST) if replace => {
            fs::unlinkat(dev, name, AtFlags::empty())?;
            Ok(fs::symlinkat(target, dev, name)?)
        }
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
