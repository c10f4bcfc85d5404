//! An image, or an index over one for each of several platforms, composed of layers that are there for others to have: with layers
//! in the form that is wanted, what is attested of it, and annotations.
//!
//! Nothing of it is in the store until it is committed. The store then knows it as the image that the host runs, to which the index
//! and everything else in it belong, just as it knows a pulled image with its index. So it is saved and pushed whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use minke_model::{
    Descriptor, Digest, ImageId, Platform, Reference,
    descriptor::CREATED,
    image_config::ImageConfig,
    media_type::{CONFIG, DOCKER_CONFIG, DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST},
};

use crate::{
    Attestations, BuiltLayer, CommitError, ImageStore, LayerForm, LoadError, Saving, StoreError,
    commit::{docker_media_type, oci_media_type},
    compressed::CompressedLayer,
    content::io_error,
    manifest::{Index, Manifest},
    push::{OutgoingBlob, OutgoingDocument, Push},
    save::{Chosen, WholeIndex},
    store::{ImageRecord, ManifestRecord, NewImage, Staging, checked_name, seconds},
};

/// One platform's image.
#[derive(Debug, Clone)]
pub struct PlatformImage {
    /// What it runs on.
    pub platform: Platform,
    /// Its configuration, byte for byte; its `rootfs` names the layers.
    pub config: Vec<u8>,
    /// Its layers, lowest first.
    pub layers: Vec<BuiltLayer>,
    /// What is said of it.
    pub attestations: Attestations,
    /// What its manifest says besides.
    pub annotations: BTreeMap<String, String>,
    /// What is said of the manifest where that is listed.
    pub descriptor_annotations: BTreeMap<String, String>,
}

/// How it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// Its layers.
    pub layers: LayerForm,
    /// Docker's media types, not OCI's.
    pub docker_types: bool,
    /// Also for one image with nothing attested.
    pub index: bool,
    /// What the index says besides.
    pub index_annotations: BTreeMap<String, String>,
    /// What is said of the index where that is listed.
    pub index_descriptor_annotations: BTreeMap<String, String>,
}

/// A composed image. What it consists of stays as long as this is there.
pub struct Composed {
    staging: Staging,
    /// The index, or the one manifest, as it is listed in a layout.
    root: Descriptor,
    /// The image in it that the host runs, or the first where there is none.
    main: Written,
    /// The manifests in the order of the index, with what each leads to.
    manifests: Vec<(Descriptor, Vec<Descriptor>)>,
    /// Keeps the layers' blobs.
    _layers: Vec<CompressedLayer>,
}

/// One platform's image, written.
struct Written {
    id: ImageId,
    config: Vec<u8>,
    manifest: ManifestRecord,
    chains: Vec<Digest>,
}

/// The names that media types have.
struct Types {
    config: &'static str,
    manifest: &'static str,
    index: &'static str,
}

impl Types {
    fn new(of_docker: bool) -> Self {
        match of_docker {
            false => Self { config: CONFIG, manifest: MANIFEST, index: INDEX },
            true => Self { config: DOCKER_CONFIG, manifest: DOCKER_MANIFEST, index: DOCKER_INDEX },
        }
    }
}

