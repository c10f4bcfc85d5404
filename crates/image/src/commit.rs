//! `commit`: what a container has changed becomes a layer on its image.
//!
//! ```text
//!   upper directory ─▶ pack (whiteouts, opaque marks) ─▶ a staged blob, hashed ─▶ unpack, verified ─▶ one transaction
//! ```
//! The layer is unpacked from the blob that was just written, as a pulled one is: what is pushed or saved later and what
//! containers see cannot differ.

use std::{
    collections::BTreeSet,
    io::{self, BufWriter},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    thread,
};

use minke_model::{Descriptor, ImageId};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    FindError, HistoryRecord, Image, ImageConfig, ImageStore, LoadError, RunConfig, StoreError, TagError,
    archive::{PackError, PackOptions, Packed, Whiteouts, pack},
    compression::Compression,
    content::{WriteError, io_error},
    load::Plan,
    store::{Staging, checked_name},
};

/// What a new image is to be called and to say of itself.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// The image that the container was made of.
    pub parent: ImageId,
    /// The name to tag it with.
    pub name: Option<String>,
    /// What its containers run.
    pub config: RunConfig,
    /// Who made it; may be empty.
    pub author: String,
    /// What the maker has to say; may be empty.
    pub comment: String,
    /// What made the layer: the container's command.
    pub created_by: String,
    /// The container.
    pub container: String,
    /// When it was made; the caller owns the clock.
    pub created: OffsetDateTime,
    /// Paths in the container, without a slash in front, that are not part of the image: what the engine itself put
    /// there.
    pub leave_out: BTreeSet<PathBuf>,
}

/// Why a container's changes did not become an image. Nothing of it is left in the store.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The container's image is not there.
    #[error(transparent)]
    Parent(#[from] FindError),
    /// The image cannot have that name.
    #[error(transparent)]
    Name(#[from] TagError),
    /// The container's files could not be read.
    #[error("read what the container has changed")]
    Changes(#[source] PackError),
    /// The layer was not unpacked.
    #[error(transparent)]
    Layer(#[from] LoadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ImageStore {
    /// Makes an image of `upper`, an overlay's upper directory, on top of its parent. Changes that come to nothing make no
    /// layer.
    ///
    /// # Errors
    /// [`CommitError`]; for a bad name before anything is read.
    pub fn commit(&self, upper: BorrowedFd<'_>, options: CommitOptions) -> Result<ImageId, CommitError> {
        let name = options.name.as_deref().map(checked_name).transpose()?;
        let parent = self.find(&options.parent.to_string())?;
        let mut staging = self.stage()?;
        let mut layers = self.held_blobs(&parent, &mut staging)?;
        let mut config = child_of(&parent.config, &options);
        let (packed, layer) = stage_layer(upper, options.leave_out, &mut staging)?;
        let is_empty = packed.entries == 0;
        if !is_empty {
            config.rootfs.diff_ids.push(layer.digest);
            layers.push(layer);
        }
        if let Some(last) = config.history.last_mut() {
            last.empty_layer = is_empty;
        }
        let json = serde_json::to_vec(&config)
            .map_err(|source| LoadError::Json { entry: "the new configuration".to_owned(), source })?;
        let (id, _) = staging.write_bytes(&json)?;
        let mut plan = Plan::without_manifest("the new image", layers, id, json, &mut staging)?;
        plan.names.extend(name);
        plan.parent = Some(parent.id);
        self.finish(&mut staging, vec![plan], &mut |_| {})?;
        Ok(id)
    }

    /// The layers' blobs of an image, which stay until the operation ends, under OCI's media types: they are to stand in
    /// an OCI manifest.
    pub(crate) fn held_blobs(
        &self,
        image: &Image,
        staging: &mut Staging,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let blobs = self.index().record(&image.id).and_then(|record| record.manifests.first().cloned());
        let mut blobs = blobs.map(|manifest| manifest.layers).unwrap_or_default();
        for (blob, layer) in blobs.iter_mut().zip(&image.layers) {
            if !staging.hold_blob(blob.digest) {
                return Err(StoreError::MissingLayer { image: image.id, layer: *layer });
            }
            if let Some(media_type) = oci_media_type(&blob.media_type) {
                media_type.clone_into(&mut blob.media_type);
            }
        }
        Ok(blobs)
    }
}

/// OCI's name of a layer that has one of Docker's.
pub(crate) fn oci_media_type(media_type: &str) -> Option<&'static str> {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar" => Some(Compression::None.layer_media_type()),
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Compression::Gzip.layer_media_type()),
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Compression::Zstd.layer_media_type()),
        _ => None,
    }
}

