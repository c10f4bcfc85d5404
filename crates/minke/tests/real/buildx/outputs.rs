//! `--output` with the attributes of BuildKit's image exporter, read with Docker's own buildx.

use minke_testkit::{Registry, RegistryKind, Rootfs};
use serde_json::Value;

use super::project::Project;

fn stand() -> Project {
    let stand = Project::new();
    stand.host.import("busybox", Rootfs::busybox());
    stand.write("Dockerfile", "FROM busybox\nCOPY found.txt /\n");
    stand.write("found.txt", "content");
    stand
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn an_archive_is_written_and_nothing_else() {
    let stand = stand();
    let _ = stand.host.docker(["tag", "busybox", "keep:1"]).ok();
    let before = stand.host.docker(["images", "-a", "-q"]).ok();
    for kind in ["oci", "docker"] {
        let archive = stand.host.path(format!("{kind}.tar"));
        let output = format!("type={kind},name=keep:1,dest={}", archive.display());
        let metadata = stand.host.path("metadata.json");
        let metadata = metadata.to_str().expect("text");
        let _ = stand.told(&["--output", &output, "--metadata-file", metadata]);
        assert_eq!(stand.host.docker(["images", "-a", "-q"]).ok(), before);
        let _ = stand.host.docker(["run", "--rm", "keep:1", "test", "!", "-e", "/found.txt"]).ok();
        let told = json(&std::fs::read_to_string(metadata).expect("a file"));
        let mut documents = tar::Archive::new(std::fs::File::open(&archive).expect("an archive"));
        let mut index = Value::Null;
        let mut packed = 0;
        for entry in documents.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).expect("bytes");
            packed += usize::from(bytes.starts_with(&[0x1f, 0x8b]));
            if entry.path_bytes().as_ref() == b"index.json" {
                index = serde_json::from_slice(&bytes).expect("JSON");
            }
        }
        assert_eq!(packed, 2, "compressed layers");
        let listed = &index["manifests"][0];
        assert_eq!(listed["digest"], told["containerimage.digest"], "{told:#}");
        assert_eq!(listed["digest"], told["containerimage.descriptor"]["digest"], "{told:#}");
        assert_eq!(listed["platform"]["os"], "linux", "{index:#}");
        let _ = stand.host.docker(["load", "-i", archive.to_str().expect("text")]).ok();
        assert_eq!(stand.read("keep:1", "/found.txt"), "content");
        let _ = stand.host.docker(["rmi", "keep:1"]).ok();
        let _ = stand.host.docker(["tag", "busybox", "keep:1"]).ok();
    }
    stand.end(None);
}

#[test]
fn an_image_is_pushed_with_annotations_and_in_the_form_that_is_wanted() {
    let stand = stand();
    let registry = Registry::start(&stand.host, RegistryKind::Debian);
    let raw = |name: &str| json(&stand.host.docker(["buildx", "imagetools", "inspect", "--raw", name]).ok());
    let name = "127.0.0.1:5000/app:1";
    let _ = stand.told(&[
        "-t",
        name,
        "--push",
        "--annotation",
        "org.example=www",
        "--annotation",
        "manifest:a=b",
    ]);
    let manifest = raw(name);
    assert_eq!(manifest["annotations"], json(r#"{"a": "b", "org.example": "www"}"#), "{manifest:#}");
    // What the store has under the name, the next push has too.
    let _ = stand.host.docker(["push", "-q", name]).ok();
    assert_eq!(raw(name), manifest);

    let refused = stand.build(&["-t", name, "--push", "--annotation", "index:a=b"]).expect_code(1);
    let _ = refused.expect_stderr("index annotations not supported for single platform export");
    let output = format!(
        "type=image,name={name},push=true,compression=zstd,force-compression=true,oci-mediatypes=false"
    );
    let _ = stand.told(&["--output", &output]);
    let manifest = raw(name);
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    for layer in manifest["layers"].as_array().expect("layers") {
        assert_eq!(layer["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.zstd");
    }
    let _ = stand.host.docker(["rmi", name]).ok();
    assert_eq!(stand.read(name, "/found.txt"), "content");
    stand.end(Some(registry));
}

/// As several machines build one platform each, whose index somebody makes afterwards.
#[test]
fn an_image_is_pushed_under_its_digest_alone() {
    let stand = stand();
    let registry = Registry::start(&stand.host, RegistryKind::Minke);
    let metadata = stand.host.path("metadata.json");
    let metadata = metadata.to_str().expect("text");
    let name = "127.0.0.1:5000/app";
    for store in ["true", "false"] {
        let output =
            format!("type=image,name={name},push-by-digest=true,name-canonical=true,push=true,store={store}");
        // buildx itself refuses this of engines.
        let context = stand.context.to_str().expect("text");
        let build = ["build", "--output", &output, "--metadata-file", metadata, context];
        let _ = stand.host.minke(build).expect_code(0);
        let told = json(&std::fs::read_to_string(metadata).expect("a file"));
        let digest = told["containerimage.digest"].as_str().expect("a digest");
        let by_digest = format!("{name}@{digest}");
        let _ = stand.host.docker(["buildx", "imagetools", "inspect", &by_digest]).ok();
        let _ = stand.host.docker(["buildx", "imagetools", "inspect", name]).expect_code(1);
        let made =
            stand.host.docker(["buildx", "imagetools", "create", "-t", "127.0.0.1:5000/all:1", &by_digest]);
        let _ = made.expect_code(0);
    }
    let output = "type=image,name=127.0.0.1:5000/app:1,push-by-digest=true,push=true";
    let refused = stand.host.minke(["build", "--output", output, stand.context.to_str().expect("text")]);
    let _ = refused.expect_code(1).expect_stderr("can't push tagged ref 127.0.0.1:5000/app:1 by digest");
    let _ = stand.host.docker(["image", "inspect", name]).expect_code(1);
    let _ = stand.host.docker(["pull", "-q", "127.0.0.1:5000/all:1"]).ok();
    assert_eq!(stand.read("127.0.0.1:5000/all:1", "/found.txt"), "content");
    stand.end(Some(registry));
}
