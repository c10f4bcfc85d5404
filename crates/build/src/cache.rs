//! What finished steps left: layers pinned in the engine's store under keys of what they were made from.
//!
//! A step has two keys. Its *definition* key follows from the Dockerfile and the content of the context alone, so that it is
//! known before anything runs: a rebuild in which nothing changed asks for the last step's and is done. Its *content* key follows
//! from the content of everything it reads, other stages' files included, so that a stage that was built anew to the same
//! files doesn't make what copies them be built again. Layers are pinned under the content key; definition keys lead there.

pub(crate) mod filter;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use minke_image::{Arrival, BuiltLayer, HeldLayers, ImageStore, StagedLayer};
use minke_model::{Digest, chain};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::filter::CacheFacts;
use crate::{BuildError, remote::Remembered};

/// Definition keys that are remembered for one result, the latest.
const MOST_ALIASES: usize = 16;
/// Changes when keys or results come to mean something else.
const VERSION: &str = "minke-build-1";

/// A key in the making: every part is set off from the others.
pub(crate) struct Key(Sha256);

impl Key {
    pub(crate) fn new(kind: &str) -> Self {
        Self(Sha256::new()).and(VERSION).and(kind)
    }

    pub(crate) fn and(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    pub(crate) fn digest(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// What is remembered of a result besides its layers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Note {
    /// RFC 3339.
    created: String,
    used: String,
    uses: u64,
    /// The step as progress shows it.
    description: String,
    /// When each layer above the base image was made, lowest first.
    times: Vec<String>,
    /// Definition keys that lead here.
    aliases: Vec<Digest>,
}

/// A result that was found.
#[derive(Debug, Clone)]
pub(crate) struct Cached {
    pub(crate) key: Digest,
    pub(crate) layers: Vec<BuiltLayer>,
    pub(crate) times: Vec<String>,
    pub(crate) held: Arc<HeldLayers>,
}

/// A result as lists of the cache show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// What names it.
    pub id: String,
    /// `regular`, or `exec.cachemount`.
    pub kind: &'static str,
    /// The step that made it.
    pub description: String,
    /// Whether a build or a step uses it now.
    pub in_use: bool,
    /// Whether an image has it too; pruning it frees nothing then.
    pub shared: bool,
    /// Bytes.
    pub size: u64,
    /// RFC 3339.
    pub created: String,
    /// RFC 3339.
    pub last_used: Option<String>,
    /// How often.
    pub uses: u64,
}

impl CacheEntry {
    /// What filters ask of it.
    pub fn facts(&self) -> CacheFacts<'_> {
        CacheFacts {
            id: &self.id,
            kind: self.kind,
            description: &self.description,
            in_use: self.in_use,
            shared: self.shared,
            mutable: self.kind == "exec.cachemount",
        }
    }
}

/// The cache of one engine.
pub(crate) struct Cache {
    store: ImageStore,
    aliases: Mutex<HashMap<Digest, Digest>>,
    /// Results used since the last flush.
    used: Mutex<HashSet<Digest>>,
    /// Who works on a result.
    working: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    /// What was at URLs.
    pub(crate) urls: Remembered,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    pub(crate) fn open(store: ImageStore) -> Self {
        let mut aliases = HashMap::new();
        for pin in store.pins() {
            let note: Note = serde_json::from_str(&pin.note).unwrap_or_default();
            aliases.extend(note.aliases.into_iter().map(|alias| (alias, pin.key)));
        }
        Self {
            store,
            aliases: Mutex::new(aliases),
            used: Mutex::default(),
            working: Mutex::default(),
            urls: Remembered::default(),
        }
    }

    /// The result that a definition key leads to.
    pub(crate) fn by_definition(&self, definition: &Digest) -> Option<Cached> {
        let key = lock(&self.aliases).get(definition).copied()?;
        self.by_content(&key)
    }

    /// The content key that a definition key leads to, if its result is there.
    pub(crate) fn content(&self, definition: &Digest) -> Option<Digest> {
        let key = lock(&self.aliases).get(definition).copied()?;
        self.store.pinned(&key).map(|_| key)
    }

    /// The result of a content key; it stays as long as this is held.
    pub(crate) fn by_content(&self, key: &Digest) -> Option<Cached> {
        let cached = self.look(key)?;
        lock(&self.used).insert(*key);
        Some(cached)
    }

    /// The same by somebody who does not use it.
    pub(crate) fn look(&self, key: &Digest) -> Option<Cached> {
        let (layers, note) = self.store.pinned(key)?;
        let held = self.store.hold_layers(&layers).ok()??;
        let note: Note = serde_json::from_str(&note).ok()?;
        Some(Cached { key: *key, layers, times: note.times, held: Arc::new(held) })
    }

