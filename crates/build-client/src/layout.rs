//! A folder of this host's as an OCI layout: blobs by their digests, and an index of those that have a name (OCI image
//! specification 1.1, "Image Layout"). `--cache-to type=local` and `--output type=oci,tar=false` write such folders, as docker
//! buildx does, and each reads the other's.
//!
//! ```text
//!  ingest/<number> ──it is whole──▶ blobs/sha256/<hex>     index.json ◀── what the build left, under a name
//! ```
//! Blobs are named by digests and by nothing that could be a path. Every file is whole or not there; the index is written by
//! one at a time (a lock on the folder).

mod index;
mod unfinished;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use minke_model::{Descriptor, Digest};
use rustix::fs::{FlockOperation, flock};

pub(crate) use self::index::Name;
use self::index::{INDEX, Index};
pub(crate) use self::unfinished::Unfinished;

/// What says that the folder is a layout, and of which version.
const MARK: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);

/// Why a layout can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// One of its files, or the folder itself.
    #[error("{action} {path:?}")]
    File {
        /// What was done.
        action: &'static str,
        /// With which.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Its index is damaged.
    #[error("{path:?} is no index of an OCI layout; remove the folder, or name another one")]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Its index has other names.
    #[error("{path:?} has nothing of the name {name:?}, but {known}; say tag=… or digest=…")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// The names that it has.
        known: String,
    },
    /// A blob is another than was announced.
    #[error("what came as {expected} has the digest {found}")]
    Different {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
}

/// A folder that is a layout, or becomes one.
#[derive(Debug, Clone)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// The one in a folder that may be there.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The one in a folder that is made.
    pub(crate) fn make(path: &Path) -> Result<Self, LayoutError> {
        let layout = Self::at(path);
        for folder in [layout.blobs(), layout.ingest()] {
            fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
        }
        Ok(layout)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn blobs(&self) -> PathBuf {
        self.0.join("blobs/sha256")
    }

    fn ingest(&self) -> PathBuf {
        self.0.join("ingest")
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// A blob, and how long it is; `None` when it isn't there.
    pub(crate) fn open(&self, digest: &Digest) -> Result<Option<(File, u64)>, LayoutError> {
        let path = self.blob(digest);
        match File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((length, file)) => Ok(Some((file, length))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    /// A file that becomes one of the layout's.
    pub(crate) fn begin(&self) -> Result<Unfinished, LayoutError> {
        let folder = self.ingest();
        Unfinished::new(&folder).map_err(failed("write to", &folder))
    }

    /// Keeps what was written as a blob.
    ///
    /// # Errors
    /// When it isn't what was announced.
    pub(crate) fn keep(&self, blob: Unfinished, expected: Option<Digest>) -> Result<Digest, LayoutError> {
        let found = blob.digest();
        match expected {
            Some(expected) if expected != found => Err(LayoutError::Different { expected, found }),
            _ => {
                let path = self.blob(&found);
                blob.finish(&path).map_err(failed("write", &path))?;
                Ok(found)
            }
        }
    }

    /// What has a name; `None` where nothing was ever kept.
    ///
    /// # Errors
    /// For an index that is damaged or has other names only.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Digest>, LayoutError> {
        let Some(index) = self.index()? else { return Ok(None) };
        match index.find(name) {
            Some(digest) => Ok(Some(digest)),
            None => Err(LayoutError::Unknown {
                path: self.0.join(INDEX),
                name: name.to_owned(),
                known: index.names(),
            }),
        }
    }

    /// Gives names to something, which nothing else has then.
    pub(crate) fn name(&self, what: &Descriptor, names: &[Name]) -> Result<(), LayoutError> {
        let folder = File::open(&self.0).map_err(failed("open", &self.0))?;
        flock(&folder, FlockOperation::LockExclusive)
            .map_err(|error| failed("lock", &self.0)(error.into()))?;
        let mut index = self.index()?.unwrap_or_default();
        index.put(what, names);
        self.write(MARK.0, MARK.1)?;
        self.write(INDEX, &index.to_json())
    }

    fn index(&self) -> Result<Option<Index>, LayoutError> {
        let path = self.0.join(INDEX);
        match fs::read(&path) {
            Ok(json) => Index::read(&json).map(Some).map_err(|source| LayoutError::Index { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), LayoutError> {
        let (mut file, path) = (self.begin()?, self.0.join(name));
        file.write(content).and_then(|()| file.finish(&path)).map_err(failed("write", &path))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError + use<> {
    let path = path.to_owned();
    move |source| LayoutError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use minke_model::media_type::MANIFEST;

    use super::*;

    fn kept(layout: &Layout, content: &[u8]) -> Descriptor {
        let mut blob = layout.begin().unwrap();
        blob.write(content).unwrap();
        let digest = layout.keep(blob, None).unwrap();
        Descriptor::new(MANIFEST, digest, content.len() as u64)
    }

    #[test]
    fn a_blob_is_there_when_it_is_whole_and_what_it_was_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::make(folder.path()).unwrap();
        let hello = kept(&layout, b"hello").digest;
        let (_, length) = layout.open(&hello).unwrap().unwrap();
        assert_eq!(length, 5);
        let mut other = layout.begin().unwrap();
        other.write(b"other").unwrap();
        assert!(layout.keep(other, Some(hello)).unwrap_err().to_string().contains("what came as sha256:"));
        drop(layout.begin().unwrap());
        assert_eq!(fs::read_dir(layout.ingest()).unwrap().count(), 0, "nothing unfinished stays");
        assert_eq!(fs::read_dir(layout.blobs()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_is_of_what_got_it_last() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::make(folder.path()).unwrap();
        assert_eq!(layout.find("latest").unwrap(), None);
        let (one, two) = (kept(&layout, b"one"), kept(&layout, b"two"));
        for (what, name) in [(&one, "latest"), (&one, "old"), (&two, "latest")] {
            layout.name(what, &[Name::tag(name)]).unwrap();
        }
        assert_eq!(layout.find("latest").unwrap(), Some(two.digest));
        assert_eq!(layout.find("old").unwrap(), Some(one.digest));
        let unknown = layout.find("new").unwrap_err().to_string();
        assert!(unknown.contains("but latest, old;") || unknown.contains("but old, latest;"), "{unknown}");
        assert_eq!(fs::read(folder.path().join(MARK.0)).unwrap(), MARK.1);
    }

    #[test]
    fn a_damaged_index_is_told_of_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::make(folder.path()).unwrap();
        let one = kept(&layout, b"one");
        let path = folder.path().join(INDEX);
        fs::write(&path, "{\"schemaVersion\":2,").unwrap();
        for error in [layout.find("latest").unwrap_err(), layout.name(&one, &[Name::tag("a")]).unwrap_err()] {
            assert!(error.to_string().contains("no index of an OCI layout"), "{error}");
        }
        assert_eq!(fs::read_to_string(path).unwrap(), "{\"schemaVersion\":2,");
    }
}
