//! Layers as registries want them: compressed. What is kept plain (imported, or made by a build) is compressed once, and has
//! the same digest each time.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use flate2::{Compression as Level, write::GzEncoder};
use minke_model::{Descriptor, Digest};

use crate::{
    BuiltLayer, ImageStore, StoreError,
    compression::{Compression, SNIFF, decompress},
    content::io_error,
    hashing::HashWriter,
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

/// What layers are to be where they are sent or written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerForm {
    /// How they are compressed.
    pub format: LayerFormat,
    /// How much, as the format counts; `None` is its own choice.
    pub level: Option<u32>,
    /// Also those that came compressed in another way.
    pub force: bool,
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LayerFormat {
    /// Not at all.
    Tar,
    /// With gzip: what everybody can read.
    #[default]
    Gzip,
    /// With zstd.
    Zstd,
}

impl LayerFormat {
    fn compression(self) -> Compression {
        match self {
            Self::Tar => Compression::None,
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
        }
    }
}

impl LayerForm {
    /// Whether a layer's blob, which is `own` or one that was made of it, may stay as it is.
    fn accepts(self, own: bool, compression: Compression) -> bool {
        compression == self.format.compression() || (own && !self.force && compression != Compression::None)
    }
}

impl ImageStore {
    /// A blob of a layer in this form: its own, that of an image which has the layer, or else a new one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn layer_in_form(&self, layer: &BuiltLayer, form: LayerForm) -> Result<CompressedLayer, StoreError> {
        let known: Vec<Descriptor> = std::iter::once(layer.blob.clone())
            .chain(self.index().blobs_of_layer(&layer.chain).cloned())
            .collect();
        for (number, descriptor) in known.into_iter().enumerate() {
            let mut held = self.stage()?;
            if held.hold_blob(descriptor.digest)
                && form.accepts(number == 0, compression_of(&held.blob(&descriptor.digest))?)
            {
                return Ok(CompressedLayer { held, plain: layer.blob.digest, descriptor });
            }
        }
        self.compress(&layer.blob, form, &mut |_| {})
    }

    /// Layers in this form, each in turn on a processor of its own.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn layers_in_form(
        &self,
        layers: &[BuiltLayer],
        form: LayerForm,
    ) -> Result<Vec<CompressedLayer>, StoreError> {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(layers.len().max(1));
        let next = AtomicUsize::new(0);
        let work = || {
            let turns = std::iter::from_fn(|| {
                let number = next.fetch_add(1, Ordering::Relaxed);
                layers.get(number).map(|layer| (number, self.layer_in_form(layer, form)))
            });
            turns.collect::<Vec<_>>()
        };
        let mut done = thread::scope(|scope| {
            let workers: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for worker in workers {
                done.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done
        });
        done.sort_unstable_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, layer)| layer).collect()
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

    /// Writes a layer in this form. `progress` is told how many bytes of its tar are read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn compress(
        &self,
        blob: &Descriptor,
        form: LayerForm,
        progress: &mut dyn FnMut(u64),
    ) -> Result<CompressedLayer, StoreError> {
        let mut held = self.stage()?;
        let (from, to) = (self.content().blob(&blob.digest), held.folders().incoming());
        let source = File::open(&from).map_err(io_error("open", &from))?;
        let mut source =
            decompress(BufReader::with_capacity(256 << 10, source)).map_err(io_error("read", &from))?;
        let file = File::create(&to).map_err(io_error("make", &to))?;
        let hashing = HashWriter::new(BufWriter::with_capacity(256 << 10, file));
        let mut encoder = Encoder::new(hashing, form).map_err(io_error("write", &to))?;
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
        let descriptor = Descriptor::new(form.format.compression().layer_media_type(), digest, size);
        Ok(CompressedLayer { held, plain: blob.digest, descriptor })
    }
}

/// Compresses what is written.
enum Encoder<W: Write> {
    Tar(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    fn new(to: W, form: LayerForm) -> io::Result<Self> {
        Ok(match form.format {
            LayerFormat::Tar => Self::Tar(to),
            LayerFormat::Gzip => {
                let level = form.level.map_or_else(Level::default, |level| Level::new(level.min(9)));
                Self::Gzip(GzEncoder::new(to, level))
            }
            LayerFormat::Zstd => {
                let level = form.level.map_or(zstd::DEFAULT_COMPRESSION_LEVEL, |level| level.min(22) as i32);
                Self::Zstd(zstd::stream::write::Encoder::new(to, level)?)
            }
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tar(to) => to.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Tar(to) => Ok(to),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// Whether a layer's blob is an uncompressed tar, by its type and, since types are often wrong, by its first bytes.
pub(crate) fn is_plain(layer: &Descriptor, path: &Path) -> Result<bool, StoreError> {
    Ok(layer.media_type.ends_with(".tar") && compression_of(path)? == Compression::None)
}

/// How a file is compressed, by its first bytes.
fn compression_of(path: &Path) -> Result<Compression, StoreError> {
    let mut start = Vec::with_capacity(SNIFF);
    let read = File::open(path).and_then(|file| file.take(SNIFF as u64).read_to_end(&mut start));
    read.map_err(io_error("read", path))?;
    Ok(Compression::of(&start))
}

impl std::fmt::Debug for CompressedLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompressedLayer").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}
