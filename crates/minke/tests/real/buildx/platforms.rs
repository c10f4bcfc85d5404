//! Images of several platforms, and pushes, with Docker's own buildx.
//!
//! There need be no emulator on the host: the programs of the "foreign" base image are the host's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use minke_testkit::{Registry, RegistryKind, Rootfs};
use rstest::rstest;
use serde_json::Value;

use super::project::Project;

const BOTH: &str = "linux/amd64,linux/arm64";

impl Project {
    /// A base image for two platforms in the registry.
    fn push_base(&self) {
        let busybox = std::fs::read(minke_testkit::busybox()).expect("busybox");
        self.write("busybox", busybox);
        self.write(
            "Dockerfile",
            "FROM scratch\nCOPY --chmod=755 busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n",
        );
        let _ = self.told(&["--platform", BOTH, "--push", "-t", "127.0.0.1:5000/base"]);
    }

    /// What the registry has under a name, by platform.
    fn platforms(&self, name: &str) -> BTreeMap<String, String> {
        let raw = self.host.docker(["buildx", "imagetools", "inspect", "--raw", name]).ok();
        let index: Value = serde_json::from_str(&raw).expect("JSON");
        let manifests = index["manifests"].as_array().expect("an index").iter();
        let platform = |one: &Value| one["platform"]["architecture"].as_str().expect("a platform").to_owned();
        manifests.map(|one| (platform(one), one["digest"].as_str().expect("a digest").to_owned())).collect()
    }
}

const CROSS: &str = "FROM --platform=$BUILDPLATFORM 127.0.0.1:5000/base AS once\n\
    RUN cat /proc/sys/kernel/random/uuid >/uuid\n\
    FROM --platform=$BUILDPLATFORM 127.0.0.1:5000/base AS make\nARG TARGETPLATFORM TARGETARCH BUILDPLATFORM\n\
    RUN echo $BUILDPLATFORM $TARGETPLATFORM $TARGETARCH >/said\n\
    FROM 127.0.0.1:5000/base\nARG TARGETARCH\nCOPY --from=once /uuid /uuid\nCOPY --from=make /said /said\n\
    COPY for-$TARGETARCH /file\nRUN echo ran $TARGETARCH >/ran\n";

#[rstest]
fn an_image_for_two_platforms_is_built_pushed_and_pulled_whole(
    #[values(RegistryKind::Debian, RegistryKind::Minke)] kind: RegistryKind,
) {
    let stand = Project::new();
    let registry = Registry::start(&stand.host, kind);
    stand.push_base();
    assert_eq!(stand.platforms("127.0.0.1:5000/base").len(), 2);
    stand.write("Dockerfile", CROSS);
    stand.write("for-amd64", "a");
    stand.write("for-arm64", "b");
    let metadata = stand.host.path("metadata.json");
    let metadata_flag = format!("--metadata-file={}", metadata.display());
    let name = "127.0.0.1:5000/app:1";
    let told = stand.told(&["--platform", BOTH, "-t", name, &metadata_flag]);
    for line in [
        "[linux/arm64 stage-2 5/5] RUN echo ran",
        "[linux/amd64 once 2/2] RUN cat",
        "[linux/amd64->arm64 make 2/2]",
    ] {
        assert!(told.contains(line), "{line}:\n{told}");
    }
    let shared = told.lines().filter(|line| line.contains("once 2/2] RUN cat"));
    let shared: BTreeSet<_> = shared.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(shared.len(), 1, "{told}");
    assert_eq!(
        stand.host.docker(["run", "--rm", name, "cat", "/said"]).ok(),
        "linux/amd64 linux/amd64 amd64"
    );

    // It is in the store whole, and is pushed so.
    let metadata: Value = serde_json::from_slice(&std::fs::read(metadata).expect("metadata")).expect("JSON");
    let digest = metadata["containerimage.digest"].as_str().expect("a digest").to_owned();
    let pushed = stand.host.docker(["push", name]).expect_code(0);
    assert!(pushed.stdout.contains(&digest), "{digest}: {pushed}");
    let platforms = stand.platforms(name);
    assert_eq!(platforms.keys().collect::<Vec<_>>(), ["amd64", "arm64"]);

    // What is in the store can be built upon for each, without a registry.
    stand.write("Dockerfile", format!("FROM {name}\nRUN cat /said >/seen\n"));
    let output = format!("type=local,dest={}", stand.host.path("seen").display());
    let _ = stand.told(&["--platform", BOTH, "--output", &output]);
    let seen = std::fs::read_to_string(stand.host.path("seen/linux_arm64/seen")).expect("it was written");
    assert_eq!(seen, "linux/amd64 linux/arm64 arm64\n");

    // Another engine would find the other platform there.
    let _ = stand.host.docker(["rmi", "-f", name]).ok();
    let _ = stand.host.docker(["pull", "-q", "--platform", "linux/arm64", name]).ok();
    let seen = stand.host.docker([
        "run",
        "--rm",
        "--platform",
        "linux/arm64",
        name,
        "cat",
        "/said",
        "/file",
        "/ran",
    ]);
    assert_eq!(seen.ok(), "linux/amd64 linux/arm64 arm64\nbran arm64");
    stand.end(Some(registry));
}

