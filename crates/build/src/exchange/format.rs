//! BuildKit's cache format (`application/vnd.buildkit.cacheconfig.v0`): layers, and records that lead to them.
//!
//! A record has a digest, perhaps inputs, and results. Minke writes two for each step: its content key, without inputs, and its
//! definition key, whose one input is the record of the content key. Keys of other builders are digests of other things, so that
//! theirs are never hit here, and minke's never there.

use std::collections::{BTreeMap, HashMap};

use minke_model::{Descriptor, Digest, image_config::ImageConfig};
use serde::{Deserialize, Serialize};

use super::ExchangeError;

/// The type of a cache's configuration.
pub(super) const CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";
/// The selector of a definition's input: what tells it from other builders' records.
const DEFINES: &str = "minke.definition";
/// The annotation with the digest of a layer's uncompressed tar, as containerd has it.
const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// More than any honest cache has.
const MOST_LAYERS: usize = 20_000;
const MOST_RECORDS: usize = 200_000;
/// The most layers that can be on each other: what overlayfs mounts.
const MOST_ON_EACH_OTHER: usize = 500;
/// The longest time in words.
const LONGEST_TIME: usize = 64;

/// The configuration of a cache.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CacheConfig {
    pub(super) layers: Vec<CacheLayer>,
    pub(super) records: Vec<CacheRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CacheLayer {
    pub(super) blob: Digest,
    /// The layer below; -1 is none, and nothing is the first, as Go leaves zeros out.
    #[serde(default)]
    pub(super) parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<LayerAnnotations>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct LayerAnnotations {
    pub(super) media_type: String,
    #[serde(rename = "diffID", skip_serializing_if = "Option::is_none")]
    pub(super) diff_id: Option<Digest>,
    pub(super) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CacheRecord {
    #[serde(rename = "layers", skip_serializing_if = "Vec::is_empty")]
    pub(super) results: Vec<CacheResult>,
    /// Other builders' are not always of sha256.
    pub(super) digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) inputs: Vec<Vec<CacheInput>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CacheResult {
    pub(super) layer: i64,
    #[serde(rename = "createdAt", default, skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CacheInput {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) selector: String,
    pub(super) link: i64,
}

/// An image's configuration that holds its own cache.
#[derive(Serialize)]
pub(crate) struct WithCache<'a> {
    #[serde(flatten)]
    pub(crate) config: &'a ImageConfig,
    /// Base64 of records as JSON.
    #[serde(rename = "moby.buildkit.cache.v0")]
    pub(crate) cache: String,
}

/// What a configuration says of an inline cache.
#[derive(Deserialize)]
pub(super) struct InlineCache {
    #[serde(rename = "moby.buildkit.cache.v0", default)]
    pub(super) cache: Option<String>,
}

/// A cache as it was understood: keys, and the layers that they lead to.
#[derive(Debug, Default)]
pub(super) struct Known {
    layers: Vec<KnownLayer>,
    /// Content keys, with their topmost layers.
    results: HashMap<Digest, usize>,
    /// Definition keys, with the content keys that they lead to.
    definitions: HashMap<Digest, Digest>,
    /// Whether its chains begin with the layers of the base image.
    with_base: bool,
}

/// A layer that is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownLayer {
    pub(super) blob: Descriptor,
    pub(super) diff_id: Digest,
    /// RFC 3339.
    pub(super) created: Option<String>,
    parent: Option<usize>,
}

impl Known {
    /// Reads a configuration whose blobs are described by `blobs`.
    pub(super) fn read(json: &[u8], blobs: &[Descriptor]) -> Result<Self, ExchangeError> {
        let config: CacheConfig = serde_json::from_slice(json).map_err(|error| damaged(&error))?;
        let by_digest: HashMap<Digest, &Descriptor> = blobs.iter().map(|blob| (blob.digest, blob)).collect();
        let mut known = Self::default();
        if config.layers.len() > MOST_LAYERS {
            return Err(damaged(&format!("more than {MOST_LAYERS} layers")));
        }
        for layer in config.layers {
            let blob = by_digest.get(&layer.blob);
            let blob = blob.ok_or_else(|| damaged(&format!("no descriptor of blob {}", layer.blob)))?;
            let annotations = layer.annotations.unwrap_or_default();
            let said = || blob.annotation(UNCOMPRESSED).and_then(|text| text.parse().ok());
            known.layers.push(KnownLayer {
                blob: plain_descriptor(blob),
                // One that doesn't say is never used: its digest would be no layer's.
                diff_id: annotations.diff_id.or_else(said).unwrap_or(layer.blob),
                created: annotations.created_at.filter(|time| is_time(time)),
                parent: usize::try_from(layer.parent).ok(),
            });
        }
        known.add_records(&config.records)?;
        Ok(known)
    }

    /// Reads records that an image holds of its own layers.
    pub(super) fn of_image(
        records: &[u8],
        blobs: &[Descriptor],
        config: &ImageConfig,
    ) -> Result<Self, ExchangeError> {
        let records: Vec<CacheRecord> = serde_json::from_slice(records).map_err(|error| damaged(&error))?;
        let diff_ids = &config.rootfs.diff_ids;
        if blobs.len() != diff_ids.len() || blobs.len() > MOST_ON_EACH_OTHER {
            return Err(damaged(&format!("{} layers, and {} digests of them", blobs.len(), diff_ids.len())));
        }
        let mut times = config.history.iter().filter(|entry| !entry.empty_layer).map(|entry| &entry.created);
        let layers = blobs.iter().zip(diff_ids).enumerate().map(|(at, (blob, diff_id))| KnownLayer {
            blob: plain_descriptor(blob),
            diff_id: *diff_id,
            created: times.next().cloned().flatten().filter(|time| is_time(time)),
            parent: at.checked_sub(1),
        });
        let mut known = Self { layers: layers.collect(), with_base: true, ..Self::default() };
        known.add_records(&records)?;
        Ok(known)
    }