/// The other way round.
pub(crate) fn docker_media_type(media_type: &str) -> Option<&'static str> {
    const TYPES: [&str; 3] = [
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    ];
    TYPES.into_iter().find(|docker| oci_media_type(docker) == Some(media_type))
}

/// The configuration of an image on top of another; the layer is yet to be named.
fn child_of(parent: &ImageConfig, options: &CommitOptions) -> ImageConfig {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let created = options.created.format(&Rfc3339).ok();
    let mut history = parent.history.clone();
    history.push(HistoryRecord {
        created: created.clone(),
        created_by: given(&options.created_by),
        author: given(&options.author),
        comment: given(&options.comment),
        empty_layer: false,
    });
    ImageConfig {
        created,
        author: given(&options.author),
        comment: given(&options.comment),
        container: given(&options.container),
        config: options.config.clone(),
        history,
        ..parent.clone()
    }
}

/// Writes the layer's tar as a staged blob while it is packed.
pub(crate) fn stage_layer(
    upper: BorrowedFd<'_>,
    mut leave_out: BTreeSet<PathBuf>,
    staging: &mut Staging,
) -> Result<(Packed, Descriptor), CommitError> {
    // The root itself belongs to the lowest layer.
    leave_out.insert(PathBuf::new());
    let options = PackOptions {
        whiteouts: Whiteouts::Overlay,
        sparse: true,
        exact_times: true,
        leave_out,
        ..PackOptions::default()
    };
    let pipe = |source: io::Error| io_error("make", Path::new("a pipe"))(source);
    let (reader, writer) = io::pipe().map_err(pipe)?;
    let (packed, written) = thread::scope(|scope| {
        let packing =
            scope.spawn(|| pack(upper, Path::new(""), BufWriter::with_capacity(256 << 10, writer), &options));
        let written = staging.write_blob(reader);
        (packing.join(), written)
    });
    let (digest, size) = written.map_err(|error| match error {
        WriteError::Read(source) => pipe(source),
        WriteError::Store(error) => error,
    })?;
    let packed = packed.unwrap_or_else(|_| Err(PackError::Write(io::Error::other("packing panicked"))));
    let layer = Descriptor::new(Compression::None.layer_media_type(), digest, size);
    Ok((packed.map_err(CommitError::Changes)?, layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> CommitOptions {
        CommitOptions {
            parent: ImageId::from_bytes([1; 32]),
            name: None,
            config: RunConfig { user: "me".to_owned(), ..RunConfig::default() },
            author: "A".to_owned(),
            comment: String::new(),
            created_by: "sh -c true".to_owned(),
            container: "c0ffee".to_owned(),
            created: OffsetDateTime::UNIX_EPOCH,
            leave_out: BTreeSet::new(),
        }
    }

    #[test]
    fn a_child_keeps_its_parents_history_and_platform_and_has_a_configuration_of_its_own() {
        let parent = ImageConfig {
            architecture: "arm64".to_owned(),
            author: Some("somebody else".to_owned()),
            comment: Some("old".to_owned()),
            history: vec![HistoryRecord { created_by: Some("first".to_owned()), ..HistoryRecord::default() }],
            ..ImageConfig::default()
        };
        let child = child_of(&parent, &options());
        assert_eq!((child.architecture.as_str(), child.config.user.as_str()), ("arm64", "me"));
        assert_eq!((child.author.as_deref(), child.comment), (Some("A"), None));
        let made: Vec<_> = child.history.iter().filter_map(|step| step.created_by.as_deref()).collect();
        assert_eq!(made, ["first", "sh -c true"]);
        assert_eq!(child.history[1].created.as_deref(), Some("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn dockers_media_types_become_ocis() {
        let gzip = oci_media_type("application/vnd.docker.image.rootfs.diff.tar.gzip");
        assert_eq!(gzip, Some("application/vnd.oci.image.layer.v1.tar+gzip"));
        assert_eq!(oci_media_type("application/vnd.oci.image.layer.v1.tar+gzip"), None);
    }
}
