//! The store's tables in the engine's database: versioned JSON, one record per image, name and layer.
//!
//! Configurations are kept beside the records (they are also blobs), so that opening a store with a thousand
//! images reads one file and not a thousand.

use std::sync::Arc;

use minke_model::{Descriptor, Digest, ImageId, Reference};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Change, Index, OpenError, StoreError};
use crate::{BuiltLayer, build::boot};

const VERSION: u32 = 1;

type Table = TableDefinition<'static, &'static str, &'static [u8]>;

/// Image id (hex) → [`ImageRecord`].
const IMAGES: Table = TableDefinition::new("image.records");
/// Image id (hex) → the configuration, byte for byte.
const CONFIGS: Table = TableDefinition::new("image.configs");
/// Full reference (`docker.io/library/redis:7`) → [`NameRecord`].
const NAMES: Table = TableDefinition::new("image.names");
/// Chain id (hex) → [`LayerRecord`].
const LAYERS: Table = TableDefinition::new("image.layers");

/// Pin key (hex) → [`PinRecord`].
const PINS: Table = TableDefinition::new("image.pins");

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) version: u32,
    /// The manifests it is known by, the one to save it with first. There is at least one.
    pub(crate) manifests: Vec<ManifestRecord>,
    /// Chain ids, lowest first.
    pub(crate) layers: Vec<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<ImageId>,
    /// What else came with it and goes with it: the index it was pulled by, attestations and their blobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) companions: Vec<Descriptor>,
}

/// A manifest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestRecord {
    #[serde(flatten)]
    pub(crate) descriptor: Descriptor,
    /// The layers' blobs, lowest first.
    pub(crate) layers: Vec<Descriptor>,
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    pub(crate) version: u32,
    pub(crate) image: ImageId,
    /// Seconds since 1970.
    pub(crate) tagged: i64,
    /// The manifest or index that the name meant in the registry it was pulled from or pushed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<Digest>,
}

/// A layer that is unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) version: u32,
    pub(crate) diff_id: Digest,
    /// Bytes of its files.
    pub(crate) size: u64,
    /// Whether it hides everything below it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) opaque: bool,
}

/// Layers that stay without an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PinRecord {
    pub(crate) version: u32,
    /// Lowest first.
    pub(crate) layers: Vec<BuiltLayer>,
    pub(crate) note: String,
    /// The boot that it is to be believed in: its files were not synced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsynced: Option<String>,
}

impl PinRecord {
    /// A pin of this moment.
    pub(crate) fn new(layers: Vec<BuiltLayer>, note: String) -> Self {
        Self { version: VERSION, layers, note, unsynced: Some(boot()) }
    }
}

impl ImageRecord {
    pub(crate) fn new(manifest: ManifestRecord, layers: Vec<Digest>) -> Self {
        Self { version: VERSION, manifests: vec![manifest], layers, parent: None, companions: Vec::new() }
    }

    /// Every blob that the image needs.
    pub(crate) fn blobs(&self, id: ImageId) -> impl Iterator<Item = Digest> + '_ {
        let manifests = self.manifests.iter();
        let of = |manifest: &ManifestRecord| {
            let layers: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest).collect();
            std::iter::once(manifest.descriptor.digest).chain(layers)
        };
        let companions = self.companions.iter().map(|companion| companion.digest);
        std::iter::once(id).chain(manifests.flat_map(of)).chain(companions)
    }

    /// The same image with what another record of it knows besides.
    pub(crate) fn merged(&self, other: Self) -> Self {
        let mut merged = self.clone();
        for manifest in other.manifests {
            if !merged.manifests.iter().any(|known| known.descriptor.digest == manifest.descriptor.digest) {
                merged.manifests.push(manifest);
            }
        }
        for companion in other.companions {
            if !merged.companions.iter().any(|known| known.digest == companion.digest) {
                merged.companions.push(companion);
            }
        }
        merged
    }
}

impl NameRecord {
    /// A name given now.
    pub(crate) fn now(image: ImageId) -> Self {
        let tagged = time::OffsetDateTime::now_utc().unix_timestamp();
        Self { version: VERSION, image, tagged, target: None }
    }

    /// The same for a name that means this in its registry.
    pub(crate) fn of(self, target: Digest) -> Self {
        Self { target: Some(target), ..self }
    }
}

impl LayerRecord {
    pub(crate) fn new(diff_id: Digest, size: u64, opaque: bool) -> Self {
        Self { version: VERSION, diff_id, size, opaque }
    }
}