    fn add_records(&mut self, records: &[CacheRecord]) -> Result<(), ExchangeError> {
        if records.len() > MOST_RECORDS {
            return Err(damaged(&format!("more than {MOST_RECORDS} records")));
        }
        for record in records {
            let Ok(key) = record.digest.parse::<Digest>() else { continue };
            match (&record.inputs[..], &record.results[..]) {
                ([], [result]) => {
                    let layer = usize::try_from(result.layer).ok().filter(|at| *at < self.layers.len());
                    let layer =
                        layer.ok_or_else(|| damaged(&format!("a result is layer {}", result.layer)))?;
                    self.results.insert(key, layer);
                }
                ([inputs], _) => {
                    let [CacheInput { selector, link }] = &inputs[..] else { continue };
                    let linked = usize::try_from(*link).ok().and_then(|at| records.get(at));
                    let content = linked.and_then(|record| record.digest.parse().ok());
                    if let (DEFINES, Some(content)) = (selector.as_str(), content) {
                        self.definitions.insert(key, content);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The content key that a definition leads to.
    pub(super) fn content(&self, definition: &Digest) -> Option<Digest> {
        self.definitions.get(definition).copied()
    }

    /// Whether there is a result of a content key.
    pub(super) fn has(&self, key: &Digest) -> bool {
        self.results.contains_key(key)
    }

    /// The layers of a result above those of its base image, lowest first. `None` when there is no such result, or it is not on
    /// this base.
    pub(super) fn own_layers(&self, key: &Digest, base: &[Digest]) -> Option<Vec<KnownLayer>> {
        let mut chain = Vec::new();
        let mut next = Some(*self.results.get(key)?);
        while let Some(at) = next {
            if chain.len() >= MOST_ON_EACH_OTHER {
                return None;
            }
            let layer = self.layers.get(at)?;
            chain.push(layer.clone());
            next = layer.parent;
        }
        chain.reverse();
        if self.with_base {
            let is_on_base = chain.len() >= base.len()
                && chain.iter().zip(base).all(|(layer, diff_id)| layer.diff_id == *diff_id);
            chain = is_on_base.then(|| chain.split_off(base.len()))?;
        }
        (!chain.is_empty()).then_some(chain)
    }

    /// Forgets a result that could not be had.
    pub(super) fn forget(&mut self, key: &Digest) {
        self.results.remove(key);
    }
}

/// Where records are made: keys of steps, with the layers that they lead to.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Content keys, with their topmost layers and when those were made.
    pub(super) results: BTreeMap<Digest, (usize, Option<String>)>,
    /// Definition keys, with the content keys that they lead to.
    pub(super) definitions: BTreeMap<Digest, Digest>,
}

impl Records {
    pub(super) fn write(&self) -> Vec<CacheRecord> {
        let result = |(layer, created): &(usize, Option<String>)| CacheResult {
            layer: i64::try_from(*layer).unwrap_or(i64::MAX),
            created_at: created.clone(),
        };
        let mut places = HashMap::new();
        let mut records = Vec::new();
        for (key, found) in &self.results {
            places.insert(key, records.len());
            let digest = key.to_string();
            records.push(CacheRecord { results: vec![result(found)], digest, inputs: Vec::new() });
        }
        for (definition, key) in &self.definitions {
            let (Some(place), Some(found)) = (places.get(key), self.results.get(key)) else { continue };
            let input =
                CacheInput { selector: DEFINES.to_owned(), link: i64::try_from(*place).unwrap_or(i64::MAX) };
            records.push(CacheRecord {
                results: vec![result(found)],
                digest: definition.to_string(),
                inputs: vec![vec![input]],
            });
        }
        records
    }
}

/// A blob with the annotations that tell readers of it what they can't know otherwise.
pub(super) fn described(blob: &Descriptor, diff_id: &Digest, created: Option<&String>) -> Descriptor {
    let mut annotations = BTreeMap::from([(UNCOMPRESSED.to_owned(), diff_id.to_string())]);
    annotations.extend(created.map(|time| ("buildkit/createdat".to_owned(), time.clone())));
    Descriptor { annotations: Some(annotations), ..plain_descriptor(blob) }
}

/// What and how much it is, and nothing else that somebody says of it.
fn plain_descriptor(blob: &Descriptor) -> Descriptor {
    Descriptor::new(&blob.media_type, blob.digest, blob.size)
}

fn is_time(text: &str) -> bool {
    let format = &time::format_description::well_known::Rfc3339;
    text.len() <= LONGEST_TIME && time::OffsetDateTime::parse(text, format).is_ok_and(|time| time.year() > 1)
}

pub(super) fn damaged(problem: &dyn std::fmt::Display) -> ExchangeError {
    ExchangeError::Damaged(format!("it is no cache that can be read: {problem}"))
}

#[cfg(test)]
mod tests;
