//! Images that arrive part by part, and that leave for a registry.

use std::{fs, io, sync::Arc};

use minke_image::{
    LayerForm, LayerState, LoadError, ManifestKind, PulledLayer, StagedLayer, User,
    manifest::Document,
    pull::{Pull, PullPlan},
};
use minke_model::{Descriptor, Digest, ImageId, Platform, Reference, media_type};
use serde_json::json;

use crate::support::{
    Store, TestImage, chain, descriptor, digest, docker_archive, gzip, hex, image, layer, plain, zstd,
};

fn app(tag: &str, encode: fn(&[u8]) -> Vec<u8>) -> TestImage {
    image(tag, &[layer("base", "shared"), layer("own", tag)], encode)
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_hex(&hex(bytes)).unwrap()
}

fn manifest_of(image: &TestImage) -> Descriptor {
    let bytes = image.manifest();
    Descriptor::new(media_type::MANIFEST, digest_of(&bytes), bytes.len() as u64)
}

/// Brings the documents in.
fn begin(store: &Store, image: &TestImage) -> (Pull, PullPlan) {
    let mut pull = store.store.begin_pull().unwrap();
    let plan = plan(&mut pull, image).unwrap();
    (pull, plan)
}

fn plan(pull: &mut Pull, image: &TestImage) -> Result<PullPlan, LoadError> {
    let (bytes, descriptor) = (image.manifest(), manifest_of(image));
    pull.document(descriptor.digest, &bytes)?;
    pull.document(digest_of(&image.config), &image.config)?;
    let Document::Manifest(manifest) = Document::parse("test", &descriptor.media_type, &bytes)? else {
        panic!("a manifest")
    };
    pull.plan(&descriptor, &manifest, image.config.clone())
}

fn receive(store: &Store, layer: &PulledLayer, blob: &[u8]) -> Result<Arc<StagedLayer>, LoadError> {
    store.store.receive_layer(layer, blob, &|_| {}).map(Arc::new)
}

/// Brings in what is absent.
fn layers(store: &Store, plan: &PullPlan, image: &TestImage) -> Vec<Arc<StagedLayer>> {
    let absent =
        plan.layers.iter().zip(&image.blobs).filter(|(layer, _)| layer.state != LayerState::Unpacked);
    absent
        .map(|(layer, blob)| match layer.state {
            LayerState::Stored => Arc::new(store.store.unpack_stored(layer).unwrap()),
            _ => receive(store, layer, blob).unwrap(),
        })
        .collect()
}

fn names(tag: &str, target: Digest) -> Vec<Reference> {
    let tag: Reference = tag.parse().unwrap();
    vec![tag.clone(), tag.with_digest(target)]
}

fn pull(store: &Store, tag: &str, image: &TestImage) -> ImageId {
    let (pull, plan) = begin(store, image);
    let layers = layers(store, &plan, image);
    let target = manifest_of(image).digest;
    pull.commit(plan, layers, names(tag, target), target).unwrap()
}

fn unused(_: &ImageId) -> Option<User> {
    None
}

fn staged(store: &Store) -> usize {
    let count = |folder: &str| fs::read_dir(store.folder.path().join(folder)).unwrap().count();
    count("content/ingest") + count("layers/.staging")
}

#[test]
fn a_pulled_image_is_there_with_its_digest_and_after_a_restart() {
    let store = Store::new();
    let image = app("app:1", gzip);
    let id = pull(&store, "app:1", &image);
    assert_eq!(id.to_string(), image.id());
    assert_eq!(staged(&store), 0);
    let store = store.reopened();
    let found = store.store.find("app:1").unwrap();
    let digest = manifest_of(&image).digest;
    assert_eq!(found.digests, [format!("app@{digest}")]);
    assert_eq!(store.store.find(&format!("app@{digest}")).unwrap().id, id);
    assert_eq!(store.store.pulled(&"app:1".parse().unwrap(), &digest), Some(id));
    assert_eq!(store.store.pulled(&"app:1".parse().unwrap(), &digest_of(b"another")), None);
    let folders = store.store.lower_dirs(&found).unwrap();
    assert_eq!(fs::read_to_string(folders[0].join("own")).unwrap(), "app:1");
    assert_eq!(fs::read_to_string(folders[1].join("base")).unwrap(), "shared");
}