/// Reads all tables.
pub(crate) fn read(db: &Database) -> Result<Index, OpenError> {
    let mut change = Change::default();
    let layers = all(db, LAYERS)?;
    for (key, value) in &layers {
        change.add_layers.push((digest("image.layers", key)?, record("image.layers", key, value)?));
    }
    let mut configs = all(db, CONFIGS)?.into_iter().peekable();
    for (key, value) in all(db, IMAGES)? {
        // Both tables have the same keys in the same order.
        while configs.next_if(|(config, _)| *config < key).is_some() {}
        let config =
            configs.next_if(|(config, _)| *config == key).map(|(_, config)| config).unwrap_or_default();
        let record = record("image.records", &key, &value)?;
        change.add_images.push((digest("image.records", &key)?, record, Arc::from(config)));
    }
    for (key, value) in all(db, NAMES)? {
        let reference: Reference = key.parse().map_err(|error| corrupt("image.names", &key, error))?;
        change.set_names.push((reference, record("image.names", &key, &value)?));
    }
    for (key, value) in all(db, PINS)? {
        change.set_pins.push((digest("image.pins", &key)?, record("image.pins", &key, &value)?));
    }
    let mut index = Index::default();
    index.apply(change);
    forget_unsynced(db, &mut index)?;
    Ok(index)
}

/// Drops pins of an earlier boot whose files may not have reached the disk, and layers that only they had.
fn forget_unsynced(db: &Database, index: &mut Index) -> Result<(), StoreError> {
    let now = boot();
    let stale = |record: &PinRecord| record.unsynced.as_ref().is_some_and(|boot| *boot != now);
    let doomed: Vec<_> =
        index.pins().filter(|(_, record)| stale(record)).map(|(key, r)| (*key, r.clone())).collect();
    if doomed.is_empty() {
        return Ok(());
    }
    let remove_pins = doomed.iter().map(|(key, _)| *key).collect();
    let change = Change { remove_pins, ..Change::default() };
    write(db, &change)?;
    index.apply(change);
    let chains = doomed.iter().flat_map(|(_, record)| record.layers.iter().map(|layer| &layer.chain));
    let change = Change { remove_layers: index.unused_layers(chains), ..Change::default() };
    write(db, &change)?;
    index.apply(change);
    Ok(())
}

/// Writes a change in one durable transaction.
pub(crate) fn write(db: &Database, change: &Change) -> Result<(), StoreError> {
    let write = || -> Result<(), redb::Error> {
        let transaction = db.begin_write()?;
        {
            let mut images = transaction.open_table(IMAGES)?;
            let mut configs = transaction.open_table(CONFIGS)?;
            let mut names = transaction.open_table(NAMES)?;
            let mut layers = transaction.open_table(LAYERS)?;
            let mut pins = transaction.open_table(PINS)?;
            for (key, record) in &change.set_pins {
                pins.insert(key.hex().as_str(), json(record)?.as_slice())?;
            }
            for key in &change.remove_pins {
                pins.remove(key.hex().as_str())?;
            }
            for (chain, record) in &change.add_layers {
                layers.insert(chain.hex().as_str(), json(record)?.as_slice())?;
            }
            for (id, record, config) in &change.add_images {
                images.insert(id.hex().as_str(), json(record)?.as_slice())?;
                configs.insert(id.hex().as_str(), &**config)?;
            }
            for (name, record) in &change.set_names {
                names.insert(name.to_string().as_str(), json(record)?.as_slice())?;
            }
            for name in &change.remove_names {
                names.remove(name.to_string().as_str())?;
            }
            for id in &change.remove_images {
                images.remove(id.hex().as_str())?;
                configs.remove(id.hex().as_str())?;
            }
            for chain in &change.remove_layers {
                layers.remove(chain.hex().as_str())?;
            }
        }
        Ok(transaction.commit()?)
    };
    write().map_err(|source| StoreError::Database { action: "record images", source: Box::new(source) })
}

fn json(record: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(record).map_err(|error| redb::Error::Io(error.into()))
}

fn all(db: &Database, table: Table) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
        let transaction = db.begin_read()?;
        let table = match transaction.open_table(table) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            result => result?,
        };
        let mut records = Vec::new();
        for record in table.iter()? {
            let (key, value) = record?;
            records.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(records)
    };
    read().map_err(|source| StoreError::Database { action: "read images", source: Box::new(source) })
}

fn record<T: DeserializeOwned>(table: &'static str, key: &str, value: &[u8]) -> Result<T, OpenError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let fail = |source| OpenError::Record { table, key: key.to_owned(), source };
    match serde_json::from_slice::<Versioned>(value).map_err(fail)?.version {
        VERSION => serde_json::from_slice(value).map_err(fail),
        version => Err(OpenError::Version { table, key: key.to_owned(), version }),
    }
}

fn digest(table: &'static str, key: &str) -> Result<Digest, OpenError> {
    Digest::from_hex(key).map_err(|error| corrupt(table, key, error))
}

fn corrupt(table: &'static str, key: &str, error: impl std::fmt::Display) -> OpenError {
    OpenError::Record { table, key: key.to_owned(), source: serde::de::Error::custom(error) }
}
