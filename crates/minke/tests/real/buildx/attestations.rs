//! What is attested of images and files: provenance and bills of materials, asked for and read with Docker's own buildx.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minke_testkit::{Registry, RegistryKind, Rootfs};
use rstest::rstest;
use serde_json::Value;

use super::project::Project;

/// A generator as users write them: it looks at what it is shown, and says what it has found.
const GENERATOR: &str = r#"FROM base
COPY <<"EOF" /scan
set -e
names=$(cd "$BUILDKIT_SCAN_SOURCE" && find . -type f -name "$BUILDKIT_SCAN_PATTERN" | tr '\n' ' ')
if touch "$BUILDKIT_SCAN_SOURCE/written" 2>/dev/null; then exit 9; fi
echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","subject":null,"predicate":{"name":"'"$names"'"}}' >"$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"
EOF
ENTRYPOINT ["sh", "/scan"]
"#;

fn stand() -> Project {
    let stand = Project::new();
    stand.host.import("base", Rootfs::busybox());
    stand.write("Dockerfile", GENERATOR);
    let _ = stand.told(&["-t", "scanner"]);
    stand.write(
        "Dockerfile",
        "FROM base\nARG WHO\nCOPY found.txt /w/\nRUN --network=none echo $WHO >/w/who\n",
    );
    stand.write("found.txt", "content");
    stand
}

fn json(bytes: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(bytes.as_ref()).expect("JSON")
}

#[rstest]
fn an_image_in_a_registry_tells_how_it_came_about_and_what_is_in_it(
    #[values(RegistryKind::Debian, RegistryKind::Minke)] kind: RegistryKind,
) {
    let stand = stand();
    let registry = Registry::start(&stand.host, kind);
    let name = "127.0.0.1:5000/app:1";
    let _ = stand.told(&[
        "-t",
        name,
        "--push",
        "--build-arg",
        "WHO=minke",
        "--build-arg",
        "http_proxy=http://user:secret@127.0.0.1:9",
        "--provenance=mode=max,builder-id=https://ci.example",
        "--sbom=generator=scanner,PATTERN=*.txt",
    ]);
    let inspect = |what: &str| {
        json(stand.host.docker(["buildx", "imagetools", "inspect", "--format", what, name]).ok())
    };
    let provenance = inspect("{{json .Provenance.SLSA}}");
    let definition = &provenance["buildDefinition"];
    assert_eq!(
        definition["externalParameters"]["request"]["args"]["build-arg:WHO"], "minke",
        "{provenance:#}"
    );
    assert!(!provenance.to_string().contains("secret"), "{provenance:#}");
    assert_eq!(provenance["runDetails"]["builder"]["id"], "https://ci.example");
    for (number, name) in ["base", "scanner"].into_iter().enumerate() {
        let material = &definition["resolvedDependencies"][number];
        let begin = format!("pkg:docker/{name}@latest?platform=linux%2F");
        assert!(material["uri"].as_str().expect("a URL").starts_with(&begin), "{provenance:#}");
        assert_eq!(material["digest"]["sha256"].as_str().map(str::len), Some(64));
    }
    let file = provenance["runDetails"]["metadata"]["buildkit_metadata"]["source"]["infos"][0].clone();
    let text = STANDARD.decode(file["data"].as_str().expect("the Dockerfile")).expect("base64");
    assert!(text.starts_with(b"FROM base\n"));
    assert_eq!(inspect("{{json .SBOM.SPDX}}")["name"], "./w/found.txt ");

    // Another name means the same.
    let raw = |name: &str| json(stand.host.docker(["buildx", "imagetools", "inspect", "--raw", name]).ok());
    let index = raw(name);
    let other = "127.0.0.1:5000/other:1";
    let _ = stand.host.docker(["tag", name, other]).expect_code(0);
    let _ = stand.host.docker(["push", "-q", other]).expect_code(0);
    assert_eq!(raw(other), index);

    // The image beside them is one like any other.
    let _ = stand.host.docker(["rmi", "-f", name, other]).expect_code(0);
    let _ = stand.host.docker(["pull", "-q", name]).expect_code(0);
    assert_eq!(stand.read(name, "/w/who"), "minke");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2), "{index:#}");
    assert_eq!(
        index["manifests"][1]["annotations"]["vnd.docker.reference.digest"],
        index["manifests"][0]["digest"]
    );

    // And in the store, without a registry.
    let _ = stand.told(&[
        "-t",
        "here",
        "--provenance=mode=min",
        "--build-arg",
        "WHO=me",
        "--attest=type=sbom,generator=scanner",
    ]);
    assert_eq!(stand.read("here", "/w/who"), "me");
    stand.end(Some(registry));
}

