//! Builders of tars and image archives that share no code with the crate, and a store in a temporary folder.

use std::{fs, io::Write, os::fd::AsFd, path::Path, sync::Arc};

use minke_image::{
    ImageStore, LoadError, Loaded, StoreOptions,
    archive::{UnpackError, UnpackOptions, Unpacked, Whiteouts, unpack},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A tar being put together, header by header, with any lie one likes.
#[derive(Default, Clone)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

/// A header with everything that a test may want to change.
pub(crate) struct Raw<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) flag: u8,
    pub(crate) link: &'a [u8],
    pub(crate) mode: &'a str,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: u64,
    pub(crate) device: (u32, u32),
}

pub(crate) fn raw(name: &(impl AsRef<[u8]> + ?Sized), flag: u8) -> Raw<'_> {
    Raw {
        name: name.as_ref(),
        flag,
        link: b"",
        mode: "0000644",
        uid: 0,
        gid: 0,
        size: 0,
        mtime: 1_000_000_000,
        device: (0, 0),
    }
}

impl Tar {
    pub(crate) fn header(mut self, raw: &Raw<'_>) -> Self {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &raw.name[..raw.name.len().min(100)]);
        put(100, raw.mode.as_bytes());
        put(108, format!("{:07o}", raw.uid).as_bytes());
        put(116, format!("{:07o}", raw.gid).as_bytes());
        put(124, format!("{:011o}", raw.size).as_bytes());
        put(136, format!("{:011o}", raw.mtime).as_bytes());
        put(148, b"        ");
        put(156, &[raw.flag]);
        put(157, &raw.link[..raw.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", raw.device.0).as_bytes());
        put(337, format!("{:07o}", raw.device.1).as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.header(&Raw { size: content.len() as u64, ..raw(name, b'0') }).data(content)
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.header(&Raw { mode: "0000755", ..raw(name, b'5') })
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.header(&Raw { link: target.as_bytes(), mode: "0000777", ..raw(name, b'2') })
    }

    pub(crate) fn hardlink(self, name: &str, target: &str) -> Self {
        self.header(&Raw { link: target.as_bytes(), ..raw(name, b'1') })
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| length.to_string().len() + rest == *length).unwrap();
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.header(&Raw { size: data.len() as u64, ..raw("pax", b'x') }).data(&data)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// Unpacks into a fresh folder.
pub(crate) fn unpacked(tar: &[u8], options: &UnpackOptions) -> (TempDir, Result<Unpacked, UnpackError>) {
    let folder = TempDir::new().unwrap();
    let result = unpack_into(folder.path(), tar, options);
    (folder, result)
}

pub(crate) fn unpack_into(
    folder: &Path,
    tar: &[u8],
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let root = fs::File::open(folder).unwrap();
    unpack(tar, root.as_fd(), options)
}

pub(crate) fn overlay() -> UnpackOptions {
    UnpackOptions { whiteouts: Whiteouts::Overlay, ..UnpackOptions::default() }
}

pub(crate) fn xattr(path: &Path, key: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::lgetxattr(path, key, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// An error with its causes, as users see it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A store, and what must live as long as it.
pub(crate) struct Store {
    pub(crate) store: ImageStore,
    pub(crate) folder: TempDir,
}

impl Store {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { store: open(folder.path(), StoreOptions::default()), folder }
    }

    /// One on the file system of this folder.
    pub(crate) fn within(path: &Path) -> Self {
        let folder = TempDir::new_in(path).unwrap();
        Self { store: open(folder.path(), StoreOptions::default()), folder }
    }

    /// Closes and opens it again, as a restart of the engine does.
    pub(crate) fn reopened(self) -> Self {
        drop(self.store);
        Self { store: open(self.folder.path(), StoreOptions::default()), folder: self.folder }
    }

    pub(crate) fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>, LoadError> {
        self.store.load(archive, &mut |_| {})
    }

    pub(crate) fn save(&self, names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut archive = Vec::new();
        self.store.save(&names).unwrap().write(&mut archive).unwrap();
        archive
    }

    /// Names of the blobs and of the layers on disk.
    pub(crate) fn on_disk(&self) -> (Vec<String>, Vec<String>) {
        on_disk(self.folder.path())
    }
}

/// A store in a folder.
pub(crate) fn open(folder: &Path, options: StoreOptions) -> ImageStore {
    let db = redb::Database::create(folder.join("engine.db")).unwrap();
    ImageStore::open_with(folder, Arc::new(db), options).unwrap()
}

/// Names of the blobs and of the layers that a store in this folder has.
pub(crate) fn on_disk(store: &Path) -> (Vec<String>, Vec<String>) {
    let list = |folder: &str| {
        let entries = fs::read_dir(store.join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    };
    (list("content/blobs/sha256"), list("layers"))
}

/// An image to put into archives.
#[derive(Clone)]
pub(crate) struct TestImage {
    pub(crate) config: Vec<u8>,
    /// Layers as they are stored (maybe compressed).
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) tags: Vec<String>,
}

/// An image with these layers (uncompressed tars); `encode` makes the stored blobs of them.
pub(crate) fn image(tag: &str, layers: &[Vec<u8>], encode: fn(&[u8]) -> Vec<u8>) -> TestImage {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let history: Vec<Value> = (0..layers.len())
        .flat_map(|i| {
            [
                json!({"created": "2024-05-06T07:08:09Z", "created_by": format!("COPY {i}")}),
                json!({"created": "2024-05-06T07:08:10Z", "created_by": format!("ENV {i}"), "empty_layer": true}),
            ]
        })
        .collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
        "created": "2024-05-06T07:08:10Z",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "Labels": {"tag": tag}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    });
    TestImage {
        config: serde_json::to_vec(&config).unwrap(),
        blobs: layers.iter().map(|layer| encode(layer)).collect(),
        tags: if tag.is_empty() { Vec::new() } else { vec![tag.to_owned()] },
    }
}

pub(crate) fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// One small layer.
pub(crate) fn layer(name: &str, content: &str) -> Vec<u8> {
    Tar::default().file(name, content.as_bytes()).end()
}

impl TestImage {
    pub(crate) fn id(&self) -> String {
        digest(&self.config)
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let layers: Vec<Value> = self
            .blobs
            .iter()
            .map(|blob| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(blob), "size": blob.len()}))
            .collect();
        serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": self.id(), "size": self.config.len()},
            "layers": layers,
        }))
        .unwrap()
    }
}

