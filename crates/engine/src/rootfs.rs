//! A look at a container's files while it does not run: its layers as a detached overlay mount, which no
//! path leads to and
//! which vanishes with its descriptor.

use std::{
    fs::Metadata,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use minke_kernel::{
    mount::{self, Overlay},
    path::Root,
};
use rustix::fs::{FsWord, OFlags, PROC_SUPER_MAGIC};

use crate::spec::user::Accounts;

/// What statfs(2) says of sysfs.
const SYSFS_MAGIC: FsWord = 0x6265_6572;
/// More than any honest passwd(5) has.
const LARGEST_ACCOUNTS: u64 = 4 << 20;

/// The directories a container's root is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// The image's, the topmost first.
    pub(crate) lower: Vec<PathBuf>,
    /// What the container has changed.
    pub(crate) upper: PathBuf,
    /// Overlayfs's own.
    pub(crate) work: PathBuf,
}

impl Layers {
    /// The container's files, read-only. Only for a container that does not run, since two overlays over
    /// one upper directory are undefined.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn read_only(&self) -> io::Result<Root> {
        let mut lower = Vec::with_capacity(self.lower.len() + 1);
        if self.has_changes() {
            lower.push(self.upper.clone());
        }
        lower.extend(self.lower.iter().cloned());
        if lower.is_empty() {
            lower.push(self.upper.clone());
        }
        mount::overlay(&Overlay { lower, ..Overlay::default() }).map(Root::from_fd)
    }

    /// The container's files, for writing; the same restriction.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn writable(&self) -> io::Result<Root> {
        if self.lower.is_empty() {
            return mount::clone_path(&self.upper, false).map(Root::from_fd);
        }
        let overlay = Overlay {
            lower: self.lower.clone(),
            upper: Some(self.upper.clone()),
            work: Some(self.work.clone()),
            options: Vec::new(),
        };
        mount::overlay(&overlay).map(Root::from_fd)
    }

    /// The image's files alone.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn image_only(&self) -> io::Result<Root> {
        Self { upper: PathBuf::new(), ..self.clone() }.read_only()
    }

    fn has_changes(&self) -> bool {
        std::fs::read_dir(&self.upper).is_ok_and(|mut entries| entries.next().is_some())
    }
}

/// How overlayfs marks a deleted file.
pub(crate) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// How overlayfs marks a directory that hides the one below.
pub(crate) fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 1];
    matches!(rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value), Ok(1) if value == *b"y")
}

/// The container's users and groups; missing files are empty.
///
/// # Errors
/// When a file is there and can't be read.
pub(crate) fn accounts(root: &Root) -> io::Result<Accounts> {
    Ok(Accounts { passwd: read(root, "/etc/passwd")?, group: read(root, "/etc/group")? })
}

fn read(root: &Root, path: &str) -> io::Result<String> {
    // Not a FIFO that would block, not a device.
    let file = match root.open_at(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(fd) => std::fs::File::from(fd),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(String::new());
        }
        Err(error) => return Err(error),
    };
    // Nor what the kernel shows to whoever asks, and the engine has more rights than the container.
    let is_shown = [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&rustix::fs::fstatfs(&file)?.f_type);
    if !file.metadata()?.is_file() || is_shown {
        return Ok(String::new());
    }
    let mut text = Vec::new();
    file.take(LARGEST_ACCOUNTS).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The annotation by which minke-oci assembles an overlay as the root.
const OVERLAY_ANNOTATION: &str = "dev.minke.rootfs.overlay";

impl Layers {
    /// Asks the runtime to assemble these layers as the root, in the container's own mount namespace.
    pub(crate) fn annotate(&self, spec: &mut minke_model::runtime_spec::Spec) {
        let value = serde_json::json!({ "lower": self.lower, "upper": self.upper, "work": self.work });
        spec.annotations.insert(OVERLAY_ANNOTATION.to_owned(), value.to_string());
    }
}
