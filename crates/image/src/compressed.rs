//! Layers as registries want them: compressed. What is kept plain (imported, or made by a build) is compressed once, and has
//! the same digest each time.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression as Level, write::GzEncoder};
use minke_model::{Descriptor, Digest};

use crate::{
    BuiltLayer, ImageStore, StoreError,
    compression::{Compression, SNIFF},
    content::io_error,
    hashing::HashWriter,
    push::OutgoingBlob,
    store::Staging,
};

/// A layer that was compressed to be sent; it leaves nothing behind unless somebody commits it.
///
/// It has its final name in the store already, so that a registry on the same file system can link it while it arrives.
pub struct CompressedLayer {
    held: Staging,
    pub(crate) plain: Digest,
    /// The compressed blob.
    pub descriptor: Descriptor,
}

impl CompressedLayer {
    /// Where the compressed blob lies.
    pub fn path(&self) -> PathBuf {
        self.held.blob(&self.descriptor.digest)
    }
}

impl ImageStore {
    /// A compressed blob of a layer: its own, that of an image which has the layer, or else a new one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn compressed_layer(&self, layer: &BuiltLayer) -> Result<CompressedLayer, StoreError> {
        let known: Vec<Descriptor> = std::iter::once(layer.blob.clone())
            .chain(self.index().blobs_of_layer(&layer.chain).cloned())
            .collect();
        for descriptor in known {
            let mut held = self.stage()?;
            if held.hold_blob(descriptor.digest) && !is_plain(&descriptor, &held.blob(&descriptor.digest))? {
                return Ok(CompressedLayer { held, plain: layer.blob.digest, descriptor });
            }
        }
        let blob = OutgoingBlob { descriptor: layer.blob.clone(), is_plain: true, is_layer: true };
        self.compress(&blob, &mut |_| {})
    }

    /// The blob of a layer as it is kept, compressed or not.
    ///
    /// # Errors
    /// [`StoreError::LostLayer`].
    pub fn layer_as_kept(&self, layer: &BuiltLayer) -> Result<CompressedLayer, StoreError> {
        let mut held = self.stage()?;
        let (plain, descriptor) = (layer.blob.digest, layer.blob.clone());
        match held.hold_blob(plain) {
            true => Ok(CompressedLayer { held, plain, descriptor }),
            false => Err(StoreError::LostLayer { layer: layer.chain }),
        }
    }

    /// Compresses a layer with gzip. `progress` is told how many bytes are read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn compress(
        &self,
        blob: &OutgoingBlob,
        progress: &mut dyn FnMut(u64),
    ) -> Result<CompressedLayer, StoreError> {
        let mut held = self.stage()?;
        let (from, to) = (self.content().blob(&blob.descriptor.digest), held.folders().incoming());
        let mut source =
            BufReader::with_capacity(256 << 10, File::open(&from).map_err(io_error("open", &from))?);
        let file = File::create(&to).map_err(io_error("make", &to))?;
        let mut encoder =
            GzEncoder::new(HashWriter::new(BufWriter::with_capacity(256 << 10, file)), Level::default());
        let (mut buffer, mut done) = (vec![0; 256 << 10], 0);
        loop {
            let length = source.read(&mut buffer).map_err(io_error("read", &from))?;
            if length == 0 {
                break;
            }
            encoder.write_all(&buffer[..length]).map_err(io_error("write", &to))?;
            done += length as u64;
            progress(done);
        }
        let (file, digest, size) = encoder.finish().map_err(io_error("write", &to))?.finish();
        let file = file.into_inner().map_err(|error| io_error("write", &to)(error.into_error()))?;
        file.sync_all().map_err(io_error("sync", &to))?;
        held.publish_leased(&to, digest)?;
        let descriptor = Descriptor::new(Compression::Gzip.layer_media_type(), digest, size);
        Ok(CompressedLayer { held, plain: blob.descriptor.digest, descriptor })
    }
}

/// Whether a layer's blob is an uncompressed tar, by its type and, since types are often wrong, by its first bytes.
pub(crate) fn is_plain(layer: &Descriptor, path: &Path) -> Result<bool, StoreError> {
    if !layer.media_type.ends_with(".tar") {
        return Ok(false);
    }
    let mut start = Vec::with_capacity(SNIFF);
    let read = File::open(path).and_then(|file| file.take(SNIFF as u64).read_to_end(&mut start));
    read.map_err(io_error("read", path))?;
    Ok(Compression::of(&start) == Compression::None)
}

impl std::fmt::Debug for CompressedLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompressedLayer").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}
