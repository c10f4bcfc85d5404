//! What was attested of files, in files beside them.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use minke_image::{Predicate, Subject};
use minke_kernel::path::Root;
use minke_model::Digest;
use rustix::fs::{Dir, FileType, Mode, OFlags};
use sha2::{Digest as _, Sha256};

use crate::{BuildError, attest::Attested, cache::failed, walk::Stop};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// The statements and the names of their files, which tell the platform where those of several are in one directory.
///
/// # Errors
/// When a name is none of a file beside the others.
pub(super) fn of(
    attested: &Attested,
    prefix: &str,
    platform: Option<&str>,
) -> Result<Vec<(String, Predicate)>, BuildError> {
    let named = attested.wanted.iter().map(|(name, predicate)| {
        let name = format!("{prefix}{}", name.rsplit('/').next().unwrap_or(name));
        let name = match (platform, name.rsplit_once('.')) {
            (None, _) => name,
            (Some(platform), Some((stem, extension))) => format!("{stem}.{platform}.{extension}"),
            (Some(platform), None) => format!("{name}.{platform}"),
        };
        match name.contains('/') || name == "." || name == ".." || name.is_empty() {
            true => Err(BuildError::Invalid(format!("{name:?} is no name for a file of attestations"))),
            false => Ok((name, predicate.clone())),
        }
    });
    named.collect()
}

/// Writes them into a folder, about all files of it.
///
/// # Errors
/// When a file of that name is there already; when files can't be read or written.
pub(super) fn write(
    to: &Root,
    folder: &str,
    said: &[(String, Predicate)],
    stop: &Stop,
) -> Result<(), BuildError> {
    if said.is_empty() {
        return Ok(());
    }
    let wrong = |error: io::Error| BuildError::Failed(format!("attest files: {error}"));
    let folder = to.open_at(Path::new(folder), OFlags::RDONLY | OFlags::DIRECTORY).map_err(wrong)?;
    let mut files = Vec::new();
    subjects(folder.as_fd(), "", &mut files, stop).map_err(wrong)?;
    for (name, predicate) in said {
        let json = serde_json::to_vec(&predicate.statement(&files)).map_err(|error| failed(&error))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, name.as_str(), flags, Mode::from_raw_mode(0o600));
        let file =
            file.map_err(|error| BuildError::Invalid(format!("write the attestation {name}: {error}")))?;
        File::from(file).write_all(&json).map_err(wrong)?;
    }
    Ok(())
}

/// The regular files below a directory by their paths, in order.
fn subjects(directory: BorrowedFd<'_>, path: &str, found: &mut Vec<Subject>, stop: &Stop) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_owned();
        if name != c"." && name != c".." {
            names.push((name, entry.file_type()));
        }
    }
    names.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    for (name, kind) in names {
        let whole = format!("{path}{}", name.to_string_lossy());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match kind {
            FileType::RegularFile => {
                let file = File::from(rustix::fs::openat(directory, &name, flags, Mode::empty())?);
                let mut file = stop.reading(file);
                let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
                loop {
                    match file.read(&mut piece)? {
                        0 => break,
                        length => hash.update(&piece[..length]),
                    }
                }
                found.push(Subject::new(whole, &Digest::from_bytes(hash.finalize().into())));
            }
            FileType::Directory => {
                let below = rustix::fs::openat(directory, &name, flags | OFlags::DIRECTORY, Mode::empty())?;
                subjects(below.as_fd(), &format!("{whole}/"), found, stop)?;
            }
            _ => {}
        }
    }
    Ok(())
}
