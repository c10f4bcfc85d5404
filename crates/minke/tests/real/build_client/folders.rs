//! Caches and images that a build keeps in folders of its client's, and that docker buildx keeps and reads as well.

use std::{fs, path::Path};

use minke_model::Digest;
use minke_testkit::Host;
use rstest::rstest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Project;

/// What is different whenever it is carried out.
const ONE_STEP: &str = "RUN cat /proc/sys/kernel/random/uuid >/made\n";

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Minke,
    Buildx,
}

impl Client {
    fn build(self, project: &Project<'_>, args: &[&str]) -> String {
        let folder = project.folder.display().to_string();
        let words = [args, &["--progress", "plain", &folder]].concat();
        let run = match self {
            Self::Minke => project.host.minke_words(&[&["build"], &words[..]].concat()),
            Self::Buildx => {
                let words = [&["buildx", "build"], &words[..]].concat();
                let run = project.host.client_words(minke_testkit::docker_cli(), &words);
                run.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            }
        };
        run.run().expect_code(0).stderr
    }
}

/// Removes what the engine knows of earlier builds.
fn forget(host: &Host, image: &str) {
    let _ = host.minke(["rmi", "-f", image]).expect_code(0);
    let _ = host.minke(["builder", "prune", "-a", "-f"]).expect_code(0);
}

fn read(host: &Host, image: &str) -> String {
    host.minke(["run", "--rm", image, "cat", "/made"]).ok()
}

fn index(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap()
}

/// Every blob is what its name says, and there is nothing unfinished. Gives how many there are.
fn checked(folder: &Path) -> usize {
    let blobs: Vec<_> = fs::read_dir(folder.join("blobs/sha256")).unwrap().flatten().collect();
    for blob in &blobs {
        let found = Digest::from_bytes(Sha256::digest(fs::read(blob.path()).unwrap()).into());
        assert_eq!(found.hex(), blob.file_name().to_str().unwrap());
    }
    assert_eq!(fs::read_dir(folder.join("ingest")).map_or(0, Iterator::count), 0);
    blobs.len()
}

#[rstest]
fn a_cache_in_a_folder_serves_whoever_builds_next(
    #[values(Client::Minke, Client::Buildx)] writes: Client,
    #[values(Client::Minke, Client::Buildx)] reads: Client,
) {
    let host = crate::buildx::host();
    let project = Project::new(&host, &format!("FROM base\n{ONE_STEP}"));
    let folder = host.path("cache");
    let (from, to) = (
        format!("type=local,src={}", folder.display()),
        format!("type=local,dest={},mode=max", folder.display()),
    );
    // The first build of all has no cache to read, and is none the worse for it.
    let told = writes.build(&project, &["-t", "first", "--cache-from", &from, "--cache-to", &to]);
    assert!(told.contains("exporting cache to client directory"), "{told}");
    if writes == Client::Minke {
        assert!(told.contains("there is no cache yet"), "{told}");
    }
    let made = read(&host, "first");
    assert!(checked(&folder) >= 3, "a layer, a configuration and a manifest");
    forget(&host, "first");
    let told = reads.build(&project, &["-t", "second", "--cache-from", &from, "--cache-to", &to]);
    assert!(told.contains("CACHED"), "{told}");
    assert_eq!(read(&host, "second"), made);
    let index = index(&folder);
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{index}");
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "latest");
    host.expect_nothing_left();
}