    /// Remembers that a definition key leads to a result.
    pub(crate) fn lead(&self, definition: Digest, key: Digest) {
        if lock(&self.aliases).insert(definition, key) == Some(key) {
            return;
        }
        let changed = self.edit(&key, |note| {
            note.aliases.retain(|alias| *alias != definition);
            note.aliases.push(definition);
            let most = note.aliases.len().saturating_sub(MOST_ALIASES);
            note.aliases.drain(..most);
        });
        let written = changed.map_or(Ok(()), |note| self.store.annotate_pins(vec![(key, note)]));
        if let Err(error) = written {
            tracing::warn!(%error, "remember a cached step");
        }
    }

    fn edit(&self, key: &Digest, edit: impl FnOnce(&mut Note)) -> Option<String> {
        let (_, note) = self.store.pinned(key)?;
        let mut note: Note = serde_json::from_str(&note).ok()?;
        edit(&mut note);
        serde_json::to_string(&note).ok()
    }

    /// Takes what a step has changed as its result.
    pub(crate) fn commit(
        &self,
        key: Digest,
        definition: Option<Digest>,
        upper: &Path,
        below: &[BuiltLayer],
        times: &[String],
        description: &str,
    ) -> Result<Cached, BuildError> {
        let note = note(definition, times, description)?;
        let layer = self.store.commit_layer(upper, below, key, note).map_err(|error| failed(&error))?;
        let layers = below.iter().cloned().chain([layer]).collect();
        self.added(key, definition, layers, times.to_vec())
    }

    /// Takes layers that came from elsewhere as a step's result.
    pub(crate) fn take_in(
        &self,
        key: Digest,
        definition: Option<Digest>,
        arrival: Arrival,
        received: Vec<StagedLayer>,
        times: Vec<String>,
        description: &str,
    ) -> Result<Cached, BuildError> {
        let note = note(definition, &times, description)?;
        let layers = arrival.pin(key, note, received).map_err(|error| failed(&error))?;
        self.added(key, definition, layers, times)
    }

    fn added(
        &self,
        key: Digest,
        definition: Option<Digest>,
        layers: Vec<BuiltLayer>,
        times: Vec<String>,
    ) -> Result<Cached, BuildError> {
        lock(&self.aliases).extend(definition.map(|definition| (definition, key)));
        let held = self.store.hold_layers(&layers).map_err(|error| failed(&error))?;
        let held = held.ok_or_else(|| BuildError::Failed("a layer vanished while it was made".to_owned()))?;
        Ok(Cached { key, layers, times, held: Arc::new(held) })
    }

    /// Who wants to make a result waits for whoever is at it.
    pub(crate) fn turn(&self, key: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut working = lock(&self.working);
        working.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = working.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        working.insert(*key, Arc::downgrade(&turn));
        turn
    }

    /// Writes down what was used, in one transaction.
    pub(crate) fn flush(&self) {
        let used: Vec<Digest> = lock(&self.used).drain().collect();
        let note = |key: &Digest| {
            self.edit(key, |note| {
                note.used = now();
                note.uses += 1;
            })
        };
        let notes: Vec<_> = used.iter().filter_map(|key| Some((*key, note(key)?))).collect();
        if notes.is_empty() {
            return;
        }
        if let Err(error) = self.store.annotate_pins(notes) {
            tracing::warn!(%error, "remember which cached steps were used");
        }
    }

    /// Everything in it.
    pub(crate) fn entries(&self) -> Vec<(Digest, CacheEntry)> {
        let working: HashSet<Digest> = {
            let working = lock(&self.working);
            working.iter().filter(|(_, turn)| turn.strong_count() > 0).map(|(key, _)| *key).collect()
        };
        let used = lock(&self.used).clone();
        let entry = |pin: minke_image::Pin| {
            let note: Note = serde_json::from_str(&pin.note).unwrap_or_default();
            let entry = CacheEntry {
                id: pin.key.hex()[..25].to_owned(),
                kind: "regular",
                description: note.description,
                in_use: working.contains(&pin.key) || used.contains(&pin.key),
                shared: pin.is_shared,
                size: pin.size,
                created: note.created,
                last_used: Some(note.used),
                uses: note.uses,
            };
            (pin.key, entry)
        };
        self.store.pins().into_iter().map(entry).collect()
    }

    /// Forgets results. Gives the bytes that went.
    pub(crate) fn forget(&self, keys: &[Digest]) -> Result<u64, BuildError> {
        lock(&self.aliases).retain(|_, key| !keys.contains(key));
        self.store.unpin(keys).map_err(|error| failed(&error))
    }
}

/// What is remembered of a new result.
fn note(definition: Option<Digest>, times: &[String], description: &str) -> Result<String, BuildError> {
    let note = Note {
        used: now(),
        created: times.last().cloned().unwrap_or_default(),
        uses: 1,
        description: description.to_owned(),
        times: times.to_vec(),
        aliases: definition.into_iter().collect(),
    };
    serde_json::to_string(&note).map_err(|error| BuildError::Failed(error.to_string()))
}

pub(crate) fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

/// An error with its causes.
pub(crate) fn failed(error: &dyn std::error::Error) -> BuildError {
    BuildError::Failed(chain(error))
}
