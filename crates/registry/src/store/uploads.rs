//! Uploads under way: `uploads/<repository, with + for />/<random id>`, one file each.
//!
//! An upload outlives the process: after a restart its file is found again, its client asks how far it came
//! and goes on. The digest is made while bytes arrive; after a restart, or when it turns out to be another
//! algorithm's, from the file.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::{
    StoreError,
    content::{entries, make_folder},
    error::io_error,
};
use crate::{
    Algorithm, Digest, RepositoryName,
    digest::{Hasher, hex},
};

/// All uploads.
pub(crate) struct Uploads {
    folder: PathBuf,
    limit: usize,
    reserve: u64,
    list: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    repository: RepositoryName,
    upload: Arc<AsyncMutex<Upload>>,
    touched: Instant,
}

/// One upload. Whoever holds it may write to it.
pub(crate) struct Upload {
    id: String,
    repository: RepositoryName,
    path: PathBuf,
    file: File,
    length: u64,
    /// `None` when not all bytes have passed through it.
    hasher: Option<Hasher>,
    gone: bool,
    reserve: u64,
}

impl Uploads {
    /// Takes up what is there.
    pub(super) fn open(folder: &Path, limit: usize, reserve: u64) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let uploads = Self { folder: folder.to_owned(), limit, reserve, list: Mutex::default() };
        for folder in entries(folder)? {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // Nobody else writes here, so another name is not looked into and not removed.
            let Some(repository) = from_file_name(name) else { continue };
            for path in entries(&folder)? {
                let (id, entry) = uploads.take_up(&path, &repository)?;
                uploads.list().insert(id, entry);
            }
        }
        Ok(uploads)
    }

    fn take_up(&self, path: &Path, repository: &RepositoryName) -> Result<(String, Entry), StoreError> {
        let id = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(io_error("open", path))?;
        let metadata = file.metadata().map_err(io_error("look at", path))?;
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let upload = Upload {
            id: id.to_owned(),
            repository: repository.clone(),
            path: path.to_owned(),
            file,
            length: metadata.len(),
            hasher: None,
            gone: false,
            reserve: self.reserve,
        };
        let touched = Instant::now().checked_sub(age.unwrap_or_default()).unwrap_or_else(Instant::now);
        let entry =
            Entry { repository: repository.clone(), upload: Arc::new(AsyncMutex::new(upload)), touched };
        Ok((id.to_owned(), entry))
    }

    /// Begins one, for the caller alone until the guard is dropped. `None`: there are too many.
    pub(crate) fn begin(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<Option<OwnedMutexGuard<Upload>>, StoreError> {
        self.check_room()?;
        let id = random_id(&self.folder)?;
        let folder = self.folder.join(to_file_name(repository));
        let path = folder.join(&id);
        // Held while the folder is made and has no file yet: whoever discards the last upload removes it.
        let mut list = self.list();
        if list.len() >= self.limit {
            return Ok(None);
        }
        make_folder(&folder)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let upload = Upload {
            id: id.clone(),
            repository: repository.clone(),
            file: file.map_err(io_error("make", &path))?,
            path,
            length: 0,
            hasher: Some(Hasher::new(algorithm)),
            gone: false,
            reserve: self.reserve,
        };
        let upload = Arc::new(AsyncMutex::new(upload));
        let guard = upload.clone().try_lock_owned().ok();
        list.insert(id, Entry { repository: repository.clone(), upload, touched: Instant::now() });
        Ok(guard)
    }

    /// The upload of this id, if this repository has it. Whoever locks it then looks whether it is gone.
    pub(crate) fn find(&self, repository: &RepositoryName, id: &str) -> Option<Arc<AsyncMutex<Upload>>> {
        let mut list = self.list();
        let entry = list.get_mut(id).filter(|entry| entry.repository == *repository)?;
        entry.touched = Instant::now();
        Some(entry.upload.clone())
    }

    /// Ends an upload and removes its file, where it is still there.
    pub(crate) fn discard(&self, upload: &mut Upload) {
        upload.gone = true;
        let mut list = self.list();
        list.remove(&upload.id);
        if let Err(error) = fs::remove_file(&upload.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %upload.path.display(), %error, "could not remove an upload");
        }
        if let Some(folder) = upload.path.parent() {
            // Fails while other uploads of the repository are under way.
            let _ = fs::remove_dir(folder);
        }
    }

    /// Ends an upload that its client knows nothing of, unless a thread still writes to it; then it expires.
    pub(crate) fn abandon(&self, repository: &RepositoryName, id: &str) {
        if let Some(Ok(mut upload)) = self.find(repository, id).map(AsyncMutex::try_lock_owned) {
            self.discard(&mut upload);
        }
    }

    /// Drops those that nobody has touched for so long, and that nobody writes to.
    pub(crate) fn expire(&self, after: Duration) -> usize {
        let list = self.list();
        let old = list.values().filter(|entry| entry.touched.elapsed() >= after);
        let mut old: Vec<_> = old.filter_map(|entry| entry.upload.clone().try_lock_owned().ok()).collect();
        drop(list);
        for upload in &mut old {
            self.discard(upload);
        }
        old.len()
    }

    /// Whether somebody is pushing a blob to this repository.
    pub(super) fn has_any(&self, repository: &RepositoryName) -> bool {
        self.list().values().any(|entry| entry.repository == *repository)
    }

    /// Fails as a full disk does when no more than the reserve is free.
    pub(crate) fn check_room(&self) -> Result<(), StoreError> {
        check_room(&self.folder, self.reserve)
    }

    fn list(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was finished or cancelled while somebody waited for it.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes at its end.
    pub(crate) fn append<T: AsRef<[u8]>>(&mut self, pieces: &[T]) -> Result<(), StoreError> {
        check_room(&self.path, self.reserve)?;
        self.file.seek(SeekFrom::Start(self.length)).map_err(io_error("seek in", &self.path))?;
        for piece in pieces {
            let bytes = piece.as_ref();
            self.file.write_all(bytes).map_err(io_error("write", &self.path))?;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(bytes);
            }
            self.length += bytes.len() as u64;
        }
        Ok(())
    }

    /// Takes back what was added after byte `length`.
    pub(crate) fn truncate(&mut self, length: u64) -> Result<(), StoreError> {
        if length < self.length {
            self.file.set_len(length).map_err(io_error("shorten", &self.path))?;
            self.length = length;
            self.hasher = None;
        }
        Ok(())
    }

    /// The digest of all of it.
    pub(super) fn digest(&mut self, algorithm: Algorithm) -> Result<Digest, StoreError> {
        match &self.hasher {
            Some(hasher) if hasher.algorithm() == algorithm => Ok(hasher.clone().finish()),
            _ => self.digest_of_file(algorithm),
        }
    }

    fn digest_of_file(&mut self, algorithm: Algorithm) -> Result<Digest, StoreError> {
        let mut hasher = Hasher::new(algorithm);
        self.file.seek(SeekFrom::Start(0)).map_err(io_error("seek in", &self.path))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("read", &self.path)(error)),
            }
        }
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(io_error("sync", &self.path))
    }
}

fn check_room(path: &Path, reserve: u64) -> Result<(), StoreError> {
    let state = rustix::fs::statvfs(path).map_err(|e| io_error("look at the disk of", path)(e.into()))?;
    match state.f_bavail.saturating_mul(state.f_frsize) < reserve {
        true => Err(io_error("find room for", path)(io::ErrorKind::StorageFull.into())),
        false => Ok(()),
    }
}

/// A UUID of version 4.
fn random_id(folder: &Path) -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| io_error("get random bytes for", folder)(e.into()))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
}

/// A repository's name without slashes. `+` is no character of the grammar.
fn to_file_name(repository: &RepositoryName) -> String {
    repository.as_str().replace('/', "+")
}

fn from_file_name(name: &str) -> Option<RepositoryName> {
    name.replace('+', "/").parse().ok()
}