#[test]
fn what_the_store_has_is_not_asked_for() {
    let store = Store::new();
    pull(&store, "a:1", &app("a:1", gzip));
    let (_pull, plan) = begin(&store, &app("b:1", gzip));
    assert_eq!(
        plan.layers.iter().map(|layer| layer.state).collect::<Vec<_>>(),
        [LayerState::Unpacked, LayerState::Absent]
    );
    // The same blob above something else: its files are other files, but nothing is fetched.
    let other = image("c:1", &[layer("first", "x"), layer("base", "shared")], gzip);
    let (_other, plan) = begin(&store, &other);
    assert_eq!(plan.layers[1].state, LayerState::Stored);
    pull(&store, "c:1", &other);
    let found = store.store.find("c:1").unwrap();
    assert_eq!(
        fs::read_to_string(store.store.lower_dirs(&found).unwrap()[0].join("base")).unwrap(),
        "shared"
    );
}

#[test]
fn layers_of_a_loaded_image_serve_a_pulled_one_that_is_compressed_otherwise() {
    let store = Store::new();
    store.load(&docker_archive(&[app("loaded:1", plain)], false)).unwrap();
    let image = app("pulled:1", gzip);
    let (_, plan) = begin(&store, &image);
    assert_eq!(plan.layers[0].state, LayerState::Unpacked);
    pull(&store, "pulled:1", &image);
    assert_eq!(store.store.find("pulled:1").unwrap().digests.len(), 1);
    let mut other = Store::new();
    other.load(&store.save(&["pulled:1"])).unwrap();
    other = other.reopened();
    assert_eq!(other.store.find("pulled:1").unwrap().id.to_string(), image.id());
}

#[test]
fn a_damaged_layer_is_refused_by_name_and_leaves_nothing() {
    let store = Store::new();
    for encode in [gzip as fn(&[u8]) -> Vec<u8>, zstd, plain] {
        let image = app("app:1", encode);
        let (pull, plan) = begin(&store, &image);
        let (first, blob) = (&plan.layers[0], &image.blobs[0]);
        let changed: Vec<u8> = blob.iter().map(|byte| byte ^ 1).collect();
        let longer = [&blob[..], b"more"].concat();
        for (bytes, problem) in [
            (&changed[..], "its content has digest"),
            (&blob[..blob.len() - 3], "bytes came instead of"),
            (&longer[..], "more than the"),
            (&b""[..], "0 bytes came instead of"),
        ] {
            let error = receive(&store, first, bytes).unwrap_err();
            assert!(matches!(error, LoadError::Blob { .. }), "{}", chain(&error));
            assert!(
                error.to_string().contains(problem) && error.to_string().contains(&digest(blob)),
                "{error}"
            );
        }
        let mut lying = first.clone();
        lying.diff_id = digest_of(b"something else");
        assert!(matches!(receive(&store, &lying, blob).unwrap_err(), LoadError::DiffId { .. }));
        drop(pull);
    }
    assert_eq!(staged(&store), 0);
    assert_eq!(store.on_disk(), (Vec::new(), Vec::new()));
}

#[test]
fn a_source_that_breaks_off_is_told_apart_from_a_damaged_layer() {
    struct Cut;
    impl io::Read for Cut {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the peer went away"))
        }
    }
    let store = Store::new();
    let image = app("app:1", gzip);
    let (_pull, plan) = begin(&store, &image);
    for before in [0, 5, 40] {
        let source = io::Read::chain(&image.blobs[0][..before], Cut);
        let error = store.store.receive_layer(&plan.layers[0], source, &|_| {}).unwrap_err();
        assert!(matches!(error, LoadError::Read(_)), "{error}");
        assert!(chain(&error).contains("the peer went away"), "{}", chain(&error));
    }
}

