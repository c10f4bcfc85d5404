//! A store on a file system that fills up: a clear error, nothing left of what failed, and a store that goes on.

use std::{path::Path, process::Command};

use minke_image::{LoadError, archive::UnpackError, pull::Pull};
use minke_model::{Descriptor, Digest, media_type};

use crate::support::{Store, Tar, TestImage, chain, docker_archive, gzip, hex, image, layer, plain};

/// A file system in memory of a few megabytes, there as long as this is.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "minke-test"]).arg(folder.path());
        assert!(mount.status().unwrap().success());
        Self(folder)
    }

    fn store(&self) -> Store {
        Store::within(self.0.path())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A layer with a file of so many mebibytes that nothing makes smaller.
fn big(mebibytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let content: Vec<u8> = (0..mebibytes << 17)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    Tar::default().file("big", &content).end()
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn expect_clean(store: &Store) {
    let root = store.folder.path();
    assert_eq!(count(&root.join("content/ingest")) + count(&root.join("layers/.staging")), 0);
}

fn is_full(error: &LoadError) -> bool {
    let text = chain(error);
    assert!(text.contains("No space left on device"), "{text}");
    matches!(error, LoadError::Store(_) | LoadError::Layer { source: UnpackError::Write { .. }, .. })
        && !error.is_callers_fault()
}

#[test]
fn an_archive_that_does_not_fit_is_refused_and_a_small_one_fits_afterwards() {
    let disk = Small::new("16m");
    let store = disk.store();
    store.load(&docker_archive(&[image("small:1", &[layer("a", "b")], plain)], true)).unwrap();
    let error = store.load(&docker_archive(&[image("big:1", &[big(24)], plain)], true)).unwrap_err();
    assert!(is_full(&error));
    expect_clean(&store);
    // The blob fits, its files don't.
    let error = store.load(&docker_archive(&[image("big:2", &[big(9)], plain)], true)).unwrap_err();
    assert!(is_full(&error));
    expect_clean(&store);
    store.load(&docker_archive(&[image("small:2", &[layer("c", "d")], plain)], true)).unwrap();
    let store = store.reopened();
    assert_eq!(store.store.list().unwrap().len(), 2);
}

#[test]
fn a_layer_that_does_not_fit_ends_its_pull_and_another_one_fits() {
    let disk = Small::new("16m");
    let store = disk.store();
    let (mut pull, layers) = begun(&store, &image("big:1", &[big(9)], gzip));
    let blob = gzip(&big(9));
    let error = store.store.receive_layer(&layers[0], &blob[..], &|_| {}).unwrap_err();
    assert!(is_full(&error));
    // Documents are written to the same disk.
    pull.document(digest(b"{}"), b"{}").unwrap();
    drop(pull);
    expect_clean(&store);
    let small = image("small:1", &[layer("a", "b")], gzip);
    let (pull, layers) = begun(&store, &small);
    store.store.receive_layer(&layers[0], &small.blobs[0][..], &|_| {}).unwrap();
    drop(pull);
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_hex(&hex(bytes)).unwrap()
}

fn begun(store: &Store, image: &TestImage) -> (Pull, Vec<minke_image::PulledLayer>) {
    let bytes = image.manifest();
    let descriptor = Descriptor::new(media_type::MANIFEST, digest(&bytes), bytes.len() as u64);
    let mut pull = store.store.begin_pull().unwrap();
    let parsed = minke_image::manifest::Document::parse("test", "", &bytes).unwrap();
    let minke_image::manifest::Document::Manifest(manifest) = parsed else { panic!("a manifest") };
    let plan = pull.plan(&descriptor, &manifest, image.config.clone()).unwrap();
    (pull, plan.layers)
}