/// What `docker save` wrote before version 25, manifest first or last.
pub(crate) fn docker_archive(images: &[TestImage], manifest_first: bool) -> Vec<u8> {
    let manifest: Vec<Value> = images
        .iter()
        .map(|image| {
            let layers: Vec<String> = image.blobs.iter().map(|blob| format!("{}/layer.tar", hex(blob))).collect();
            json!({"Config": format!("{}.json", hex(&image.config)), "RepoTags": image.tags, "Layers": layers})
        })
        .collect();
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut tar = Tar::default();
    if manifest_first {
        tar = tar.file("manifest.json", &manifest);
    }
    for image in images {
        tar = tar.file(&format!("{}.json", hex(&image.config)), &image.config);
        for blob in &image.blobs {
            tar = tar.dir(&format!("{}/", hex(blob))).file(&format!("{}/VERSION", hex(blob)), b"1.0");
            tar = long_file(tar, &format!("{}/layer.tar", hex(blob)), blob);
        }
    }
    if !manifest_first {
        tar = tar.file("manifest.json", &manifest);
    }
    tar.end()
}

/// An OCI layout of these manifests' descriptors and blobs.
pub(crate) fn oci_layout(descriptors: &[Value], blobs: &[Vec<u8>]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "manifests": descriptors});
    let mut tar = Tar::default()
        .file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
        .file("index.json", &serde_json::to_vec(&index).unwrap());
    for blob in blobs {
        tar = long_file(tar, &format!("blobs/sha256/{}", hex(blob)), blob);
    }
    tar.end()
}

pub(crate) fn descriptor(kind: &str, blob: &[u8], extra: Value) -> Value {
    let mut descriptor = json!({"mediaType": format!("application/vnd.oci.image.{kind}.v1+json"), "digest": digest(blob), "size": blob.len()});
    descriptor.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    descriptor
}

/// An OCI layout of whole images, each under its first tag.
pub(crate) fn oci_archive(images: &[TestImage]) -> Vec<u8> {
    let mut descriptors = Vec::new();
    let mut blobs = Vec::new();
    for image in images {
        let annotations = match image.tags.first() {
            Some(tag) => {
                json!({"annotations": {"io.containerd.image.name": format!("docker.io/library/{tag}")}})
            }
            None => json!({}),
        };
        descriptors.push(descriptor("manifest", &image.manifest(), annotations));
        blobs.extend([image.manifest(), image.config.clone()]);
        blobs.extend(image.blobs.clone());
    }
    oci_layout(&descriptors, &blobs)
}

fn long_file(tar: Tar, name: &str, content: &[u8]) -> Tar {
    assert!(name.len() <= 100);
    tar.file(name, content)
}