#[test]
fn files_have_what_is_attested_beside_them() {
    let stand = stand();
    stand.write("Dockerfile", "FROM scratch\nCOPY found.txt /dir/\n");
    let folder = stand.host.path("out");
    let output = format!("--output=type=local,dest={}", folder.display());
    let _ =
        stand.told(&[&output, "--provenance=mode=max,version=v0.2", "--sbom=generator=scanner,PATTERN=*"]);
    let read = |name: &str| json(std::fs::read(folder.join(name)).expect("it was written"));
    let provenance = read("provenance.json");
    assert_eq!(provenance["predicateType"], "https://slsa.dev/provenance/v0.2");
    assert_eq!(provenance["subject"][0]["name"], "dir/found.txt");
    let digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], digest, "of the content");
    assert_eq!(provenance["predicate"]["buildType"], "https://mobyproject.org/buildkit@v1");
    assert_eq!(read("sbom.spdx.json")["predicate"]["name"], "./dir/found.txt ");

    let archive = stand.host.path("out.tar");
    let output = format!("--output=type=tar,dest={},attestation-prefix=x-", archive.display());
    let _ = stand.told(&[&output, "--provenance=true"]);
    let mut archive = tar::Archive::new(std::fs::File::open(archive).expect("an archive"));
    let entries = archive.entries().expect("a tar").map(|entry| entry.expect("an entry"));
    let names: Vec<_> = entries.map(|entry| entry.path().expect("a path").display().to_string()).collect();
    assert!(names.iter().any(|name| name.ends_with("x-provenance.json")), "{names:?}");
    stand.end(None);
}

#[test]
fn nothing_is_attested_that_nobody_asked_for() {
    let stand = stand();
    let context = stand.host.path("context").display().to_string();
    let built = |name: &str| {
        let metadata = stand.host.path(name);
        let flag = format!("--metadata-file={}", metadata.display());
        let output = format!("--output=type=oci,dest={}", stand.host.path("out.tar").display());
        let words = ["buildx", "build", &flag, &output, "--build-arg", "SOURCE_DATE_EPOCH=1", &context];
        // With what buildx asks for by itself.
        let _ = stand.host.docker(words).expect_code(0);
        json(std::fs::read(metadata).expect("metadata"))
    };
    let (first, second) = (built("first.json"), built("second.json"));
    assert_eq!(first["containerimage.digest"], second["containerimage.digest"]);
    assert!(first["containerimage.config.digest"].is_string(), "an image and no index: {first:#}");
    stand.end(None);
}

#[test]
fn a_generator_that_fails_or_says_nothing_is_told() {
    let stand = stand();
    for (script, told) in [
        ("exit 3", "exit code: 3"),
        ("true", "it has written nothing to /run/out"),
        ("ln -s /etc/passwd /run/out/sbom.spdx.json", "sbom.spdx.json"),
        ("echo '{' >/run/out/sbom.spdx.json", "EOF while parsing"),
    ] {
        stand.write("Dockerfile", format!("FROM base\nCMD [\"sh\", \"-c\", \"{script}\"]\n"));
        let _ = stand.told(&["-t", "bad"]);
        let failed = stand.build(&["-t", "app", "--sbom=generator=bad"]).expect_code(1);
        assert!(failed.stderr.contains(told), "{script}: {failed}");
    }
    let failed = stand.build(&["--provenance=mode=some"]).expect_code(1);
    assert!(failed.stderr.contains("invalid mode"), "{failed}");
    stand.end(None);
}
