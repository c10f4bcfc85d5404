//! `save`: images in one tar that is a docker-archive and an OCI layout at once, as Docker 25 and later write it.
//!
//! The documents come first and every blob once, in a fixed order, with the images' own dates: the same images always give
//! the same bytes, and a reader knows what is coming.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write},
};

use minke_model::{
    AnyReference, Descriptor, Digest, ImageId, Reference,
    descriptor::{IMAGE_NAME, REF_NAME},
    media_type::INDEX,
};
use serde::Serialize;

use crate::{
    FindError, ImageStore, StoreError,
    archive::{Entry, EntryKind, Moment, TarWriter},
    compressed::CompressedLayer,
    content::io_error,
    manifest::{ArchiveImage, Document, Index},
    store::{ImageRecord, Staging, seconds},
};

/// Why images were not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// One of the names is not an image.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A blob has not the size that it was stored with.
    #[error("blob {digest} in the store is damaged: {found} bytes instead of {expected}")]
    Damaged {
        /// The blob.
        digest: Digest,
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// The store's files could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The receiver of the archive refused it.
    #[error("write the archive")]
    Write(#[source] io::Error),
}

/// An image to save, with the names that were asked for.
pub(crate) struct Chosen {
    pub(crate) id: ImageId,
    pub(crate) record: ImageRecord,
    pub(crate) config_size: u64,
    /// Seconds since 1970: the date of what it consists of.
    pub(crate) created: i64,
    pub(crate) names: Vec<Reference>,
    /// The index that it goes with, if all of that is here.
    pub(crate) index: Option<WholeIndex>,
}

/// An index, and everything that it leads to.
pub(crate) struct WholeIndex {
    pub(crate) descriptor: Descriptor,
    pub(crate) blobs: BTreeMap<Digest, u64>,
}

/// Images as one tar that is to be written; nothing of them is removed meanwhile.
pub struct Saving {
    held: Staging,
    chosen: Vec<Chosen>,
    /// Keeps layers' blobs that are no image's.
    _layers: Vec<CompressedLayer>,
}

impl ImageStore {
    /// Chooses images to write as one tar. A name without a tag stands for all tags of its repository, an id for the image
    /// without names, as in Docker.
    ///
    /// # Errors
    /// [`SaveError::Find`] when a name is unknown.
    pub fn save(&self, names: &[String]) -> Result<Saving, SaveError> {
        let mut held = self.stage()?;
        let chosen = self.choose(names)?;
        for image in &chosen {
            held.hold_all(image)?;
        }
        Ok(Saving { held, chosen, _layers: Vec::new() })
    }

    fn choose(&self, names: &[String]) -> Result<Vec<Chosen>, FindError> {
        let index = self.index();
        let mut chosen: Vec<Chosen> = Vec::new();
        let mut add = |id: ImageId, names: Vec<Reference>| -> Result<(), FindError> {
            if let Some(same) = chosen.iter_mut().find(|image| image.id == id) {
                same.names.extend(names);
                return Ok(());
            }
            let missing = || FindError::NotFound(id.to_string());
            let record = index.record(&id).ok_or_else(missing)?.clone();
            let image = index.image(&id).ok_or_else(missing)?;
            let config_size = image.config_json.len() as u64;
            let created = image.created.as_deref().map_or(0, seconds);
            chosen.push(Chosen { id, record, config_size, created, names, index: None });
            Ok(())
        };
        let mut targets = BTreeMap::new();
        for text in names {
            let whole_repository = match text.parse::<AnyReference>()? {
                AnyReference::Named(name) if name.is_name_only() => Some(name),
                _ => None,
            };
            let tags: Vec<_> = whole_repository.iter().flat_map(|name| index.repository(name)).collect();
            for (tag, record) in tags.iter().filter(|(tag, _)| tag.tag().is_some()) {
                add(record.image, vec![(*tag).clone()])?;
            }
            if tags.is_empty() {
                let (id, name) = crate::store::find(&index, text)?;
                let asked = text.parse::<Digest>().ok();
                let target = name.as_ref().and_then(|name| index.target(name)).or(asked);
                targets.extend(target.map(|target| (id, target)));
                add(id, name.into_iter().filter(|name| name.digest().is_none()).collect())?;
            }
        }
        drop(index);
        for image in &mut chosen {
            image.names.sort_unstable();
            image.names.dedup();
            let target = targets.get(&image.id);
            let index = |one: &&Descriptor| one.is_index() && Some(&one.digest) == target;
            let index = image.record.companions.iter().find(index).cloned();
            image.index = index.and_then(|index| self.whole_index(index));
        }
        Ok(chosen)
    }

    /// Everything that an index leads to; `None` when not all of it is here.
    fn whole_index(&self, descriptor: Descriptor) -> Option<WholeIndex> {
        let mut blobs = BTreeMap::from([(descriptor.digest, descriptor.size)]);
        let Document::Index(index) = self.read_document(&descriptor).ok()?? else { return None };
        for one in index.manifests() {
            let has = |digest: &Digest| self.index().has_blob(digest);
            let document = has(&one.digest).then(|| self.read_document(one).ok().flatten()).flatten()?;
            let Document::Manifest(manifest) = document else { return None };
            let parts = std::iter::once(manifest.config()).chain(manifest.layers());
            let all: Vec<&Descriptor> = parts.chain([one]).collect();
            if !all.iter().all(|blob| has(&blob.digest)) {
                return None;
            }
            blobs.extend(all.iter().map(|blob| (blob.digest, blob.size)));
        }
        Some(WholeIndex { descriptor, blobs })
    }
}

impl Saving {
    /// What is no image of the store.
    pub(crate) fn of_composed(held: Staging, chosen: Chosen, layers: Vec<CompressedLayer>) -> Self {
        Self { held, chosen: vec![chosen], _layers: layers }
    }

    /// Writes the tar.
    ///
    /// # Errors
    /// [`SaveError`] when the receiver doesn't take it, or a file of the store is gone.
    pub fn write(&self, to: impl Write) -> Result<(), SaveError> {
        let mut tar = TarWriter::new(to);
        let documents = documents(&self.chosen);
        for (name, content) in &documents {
            tar.file(name, 0o644, content).map_err(SaveError::Write)?;
        }
        for folder in ["blobs/", "blobs/sha256/"] {
            let mut entry = Entry::new(folder, EntryKind::Directory);
            entry.mode = 0o755;
            tar.entry(&entry).map_err(SaveError::Write)?;
        }
        let mut written = BTreeSet::new();
        for image in &self.chosen {
            for (digest, size) in image.blobs() {
                if written.insert(digest) {
                    write_blob(&self.held, &mut tar, digest, size, image.created)?;
                }
            }
        }
        tar.finish().map_err(SaveError::Write)?;
        Ok(())
    }
}

impl Chosen {
    fn manifest(&self) -> &Descriptor {
        // A record always has a manifest: it is made with one.
        &self.record.manifests[0].descriptor
    }

    /// What a reader begins with.
    fn root(&self) -> &Descriptor {
        self.index.as_ref().map_or_else(|| self.manifest(), |index| &index.descriptor)
    }

    fn layers(&self) -> &[Descriptor] {
        &self.record.manifests[0].layers
    }

    /// Digests and sizes of everything the saved image needs.
    fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> + '_ {
        let small = [(self.manifest().digest, self.manifest().size), (self.id, self.config_size)];
        let others =
            self.index.iter().flat_map(|index| index.blobs.iter().map(|(digest, size)| (*digest, *size)));
        small.into_iter().chain(self.layers().iter().map(|layer| (layer.digest, layer.size))).chain(others)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// `oci-layout`, `index.json`, `manifest.json` and, for Docker before 1.10, `repositories`.
fn documents(chosen: &[Chosen]) -> Vec<(&'static str, Vec<u8>)> {
    let mut manifests = Vec::new();
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for image in chosen {
        if image.names.is_empty() {
            manifests.push(image.root().clone());
        }
        for name in &image.names {
            let tag = name.tag().unwrap_or_default().to_owned();
            let annotations = [(IMAGE_NAME.to_owned(), name.to_string()), (REF_NAME.to_owned(), tag.clone())];
            let mut root = image.root().clone();
            root.annotations.get_or_insert_default().extend(annotations);
            manifests.push(root);
            repositories.entry(name.familiar_name()).or_default().insert(tag, image.id.hex());
        }
    }
    let archive: Vec<ArchiveImage> = chosen.iter().map(archive_image).collect();
    let index = Index { schema_version: 2, media_type: INDEX.to_owned(), manifests, annotations: None };
    let mut documents = vec![
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json", json(&index)),
        ("manifest.json", json(&archive)),
    ];
    if !repositories.is_empty() {
        documents.push(("repositories", json(&repositories)));
    }
    documents
}

fn archive_image(image: &Chosen) -> ArchiveImage {
    ArchiveImage {
        config: blob_name(&image.id),
        repo_tags: (!image.names.is_empty()).then(|| image.names.iter().map(Reference::familiar).collect()),
        layers: Some(image.layers().iter().map(|layer| blob_name(&layer.digest)).collect()),
    }
}

fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("strings, numbers and maps with string keys always serialise")
}

fn write_blob(
    held: &Staging,
    tar: &mut TarWriter<impl Write>,
    digest: Digest,
    expected: u64,
    created: i64,
) -> Result<(), SaveError> {
    let path = held.blob(&digest);
    let mut file = File::open(&path).map_err(io_error("open", &path))?;
    let found = file.metadata().map_err(io_error("look at", &path))?.len();
    if found != expected {
        return Err(SaveError::Damaged { digest, expected, found });
    }
    let mut entry = Entry::new(blob_name(&digest), EntryKind::File);
    entry.mtime = Moment { seconds: created, nanoseconds: 0 };
    entry.size = expected;
    tar.entry(&entry).map_err(SaveError::Write)?;
    copy(&mut file, tar.data(), &path, expected)
}

/// Copies exactly `left` bytes, so that an error says which side failed.
fn copy(
    file: &mut File,
    to: &mut impl Write,
    path: &std::path::Path,
    mut left: u64,
) -> Result<(), SaveError> {
    let mut buffer = vec![0; 256 << 10];
    while left > 0 {
        let length = io::Read::read(file, &mut buffer).map_err(io_error("read", path))?;
        if length == 0 {
            return Err(io_error("read", path)(io::ErrorKind::UnexpectedEof.into()).into());
        }
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&buffer[..length]).map_err(SaveError::Write)?;
        left -= length as u64;
    }
    Ok(())
}

impl Staging {
    /// Keeps all of an image in the store.
    fn hold_all(&mut self, image: &Chosen) -> Result<(), FindError> {
        match image.record.blobs(image.id).all(|blob| self.hold_blob(blob)) {
            true => Ok(()),
            // Removed since it was chosen.
            false => Err(FindError::NotFound(image.id.to_string())),
        }
    }
}