impl ImageStore {
    /// Composes an image of layers that are there: an index if there are several, if anything is attested or if one is wanted.
    ///
    /// # Errors
    /// [`CommitError`].
    pub fn compose_for_others(
        &self,
        images: &[PlatformImage],
        form: &Form,
        host: &Platform,
    ) -> Result<Composed, CommitError> {
        let mut staging = self.stage()?;
        let types = Types::new(form.docker_types);
        let (mut written, mut manifests, mut attested, mut held) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for image in images {
            let (one, layers) = self.write_platform(image, form, &types, &mut staging)?;
            let config = Descriptor::new(types.config, one.id, one.config.len() as u64);
            let parts = one.manifest.layers.iter().cloned().chain([config]).collect();
            let listed = Descriptor {
                platform: Some(image.platform.clone()),
                annotations: annotations(&image.descriptor_annotations),
                ..one.manifest.descriptor.clone()
            };
            manifests.push((listed, parts));
            if !image.attestations.predicates.is_empty() {
                let mut parts = image.attestations.write(&one.manifest.descriptor, &mut staging)?;
                attested.push((parts.remove(0), parts));
            }
            written.push(one);
            held.extend(layers);
        }
        let suits = |at: &usize| host.suitability(&images[*at].platform);
        // Among equals the first wins.
        let main = (0..written.len()).rev().max_by_key(suits);
        let main = main.ok_or_else(|| LoadError::Invalid("an index over no images".to_owned()))?;
        let is_index = images.len() > 1 || !attested.is_empty() || form.index;
        manifests.extend(attested);
        let mut root = match is_index {
            false => manifests[0].0.clone(),
            true => {
                let index = Index {
                    schema_version: 2,
                    media_type: types.index.to_owned(),
                    manifests: manifests.iter().map(|(manifest, _)| manifest.clone()).collect(),
                    annotations: annotations(&form.index_annotations),
                };
                let index = write_json("the index", &index, types.index, &mut staging)?;
                Descriptor { annotations: annotations(&form.index_descriptor_annotations), ..index }
            }
        };
        let main = written.swap_remove(main);
        let config: Option<ImageConfig> = serde_json::from_slice(&main.config).ok();
        if let Some(created) = config.and_then(|config| config.created) {
            root.annotations.get_or_insert_default().entry(CREATED.to_owned()).or_insert(created);
        }
        Ok(Composed { staging, root, main, manifests, _layers: held })
    }

    fn write_platform(
        &self,
        image: &PlatformImage,
        form: &Form,
        types: &Types,
        staging: &mut Staging,
    ) -> Result<(Written, Vec<CompressedLayer>), CommitError> {
        for layer in &image.layers {
            if !staging.hold_layer(layer.chain) || !staging.hold_blob(layer.blob.digest) {
                return Err(StoreError::LostLayer { layer: layer.chain }.into());
            }
        }
        let layers = self.layers_in_form(&image.layers, form.layers)?;
        let named = |layer: &CompressedLayer| {
            let own = &layer.descriptor.media_type;
            let named = if form.docker_types { docker_media_type(own) } else { oci_media_type(own) };
            let media_type = named.map_or_else(|| own.clone(), str::to_owned);
            Descriptor { media_type, ..layer.descriptor.clone() }
        };
        let blobs: Vec<Descriptor> = layers.iter().map(named).collect();
        let (id, size) = staging.write_bytes(&image.config)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: types.manifest.to_owned(),
            config: Descriptor::new(types.config, id, size),
            layers: blobs.clone(),
            annotations: annotations(&image.annotations),
        };
        let descriptor = write_json("a manifest", &manifest, types.manifest, staging)?;
        let written = Written {
            id,
            config: image.config.clone(),
            manifest: ManifestRecord { descriptor, layers: blobs },
            chains: image.layers.iter().map(|layer| layer.chain).collect(),
        };
        Ok((written, layers))
    }
}

impl Composed {
    /// The index, or the one manifest, as it is listed in a layout.
    pub fn root(&self) -> &Descriptor {
        &self.root
    }

    /// The image in it that the host runs, or the first where there is none.
    pub fn image(&self) -> ImageId {
        self.main.id
    }

    /// Makes it an image of the store, under these names, or without tags under their repositories with its digest.
    ///
    /// # Errors
    /// [`CommitError`]; for a bad name before anything is done.
    pub fn commit(
        &mut self,
        store: &ImageStore,
        names: &[String],
        by_digest: bool,
    ) -> Result<(), CommitError> {
        let mut names = names.iter().map(|name| checked_name(name)).collect::<Result<Vec<_>, _>>()?;
        if by_digest {
            names.iter_mut().for_each(|name| *name = name.with_digest(self.root.digest));
        }
        let image = NewImage {
            id: self.main.id,
            record: self.record(),
            config: self.main.config.clone().into(),
            names,
            target: Some(self.root.digest),
        };
        self.staging.commit(vec![image])?;
        self.staging.hold_what_was_staged();
        store.believe_pins()?;
        Ok(())
    }

