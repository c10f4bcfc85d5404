//! A layer that arrives: its digest is checked, it is kept, decompressed and unpacked in one pass over the bytes.
//!
//! ```text
//!   bytes ─▶ Tee: sha256, the blob's file ─▶ decompress ─▶ sha256 ─▶ unpack
//! ```

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
};

use minke_model::{Descriptor, Digest};

use crate::{
    ImageStore, LayerId, LoadError, StagedLayer,
    content::io_error,
    hashing::Hasher,
    layers::{LayerTask, unpack_blob},
    store::LayerRecord,
};

/// A layer of an image that is being pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledLayer {
    /// What names it together with all below.
    pub chain: LayerId,
    /// The digest of its uncompressed tar.
    pub diff_id: Digest,
    /// Its blob.
    pub blob: Descriptor,
    /// Whether it, or its blob, is in the store.
    pub state: LayerState,
}

/// What the store has of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerState {
    /// Its files: nothing is to be done.
    Unpacked,
    /// Its blob, that of a layer of other images: [`ImageStore::unpack_stored`] is to be called.
    Stored,
    /// Nothing: [`ImageStore::receive_layer`] is to be called.
    Absent,
}

impl ImageStore {
    /// Takes in a layer while its bytes arrive. `progress` is told how many have.
    ///
    /// # Errors
    /// [`LoadError::Read`] when `source` fails (trying again may help), [`LoadError::Blob`] when it has other bytes than
    /// the descriptor promises, [`LoadError`] otherwise. Nothing of the layer is left then.
    pub fn receive_layer(
        &self,
        layer: &PulledLayer,
        source: impl Read + Send,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<StagedLayer, LoadError> {
        let folders = self.content().stage()?;
        let path = folders.incoming();
        let mut tee = Tee::new(
            source,
            File::create(&path).map_err(io_error("make", &path))?,
            layer.blob.size,
            progress,
        );
        let task = task(layer, path.clone());
        let unpacked = unpack_blob(&task, &mut tee, &folders, self.options().layer_limits);
        let write = |error| LoadError::Store(io_error("write", &path)(error));
        match (tee.failure.take(), &unpacked) {
            (Some(Failure::Source(error)), _) => return Err(LoadError::Read(error)),
            (Some(Failure::File(error)), _) => return Err(write(error)),
            // Our own disk's fault: the rest of the bytes would not change it.
            (None, Err(error)) if !error.is_callers_fault() => {}
            // What follows the end of the compressed stream counts for the digest; and when the stream was damaged on
            // its way, the digest is the better explanation.
            (None, _) => tee.drain().map_err(|failure| match failure {
                Failure::Source(error) => LoadError::Read(error),
                Failure::File(error) => write(error),
            })?,
        }
        let unpacked = match unpacked {
            Err(error) if !error.is_callers_fault() => return Err(error),
            unpacked => {
                tee.check(&layer.blob)?;
                unpacked?
            }
        };
        let staged = folders.blob(&layer.blob.digest);
        std::fs::rename(&path, &staged).map_err(io_error("rename", &path))?;
        let record = LayerRecord::new(layer.diff_id, unpacked.bytes, unpacked.opaque_root);
        let blob = Some(layer.blob.digest);
        Ok(StagedLayer { folders, chain: layer.chain, record, blob })
    }

    /// Unpacks a layer whose blob is in the store already.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn unpack_stored(&self, layer: &PulledLayer) -> Result<StagedLayer, LoadError> {
        let folders = self.content().stage()?;
        let path = self.content().blob(&layer.blob.digest);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let unpacked = unpack_blob(&task(layer, path), file, &folders, self.options().layer_limits)?;
        let record = LayerRecord::new(layer.diff_id, unpacked.bytes, unpacked.opaque_root);
        Ok(StagedLayer { folders, chain: layer.chain, record, blob: None })
    }
}

fn task(layer: &PulledLayer, blob: PathBuf) -> LayerTask {
    LayerTask { chain: layer.chain, diff_id: layer.diff_id, blob, size: layer.blob.size }
}

/// Reads, and on the way hashes, counts and writes to a file.
struct Tee<'a, R> {
    source: R,
    file: File,
    hasher: Hasher,
    count: u64,
    most: u64,
    progress: &'a (dyn Fn(u64) + Sync),
    /// Decompressors wrap errors, so the first one is kept here as it was.
    failure: Option<Failure>,
}

enum Failure {
    Source(io::Error),
    File(io::Error),
}

impl<'a, R: Read> Tee<'a, R> {
    fn new(source: R, file: File, most: u64, progress: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self { source, file, hasher: Hasher::default(), count: 0, most, progress, failure: None }
    }

    fn drain(&mut self) -> Result<(), Failure> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(self.failure.take().unwrap_or(Failure::Source(error))),
            }
        }
    }

    fn check(&mut self, blob: &Descriptor) -> Result<(), LoadError> {
        let (found, count) = std::mem::take(&mut self.hasher).finish();
        let damaged = |problem| Err(LoadError::Blob { layer: blob.digest, problem });
        match count == blob.size {
            _ if count > blob.size => {
                damaged(format!("more than the {} bytes of its descriptor came", blob.size))
            }
            false => damaged(format!("{count} bytes came instead of {}", blob.size)),
            true if found != blob.digest => damaged(format!("its content has digest {found}")),
            true => Ok(()),
        }
    }

    fn pass(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if self.count > self.most {
            // One byte too many is enough to know.
            return Ok(0);
        }
        let length = loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(Failure::Source)?,
            }
        };
        self.hasher.update(&buffer[..length]);
        self.file.write_all(&buffer[..length]).map_err(Failure::File)?;
        self.count += length as u64;
        if length > 0 {
            (self.progress)(self.count);
        }
        Ok(length)
    }
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("it failed before"));
        }
        self.pass(buffer).map_err(|failure| {
            let copy = match &failure {
                Failure::Source(error) | Failure::File(error) => {
                    io::Error::new(error.kind(), error.to_string())
                }
            };
            self.failure = Some(failure);
            copy
        })
    }
}
