//! The directories of `RUN --mount=type=cache`, which outlive builds: `<root>/build/mounts/<digest of what names it>[-n]/fs`.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use minke_dockerfile::evaluate::{Owner, Sharing};
use minke_kernel::tree;
use minke_model::Digest;
use serde::{Deserialize, Serialize};

use crate::cache::{CacheEntry, Key, now};

/// What the names of directories begin with that are being deleted.
const TRASH: &str = ".trash-";
/// The same of those that go with their build.
const FRESH: &str = "fresh-";

/// The mode of a cache's directory, where neither the mount nor what it begins with has one.
pub(crate) const MODE: u32 = 0o755;

/// What names a cache. As in BuildKit those of one id that begin differently are different ones: a step of another user's would
/// find a directory that it can't write to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CacheName<'a> {
    pub(crate) id: &'a str,
    /// The content of the files that it begins with.
    pub(crate) content: Option<&'a Digest>,
    /// Whose it is, as far as the mount says.
    pub(crate) owner: Owner,
}

impl CacheName<'_> {
    /// What tells two of one build apart.
    pub(crate) fn digest(&self) -> Digest {
        self.key("cache mount").digest()
    }

    fn key(&self, kind: &str) -> Key {
        let mut key = Key::new(kind).and(self.id);
        if let Some(content) = self.content {
            key = key.and("content").and(content.hex());
        }
        let Owner { uid, gid, mode } = self.owner;
        if uid.or(gid).or(mode).is_some() {
            let (uid, gid, mode) = (uid.unwrap_or(0), gid.unwrap_or(0), mode.unwrap_or(MODE));
            key = key.and("owner").and(format!("{uid}:{gid} {mode:o}"));
        }
        key
    }
}

/// Which cache a mount means, and who else may have it.
pub(crate) struct CacheMounts {
    directory: PathBuf,
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    /// How many steps have a directory.
    counts: HashMap<String, usize>,
    /// One after the other.
    turns: HashMap<String, Weak<tokio::sync::Mutex<()>>>,
    /// Directories that go with their last step.
    leaving: HashSet<String>,
}

/// What is remembered of one, beside its files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Note {
    id: String,
    created: String,
    used: String,
    uses: u64,
    /// Whether what it begins with isn't all there: then it begins anew.
    #[serde(default)]
    is_unfilled: bool,
}

/// A cache's directory, in use as long as this lives.
pub(crate) struct Taken {
    owner: Arc<CacheMounts>,
    name: String,
    /// The files.
    pub(crate) path: PathBuf,
    /// Who fills a new one: others wait.
    filling: Option<(Note, tokio::sync::OwnedMutexGuard<()>)>,
    _turn: Option<tokio::sync::OwnedMutexGuard<()>>,
}

/// The caches of a build without cache: its steps share them with each other and with nobody else, and they go with it.
pub(crate) struct Fresh {
    owner: Arc<CacheMounts>,
    number: u64,
    names: Mutex<HashSet<String>>,
}

impl Fresh {
    pub(crate) fn new(owner: &Arc<CacheMounts>) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        Self { owner: Arc::clone(owner), number, names: Mutex::default() }
    }

    /// As for [`CacheMounts::take`].
    pub(crate) async fn take(&self, name: CacheName<'_>, sharing: Sharing) -> io::Result<Taken> {
        let base = name.key("fresh cache mount").and(self.number.to_string()).digest().hex();
        let taken = self.owner.take_named(name.id, format!("{FRESH}{base}"), sharing).await?;
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(taken.name.clone());
        Ok(taken)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let names = std::mem::take(self.names.get_mut().unwrap_or_else(PoisonError::into_inner));
        // A step of a build that was given up may still fill one.
        delete(names.iter().filter_map(|name| self.owner.discard(name, true).ok()?).collect());
    }
}

/// Deletes what nobody can take any more. It may take a while, and nobody waits for it.
fn delete(trash: Vec<PathBuf>) {
    let delete = move || {
        for path in trash {
            if let Err(error) = tree::remove_all(&path) {
                tracing::warn!(%error, path = %path.display(), "delete a cache mount of a build without cache");
            }
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(delete)),
        Err(_) => delete(),
    }
}

/// An empty directory, whatever was there.
fn begin_anew(path: &Path) -> io::Result<()> {
    match tree::remove_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::DirBuilder::new().recursive(true).mode(0o755).create(path),
    }
}

