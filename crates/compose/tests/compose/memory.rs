//! Files that are only in memory, and folders of this repository under other names.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use minke_compose::load::{Kind, LoadError, Loaded, Request, Source, project};

/// Files by their absolute paths; folders are where files are below.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// Files in `/srv/app`.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(name, text): &(&str, &str)| (Path::new("/srv/app").join(name), text.as_bytes().to_vec());
        Self(files.iter().map(file).collect())
    }

    /// Loads the project in `/srv/app`.
    pub(crate) fn load(&self) -> Result<Loaded, LoadError> {
        project(&request(), self)
    }
}

/// Asks for the project in `/srv/app`.
pub(crate) fn request() -> Request {
    Request { working_dir: PathBuf::from("/srv/app"), ..Request::default() }
}

impl Source for Memory {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let file = self.0.get(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(file.iter().copied().take(most + 1).collect())
    }

    fn stdin(&self, most: usize) -> io::Result<Vec<u8>> {
        self.read(Path::new("/srv/app/-"), most)
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        if self.0.contains_key(path) {
            return Some(Kind::File);
        }
        self.0.keys().any(|file| file.starts_with(path)).then_some(Kind::Folder)
    }

    fn resolved(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

/// The projects of this repository, as if they were in `/tmp/projects`: what docker compose printed of them has these
/// paths in it.
pub(crate) struct Projects;

/// Where they seem to be.
pub(crate) const PROJECTS: &str = "/tmp/projects";

impl Projects {
    /// Where they are.
    pub(crate) fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects")
    }

    fn real(path: &Path) -> Option<PathBuf> {
        path.strip_prefix(PROJECTS).ok().map(|rest| Self::folder().join(rest))
    }
}

impl Source for Projects {
    fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        fs::read(Self::real(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?)
    }

    fn stdin(&self, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        let metadata = fs::metadata(Self::real(path)?).ok()?;
        Some(if metadata.is_dir() { Kind::Folder } else { Kind::File })
    }

    fn resolved(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

impl Memory {
    /// One more file, of any bytes.
    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(Path::new("/srv/app").join(name), bytes.to_vec());
    }
}
