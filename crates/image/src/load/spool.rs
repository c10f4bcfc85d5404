//! An archive whose files were staged as blobs, so that they can be read in any order.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
};

use minke_model::Digest;
use serde::de::DeserializeOwned;

use super::LoadError;
use crate::{
    archive::{AbsoluteNames, EntryKind, Limits, TarReader, clean_name, printable},
    compression::{Compression, SNIFF, decompress},
    content::{WriteError, io_error},
    hashing::HashReader,
    store::Staging,
};

/// Longest manifest, index or configuration (what registries allow is 4 MiB).
const LONGEST_DOCUMENT: u64 = 8 << 20;
/// Most files in an archive: a hundred images of a hundred layers have a tenth of it.
const MOST_FILES: usize = 100_000;
/// Links in a row before they count as a loop.
const MOST_LINKS: usize = 16;

/// A staged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// The files of an archive by their names.
#[derive(Debug, Default)]
pub(super) struct Spool {
    files: HashMap<String, Blob>,
    /// Symbolic and hard links, with their targets as names in the archive.
    links: HashMap<String, String>,
}

impl Spool {
    /// Stages every file of the archive.
    pub(super) fn read(
        archive: impl Read + Send,
        staging: &mut Staging,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        let archive = decompress(archive).map_err(LoadError::Read)?;
        let mut reader = TarReader::new(archive, limits.header, u64::MAX);
        let mut spool = Self::default();
        while let Some(entry) = reader.next()? {
            let fault =
                |problem: &str| LoadError::Invalid(format!("entry {:?}: {problem}", printable(&entry.name)));
            let name =
                clean_name(&entry.name, AbsoluteNames::Refuse, limits).map_err(|problem| fault(&problem))?;
            let name = String::from_utf8(name).map_err(|_| fault("the name is not UTF-8"))?;
            if spool.files.len() + spool.links.len() >= MOST_FILES {
                return Err(fault("more than 100000 files in an image archive"));
            }
            match entry.kind {
                EntryKind::File if entry.sparse.is_some() => {
                    return Err(fault("a sparse file in an image archive"));
                }
                EntryKind::File if entry.size > limits.bytes => {
                    return Err(fault(&format!(
                        "{} bytes, more than {} in one blob",
                        entry.size, limits.bytes
                    )));
                }
                EntryKind::File => {
                    let blob = stage(&name, &mut reader, staging)?;
                    spool.links.remove(&name);
                    spool.files.insert(name, blob);
                }
                EntryKind::Symlink | EntryKind::Hardlink => {
                    let target = target(&name, entry.kind, &entry.link)
                        .ok_or_else(|| fault("links out of the archive"))?;
                    spool.files.remove(&name);
                    spool.links.insert(name, target);
                }
                EntryKind::Directory => {}
                _ => return Err(fault("a device in an image archive")),
            }
        }
        // What follows the end must be read all the same: the sender waits for it.
        reader.drain()?;
        Ok(spool)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The file of that name, links followed.
    pub(super) fn find(&self, name: &str) -> Option<Blob> {
        let mut name = name;
        for _ in 0..MOST_LINKS {
            match self.links.get(name) {
                Some(target) => name = target,
                None => return self.files.get(name).copied(),
            }
        }
        None
    }

    /// The bytes of a document, and the blob it is.
    pub(super) fn document(&self, name: &str, staging: &Staging) -> Result<(Vec<u8>, Blob), LoadError> {
        let missing = || LoadError::Invalid(format!("{name:?} is not in the archive"));
        let blob = self.find(name).ok_or_else(missing)?;
        Ok((read(name, blob, staging)?, blob))
    }

    /// A document, parsed.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str, staging: &Staging) -> Result<T, LoadError> {
        let (bytes, _) = self.document(name, staging)?;
        serde_json::from_slice(&bytes).map_err(|source| LoadError::Json { entry: name.to_owned(), source })
    }
}

/// The name of a blob in an OCI layout.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Reads a small staged file.
pub(super) fn read(name: &str, blob: Blob, staging: &Staging) -> Result<Vec<u8>, LoadError> {
    if blob.size > LONGEST_DOCUMENT {
        let problem =
            format!("{name:?} has {} bytes, more than {LONGEST_DOCUMENT} for a document", blob.size);
        return Err(LoadError::Invalid(problem));
    }
    let path = staging.blob(&blob.digest);
    Ok(std::fs::read(&path).map_err(io_error("read", &path))?)
}

/// How a staged file is compressed.
pub(super) fn compression(blob: Blob, staging: &Staging) -> Result<Compression, LoadError> {
    let path = staging.blob(&blob.digest);
    let mut start = Vec::with_capacity(SNIFF);
    let read = File::open(&path).and_then(|file| file.take(SNIFF as u64).read_to_end(&mut start));
    read.map_err(io_error("read", &path))?;
    Ok(Compression::of(&start))
}

/// Stages one file. A blob that the store has is only hashed, not written again.
fn stage(name: &str, reader: &mut TarReader<impl Read>, staging: &mut Staging) -> Result<Blob, LoadError> {
    let claimed = name.strip_prefix("blobs/sha256/").map(Digest::from_hex);
    let claimed = match claimed {
        Some(Err(_)) => return Err(LoadError::Invalid(format!("entry {name:?} is not named by a digest"))),
        Some(Ok(digest)) => Some(digest),
        None => None,
    };
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            LoadError::Invalid(format!("entry {name:?}: the archive ends within it"))
        }
        _ => LoadError::Read(error),
    };
    let (digest, size) = if claimed.is_some_and(|digest| staging.hold_blob(digest)) {
        let mut data = HashReader::new(reader.data());
        io::copy(&mut data, &mut io::sink()).map_err(cut)?;
        data.finish()
    } else {
        staging.write_blob(reader.data()).map_err(|error| match error {
            WriteError::Read(error) => cut(error),
            WriteError::Store(error) => LoadError::Store(error),
        })?
    };
    match claimed.filter(|claimed| *claimed != digest) {
        Some(_) => {
            Err(LoadError::Invalid(format!("entry {name:?} is damaged: its content has digest {digest}")))
        }
        None => Ok(Blob { digest, size }),
    }
}

/// A link's target as a name in the archive; `None` when it leads out of it.
fn target(name: &str, kind: EntryKind, link: &[u8]) -> Option<String> {
    let link = std::str::from_utf8(link).ok()?;
    let mut parts: Vec<&str> = match kind {
        EntryKind::Symlink => name.split('/').collect(),
        _ => vec![""],
    };
    parts.pop();
    if link.starts_with('/') {
        return None;
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_archive() {
        let link = |target_of: &[u8]| target("a/layer.tar", EntryKind::Symlink, target_of);
        assert_eq!(link(b"../b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(link(b"other").as_deref(), Some("a/other"));
        assert_eq!(link(b"../../etc/passwd"), None);
        assert_eq!(link(b"/etc/passwd"), None);
        assert_eq!(target("a/b", EntryKind::Hardlink, b"c/d").as_deref(), Some("c/d"));
    }
}
