//! Everything the store knows, in memory: images, names, layers, and who needs what.
//!
//! Pure: it changes only by [`Index::apply`] and by leases, so every rule about it is tested without a disk.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use minke_model::{Descriptor, Digest, ImageId, Reference};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Change, ImageRecord, LayerRecord, NameRecord, PinRecord};
use crate::{Image, ImageConfig};

/// One image with what was derived from its records.
#[derive(Debug)]
struct Entry {
    record: ImageRecord,
    /// Shared with those who list images: there may be thousands.
    image: Arc<Image>,
    names: BTreeSet<Reference>,
    /// For the order of lists, nanoseconds since 1970.
    created: i128,
}

/// The store's knowledge.
#[derive(Debug, Default)]
pub(crate) struct Index {
    images: BTreeMap<ImageId, Entry>,
    names: BTreeMap<Reference, NameRecord>,
    layers: BTreeMap<Digest, LayerRecord>,
    pins: BTreeMap<Digest, PinRecord>,
    /// How many images and pins need a blob.
    blob_uses: HashMap<Digest, u32>,
    /// How many images and pins need a layer.
    layer_uses: HashMap<Digest, u32>,
    /// Operations under way that need a blob or a layer, whatever the images say.
    leases: HashMap<Digest, u32>,
}

impl Index {
    /// Carries out a change.
    pub(crate) fn apply(&mut self, change: Change) {
        self.layers.extend(change.add_layers);
        for (id, record, config) in change.add_images {
            self.add_image(id, record, config);
        }
        let mut renamed = BTreeSet::new();
        for (name, record) in change.set_names {
            renamed.extend(self.remove_name(&name));
            renamed.extend(self.add_name(name, record));
        }
        for (key, record) in change.set_pins {
            self.remove_pin(&key);
            for layer in &record.layers {
                *self.blob_uses.entry(layer.blob.digest).or_default() += 1;
                *self.layer_uses.entry(layer.chain).or_default() += 1;
            }
            self.pins.insert(key, record);
        }
        for key in &change.remove_pins {
            self.remove_pin(key);
        }
        renamed.extend(change.remove_names.iter().filter_map(|name| self.remove_name(name)));
        self.refresh_names(renamed);
        for id in &change.remove_images {
            self.remove_image(id);
        }
        for chain in &change.remove_layers {
            self.layers.remove(chain);
        }
    }

    fn add_image(&mut self, id: ImageId, record: ImageRecord, config_json: Arc<[u8]>) {
        let names = self.remove_image(&id);
        // It was parsed before it was stored, so this cannot fail on anything that was not tampered with.
        let config: ImageConfig = serde_json::from_slice(&config_json).unwrap_or_default();
        record.blobs(id).for_each(|blob| *self.blob_uses.entry(blob).or_default() += 1);
        record.layers.iter().for_each(|layer| *self.layer_uses.entry(*layer).or_default() += 1);
        let created = config.created.as_deref().map_or(0, nanoseconds);
        let image = Arc::new(Image {
            id,
            manifest: record.manifests.first().map_or(id, |manifest| manifest.descriptor.digest),
            names: Vec::new(),
            digests: Vec::new(),
            created: config.created.clone(),
            size: record
                .layers
                .iter()
                .filter_map(|layer| self.layers.get(layer))
                .map(|layer| layer.size)
                .sum(),
            parent: record.parent,
            layers: record.layers.clone(),
            diff_ids: config.rootfs.diff_ids.clone(),
            config: Arc::new(config),
            config_json,
            last_tagged: None,
        });
        self.images.insert(id, Entry { record, image, names: BTreeSet::new(), created });
        for (name, record) in names {
            self.add_name(name, record);
        }
        self.refresh_names([id].into());
    }

    /// Once for each image, however many names it got or lost.
    fn refresh_names(&mut self, images: BTreeSet<ImageId>) {
        for id in images {
            if let Some(entry) = self.images.get_mut(&id) {
                entry.refresh_names();
            }
        }
    }

    /// Takes an image and its names out. Returns the names.
    fn remove_image(&mut self, id: &ImageId) -> Vec<(Reference, NameRecord)> {
        let Some(entry) = self.images.remove(id) else { return Vec::new() };
        entry.record.blobs(*id).for_each(|blob| release(&mut self.blob_uses, blob));
        entry.record.layers.iter().for_each(|layer| release(&mut self.layer_uses, *layer));
        entry.names.into_iter().filter_map(|name| self.names.remove_entry(&name)).collect()
    }