#[test]
fn a_base_for_another_platform_takes_no_name_from_this_host_s() {
    let stand = Project::new();
    let registry = Registry::start(&stand.host, RegistryKind::Debian);
    stand.push_base();
    let base = "127.0.0.1:5000/base";
    let host = &stand.host;
    let architecture = |name: &str| host.docker(["image", "inspect", "-f", "{{.Architecture}}", name]).ok();
    let _ = host.docker(["rmi", "-f", base]).ok();
    stand.write("Dockerfile", format!("FROM --platform=linux/arm64 {base}\nRUN echo 1 >/one\n"));
    let _ = stand.told(&["-t", "foreign"]);
    stand.write("Dockerfile", format!("FROM {base}\nRUN echo 2 >/two\n"));
    let _ = stand.told(&["-t", "own"]);
    assert_eq!((architecture("foreign"), architecture("own")), ("arm64".into(), "amd64".into()));
    let _ = host.docker(["pull", "-q", base]).ok();
    stand.write("Dockerfile", format!("FROM --platform=linux/arm64 {base}\nRUN echo 3 >/three\n"));
    let _ = stand.told(&["--pull", "-t", "foreign"]);
    assert_eq!((architecture("foreign"), architecture(base)), ("arm64".into(), "amd64".into()));
    let digests = host.docker(["image", "inspect", "-f", "{{len .RepoDigests}}", base]).ok();
    assert_eq!(digests, "1");

    // What is here for one platform alone will do, and what somebody has made keeps its name.
    stand.write("Dockerfile", "FROM foreign\nRUN echo 4 >/four\n");
    let _ = stand.told(&["-t", "upon"]);
    assert_eq!((architecture("foreign"), architecture("upon")), ("arm64".into(), "arm64".into()));
    let _ = host.docker(["tag", "foreign", base]).ok();
    stand.write("Dockerfile", format!("FROM {base}\nRUN echo 5 >/five\n"));
    let _ = stand.told(&["--pull", "-t", "own"]);
    assert_eq!((architecture("own"), architecture(base)), ("amd64".into(), "arm64".into()));
    stand.end(Some(registry));
}

#[test]
fn files_and_archives_of_two_platforms_are_apart() {
    let stand = Project::new();
    stand.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY for-$TARGETARCH /dir/file\n");
    stand.write("for-amd64", "a");
    stand.write("for-arm64", "b");
    let path = |name: &str| stand.host.path(name).display().to_string();
    let _ = stand.told(&["--platform", BOTH, "--output", &format!("type=local,dest={}", path("out"))]);
    for (platform, content) in [("linux_amd64", "a"), ("linux_arm64", "b")] {
        let file = stand.host.path("out").join(platform).join("dir/file");
        assert_eq!(std::fs::read_to_string(file).expect("it was written"), content);
    }
    let together = format!("type=local,dest={},platform-split=false", path("together"));
    let told = stand.build(&["--platform", BOTH, "--output", &together]).expect_code(1).stderr;
    assert!(told.contains("/dir/file of linux/arm64 is in the files of another platform too"), "{told}");
    stand.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY for-$TARGETARCH /dir/file-$TARGETARCH\n");
    let _ = stand.told(&["--platform", BOTH, "--output", &together, "--provenance=mode=min"]);
    for name in
        ["dir/file-amd64", "dir/file-arm64", "provenance.linux_amd64.json", "provenance.linux_arm64.json"]
    {
        assert!(stand.host.path("together").join(name).is_file(), "{name}");
    }
    let alone = format!("type=local,dest={},platform-split=true", path("alone"));
    let _ = stand.told(&["--platform", "linux/arm64", "--output", &alone]);
    assert!(stand.host.path("alone/linux_arm64/dir/file-arm64").is_file());
    stand.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY for-$TARGETARCH /dir/file\n");
    let _ = stand.told(&["--platform", BOTH, "--output", &format!("type=tar,dest={}", path("out.tar"))]);
    let names = names(&stand.host.path("out.tar"));
    assert!(names.iter().any(|name| name.ends_with("linux_arm64/dir/file")), "{names:?}");

    let _ = stand.told(&["--platform", BOTH, "--output", &format!("type=oci,dest={}", path("oci.tar"))]);
    let unpacked = stand.host.path("oci");
    let mut archive = tar::Archive::new(std::fs::File::open(path("oci.tar")).expect("an archive"));
    archive.unpack(&unpacked).expect("a tar");
    let read = |path: &str| -> Value {
        serde_json::from_slice(&std::fs::read(unpacked.join(path)).expect("a document")).expect("JSON")
    };
    let blob = |one: &Value| format!("blobs/{}", one["digest"].as_str().expect("a digest").replace(':', "/"));
    let index = read(&blob(&read("index.json")["manifests"][0]));
    let manifests = index["manifests"].as_array().expect("an index of two");
    assert_eq!(manifests.len(), 2);
    for manifest in manifests {
        for layer in read(&blob(manifest))["layers"].as_array().expect("layers") {
            assert!(unpacked.join(blob(layer)).is_file(), "{layer}");
        }
    }
    stand.end(None);
}