    /// What the store is to know of it.
    fn record(&self) -> ImageRecord {
        let own: BTreeSet<Digest> = [self.main.id, self.main.manifest.descriptor.digest].into();
        let mut companions = BTreeMap::new();
        for (manifest, parts) in &self.manifests {
            let is_main = manifest.digest == self.main.manifest.descriptor.digest;
            let all = parts.iter().filter(|_| !is_main).chain([manifest]);
            companions.extend(
                all.filter(|blob| !own.contains(&blob.digest)).map(|blob| (blob.digest, blob.clone())),
            );
        }
        if self.root.is_index() {
            companions.insert(self.root.digest, self.root.clone());
        }
        ImageRecord {
            companions: companions.into_values().collect(),
            ..ImageRecord::new(self.main.manifest.clone(), self.main.chains.clone())
        }
    }

    /// It as an archive that is to be written, under these names.
    pub fn save(self, names: Vec<Reference>) -> Saving {
        let config: Option<ImageConfig> = serde_json::from_slice(&self.main.config).ok();
        let created = config.and_then(|config| config.created).as_deref().map_or(0, seconds);
        let blobs = self.blobs().map(|(digest, size, _)| (digest, size)).collect();
        let chosen = Chosen {
            id: self.main.id,
            record: self.record(),
            config_size: self.main.config.len() as u64,
            created,
            names,
            index: Some(WholeIndex { descriptor: self.root.clone(), blobs }),
        };
        Saving::of_composed(self.staging, chosen, self._layers)
    }

    /// All that it consists of: digests, lengths and files. What leads to the rest comes last.
    pub fn blobs(&self) -> impl Iterator<Item = (Digest, u64, PathBuf)> + '_ {
        let mut seen = BTreeSet::new();
        let all = self.manifests.iter().flat_map(|(manifest, parts)| parts.iter().chain([manifest]));
        all.chain([&self.root])
            .filter(move |blob| seen.insert(blob.digest))
            .map(|blob| (blob.digest, blob.size, self.staging.blob(&blob.digest)))
    }

    /// It on its way to a registry.
    ///
    /// # Errors
    /// When a document can't be read again.
    pub fn push(self) -> Result<Push, StoreError> {
        let (mut blobs, mut documents, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut all: Vec<Descriptor> = Vec::with_capacity(self.manifests.len() + 1);
        for (manifest, parts) in &self.manifests {
            let is_layer = |blob: &Descriptor| ![CONFIG, DOCKER_CONFIG].contains(&blob.media_type.as_str());
            let new = parts.iter().filter(|blob| seen.insert(blob.digest));
            blobs.extend(new.map(|blob| OutgoingBlob {
                descriptor: blob.clone(),
                is_plain: false,
                is_layer: is_layer(blob),
            }));
            all.push(manifest.clone());
        }
        if self.root.is_index() {
            all.push(self.root.clone());
        }
        for descriptor in all {
            let path = self.staging.blob(&descriptor.digest);
            let bytes = std::fs::read(&path).map_err(io_error("read", &path))?;
            documents.push(OutgoingDocument { descriptor, bytes });
        }
        let (id, record, config) = (self.main.id, self.record(), Arc::from(self.main.config));
        Ok(Push { held: self.staging, id, record, config, compressed: self._layers, blobs, documents })
    }
}

impl std::fmt::Debug for Composed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Composed").field("root", &self.root.digest).finish_non_exhaustive()
    }
}

fn annotations(given: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!given.is_empty()).then(|| given.clone())
}

pub(crate) fn write_json(
    what: &str,
    document: &impl serde::Serialize,
    media_type: &str,
    staging: &mut Staging,
) -> Result<Descriptor, CommitError> {
    let bytes =
        serde_json::to_vec(document).map_err(|source| LoadError::Json { entry: what.to_owned(), source })?;
    let (digest, size) = staging.write_bytes(&bytes)?;
    Ok(Descriptor::new(media_type, digest, size))
}