impl CacheMounts {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, users: Mutex::default() }
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory of a cache; waits for others where sharing is `locked`.
    pub(crate) async fn take(self: &Arc<Self>, name: CacheName<'_>, sharing: Sharing) -> io::Result<Taken> {
        self.take_named(name.id, name.digest().hex(), sharing).await
    }

    async fn take_named(self: &Arc<Self>, id: &str, base: String, sharing: Sharing) -> io::Result<Taken> {
        let turn = match sharing {
            Sharing::Locked => Some(self.turn(&base).lock_owned().await),
            Sharing::Shared | Sharing::Private => None,
        };
        let name = {
            let mut users = self.users();
            let free = |name: &String| sharing != Sharing::Private || !users.counts.contains_key(name);
            let names = std::iter::once(base.clone()).chain((1..).map(|number| format!("{base}-{number}")));
            let name = names.into_iter().find(free).unwrap_or(base);
            *users.counts.entry(name.clone()).or_default() += 1;
            name
        };
        let path = self.directory.join(&name).join("fs");
        let taken = Taken { owner: Arc::clone(self), name, path, filling: None, _turn: turn };
        let filling = self.turn(&format!("fill {}", taken.name)).lock_owned().await;
        let known = read(&taken.note())?.filter(|known| !known.is_unfilled);
        let is_new = known.is_none();
        let mut note = known.unwrap_or_else(|| Note { created: now(), is_unfilled: true, ..Note::default() });
        id.clone_into(&mut note.id);
        (note.used, note.uses) = (now(), note.uses + 1);
        if is_new {
            // It goes along, so that nobody else begins before this has ended.
            let begun = move || begin_anew(&taken.path).map(|()| (taken, filling));
            let (mut taken, filling) =
                tokio::task::spawn_blocking(begun).await.map_err(io::Error::other)??;
            taken.write(&note)?;
            taken.filling = Some((note, filling));
            return Ok(taken);
        }
        taken.write(&note)?;
        Ok(taken)
    }

    fn turn(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut users = self.users();
        users.turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = users.turns.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        users.turns.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// All of them, with their directories' names.
    pub(crate) fn entries(&self) -> Vec<(String, CacheEntry)> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(TRASH) {
                continue;
            }
            let Ok(Some(note)) = read(&entry.path().join("note.json")) else { continue };
            let in_use = self.users().counts.contains_key(&name);
            entries.push((
                name.clone(),
                CacheEntry {
                    id: name.chars().take(25).collect(),
                    kind: "exec.cachemount",
                    description: format!("cached mount {}", note.id),
                    in_use,
                    shared: false,
                    size: tree::usage(&entry.path().join("fs")),
                    created: note.created,
                    last_used: Some(note.used),
                    uses: note.uses,
                },
            ));
        }
        entries
    }

    /// Deletes one that nobody uses.
    pub(crate) fn delete(&self, name: &str) -> io::Result<bool> {
        match self.discard(name, false)? {
            Some(trash) => tree::remove_all(&trash).map(|()| true),
            None => Ok(false),
        }
    }

    /// Takes one out of use that nobody uses, or does it `later`; what is left of it is to be deleted.
    fn discard(&self, name: &str, later: bool) -> io::Result<Option<PathBuf>> {
        let mut users = self.users();
        if users.counts.contains_key(name) {
            if later {
                users.leaving.insert(name.to_owned());
            }
            return Ok(None);
        }
        let trash = self.directory.join(format!("{TRASH}{name}"));
        fs::rename(self.directory.join(name), &trash)?;
        Ok(Some(trash))
    }

    /// Deletes what a killed engine was deleting, or would have when a build was done.
    pub(crate) fn sweep(&self) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if (name.starts_with(TRASH) || name.starts_with(FRESH))
                && let Err(error) = tree::remove_all(&entry.path())
            {
                tracing::warn!(%error, "sweep a cache mount");
            }
        }
    }
}

impl Taken {
    /// Whether it was made for this, and is to be filled.
    pub(crate) fn is_new(&self) -> bool {
        self.filling.is_some()
    }

    /// All is there that it begins with.
    pub(crate) fn filled(&mut self) -> io::Result<()> {
        match self.filling.take() {
            Some((note, _turn)) => self.write(&Note { is_unfilled: false, ..note }),
            None => Ok(()),
        }
    }

    fn note(&self) -> PathBuf {
        self.path.with_file_name("note.json")
    }

    fn write(&self, note: &Note) -> io::Result<()> {
        let new = self.path.with_file_name("note.new");
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(note)?)?;
        if note.is_unfilled {
            // Lost with the power, it would make a whole of a half.
            file.sync_data()?;
        }
        fs::rename(new, self.note())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut users = self.owner.users();
        if let Some(count) = users.counts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                users.counts.remove(&self.name);
                if users.leaving.remove(&self.name) {
                    std::mem::drop(users);
                    delete(self.owner.discard(&self.name, false).ok().flatten().into_iter().collect());
                }
            }
        }
    }
}

