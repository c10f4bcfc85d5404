//! The files to build from as an archive, for engines that want them whole (`POST /build` of the Docker Engine API).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use minke_buildkit_wire::files::{Found, SyncError, open, walk};
use minke_dockerfile::ignore::{self, IgnoreFileError, PatternError};
use rustix::fs::{FileType, OFlags};

use crate::filter::Filter;

/// The ignore file of a folder.
const IGNORE: &str = ".dockerignore";

/// Why a folder can't be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It can't be read.
    #[error("{action} {path:?}")]
    Path {
        /// What was done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An entry can't be read.
    #[error(transparent)]
    Entry(#[from] SyncError),
    /// The ignore file is none.
    #[error("read {path:?}")]
    Ignore {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: IgnoreFileError,
    },
    /// A pattern of it is none.
    #[error("read {path:?}")]
    Pattern {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: PatternError,
    },
}

/// A file that is in the archive and not in the folder.
#[derive(Debug, Clone)]
pub struct Extra {
    /// Its name at the archive's top.
    pub name: String,
    /// What is in it.
    pub content: Bytes,
}

/// The path of a Dockerfile in the folder of a context, if it is in there.
#[expect(clippy::disallowed_methods, reason = "they are the user's own paths, on the user's own host")]
pub fn dockerfile_in(folder: &Path, dockerfile: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    let file = fs::canonicalize(dockerfile).ok()?;
    Some(file.strip_prefix(folder).ok()?.to_str()?.to_owned())
}

/// Packs `folder`, if there is one, without what its ignore file, or that of the Dockerfile, leaves out; the Dockerfile and the
/// ignore file are sent in any case. Blocking.
///
/// # Errors
/// What can't be read, and whoever takes no more.
pub fn pack(
    folder: Option<&Path>,
    dockerfile: &str,
    extra: Option<&Extra>,
    to: impl Write,
) -> Result<(), PackError> {
    let failed = |action| {
        let path = folder.unwrap_or(Path::new("")).to_owned();
        move |source| PackError::Path { action, path, source }
    };
    let mut tar = tar::Builder::new(to);
    tar.follow_symlinks(false);
    if let Some(folder) = folder {
        let root = File::open(folder).map_err(failed("open the build context"))?;
        let (ignore, patterns) = patterns(folder, dockerfile)?;
        let kept = vec![dockerfile.to_owned(), ignore.clone()];
        let filter = Filter::new(None, &patterns)
            .map_err(|source| PackError::Pattern { path: folder.join(&ignore), source })?;
        walk(&root, &mut filter.keeping(kept), &mut |found| entry(&mut tar, &root, &found))?;
    }
    if let Some(extra) = extra {
        let mut header = tar::Header::new_gnu();
        header.set_size(extra.content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, &extra.name, &extra.content[..]).map_err(failed("pack"))?;
    }
    tar.finish().and_then(|()| tar.get_mut().flush()).map_err(failed("pack"))
}

/// The ignore file that counts, and its patterns.
fn patterns(folder: &Path, dockerfile: &str) -> Result<(String, Vec<String>), PackError> {
    for name in [format!("{dockerfile}{IGNORE}"), IGNORE.to_owned()] {
        let path = folder.join(&name);
        match fs::read(&path) {
            Ok(bytes) => {
                let patterns = ignore::read(&bytes).map_err(|source| PackError::Ignore { path, source })?;
                return Ok((name, patterns));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(PackError::Path { action: "read", path, source }),
        }
    }
    Ok((IGNORE.to_owned(), Vec::new()))
}

fn entry<W: Write>(tar: &mut tar::Builder<W>, root: &File, found: &Found) -> Result<(), SyncError> {
    let failed = |error: io::Error| SyncError::io("pack", &found.path, error);
    let stat = &found.stat;
    let mut header = tar::Header::new_gnu();
    // Whoever builds owns nothing in the image.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    match found.kind() {
        FileType::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, &found.path, io::empty()).map_err(failed)
        }
        FileType::Symlink => {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, &found.path, &found.target).map_err(failed)
        }
        FileType::Fifo => {
            header.set_entry_type(tar::EntryType::Fifo);
            tar.append_data(&mut header, &found.path, io::empty()).map_err(failed)
        }
        FileType::RegularFile => {
            let file = File::from(open(root, &found.path, OFlags::empty())?);
            // One that grows or shrinks meanwhile must not break the archive.
            let size = file.metadata().map_err(failed)?.len();
            header.set_size(size);
            let content = file.take(size).chain(io::repeat(0)).take(size);
            tar.append_data(&mut header, &found.path, content).map_err(failed)
        }
        // Sockets have no place in an archive, devices none in a build.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn packed(folder: &Path, dockerfile: &str) -> Vec<String> {
        let mut bytes = Vec::new();
        pack(Some(folder), dockerfile, None, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_is_ignored_is_left_out_and_the_dockerfile_never() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        for file in ["Dockerfile", "a/b/x", "a/b/keep", "z"] {
            fs::write(root.path().join(file), "1").unwrap();
        }
        symlink("/etc/passwd", root.path().join("l")).unwrap();
        assert_eq!(
            packed(root.path(), "Dockerfile"),
            ["Dockerfile", "a", "a/b", "a/b/keep", "a/b/x", "l", "z"]
        );
        fs::write(root.path().join(IGNORE), "*\n!a/b/keep\n").unwrap();
        assert_eq!(packed(root.path(), "Dockerfile"), [IGNORE, "Dockerfile", "a", "a/b", "a/b/keep"]);
        fs::write(root.path().join("Dockerfile.dockerignore"), "a\nl\n").unwrap();
        assert_eq!(packed(root.path(), "Dockerfile"), [IGNORE, "Dockerfile", "Dockerfile.dockerignore", "z"]);
    }

    #[test]
    fn a_dockerfile_is_named_by_its_path_in_the_context_or_is_not_in_there() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/D"), "").unwrap();
        fs::write(root.path().join("E"), "").unwrap();
        assert_eq!(dockerfile_in(root.path(), &root.path().join("a/../a/D")).unwrap(), "a/D");
        assert_eq!(dockerfile_in(&root.path().join("a"), &root.path().join("E")), None);
    }
}
