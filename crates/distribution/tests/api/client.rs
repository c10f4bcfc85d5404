//! The language of these tests: a client with a folder of certificates and names of its own.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use minke_distribution::{
    Credentials, Distribution, Error, NameFiles, Pushed, RegistrySettings, Repository, Target,
};
use minke_model::{Digest, media_type::MANIFEST};
use sha2::Digest as _;

/// A client that looks up names in its own files, where all that end in `.test` may be put.
pub(crate) struct Client {
    pub(crate) distribution: Distribution,
    pub(crate) folder: tempfile::TempDir,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A client with settings of its own.
    pub(crate) fn with(change: impl FnOnce(&mut RegistrySettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hosts: String =
            NAMES.iter().flat_map(|name| ["127.0.0.1 ", *name, "\n"]).collect::<Vec<_>>().concat();
        fs::write(folder.path().join("hosts"), hosts).unwrap();
        // Nobody answers there, and nobody is asked.
        fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            .unwrap();
        let mut settings = RegistrySettings {
            certificate_folders: vec![folder.path().join("certs.d")],
            names: NameFiles {
                hosts: folder.path().join("hosts"),
                resolv_conf: folder.path().join("resolv.conf"),
            },
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(20),
            retries: 2,
            retry_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(2),
            ..RegistrySettings::default()
        };
        change(&mut settings);
        Self { distribution: Distribution::new(settings).unwrap(), folder }
    }

    /// Writes a file below the folder of certificates.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join("certs.d").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn repository(&self, host: impl std::fmt::Display, path: &str) -> Repository {
        self.distribution.repository(&format!("{host}/{path}").parse().unwrap(), None)
    }

    pub(crate) fn repository_as(
        &self,
        host: impl std::fmt::Display,
        path: &str,
        who: Credentials,
    ) -> Repository {
        self.distribution.repository(&format!("{host}/{path}").parse().unwrap(), Some(who))
    }
}

/// Names that lead to this host without being local ones.
const NAMES: [&str; 4] = ["registry.test", "mirror.test", "auth.test", "cdn.test"];

/// `registry.test` with a server's port.
pub(crate) fn at(name: &str, address: SocketAddr) -> String {
    format!("{name}:{}", address.port())
}

pub(crate) fn tag(tag: &str) -> Target {
    Target::Tag(tag.to_owned())
}

pub(crate) fn ann() -> Credentials {
    Credentials::password("ann", "hush-hush")
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// Content that is nowhere like itself.
pub(crate) fn content(length: usize) -> Bytes {
    let mut state = length as u64 + 1;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// Reads a blob to its end.
pub(crate) async fn read(repository: &Repository, content: &[u8]) -> Result<Bytes, Error> {
    let mut blob = repository.blob(&digest(content), content.len() as u64);
    let mut all = Vec::new();
    while let Some(piece) = blob.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all.into())
}

pub(crate) async fn push(repository: &Repository, content: &Bytes) -> Result<Pushed, Error> {
    repository.push_blob(&digest(content), content.len() as u64, &[], content, &|_| {}).await
}

/// Pushes an image of these layers. Returns its manifest.
pub(crate) async fn push_image(repository: &Repository, target: &Target, layers: &[Bytes]) -> Bytes {
    let config = Bytes::from_static(b"{}");
    for blob in layers.iter().chain([&config]) {
        push(repository, blob).await.unwrap();
    }
    let manifest = manifest(&config, layers, None);
    assert_eq!(repository.put_manifest(target, MANIFEST, manifest.clone()).await.unwrap(), digest(&manifest));
    manifest
}

/// A manifest of these blobs, which may belong to another one.
pub(crate) fn manifest(config: &Bytes, layers: &[Bytes], subject: Option<&Bytes>) -> Bytes {
    let descriptor = |kind: &str, content: &Bytes| {
        let (digest, size) = (digest(content), content.len());
        serde_json::json!({ "mediaType": kind, "digest": digest, "size": size })
    };
    let layers: Vec<_> =
        layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect();
    let mut manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config), "layers": layers,
    });
    if let Some(subject) = subject {
        manifest["subject"] = descriptor(MANIFEST, subject);
        manifest["artifactType"] = "application/vnd.example.signature".into();
    }
    manifest.to_string().into()
}

/// An error with all that it comes from, on one line.
pub(crate) fn words(error: &Error) -> String {
    let all = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let text = all.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    assert!(!text.contains('\n'), "{text}");
    assert!(!text.contains("hush"), "a secret in {text}");
    text
}