#[test]
fn documents_with_another_digest_are_refused() {
    let store = Store::new();
    let mut pull = store.store.begin_pull().unwrap();
    let error = pull.document(digest_of(b"wanted"), b"other").unwrap_err();
    assert!(error.to_string().contains(&digest(b"other")), "{error}");
    let artifact = json!({"schemaVersion": 2, "config": {"mediaType": "application/x", "digest": digest(b"{}"), "size": 2}});
    let bytes = serde_json::to_vec(&artifact).unwrap();
    let Document::Manifest(manifest) = Document::parse("x", media_type::MANIFEST, &bytes).unwrap() else {
        panic!()
    };
    let descriptor = Descriptor::new(media_type::MANIFEST, digest_of(&bytes), 1);
    let error = pull.plan(&descriptor, &manifest, b"{}".to_vec()).unwrap_err();
    assert!(error.to_string().contains("\"application/x\", not an image"), "{error}");
}

#[test]
fn documents_that_mean_two_things_are_refused() {
    for (media_type, json, problem) in [
        ("", r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
        ("", r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, "at once"),
        (
            media_type::INDEX,
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#,
            "came as",
        ),
        ("text/html", r#"{"schemaVersion":2}"#, "which is no image"),
        (media_type::MANIFEST, r#"{"schemaVersion":2}"#, "malformed"),
        (media_type::INDEX, "[", "malformed"),
    ] {
        let error = Document::parse("doc", media_type, json.as_bytes()).unwrap_err();
        assert!(chain(&error).contains(problem), "{json}: {}", chain(&error));
    }
}

#[test]
fn two_pulls_share_a_layer_and_the_second_survives_the_firsts_removal() {
    let store = Store::new();
    let (one, two) = (app("one:1", gzip), app("two:1", gzip));
    let (first, first_plan) = begin(&store, &one);
    let (second, second_plan) = begin(&store, &two);
    let shared = receive(&store, &first_plan.layers[0], &one.blobs[0]).unwrap();
    let own = receive(&store, &first_plan.layers[1], &one.blobs[1]).unwrap();
    let target = manifest_of(&one).digest;
    first.commit(first_plan, vec![Arc::clone(&shared), own], names("one:1", target), target).unwrap();
    store.store.remove("one:1", false, &unused).unwrap();
    let own = receive(&store, &second_plan.layers[1], &two.blobs[1]).unwrap();
    let target = manifest_of(&two).digest;
    second.commit(second_plan, vec![shared, own], names("two:1", target), target).unwrap();
    let store = store.reopened();
    let found = store.store.find("two:1").unwrap();
    assert_eq!(
        fs::read_to_string(store.store.lower_dirs(&found).unwrap()[1].join("base")).unwrap(),
        "shared"
    );
    assert_eq!(staged(&store), 0);
    store.store.remove("two:1", false, &unused).unwrap();
    assert_eq!(store.on_disk(), (Vec::new(), Vec::new()));
}

#[test]
fn a_pull_that_is_given_up_leaves_nothing_and_what_it_held_goes() {
    let store = Store::new();
    pull(&store, "a:1", &app("a:1", gzip));
    let image = app("b:1", gzip);
    let (given_up, plan) = begin(&store, &image);
    let own = receive(&store, &plan.layers[1], &image.blobs[1]).unwrap();
    store.store.remove("a:1", false, &unused).unwrap();
    assert_eq!(store.on_disk().1.len(), 1, "the pull holds the shared layer");
    drop((given_up, plan, own));
    assert_eq!(staged(&store), 0);
    assert_eq!(store.on_disk(), (Vec::new(), Vec::new()));
}

/// An index of two platforms and an attestation of the first.
struct Multi {
    here: TestImage,
    index: Vec<u8>,
    attestation: TestImage,
}

fn multi() -> Multi {
    let here = app("multi:1", gzip);
    let attestation =
        TestImage { config: b"{\"rootfs\":{}}".to_vec(), blobs: vec![b"in-toto".to_vec()], tags: Vec::new() };
    let host = Platform::host();
    let platform = json!({"platform": {"os": "linux", "architecture": host.architecture}});
    let unknown = json!({"platform": {"os": "unknown", "architecture": "unknown"}, "annotations": {
        "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest(&here.manifest())}});
    let other = json!({"platform": {"os": "linux", "architecture": "s390x"}});
    let index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [
        descriptor("manifest", b"elsewhere", other),
        descriptor("manifest", &here.manifest(), platform),
        descriptor("manifest", &attestation.manifest(), unknown),
    ]});
    Multi { here, index: serde_json::to_vec(&index).unwrap(), attestation }
}

fn pull_multi(store: &Store, multi: &Multi) -> ImageId {
    let (mut pull, plan) = begin(store, &multi.here);
    let index = Descriptor::new(media_type::INDEX, digest_of(&multi.index), multi.index.len() as u64);
    pull.document(index.digest, &multi.index).unwrap();
    pull.keep(index.clone());
    let attestation = manifest_of(&multi.attestation);
    pull.document(attestation.digest, &multi.attestation.manifest()).unwrap();
    pull.keep(attestation);
    for bytes in [&multi.attestation.config, &multi.attestation.blobs[0]] {
        let blob = Descriptor::new("", digest_of(bytes), bytes.len() as u64);
        pull.blob(&blob, &bytes[..]).unwrap();
        pull.keep(blob);
    }
    let layers = layers(store, &plan, &multi.here);
    pull.commit(plan, layers, names("multi:1", index.digest), index.digest).unwrap()
}

#[test]
fn an_index_is_kept_whole_and_says_what_is_here() {
    let store = Store::new();
    let multi = multi();
    let Document::Index(index) = Document::parse("i", media_type::INDEX, &multi.index).unwrap() else {
        panic!()
    };
    let here = manifest_of(&multi.here).digest;
    assert_eq!(index.best(&Platform::host()).unwrap().digest, here);
    assert_eq!(index.attestations(here).count(), 1);
    assert!(index.best(&"linux/riscv64".parse().unwrap()).is_none());
    assert!(index.lacks("multi", &"linux/riscv64".parse().unwrap()).contains("linux/s390x"));

    pull_multi(&store, &multi);
    let store = store.reopened();
    let image = store.store.find("multi:1").unwrap();
    assert_eq!(image.digests, [format!("multi@{}", digest(&multi.index))]);
    let manifests = store.store.manifests(&image).unwrap();
    assert_eq!(manifests.iter().map(|manifest| manifest.available).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(manifests[2].kind, ManifestKind::Attestation(Some(here)));
    assert!(
        matches!(&manifests[0].kind, ManifestKind::Image(platform, None) if platform.architecture == "s390x")
    );
    store.store.remove("multi:1", false, &unused).unwrap();
    assert_eq!(store.on_disk(), (Vec::new(), Vec::new()));
}

#[test]
fn an_image_pulled_with_and_without_its_index_has_both_digests() {
    let store = Store::new();
    let multi = multi();
    let id = pull(&store, "multi:single", &multi.here);
    assert_eq!(pull_multi(&store, &multi), id);
    let image = store.store.find("multi:1").unwrap();
    assert_eq!(image.names, ["multi:1", "multi:single"]);
    assert_eq!(image.digests.len(), 2);
    assert_eq!(store.store.manifests(&image).unwrap().len(), 3);
}

#[test]
fn a_pulled_image_is_pushed_as_it_came() {
    let store = Store::new();
    let image = app("app:1", gzip);
    pull(&store, "app:1", &image);
    let push = store.store.prepare_push(&"app:1".parse().unwrap(), None).unwrap();
    assert_eq!(push.documents.len(), 1);
    assert_eq!(push.documents[0].bytes, image.manifest());
    assert_eq!(push.blobs.len(), 3);
    assert!(push.blobs.iter().all(|blob| !blob.is_plain && push.path(&blob.descriptor.digest).is_file()));
    let s390x: Platform = "linux/s390x".parse().unwrap();
    let error = store.store.prepare_push(&"app:1".parse().unwrap(), Some(&s390x)).unwrap_err();
    assert!(error.to_string().contains("not for linux/s390x"), "{error}");
}

#[test]
fn an_index_is_pushed_whole_only_when_all_of_it_is_here() {
    let store = Store::new();
    let multi = multi();
    pull_multi(&store, &multi);
    let push = store.store.prepare_push(&"multi:1".parse().unwrap(), None).unwrap();
    assert_eq!(push.documents.last().unwrap().bytes, multi.here.manifest());
    drop(push);

    let whole = Multi { index: json_without_first(&multi.index), ..multi };
    let store = Store::new();
    pull_multi(&store, &whole);
    let push = store.store.prepare_push(&"multi:1".parse().unwrap(), None).unwrap();
    assert_eq!(
        push.documents.iter().map(|document| &document.bytes[..]).collect::<Vec<_>>(),
        [&whole.here.manifest()[..], &whole.attestation.manifest(), &whole.index]
    );
    assert_eq!(push.blobs.len(), 5);
}

fn json_without_first(index: &[u8]) -> Vec<u8> {
    let mut index: serde_json::Value = serde_json::from_slice(index).unwrap();
    index["manifests"].as_array_mut().unwrap().remove(0);
    serde_json::to_vec(&index).unwrap()
}

#[test]
fn plain_layers_are_compressed_once_and_the_digest_stays() {
    let store = Store::new();
    store.load(&docker_archive(&[app("app:1", plain)], false)).unwrap();
    let name: Reference = "app:1".parse().unwrap();
    let mut push = store.store.prepare_push(&name, None).unwrap();
    assert!(push.documents.is_empty());
    let plain: Vec<_> = push.blobs.iter().filter(|blob| blob.is_plain).cloned().collect();
    assert_eq!(plain.len(), 2);
    let compressed: Vec<_> = plain
        .iter()
        .map(|blob| store.store.compress(&blob.descriptor, LayerForm::default(), &mut |_| {}).unwrap())
        .collect();
    assert_eq!(fs::read(compressed[0].path()).unwrap()[..2], [0x1f, 0x8b]);
    push.manifest(compressed).unwrap();
    let target = push.documents[0].descriptor.digest;
    push.commit(&name, target).unwrap();
    let store = store.reopened();
    assert_eq!(store.store.find("app:1").unwrap().digests, [format!("app@{target}")]);
    let again = store.store.prepare_push(&name, None).unwrap();
    assert!(again.blobs.iter().all(|blob| !blob.is_plain && again.path(&blob.descriptor.digest).is_file()));
    assert_eq!(again.documents[0].descriptor.digest, target);
}

#[test]
fn a_layer_compressed_for_a_push_that_fails_leaves_nothing() {
    let store = Store::new();
    store.load(&docker_archive(&[app("app:1", plain)], false)).unwrap();
    let push = store.store.prepare_push(&"app:1".parse().unwrap(), None).unwrap();
    let plain = push.blobs.iter().find(|blob| blob.is_plain).unwrap();
    let first = store.store.compress(&plain.descriptor, LayerForm::default(), &mut |_| {}).unwrap();
    let second = store.store.compress(&plain.descriptor, LayerForm::default(), &mut |_| {}).unwrap();
    let path = first.path();
    assert_eq!(path.parent(), push.path(&plain.descriptor.digest).parent(), "it has its name in the store");
    drop(first);
    assert!(path.is_file(), "another push still needs it");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn sizes_count_shared_layers_once() {
    let store = Store::new();
    pull(&store, "a:1", &app("a:1", gzip));
    pull(&store, "b:1", &app("b:1", gzip));
    let images = store.store.list().unwrap();
    assert_eq!(store.store.size_of(&images), 6 + 3 + 3);
    assert_eq!(images.iter().map(|image| store.store.shared_size(image)).collect::<Vec<_>>(), [6, 6]);
}

#[test]
fn the_digests_of_a_repository_go_with_its_last_tag() {
    let store = Store::new();
    pull(&store, "app:1", &app("app:1", gzip));
    for name in ["app:2", "other:1"] {
        store.store.tag("app:1", name).unwrap();
    }
    store.store.remove("app:1", false, &unused).unwrap();
    assert_eq!(store.store.find("other:1").unwrap().digests.len(), 1);
    store.store.remove("app:2", false, &unused).unwrap();
    let left = store.store.find("other:1").unwrap();
    assert_eq!((left.names, left.digests), (vec!["other:1".to_owned()], Vec::new()));
}