#[test]
fn a_cache_is_asked_for_by_its_tag_and_a_broken_folder_is_an_error_that_names_it() {
    let host = Host::with_busybox();
    let project = Project::new(&host, &format!("FROM busybox\n{ONE_STEP}"));
    let folder = host.path("my câche").display().to_string();
    let cache = |flag: &str, more: &str| format!("type=local,{flag}={folder}{more}");
    let to = cache("dest", ",tag=main,compression=uncompressed");
    let _ = project.build(&["-t", "first", "--cache-to", &to]).expect_code(0);
    let made = read(&host, "first");
    forget(&host, "first");
    let digest = index(Path::new(&folder))["manifests"][0]["digest"].as_str().unwrap().to_owned();
    for more in [",tag=main".to_owned(), format!(",digest={digest}")] {
        let told = project.build(&["-t", "again", "--cache-from", &cache("src", &more)]).expect_code(0);
        assert!(told.stderr.contains("CACHED"), "{told}");
        assert_eq!(read(&host, "again"), made);
        forget(&host, "again");
    }
    let other = project.build(&["--cache-from", &cache("src", "")]);
    let _ = other.expect_code(1).expect_stderr("has nothing of the name \"latest\", but main");
    fs::write(host.path("my câche/index.json"), "nonsense").unwrap();
    for args in [["--cache-from", &cache("src", "")], ["--cache-to", &cache("dest", "")]] {
        let _ = project.build(&args).expect_code(1).expect_stderr("che/index.json\" is no index");
    }
    let file = project.write("a", "");
    let _ = project
        .build(&["--cache-to", &format!("type=local,dest={file}")])
        .expect_code(1)
        .expect_stderr(&file);
    let _ = project.build(&["--cache-to", "type=local"]).expect_code(1).expect_stderr("dest is required");
    // Layers that are gone cost their steps, and nothing more.
    fs::remove_dir_all(host.path("my câche")).unwrap();
    let _ = project.build(&["--cache-to", &cache("dest", "")]).expect_code(0);
    let _ = host.minke(["builder", "prune", "-a", "-f"]).expect_code(0);
    for blob in fs::read_dir(host.path("my câche/blobs/sha256")).unwrap().flatten() {
        fs::remove_file(blob.path()).unwrap();
    }
    let told = project.build(&["--progress", "plain", "--cache-from", &cache("src", "")]).expect_code(0);
    assert!(told.stderr.contains("is not used"), "{told}");
    host.expect_nothing_left();
}

#[rstest]
#[case(Client::Minke, "oci")]
#[case(Client::Minke, "docker")]
#[case(Client::Buildx, "oci")]
fn an_image_in_a_folder_is_a_layout_with_its_names(#[case] client: Client, #[case] kind: &str) {
    let host = crate::buildx::host();
    let project = Project::new(&host, &format!("FROM base\n{ONE_STEP}"));
    let folder = host.path("layout");
    let output = format!("type={kind},tar=false,dest={}", folder.display());
    for name in ["app:1", "app:2"] {
        let _ = client.build(&project, &["--output", &output, "-t", name]);
    }
    assert_eq!(checked(&folder), 4, "two layers, a configuration and a manifest");
    let index = index(&folder);
    // Older versions of buildx know of one place for a name.
    let name = |of: &Value| {
        of["io.containerd.image.name"]
            .as_str()
            .or(of["org.opencontainers.image.ref.name"].as_str())
            .unwrap()
            .to_owned()
    };
    let names = index["manifests"].as_array().unwrap().iter().map(|entry| name(&entry["annotations"]));
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["docker.io/library/app:1", "docker.io/library/app:2"]);
    let (archive, mut tar) = (host.path("layout.tar"), tar::Builder::new(Vec::new()));
    tar.append_dir_all(".", &folder).unwrap();
    fs::write(&archive, tar.into_inner().unwrap()).unwrap();
    for name in ["app:1", "app:2"] {
        let _ = host.minke(["rmi", "-f", name]);
    }
    let _ = host.minke(["load", "-q", "-i", archive.to_str().unwrap()]).expect_code(0);
    assert_eq!(read(&host, "app:1"), read(&host, "app:2"));
    let _ = project.build(&["--output", "type=oci,tar=false"]).expect_code(1).expect_stderr("dest=FOLDER");
    host.expect_nothing_left();
}

#[test]
fn an_image_for_two_platforms_is_in_the_folder_whole() {
    let host = Host::start();
    let project = Project::new(&host, "FROM scratch\nCOPY a /\n");
    project.write("a", "content");
    let folder = host.path("layout");
    let output = format!("type=oci,tar=false,dest={}", folder.display());
    let _ = project.build(&["--platform", "linux/amd64,linux/arm64", "--output", &output]).expect_code(0);
    assert_eq!(checked(&folder), 6, "an index, two manifests and configurations, one layer");
    let entry = &index(&folder)["manifests"][0];
    assert_eq!(entry["mediaType"], minke_model::media_type::INDEX);
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "latest");
    host.expect_nothing_left();
}