fn names(archive: &std::path::Path) -> Vec<PathBuf> {
    let mut archive = tar::Archive::new(std::fs::File::open(archive).expect("an archive"));
    let entries = archive.entries().expect("a tar");
    entries.map(|entry| entry.expect("an entry").path().expect("a path").into_owned()).collect()
}

#[test]
fn a_program_for_another_processor_is_said_to_be_one() {
    let stand = Project::new();
    // The beginning of a program for s390x.
    let mut program = b"\x7fELF\x02\x02\x01".to_vec();
    program.resize(64, 0);
    (program[17], program[19]) = (2, 22);
    stand.write("sh", program);
    stand.write("Dockerfile", "FROM scratch\nCOPY --chmod=755 sh /bin/sh\nRUN echo\n");
    let told = stand.build(&["--platform", "linux/s390x"]).expect_code(1).stderr;
    assert!(told.contains("programs for linux/s390x can't be run on this host"), "{told}");
    assert!(told.contains("RUN echo") && told.contains("binfmt_misc"), "{told}");
    // Nothing is run of it.
    stand.write("Dockerfile", "FROM scratch\nCOPY --chmod=755 sh /bin/sh\n");
    let _ = stand.told(&["--platform", "linux/s390x", "-t", "foreign"]);
    assert_eq!(stand.host.docker(["image", "inspect", "-f", "{{.Architecture}}", "foreign"]).ok(), "s390x");
    stand.end(None);
}

#[rstest]
fn what_is_built_goes_to_a_registry_with_the_clients_credentials(
    #[values(RegistryKind::Debian, RegistryKind::Minke)] kind: RegistryKind,
) {
    let stand = Project::new();
    let line = format!("who:{}\n", bcrypt::hash("secret", 4).expect("a hash"));
    std::fs::write(stand.host.path("htpasswd"), line).expect("a file");
    let htpasswd = stand.host.path("htpasswd").display().to_string();
    let lines = format!("auth:\n  htpasswd:\n    realm: minke\n    path: {htpasswd}");
    let settings: &[&str] = match kind {
        RegistryKind::Debian => &[&lines],
        RegistryKind::Minke => &["--htpasswd", &htpasswd],
    };
    let registry = Registry::start_with(&stand.host, kind, 5000, settings);
    stand.host.import("busybox", Rootfs::busybox());
    stand.write("Dockerfile", "FROM busybox\nRUN echo 1 >/one\n");
    let cache = "type=registry,ref=127.0.0.1:5000/closed/cache,mode=max";
    let push = ["--push", "-t", "127.0.0.1:5000/closed/app:1", "--cache-to", cache, "--cache-from", cache];
    let _ = stand.build(&push).expect_code(1);
    let login = ["login", "-u", "who", "--password-stdin", "127.0.0.1:5000"];
    let _ = stand.host.docker_run(login).input("secret").run().expect_code(0);
    let metadata = stand.host.path("metadata.json");
    let flag = format!("--metadata-file={}", metadata.display());
    let told = stand.told(&[&push[..], &[&flag]].concat());
    assert!(told.contains("pushing 127.0.0.1:5000/closed/app:1"), "{told}");
    let metadata: Value = serde_json::from_slice(&std::fs::read(metadata).expect("metadata")).expect("JSON");
    let digest = metadata["containerimage.digest"].as_str().expect("a digest");
    let _ = stand.host.docker(["rmi", "-f", "127.0.0.1:5000/closed/app:1"]).ok();
    let by_digest = format!("127.0.0.1:5000/closed/app@{digest}");
    let _ = stand.host.docker(["pull", "-q", &by_digest]).ok();
    // A base image in the closed registry, too.
    stand.write("Dockerfile", format!("FROM {by_digest}\nRUN test -s /one && echo 2 >/two\n"));
    let _ = stand.told(&["--pull", "--output", "type=image,name=127.0.0.1:5000/closed/app:2,push=true"]);
    let _ = stand.build(&["--push"]).expect_code(1).expect_stderr("tag is needed");
    stand.end(Some(registry));
}
