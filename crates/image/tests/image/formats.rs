//! Archives in and out: both formats, all compressions, many images, and every way in which they can be wrong.

use std::io::Read;

use minke_image::ImportOptions;
use rstest::rstest;
use serde_json::{Value, json};

use crate::life::wait_until;
use crate::support::{
    Store, Tar, TestImage, chain, descriptor, digest, docker_archive, gzip, hex, image, layer, oci_archive,
    oci_layout, plain, zstd,
};

fn two_layers(tag: &str) -> TestImage {
    image(tag, &[layer("base", "same in all"), layer("top", tag)], plain)
}

fn refusal(archive: &[u8]) -> String {
    let store = Store::new();
    let error = store.load(archive).expect_err("a bad archive was loaded");
    assert!(error.is_callers_fault(), "{error}");
    assert!(store.store.list().unwrap().is_empty());
    assert_eq!(store.on_disk(), (vec![], vec![]), "something was left behind");
    chain(&error)
}

#[rstest]
#[case::docker_manifest_last(docker_archive(&[two_layers("a:1")], false))]
#[case::docker_manifest_first(docker_archive(&[two_layers("a:1")], true))]
#[case::docker_gzip(gzip(&docker_archive(&[two_layers("a:1")], false)))]
#[case::docker_zstd(zstd(&docker_archive(&[two_layers("a:1")], false)))]
#[case::oci(oci_archive(&[two_layers("a:1")]))]
#[case::oci_gzip(gzip(&oci_archive(&[two_layers("a:1")])))]
fn an_image_is_loaded_from_every_kind_of_archive(#[case] archive: Vec<u8>) {
    let store = Store::new();
    let loaded = store.load(&archive).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].id.to_string(), two_layers("a:1").id(), "the id is the configuration's digest");
    assert_eq!(loaded[0].names, ["a:1"]);
    let found = store.store.find("a:1").unwrap();
    assert_eq!((found.size, found.layers.len(), found.config.config.env.len()), (14, 2, 1));
    let folders = store.store.lower_dirs(&found).unwrap();
    assert_eq!(std::fs::read_to_string(folders[0].join("top")).unwrap(), "a:1");
    assert_eq!(std::fs::read_to_string(folders[1].join("base")).unwrap(), "same in all");
}

#[rstest]
#[case::gzip(gzip)]
#[case::zstd(zstd)]
#[case::two_gzip_members(|bytes: &[u8]| [gzip(&bytes[..700]), gzip(&bytes[700..])].concat())]
fn compressed_layers_are_kept_as_they_came(#[case] encode: fn(&[u8]) -> Vec<u8>) {
    for archive in [docker_archive, |images: &[TestImage], _| oci_archive(images)] {
        let original = image("a:1", &[layer("x", "1"), layer("y", "2")], encode);
        let store = Store::new();
        store.load(&archive(std::slice::from_ref(&original), true)).unwrap();
        let saved = store.save(&["a:1"]);
        let second = Store::new();
        second.load(&saved).unwrap();
        let (first, second) = (store.store.find("a").unwrap_err(), second);
        assert_eq!(first.to_string(), "No such image: a:latest");
        assert_eq!(second.store.find("a:1").unwrap().id.to_string(), original.id());
        for blob in &original.blobs {
            assert!(second.on_disk().0.contains(&hex(blob)));
        }
    }
}

#[test]
fn load_save_load_gives_the_same_ids_digests_and_bytes() {
    let images = [two_layers("a:1"), two_layers("b:2"), image("", &[layer("z", "untagged")], plain)];
    let store = Store::new();
    store.load(&docker_archive(&images, false)).unwrap();
    let untagged = images[2].id();
    let saved = store.save(&["a:1", "b:2", &untagged]);
    let second = Store::new();
    let loaded = second.load(&saved).unwrap();
    assert_eq!(loaded.len(), 3);
    for text in ["a:1", "b:2", &untagged] {
        let (first, second) = (store.store.find(text).unwrap(), second.store.find(text).unwrap());
        assert_eq!((first.id, first.manifest, &first.layers), (second.id, second.manifest, &second.layers));
        assert_eq!(first.config_json, second.config_json);
    }
    assert!(second.save(&["a:1", "b:2", &untagged]) == saved, "the second generation differs");
    assert_eq!(store.on_disk(), second.on_disk());
}

