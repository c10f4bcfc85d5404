//! Layers that a builder takes from elsewhere, and images for several platforms.

use std::collections::{BTreeMap, BTreeSet};

use minke_image::{
    Attestations, BuiltLayer, Form, LayerForm, LayerFormat, LayerState, LoadError, PlatformImage, Predicate,
};
use minke_model::{Descriptor, Digest, Platform, Reference, media_type};
use serde_json::Value;

use crate::support::{Store, TestImage, docker_archive, gzip, hex, image, layer, plain};

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_hex(&hex(bytes)).unwrap()
}

/// A layer as a cache describes it: the digest of its tar, and its blob.
fn described(tar: &[u8]) -> ((Digest, Descriptor), Vec<u8>) {
    let blob = gzip(tar);
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    ((digest_of(tar), Descriptor::new(media_type, digest_of(&blob), blob.len() as u64)), blob)
}

/// An image that is here, and its layers.
fn loaded(store: &Store, tag: &str, own: &str) -> (TestImage, Vec<BuiltLayer>) {
    let image = image(tag, &[layer("base", "shared"), layer("own", own)], plain);
    store.load(&docker_archive(std::slice::from_ref(&image), true)).unwrap();
    let layers = store.store.built_layers(&store.store.find(tag).unwrap()).unwrap();
    (image, layers)
}

#[test]
fn layers_from_elsewhere_are_pinned_on_those_that_are_here() {
    let store = Store::new();
    let (_, below) = loaded(&store, "base:1", "x");
    let (one, blob) = described(&layer("cached", "one"));
    let key = Digest::from_bytes([9; 32]);
    let arrival = store.store.expect_layers(&below, std::slice::from_ref(&one)).unwrap();
    assert_eq!(arrival.layers()[0].state, LayerState::Absent);
    let received = store.store.receive_layer(&arrival.layers()[0], &blob[..], &|_| {}).unwrap();
    let layers = arrival.pin(key, "note".to_owned(), vec![received]).unwrap();
    assert_eq!((layers.len(), layers[2].blob.digest), (3, digest_of(&blob)));
    let folders = store.store.layer_dirs(&layers).unwrap();
    assert_eq!(std::fs::read_to_string(folders[0].join("cached")).unwrap(), "one");
    let store = store.reopened();
    assert_eq!(store.store.pinned(&key).unwrap(), (layers, "note".to_owned()));
    // The next time nothing is to be received, whatever blob is spoken of.
    let ((diff_id, _), _) = described(&layer("cached", "one"));
    let other = Descriptor::new("x", Digest::from_bytes([1; 32]), 5);
    let arrival = store.store.expect_layers(&below, &[(diff_id, other)]).unwrap();
    assert_eq!(
        (arrival.layers()[0].state, arrival.layers()[0].blob.digest),
        (LayerState::Unpacked, digest_of(&blob))
    );
}

#[test]
fn what_was_not_received_or_is_another_layer_is_not_pinned() {
    let store = Store::new();
    let (one, _) = described(&layer("cached", "one"));
    let (_, another) = described(&layer("cached", "two"));
    let key = Digest::from_bytes([9; 32]);
    let arrival = store.store.expect_layers(&[], &[one]).unwrap();
    let refusal = store.store.receive_layer(&arrival.layers()[0], &another[..], &|_| {}).unwrap_err();
    assert!(matches!(refusal, LoadError::Blob { .. }), "{refusal}");
    assert!(arrival.pin(key, String::new(), Vec::new()).is_err());
    assert!(store.store.pinned(&key).is_none());
    assert_eq!(store.on_disk(), (Vec::new(), Vec::new()));
}

