//! Overlay mounts, assembled from directories as a detached mount.
//!
//! Linux 6.8 takes each lower directory by itself (`lowerdir+`), up to 500 of them. Older kernels get mount(2)'s one page of
//! options, in which directories are named by descriptor to make many of them fit.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags},
};

use super::{Attributes, Parameter, clone_path, detach, explained};

/// What an overlay is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Read-only directories, the topmost first.
    pub lower: Vec<PathBuf>,
    /// Where changes go; without it the overlay is read-only and needs two lower directories.
    pub upper: Option<PathBuf>,
    /// The empty directory beside `upper` that the kernel works in.
    pub work: Option<PathBuf>,
    /// Further options of overlayfs: `userxattr`, `volatile`, `metacopy=off`.
    pub options: Vec<String>,
}

/// fsconfig(2) copies values of at most 255 bytes.
pub(super) const LONGEST_VALUE: usize = 255;

/// A detached overlay mount from mount(2)'s parameters, whose values may be longer than fsconfig(2) takes.
pub(super) fn from_parameters(parameters: &[Parameter], attributes: &Attributes) -> io::Result<OwnedFd> {
    let mut wanted = Overlay::default();
    for Parameter { key, value } in parameters {
        match (key.as_str(), value) {
            ("lowerdir", Some(value)) => wanted.lower = directories(value)?,
            ("lowerdir+", Some(value)) => wanted.lower.push(value.into()),
            ("datadir+", Some(value)) if value.len() > LONGEST_VALUE => {
                return Err(impossible("datadir+: at most 255 bytes"));
            }
            ("upperdir", Some(value)) => wanted.upper = Some(unescaped(value).into()),
            ("workdir", Some(value)) => wanted.work = Some(unescaped(value).into()),
            (key, Some(value)) => wanted.options.push(format!("{key}={value}")),
            (key, None) => wanted.options.push(key.to_owned()),
        }
    }
    match (wanted.lower.len(), &wanted.upper, &wanted.work) {
        (_, Some(_), None) => return Err(impossible("upperdir: needs a workdir")),
        (_, None, Some(_)) => return Err(impossible("workdir: needs an upperdir")),
        (0, ..) => return Err(impossible("lowerdir: missing")),
        (1, None, None) => return Err(impossible("lowerdir: one alone needs an upperdir")),
        _ => {}
    }
    let mount = overlay(&wanted)?;
    super::set_attributes(&mount, attributes, false)?;
    Ok(mount)
}

/// The directories of `lowerdir`: apart by colons, unless a backslash is in front.
fn directories(list: &str) -> io::Result<Vec<PathBuf>> {
    let mut escaped = false;
    let parts = list.split(|c| {
        let is_end = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    });
    let directories: Vec<PathBuf> = parts.map(|part| unescaped(part).into()).collect();
    match directories.iter().any(|directory| directory.as_os_str().is_empty()) {
        true => Err(impossible("lowerdir: layers of data only (::) can't be longer than 255 bytes together")),
        false => Ok(directories),
    }
}

fn impossible(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

fn unescaped(text: &str) -> String {
    let mut escaped = false;
    let mut keep = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    text.chars().filter(|c| keep(c)).collect()
}

/// A detached overlay mount. A single lower directory without an upper one is bound instead, since
/// the kernel refuses to overlay that.
///
/// # Errors
/// What the kernel says, with overlayfs's own words.
pub fn overlay(overlay: &Overlay) -> io::Result<OwnedFd> {
    if let ([only], None) = (overlay.lower.as_slice(), &overlay.upper) {
        let mount = clone_path(only, false)?;
        super::set_attributes(&mount, &[super::Attribute::ReadOnly].into_iter().collect(), false)?;
        return Ok(mount);
    }
    match layer_by_layer(overlay) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS)) => in_one_page(overlay),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput && !has_lowerdir_plus() => {
            in_one_page(overlay)
        }
        result => result,
    }
}

/// Whether the kernel knows `lowerdir+`: asked of a context that nothing is mounted from. Before Linux 6.5 overlayfs only
/// collects its options and looks at none of them until it mounts, so one that takes nonsense knows nothing.
fn has_lowerdir_plus() -> bool {
    let Ok(context) = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) else { return false };
    let takes = |key: &str| rustix::mount::fsconfig_set_string(&context, key, "/").is_ok();
    !takes("no-such-option") && takes("lowerdir+")
}

fn layer_by_layer(overlay: &Overlay) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let explain = |error: rustix::io::Errno| explained(&context, error);
    let mut held = Vec::new();
    let mut set = |key: &str, path: &Path| -> io::Result<()> {
        let value = if path.as_os_str().len() <= LONGEST_VALUE {
            path.to_owned()
        } else {
            let handle = locate(path)?;
            let by_descriptor = descriptor_path(&handle);
            held.push(handle);
            by_descriptor
        };
        rustix::mount::fsconfig_set_string(&context, key, value.as_path()).map_err(explain)
    };
    for lower in &overlay.lower {
        set("lowerdir+", lower)?;
    }
    if let (Some(upper), Some(work)) = (&overlay.upper, &overlay.work) {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    for option in &overlay.options {
        match option.split_once('=') {
            Some((key, value)) => rustix::mount::fsconfig_set_string(&context, key, value),
            None => rustix::mount::fsconfig_set_flag(&context, option.as_str()),
        }
        .map_err(explain)?;
    }
    rustix::mount::fsconfig_create(&context).map_err(explain)?;
    let flags =
        if overlay.upper.is_none() { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(explain)
}

/// mount(2) can't make a detached mount, so it is made over the work directory (or the topmost lower one), copied, and taken away.
/// A caller that must leave no trace for an instant does this in a mount namespace of its own.
fn in_one_page(overlay: &Overlay) -> io::Result<OwnedFd> {
    let lower = overlay.lower.iter().map(|path| locate(path)).collect::<io::Result<Vec<_>>>()?;
    let mut data = String::from("lowerdir=");
    let names: Vec<_> = lower.iter().map(|fd| descriptor_path(fd).display().to_string()).collect();
    data.push_str(&names.join(":"));
    let (upper, work) = (overlay.upper.as_deref().map(locate), overlay.work.as_deref().map(locate));
    let (upper, work) = (upper.transpose()?, work.transpose()?);
    if let (Some(upper), Some(work)) = (&upper, &work) {
        let (upper, work) = (descriptor_path(upper), descriptor_path(work));
        data.push_str(&format!(",upperdir={},workdir={}", upper.display(), work.display()));
    }
    for option in &overlay.options {
        data.push(',');
        data.push_str(option);
    }
    let place = overlay.work.as_deref().or_else(|| overlay.lower.first().map(PathBuf::as_path));
    let place = place.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let data = std::ffi::CString::new(data)?;
    rustix::mount::mount("overlay", place, "overlay", MountFlags::empty(), Some(data.as_c_str()))?;
    let mount = clone_path(place, false);
    detach(place)?;
    mount
}

fn locate(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn descriptor_path(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_directories_are_apart_by_colons_that_are_not_escaped() {
        let found = |list| directories(list).unwrap();
        assert_eq!(found("/a"), [Path::new("/a")]);
        assert_eq!(found("/a:/b\\:c:/d\\\\:/e"), ["/a", "/b:c", "/d\\", "/e"].map(PathBuf::from));
        assert!(directories("/a::/data").unwrap_err().to_string().contains("data only"));
    }
}