#[test]
fn an_oci_manifest_survives_byte_for_byte() {
    let original = two_layers("a:1");
    let store = Store::new();
    store.load(&oci_archive(std::slice::from_ref(&original))).unwrap();
    assert_eq!(store.store.find("a:1").unwrap().manifest.to_string(), digest(&original.manifest()));
    assert_eq!(
        store.store.find(&format!("a@{}", digest(&original.manifest()))).unwrap().id.to_string(),
        original.id()
    );
}

#[test]
fn an_image_that_is_removed_while_it_is_saved_is_saved_whole() {
    let store = Store::new();
    store.load(&docker_archive(&[two_layers("a:1")], false)).unwrap();
    let whole = store.save(&["a:1"]);
    let saving = store.store.save(&["a:1".to_owned()]).unwrap();
    store.store.remove("a:1", false, &|_| None).unwrap();
    let mut saved = Vec::new();
    saving.write(&mut saved).unwrap();
    assert!(saved == whole);
    drop(saving);
    wait_until("content was left", || store.on_disk() == (vec![], vec![]));
}

#[test]
fn saved_archives_hold_shared_layers_once_and_both_formats() {
    let store = Store::new();
    store.load(&docker_archive(&[two_layers("a:1"), two_layers("a:2")], false)).unwrap();
    let saved = store.save(&["a"]);
    let mut files = std::collections::BTreeMap::new();
    for entry in tar::Archive::new(&saved[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(files.insert(name.clone(), content), None, "{name} is there twice");
    }
    let document = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
    assert_eq!(document("oci-layout")["imageLayoutVersion"], "1.0.0");
    let tags: Vec<_> =
        document("manifest.json").as_array().unwrap().iter().map(|i| i["RepoTags"][0].clone()).collect();
    assert_eq!(tags, ["a:1", "a:2"], "a name without a tag stands for all tags");
    let names = document("index.json")["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["annotations"]["io.containerd.image.name"].clone())
        .collect::<Vec<_>>();
    assert_eq!(names, ["docker.io/library/a:1", "docker.io/library/a:2"]);
    assert_eq!(document("repositories")["a"].as_object().unwrap().len(), 2);
    for (name, content) in
        files.iter().filter(|(name, _)| name.starts_with("blobs/sha256/") && name.len() > 20)
    {
        assert_eq!(name, &format!("blobs/sha256/{}", hex(content)));
    }
    assert_eq!(
        files.keys().filter(|name| name.len() > 20).count(),
        2 * 2 + 3,
        "two manifests, two configurations, three layers"
    );
}

#[test]
fn old_archives_with_links_between_layers_are_loaded() {
    let same = layer("x", "1");
    let original = image("old:1", &[same.clone(), same.clone()], plain);
    let manifest =
        json!([{"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["one/layer.tar", "two/layer.tar"]}]);
    let archive = Tar::default()
        .symlink("two/layer.tar", "../one/layer.tar")
        .file("c.json", &original.config)
        .file("./one/layer.tar", &same)
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .end();
    let store = Store::new();
    store.load(&archive).unwrap();
    assert_eq!(store.store.find("old:1").unwrap().layers.len(), 2);
    assert_eq!(store.on_disk().1.len(), 2, "one layer twice is two layers in the chain");
}

#[test]
fn an_image_of_twenty_layers_is_unpacked_in_order() {
    let layers: Vec<Vec<u8>> = (0..20)
        .map(|i| {
            Tar::default().file("n", format!("{i}").as_bytes()).file(&format!("f{i}"), &vec![i; 90_000]).end()
        })
        .collect();
    let store = Store::new();
    let mut reported = std::collections::BTreeMap::new();
    let archive = docker_archive(&[image("many:1", &layers, gzip)], false);
    store
        .store
        .load(&archive[..], &mut |p| {
            reported.insert(p.layer, (p.current, p.total));
        })
        .unwrap();
    assert!(reported.len() == 20 && reported.values().all(|(current, total)| current == total));
    let found = store.store.find("many:1").unwrap();
    let folders = store.store.lower_dirs(&found).unwrap();
    let numbers: Vec<String> =
        folders.iter().map(|folder| std::fs::read_to_string(folder.join("n")).unwrap()).collect();
    assert_eq!(numbers, (0..20).rev().map(|i| i.to_string()).collect::<Vec<_>>(), "topmost first");
    assert_eq!(found.size, 20 * 90_000 + 30);
}

#[test]
fn large_layers_go_through_the_pipeline() {
    let content: Vec<u8> =
        (0..6_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    let layers = [Tar::default().file("big", &content).end(), Tar::default().file("big2", &content).end()];
    for encode in [plain as fn(&[u8]) -> Vec<u8>, gzip, zstd] {
        let store = Store::new();
        store.load(&docker_archive(&[image("big:1", &layers, encode)], false)).unwrap();
        let folders = store.store.lower_dirs(&store.store.find("big:1").unwrap()).unwrap();
        assert!(std::fs::read(folders[1].join("big")).unwrap() == content);
    }
}

#[test]
fn an_index_of_platforms_gives_the_one_that_runs_here() {
    let here = two_layers("app:1");
    let mut elsewhere = image("", &[layer("x", "foreign")], plain);
    elsewhere.config = elsewhere.config.replace("amd64", "s390x").replace("arm64", "s390x");
    let host = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let platform = |architecture: &str| json!({"platform": {"os": "linux", "architecture": architecture}});
    let attestation = json!({"platform": {"os": "unknown", "architecture": "unknown"}, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}});
    let inner = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [
        descriptor("manifest", &elsewhere.manifest(), platform("s390x")),
        descriptor("manifest", &here.manifest(), platform(host)),
        descriptor("manifest", b"attestation", attestation),
    ]}))
    .unwrap();
    let outer = descriptor(
        "index",
        &inner,
        json!({"annotations": {"org.opencontainers.image.ref.name": "ghcr.io/me/app:1"}}),
    );
    let mut blobs = vec![inner, here.manifest(), here.config.clone()];
    blobs.extend(here.blobs.clone());
    let store = Store::new();
    let loaded = store.load(&oci_layout(&[outer], &blobs)).unwrap();
    assert_eq!(
        (loaded[0].id.to_string(), loaded[0].names.clone()),
        (here.id(), vec!["ghcr.io/me/app:1".to_owned()])
    );

    let inner = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [descriptor("manifest", &elsewhere.manifest(), platform("s390x"))]})).unwrap();
    let archive = oci_layout(
        &[descriptor("index", &inner, json!({}))],
        &[inner.clone(), elsewhere.manifest(), elsewhere.config],
    );
    let refusal = refusal(&archive);
    assert!(refusal.contains(&format!("has no image for linux/{host}, only for linux/s390x")), "{refusal}");
}