#[test]
fn an_index_over_two_platforms_is_pushed_and_saved_whole() {
    let store = Store::new();
    let images: Vec<PlatformImage> = ["linux/riscv64", "linux/s390x"]
        .map(|platform| {
            let (image, layers) = loaded(&store, "tmp:1", platform);
            // Another image than the one that is here already.
            let config = [&image.config[..], b"\n"].concat();
            PlatformImage {
                platform: platform.parse().unwrap(),
                config,
                layers,
                attestations: Attestations::default(),
                annotations: BTreeMap::new(),
                descriptor_annotations: BTreeMap::new(),
            }
        })
        .into();
    let names = ["both:1".to_owned()];
    let host: Platform = "linux/s390x".parse().unwrap();
    let mut composed = store.store.compose_for_others(&images, &Form::default(), &host).unwrap();
    let (image, root) = (composed.image(), composed.root().digest);
    assert_eq!(image, digest_of(&images[1].config));
    assert!(store.store.find(&root.to_string()).is_err(), "nobody has it yet");
    composed.commit(&store.store, &names, false).unwrap();
    drop(composed);
    assert_eq!(store.store.find(&root.to_string()).unwrap().id, image);

    let name: Reference = "both:1".parse().unwrap();
    // The other one is an image when somebody stands on it.
    let other = store.store.image_for(&name, &"linux/riscv64".parse().unwrap()).unwrap().unwrap();
    assert_eq!(other.id, digest_of(&images[0].config));
    assert_eq!(store.store.lower_dirs(&other).unwrap().len(), 2);
    assert_eq!(store.store.image_for(&name, &"linux/s390x".parse().unwrap()).unwrap().unwrap().id, image);
    assert!(store.store.image_for(&name, &"linux/arm64".parse().unwrap()).unwrap().is_none());

    let push = store.store.prepare_push(&name, None).unwrap();
    assert_eq!(push.documents.last().unwrap().descriptor.digest, root);
    assert_eq!(
        (push.documents.len(), push.blobs.len()),
        (3, 5),
        "a shared layer, two more, two configurations"
    );
    assert!(push.blobs.iter().all(|blob| !blob.is_plain));
    drop(push);

    for what in ["both:1".to_owned(), root.to_string()] {
        let mut archive = tar::Archive::new(std::io::Cursor::new(store.save(&[&what])));
        let mut names = Vec::new();
        let mut root = String::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            if path == "index.json" {
                let index: Value = serde_json::from_reader(&mut entry).unwrap();
                root = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
            }
            names.push(path);
        }
        assert_eq!(root, root.to_string(), "{what}");
        assert_eq!(names.iter().filter(|name| name.len() > 70).count(), 8, "{names:?}");
    }
}

/// It is as it is wanted, and the store learns nothing of it.
#[test]
fn an_image_for_others_has_the_form_that_is_wanted() {
    let store = Store::new();
    let (image, layers) = loaded(&store, "tmp:1", "linux/s390x");
    let host: Platform = "linux/s390x".parse().unwrap();
    let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let image = PlatformImage {
        platform: host.clone(),
        config: [&image.config[..], b"\n"].concat(),
        layers,
        attestations: Attestations::default(),
        annotations: annotations.clone(),
        descriptor_annotations: BTreeMap::from([("c".to_owned(), "d".to_owned())]),
    };
    let before = store.on_disk();
    for (format, force, magic, named) in [
        (LayerFormat::Zstd, false, &[0x28, 0xb5, 0x2f, 0xfd][..], "diff.tar.zstd"),
        (LayerFormat::Gzip, true, &[0x1f, 0x8b], "diff.tar.gzip"),
        (LayerFormat::Tar, false, b"base", "diff.tar"),
    ] {
        let form =
            Form { layers: LayerForm { format, level: None, force }, docker_types: true, ..Form::default() };
        let composed = store.store.compose_for_others(std::slice::from_ref(&image), &form, &host).unwrap();
        let root = composed.root().clone();
        assert_eq!(root.media_type, media_type::DOCKER_MANIFEST);
        assert_eq!((root.platform.as_ref(), root.annotation("c")), (Some(&host), Some("d")));
        let push = composed.push().unwrap();
        let manifest: Value = serde_json::from_slice(&push.documents.last().unwrap().bytes).unwrap();
        assert_eq!(manifest["annotations"], serde_json::json!(annotations));
        let kinds: BTreeSet<&str> =
            manifest["layers"].as_array().unwrap().iter().map(|l| l["mediaType"].as_str().unwrap()).collect();
        assert!(kinds.len() == 1 && kinds.iter().all(|kind| kind.ends_with(named)), "{kinds:?}");
        let layer = push.blobs.iter().find(|blob| blob.is_layer).unwrap();
        assert!(!layer.is_plain);
        assert!(std::fs::read(push.path(&layer.descriptor.digest)).unwrap().starts_with(magic));
        drop(push);
        let kept = Store::new();
        let (_, layers) = loaded(&kept, "tmp:1", "linux/s390x");
        let image_there = PlatformImage { layers, ..image.clone() };
        let mut composed = kept.store.compose_for_others(&[image_there], &form, &host).unwrap();
        composed.commit(&kept.store, &["app:1".to_owned()], false).unwrap();
        let push = kept.store.prepare_push(&"app:1".parse().unwrap(), None).unwrap();
        assert_eq!(push.documents.last().unwrap().descriptor.digest, root.digest);
        assert!(push.blobs.iter().all(|blob| !blob.is_plain), "as it is");
        drop((push, composed));
        let composed = store.store.compose_for_others(std::slice::from_ref(&image), &form, &host).unwrap();
        let mut saved = Vec::new();
        composed.save(vec!["app:1".parse().unwrap()]).write(&mut saved).unwrap();
        let other = Store::new();
        other.load(&saved).unwrap();
        assert_eq!(other.store.find("app:1").unwrap().id, digest_of(&image.config));
        assert!(store.store.find("app:1").is_err());
    }
    assert_eq!(store.on_disk(), before);
}