    /// Gives an image a name. Returns the image, whose names are to be [refreshed](Self::refresh_names).
    fn add_name(&mut self, name: Reference, record: NameRecord) -> Option<ImageId> {
        let entry = self.images.get_mut(&record.image)?;
        entry.names.insert(name.clone());
        let image = Arc::make_mut(&mut entry.image);
        image.last_tagged = image.last_tagged.max(Some(record.tagged));
        let id = record.image;
        self.names.insert(name, record);
        Some(id)
    }

    /// Takes a name away from its image, likewise.
    fn remove_name(&mut self, name: &Reference) -> Option<ImageId> {
        let record = self.names.remove(name)?;
        self.images.get_mut(&record.image)?.names.remove(name);
        Some(record.image)
    }

    fn remove_pin(&mut self, key: &Digest) {
        let Some(record) = self.pins.remove(key) else { return };
        for layer in &record.layers {
            release(&mut self.blob_uses, layer.blob.digest);
            release(&mut self.layer_uses, layer.chain);
        }
    }

    pub(crate) fn pin(&self, key: &Digest) -> Option<&PinRecord> {
        self.pins.get(key)
    }

    pub(crate) fn pins(&self) -> impl Iterator<Item = (&Digest, &PinRecord)> {
        self.pins.iter()
    }

    /// Whether an image, a pin or an operation needs the blob. A blob and a layer may have the same digest (an
    /// uncompressed lowest layer), so the two questions are kept apart.
    pub(crate) fn needs_blob(&self, digest: &Digest) -> bool {
        self.blob_uses.contains_key(digest) || self.leases.contains_key(digest)
    }

