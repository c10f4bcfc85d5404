//! Deletions in a layer: from the tar's `.wh.` names to what overlayfs understands.
//!
//! OCI image specification, "Whiteouts"; Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
//! directories". An archive must not speak overlay's own language: it would hide files of other layers, or name
//! places, without any `.wh.` entry that tools can see.

use std::os::fd::AsFd;

use rustix::{
    fs::{FileType, Mode},
    io::Errno,
};

use super::{AUFS, OPAQUE, UnpackError, Unpacker, WHITEOUT, parent_error, refused, split, write};
use crate::archive::{
    entry::{Entry, EntryKind},
    tree,
};

impl Unpacker<'_, '_> {
    /// Refuses an entry that would be overlay's own mark.
    pub(super) fn refuse_forgeries(&self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind == EntryKind::CharDevice && entry.device == (0, 0) {
            return Err(refused(entry, "character device 0:0 would hide a file of another layer"));
        }
        let forged = |key: &[u8]| key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.");
        match entry.xattrs.iter().find(|(key, _)| forged(key)) {
            Some((key, _)) => {
                let key = String::from_utf8_lossy(key).into_owned();
                Err(refused(entry, format!("extended attribute {key:?} is reserved for overlayfs")))
            }
            None => Ok(()),
        }
    }

    /// Carries out a whiteout. `false` when the name is none, and the entry is to be made.
    pub(super) fn whiteout(&mut self, entry: &Entry, name: &[u8]) -> Result<bool, UnpackError> {
        if name.split(|byte| *byte == b'/').any(|part| part.starts_with(AUFS) && part != OPAQUE) {
            return Ok(true);
        }
        let (parent_name, last) = split(name);
        if parent_name.split(|byte| *byte == b'/').any(|part| part.starts_with(WHITEOUT)) {
            return Err(refused(entry, "below a deleted name"));
        }
        let Some(deleted) = last.strip_prefix(WHITEOUT) else { return Ok(false) };
        let parent = self.tree.directory_or_new(parent_name).map_err(|source| parent_error(entry, source))?;
        if last == OPAQUE {
            self.done.opaque_root |= parent_name.is_empty();
            tree::set_own_xattr(parent.as_fd(), tree::OPAQUE.as_bytes(), b"y")
                .map_err(write(entry, "hide the directory below"))?;
            return Ok(true);
        }
        if matches!(deleted, b"" | b"." | b"..") {
            return Err(refused(entry, "deletes no name"));
        }
        match rustix::fs::mknodat(&parent, deleted, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                // A deletion is about the layers below; what this layer itself has stays, alone.
                let found =
                    tree::stat(parent.as_fd(), deleted).map_err(write(entry, "look at what is there"))?;
                if tree::is_directory(&found) {
                    tree::set_xattr(parent.as_fd(), deleted, tree::OPAQUE.as_bytes(), b"y")
                        .map_err(write(entry, "hide the directory below"))?;
                }
            }
            Err(errno) => return Err(write(entry, "mark the name as deleted")(errno)),
        }
        Ok(true)
    }
}