trait Replace {
    fn replace(&self, from: &str, to: &str) -> Vec<u8>;
}

impl Replace for Vec<u8> {
    fn replace(&self, from: &str, to: &str) -> Vec<u8> {
        String::from_utf8(self.clone()).unwrap().replace(from, to).into_bytes()
    }
}

#[test]
fn wrong_archives_are_refused_with_the_entry_at_fault() {
    let good = two_layers("a:1");
    let manifest_json =
        |value: Value| Tar::default().file("manifest.json", &serde_json::to_vec(&value).unwrap());
    let with = |image: &TestImage| docker_archive(std::slice::from_ref(image), false);

    assert!(refusal(&Tar::default().file("etc/passwd", b"x").end()).contains("not an image archive"));
    assert!(refusal(b"").contains("not an image archive"));
    assert!(refusal(b"this is text, not a tar at all").contains("damaged archive"));
    assert!(refusal(b"BZh91AY&SY").contains("read the archive"));
    assert!(refusal(&manifest_json(json!([])).end()).contains("has no images"));
    assert!(
        refusal(&manifest_json(json!({"Config": 1})).end())
            .contains("\"manifest.json\" in the archive is malformed: invalid type")
    );
    assert!(
        refusal(&manifest_json(json!([{"Config": "c.json"}])).end())
            .contains("\"c.json\" is not in the archive")
    );
    let missing =
        manifest_json(json!([{"Config": "c.json", "Layers": ["l.tar"]}])).file("c.json", &good.config).end();
    assert!(refusal(&missing).contains("layer \"l.tar\" of \"c.json\" is not in the archive"));
    let looped = manifest_json(json!([{"Config": "c.json"}]))
        .symlink("c.json", "d.json")
        .symlink("d.json", "c.json")
        .end();
    assert!(refusal(&looped).contains("\"c.json\" is not in the archive"));
    assert!(
        refusal(&Tar::default().symlink("a", "../../etc/passwd").end()).contains("links out of the archive")
    );
    assert!(refusal(&Tar::default().file("../manifest.json", b"[]").end()).contains("\"..\""));
    assert!(refusal(&Tar::default().file("blobs/sha256/xyz", b"").end()).contains("not named by a digest"));
    let forged = Tar::default().file(&format!("blobs/sha256/{}", hex(b"other")), b"this").end();
    assert!(refusal(&forged).contains("is damaged: its content has digest"));
    assert!(
        refusal(&with(&TestImage { tags: vec!["Bad Name".to_owned()], ..good.clone() }))
            .contains("must be lowercase")
    );
    assert!(refusal(&with(&TestImage { config: b"{".to_vec(), ..good.clone() })).contains("malformed"));
    assert!(
        refusal(&with(&TestImage { blobs: good.blobs[..1].to_vec(), ..good.clone() }))
            .contains("has 1 layers, but its configuration names 2")
    );

    let swapped = TestImage { blobs: good.blobs.iter().rev().cloned().collect(), ..good.clone() };
    assert!(refusal(&with(&swapped)).contains("is damaged: its content has digest"));
    let hostile = image("a:1", &[Tar::default().file("../x", b"").end()], plain);
    assert!(refusal(&with(&hostile)).contains("unpack layer sha256:"));
    let mut cut = image("a:1", &[layer("x", "1")], gzip);
    let length = cut.blobs[0].len();
    cut.blobs[0].truncate(length - 9);
    assert!(refusal(&with(&cut)).contains("unpack layer sha256:"));
    let whole = with(&good);
    assert!(refusal(&whole[..whole.len() / 2]).contains("ends"));
    let zipped = gzip(&whole);
    assert!(refusal(&zipped[..zipped.len() / 2]).contains("ends"));
    let huge = json!([{"Config": "c.json", "RepoTags": vec!["x".repeat(200); 50_000]}]);
    assert!(refusal(&manifest_json(huge).end()).contains("for a document"));
}