#[test]
fn what_is_attested_of_an_image_is_in_its_index() {
    for is_artifact in [false, true] {
        let store = Store::new();
        let (image, layers) = loaded(&store, "tmp:1", "linux/s390x");
        let config = [&image.config[..], b"\n"].concat();
        let predicate = Predicate {
            kind: "https://slsa.dev/provenance/v1".to_owned(),
            body: serde_json::json!({ "a": 1 }),
            subjects: Vec::new(),
        };
        let attestations = Attestations {
            predicates: vec![predicate],
            names: vec!["pkg:docker/app@1".to_owned()],
            is_artifact,
        };
        let host: Platform = "linux/s390x".parse().unwrap();
        let image = PlatformImage {
            platform: host.clone(),
            config,
            layers,
            attestations,
            annotations: BTreeMap::new(),
            descriptor_annotations: BTreeMap::new(),
        };
        let mut composed = store.store.compose_for_others(&[image], &Form::default(), &host).unwrap();
        let root = composed.root().digest;
        composed.commit(&store.store, &["app:1".to_owned()], false).unwrap();

        store.store.tag("app:1", "other:1").unwrap();
        store.store.tag(&root.to_string(), "third:1").unwrap();
        let push = store.store.prepare_push(&"third:1".parse().unwrap(), None).unwrap();
        assert_eq!(push.documents.last().unwrap().descriptor.digest, root);
        let push = store.store.prepare_push(&"other:1".parse().unwrap(), None).unwrap();
        let document = |digest: &str| -> Value {
            let found = push.documents.iter().find(|one| one.descriptor.digest.to_string() == digest);
            serde_json::from_slice(&found.unwrap().bytes).unwrap()
        };
        let index = document(&root.to_string());
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(manifests.len(), 2);
        assert_eq!(manifests[1]["platform"]["os"], "unknown");
        let annotations = &manifests[1]["annotations"];
        assert_eq!(annotations["vnd.docker.reference.type"], "attestation-manifest");
        assert_eq!(annotations["vnd.docker.reference.digest"], manifests[0]["digest"]);
        let manifest = document(manifests[1]["digest"].as_str().unwrap());
        assert_eq!(
            manifest["subject"]["digest"],
            if is_artifact { manifests[0]["digest"].clone() } else { Value::Null }
        );
        let layer = &manifest["layers"][0];
        assert_eq!(layer["annotations"]["in-toto.io/predicate-type"], "https://slsa.dev/provenance/v1");
        let blob = push.blobs.iter().find(|blob| layer["digest"] == *blob.descriptor.digest.to_string());
        let statement: Value =
            serde_json::from_slice(&std::fs::read(push.path(&blob.unwrap().descriptor.digest)).unwrap())
                .unwrap();
        let digest = manifests[0]["digest"].as_str().unwrap().trim_start_matches("sha256:");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], digest);
        assert_eq!(statement["subject"][0]["name"], "pkg:docker/app@1");
        assert_eq!(statement["predicate"]["a"], 1);
    }
}