/// The note of a cache; nothing where there is none. One that can't be understood loses what it says, and not the files.
fn read(path: &Path) -> io::Result<Option<Note>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text).unwrap_or_default())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(id: &str) -> CacheName<'_> {
        CacheName { id, ..CacheName::default() }
    }

    #[test]
    fn caches_of_one_id_that_begin_differently_are_different() {
        let key = |name: CacheName<'_>| name.key("cache mount").digest();
        // By this those are found that an earlier version has made.
        assert_eq!(key(plain("a")), Key::new("cache mount").and("a").digest());
        let owned = |uid, mode| CacheName { owner: Owner { uid, gid: None, mode }, ..plain("a") };
        assert!(key(owned(Some(10), None)) != key(plain("a")));
        assert!(key(owned(Some(10), None)) != key(owned(Some(10), Some(0o700))));
        assert_eq!(key(owned(Some(0), None)), key(owned(None, Some(0o755))));
        let content = Key::new("content").digest();
        assert!(key(CacheName { content: Some(&content), ..plain("a") }) != key(plain("a")));
    }

    #[tokio::test]
    async fn private_caches_are_anothers_and_locked_ones_wait() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = Arc::new(CacheMounts::new(dir.path().to_owned()));
        let mut first = mounts.take(plain("a"), Sharing::Private).await.unwrap();
        let second = mounts.take(plain("a"), Sharing::Private).await.unwrap();
        assert!(first.path != second.path && first.is_new() && second.is_new());
        first.filled().unwrap();
        let shared = mounts.take(plain("a"), Sharing::Shared).await.unwrap();
        assert!(shared.path == first.path && !shared.is_new());
        let mut locked = mounts.take(plain("b"), Sharing::Locked).await.unwrap();
        locked.filled().unwrap();
        let other = mounts.take(plain("b"), Sharing::Locked);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), other).await.is_err());
        drop(locked);
        assert!(!mounts.take(plain("b"), Sharing::Locked).await.unwrap().is_new());
    }

    #[tokio::test]
    async fn a_cache_is_nobody_elses_before_it_is_filled_and_begins_anew_if_it_never_was() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = Arc::new(CacheMounts::new(dir.path().to_owned()));
        let half = mounts.take(plain("a"), Sharing::Shared).await.unwrap();
        fs::write(half.path.join("half"), "").unwrap();
        let other = mounts.take(plain("a"), Sharing::Shared);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), other).await.is_err());
        drop(half);
        let mut again = mounts.take(plain("a"), Sharing::Shared).await.unwrap();
        assert!(again.is_new() && !again.path.join("half").exists());
        fs::write(again.path.join("whole"), "").unwrap();
        again.filled().unwrap();
        let third = mounts.take(plain("a"), Sharing::Shared).await.unwrap();
        assert!(!third.is_new() && third.path.join("whole").exists());
    }

    #[tokio::test]
    async fn a_build_without_cache_has_its_own_and_leaves_the_others_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = Arc::new(CacheMounts::new(dir.path().to_owned()));
        let kept = mounts.take(plain("a"), Sharing::Shared).await.unwrap().path.clone();
        let fresh = Fresh::new(&mounts);
        let mut begun = fresh.take(plain("a"), Sharing::Shared).await.unwrap();
        begun.filled().unwrap();
        let first = begun.path.clone();
        drop(begun);
        let again = fresh.take(plain("a"), Sharing::Shared).await.unwrap();
        assert!(first != kept && again.path == first && !again.is_new());
        assert!(Fresh::new(&mounts).take(plain("a"), Sharing::Shared).await.unwrap().is_new());
        drop(again);
        let given_up = fresh.take(plain("b"), Sharing::Shared).await.unwrap();
        drop(fresh);
        assert!(kept.is_dir() && !first.exists());
        assert_eq!(mounts.entries().len(), 2);
        drop(given_up);
        assert_eq!(mounts.entries().len(), 1);
    }

    #[tokio::test]
    async fn a_damaged_note_costs_no_files() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = Arc::new(CacheMounts::new(dir.path().to_owned()));
        let mut taken = mounts.take(plain("a"), Sharing::Shared).await.unwrap();
        fs::write(taken.path.join("kept"), "").unwrap();
        taken.filled().unwrap();
        fs::write(taken.note(), "").unwrap();
        let again = mounts.take(plain("a"), Sharing::Shared).await.unwrap();
        assert!(!again.is_new() && again.path.join("kept").exists());
        assert_eq!(mounts.entries()[0].1.description, "cached mount a");
    }

    #[tokio::test]
    async fn what_is_in_use_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = Arc::new(CacheMounts::new(dir.path().to_owned()));
        let taken = mounts.take(plain("a"), Sharing::Shared).await.unwrap();
        let name = mounts.entries()[0].0.clone();
        assert!(!mounts.delete(&name).unwrap());
        drop(taken);
        assert!(mounts.delete(&name).unwrap() && mounts.entries().is_empty());
    }
}