#[test]
fn an_image_has_many_names_at_once_but_not_without_end() {
    let store = Store::new();
    let named = |count: usize| {
        let tags = (0..count).map(|number| format!("many:{number}")).collect();
        docker_archive(&[TestImage { tags, ..image("", &[layer("a", "1")], plain) }], false)
    };
    store.load(&named(5_000)).unwrap();
    assert_eq!(store.store.find("many:4999").unwrap().names.len(), 5_000);
    assert_eq!(store.reopened().store.find("many:0").unwrap().names.len(), 5_000);
    assert!(refusal(&named(10_001)).contains("more than 10000 names"));
}

#[test]
fn wrong_layouts_are_refused_with_the_blob_at_fault() {
    let good = two_layers("a:1");
    let blobs =
        |image: &TestImage| [vec![image.manifest(), image.config.clone()], image.blobs.clone()].concat();
    let point = |blob: &[u8]| descriptor("manifest", blob, json!({}));
    let layout = |image: &TestImage, blobs: &[Vec<u8>]| oci_layout(&[point(&image.manifest())], blobs);

    assert!(refusal(&layout(&good, &blobs(&good)[..3])).contains("is not in the archive"));
    assert!(
        refusal(&oci_layout(&[json!({"digest": "md5:1", "size": 1})], &[]))
            .contains("\"index.json\" in the archive is malformed")
    );
    let wrong_size = String::from_utf8(good.manifest())
        .unwrap()
        .replace(&format!("\"size\":{}", good.blobs[0].len()), "\"size\":7");
    let wrong_size = wrong_size.into_bytes();
    let archive = oci_layout(&[point(&wrong_size)], &[vec![wrong_size.clone()], blobs(&good)].concat());
    assert!(refusal(&archive).contains("bytes, but"), "{}", refusal(&archive));
    // One that was loaded all the same could never be saved.
    let lie = descriptor("manifest", &good.manifest(), json!({"size": 7}));
    let archive = oci_layout(&[lie], &[vec![good.manifest()], blobs(&good)].concat());
    assert!(refusal(&archive).contains("\"index.json\" says 7"), "{}", refusal(&archive));

    let mut inner =
        serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [point(&good.manifest())]})).unwrap();
    let mut indexes = vec![inner.clone()];
    for _ in 0..5 {
        inner = serde_json::to_vec(
            &json!({"schemaVersion": 2, "manifests": [descriptor("index", &inner, json!({}))]}),
        )
        .unwrap();
        indexes.push(inner.clone());
    }
    let archive = oci_layout(&[descriptor("index", &inner, json!({}))], &indexes);
    assert!(refusal(&archive).contains("image indexes within each other"));
    let artifact = serde_json::to_vec(&json!({"schemaVersion": 2, "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2}, "layers": []})).unwrap();
    assert!(
        refusal(&oci_layout(&[point(&artifact)], &[artifact.clone(), b"{}".to_vec()]))
            .contains("has no images")
    );
}

fn options(name: Option<&str>) -> ImportOptions {
    ImportOptions {
        name: name.map(str::to_owned),
        message: String::new(),
        changes: vec!["CMD [\"/bin/sh\"]".to_owned(), "ENV A=1".to_owned()],
        platform: None,
        created: time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(1),
    }
}

#[rstest]
#[case(plain)]
#[case(gzip)]
#[case(zstd)]
fn a_root_file_system_becomes_an_image(#[case] encode: fn(&[u8]) -> Vec<u8>) {
    let store = Store::new();
    let rootfs = Tar::default().dir("./").dir("./bin/").file("./bin/sh", b"#!").end();
    let id = store.store.import(&encode(&rootfs)[..], options(Some("base"))).unwrap();
    let found = store.store.find("base:latest").unwrap();
    assert_eq!((found.id, found.diff_ids[0].to_string()), (id, digest(&rootfs)));
    assert_eq!(found.config.config.cmd.as_ref().unwrap(), &["/bin/sh"]);
    assert_eq!(found.created.as_deref(), Some("1970-01-02T00:00:00Z"));
    let history = store.store.history("base").unwrap();
    assert_eq!((history.len(), history[0].comment.as_str(), history[0].size), (1, "Imported from -", 2));
    let again = Store::new();
    again.load(&store.save(&["base"])).unwrap();
    assert_eq!(again.store.find("base").unwrap().id, id);
}

#[test]
fn wrong_imports_are_refused_before_anything_is_read() {
    struct Untouched;
    impl Read for Untouched {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("it was read");
        }
    }
    let store = Store::new();
    let refusal = |options| chain(&store.store.import(Untouched, options).unwrap_err());
    let change = ImportOptions { changes: vec!["RUN x".to_owned()], ..options(None) };
    assert_eq!(refusal(change), "RUN is not a valid change command");
    assert!(refusal(options(Some("Bad"))).contains("must be lowercase"));
    assert!(refusal(options(Some(&format!("a@{}", digest(b""))))).contains("digest reference"));
    let platform = ImportOptions { platform: Some("nonsense".to_owned()), ..options(None) };
    assert!(refusal(platform).contains("want os/architecture"));
}