    /// Whether the layer is recorded: it is then needed by an image or an operation.
    pub(crate) fn needs_layer(&self, chain: &Digest) -> bool {
        self.layers.contains_key(chain)
    }

    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_uses.contains_key(digest)
    }

    pub(crate) fn layer(&self, chain: &Digest) -> Option<&LayerRecord> {
        self.layers.get(chain)
    }

    /// How many images and pins have a layer.
    pub(crate) fn layer_users(&self, chain: &Digest) -> u32 {
        self.layer_uses.get(chain).copied().unwrap_or(0)
    }

    pub(crate) fn image(&self, id: &ImageId) -> Option<&Image> {
        self.images.get(id).map(|entry| &*entry.image)
    }

    pub(crate) fn record(&self, id: &ImageId) -> Option<&ImageRecord> {
        self.images.get(id).map(|entry| &entry.record)
    }

    /// The names of an image: tags and digests, in order.
    pub(crate) fn names_of(&self, id: &ImageId) -> impl Iterator<Item = &Reference> {
        self.images.get(id).into_iter().flat_map(|entry| &entry.names)
    }

    pub(crate) fn named(&self, name: &Reference) -> Option<ImageId> {
        self.names.get(name).map(|record| record.image)
    }

    /// What the name means in its registry, as far as that is known.
    pub(crate) fn target(&self, name: &Reference) -> Option<Digest> {
        self.names.get(name)?.target
    }

    /// The blobs of the layer with this chain id, those of images first: what a loaded image has may be compressed otherwise than
    /// a pulled one's.
    pub(crate) fn blobs_of_layer(&self, chain: &Digest) -> impl Iterator<Item = &Descriptor> {
        let of = move |entry: &'_ Entry| {
            let at = entry.record.layers.iter().position(|layer| layer == chain)?;
            Some((at, entry.image.id))
        };
        let images = self.images.values().filter_map(of);
        let images = images.filter_map(|(at, id)| Some((at, self.images.get(&id)?)));
        let images = images.flat_map(|(at, entry)| {
            entry.record.manifests.iter().filter_map(move |manifest| manifest.layers.get(at))
        });
        let pins = self.pins.values().flat_map(|pin| &pin.layers);
        images.chain(pins.filter(move |layer| layer.chain == *chain).map(|layer| &layer.blob))
    }

    /// An image that came with, or was composed for, this index.
    pub(crate) fn with_index(&self, index: Digest) -> Option<&Image> {
        let has =
            |entry: &&Entry| entry.record.companions.iter().any(|one| one.is_index() && one.digest == index);
        self.images.values().find(has).map(|entry| &*entry.image)
    }

    /// All names by digest, with the records of their images.
    pub(crate) fn digest_names(&self) -> impl Iterator<Item = (&Reference, &ImageRecord)> {
        let by_digest = self.names.iter().filter(|(name, _)| name.digest().is_some());
        by_digest.filter_map(|(name, record)| Some((name, self.record(&record.image)?)))
    }

    /// All names of one repository.
    pub(crate) fn repository(&self, name: &Reference) -> impl Iterator<Item = (&Reference, &NameRecord)> {
        let (domain, path) = (name.domain().to_owned(), name.path().to_owned());
        let same = move |reference: &Reference| reference.domain() == domain && reference.path() == path;
        self.names.iter().filter(move |(reference, _)| same(reference))
    }

    /// Images whose id is in a range.
    pub(crate) fn between(&self, first: ImageId, last: ImageId) -> impl Iterator<Item = &Image> {
        self.images.range(first..=last).map(|(_, entry)| &*entry.image)
    }

    /// Images with this manifest.
    pub(crate) fn with_manifest(&self, manifest: Digest) -> impl Iterator<Item = &Image> {
        let has =
            move |entry: &&Entry| entry.record.manifests.iter().any(|m| m.descriptor.digest == manifest);
        self.images.values().filter(has).map(|entry| &*entry.image)
    }

    pub(crate) fn children(&self, id: &ImageId) -> impl Iterator<Item = ImageId> {
        let id = *id;
        self.images.values().filter(move |entry| entry.record.parent == Some(id)).map(|entry| entry.image.id)
    }

    pub(crate) fn newest_first(&self) -> Vec<Arc<Image>> {
        let mut entries: Vec<&Entry> = self.images.values().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.created, entry.image.id)));
        entries.into_iter().map(|entry| Arc::clone(&entry.image)).collect()
    }

    /// Layers that would be unused without these images, topmost first within each image.
    pub(crate) fn freed_layers(&self, images: &[ImageId]) -> Vec<Digest> {
        let mut uses: HashMap<Digest, u32> = HashMap::new();
        let mut freed = Vec::new();
        for layer in
            images.iter().filter_map(|id| self.record(id)).flat_map(|record| record.layers.iter().rev())
        {
            let removed = uses.entry(*layer).or_default();
            *removed += 1;
            if self.layer_uses.get(layer) == Some(removed) {
                freed.push(*layer);
            }
        }
        freed
    }

    /// Keeps blobs and layers from being collected until [`Index::release`].
    pub(crate) fn lease(&mut self, digest: Digest) {
        *self.leases.entry(digest).or_default() += 1;
    }

    pub(crate) fn is_leased(&self, digest: &Digest) -> bool {
        self.leases.contains_key(digest)
    }

    /// Ends leases.
    pub(crate) fn release(&mut self, digests: impl IntoIterator<Item = Digest>) {
        digests.into_iter().for_each(|digest| release(&mut self.leases, digest));
    }

    /// Which of these layers no image and no operation needs.
    pub(crate) fn unused_layers<'a>(&self, among: impl IntoIterator<Item = &'a Digest>) -> Vec<Digest> {
        let unused = |layer: &&Digest| {
            self.layers.contains_key(layer)
                && !self.layer_uses.contains_key(layer)
                && !self.leases.contains_key(layer)
        };
        among.into_iter().filter(unused).copied().collect()
    }
}

impl Entry {
    fn refresh_names(&mut self) {
        let (digests, mut names): (Vec<_>, Vec<_>) =
            self.names.iter().partition(|name| name.digest().is_some());
        // As Docker has them: by their whole names.
        names.sort_by_cached_key(|name| name.to_string());
        let image = Arc::make_mut(&mut self.image);
        image.names = names.into_iter().map(Reference::familiar).collect();
        image.digests = digests.into_iter().map(Reference::familiar).collect();
    }
}

fn release(counts: &mut HashMap<Digest, u32>, digest: Digest) {
    if let std::collections::hash_map::Entry::Occupied(mut count) = counts.entry(digest) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

fn nanoseconds(rfc3339: &str) -> i128 {
    OffsetDateTime::parse(rfc3339, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp_nanos)
}
