//! `--cache-to` and `--cache-from` with Docker's own buildx: what one engine has built, another that knows nothing does not build again.

use minke_testkit::{Registry, RegistryKind, Rootfs};
use rstest::rstest;

use super::project::Project;

/// A project, and a registry with its base image.
fn stand(kind: RegistryKind) -> (Project, Registry) {
    let project = Project::new();
    let registry = Registry::start(&project.host, kind);
    project.host.import("127.0.0.1:5000/base", Rootfs::busybox());
    let _ = project.host.docker(["push", "-q", "127.0.0.1:5000/base"]).ok();
    (project, registry)
}

const TWO_STAGES: &str = "FROM 127.0.0.1:5000/base AS make\n\
    RUN cat /proc/sys/kernel/random/uuid >/stamp\nRUN cp /stamp /out && echo big >/big\n\
    FROM 127.0.0.1:5000/base\nWORKDIR /w\nCOPY file .\nCOPY --from=make /out /got\nRUN echo last >/last\n";

#[rstest]
fn what_one_engine_has_built_another_takes_from_a_registry(
    #[values(RegistryKind::Debian, RegistryKind::Minke)] kind: RegistryKind,
    #[values("true", "false")] is_manifest: &str,
) {
    let (mut stand, registry) = stand(kind);
    stand.write("Dockerfile", TWO_STAGES);
    stand.write("file", "same");
    let to = format!("type=registry,ref=127.0.0.1:5000/cache,mode=max,image-manifest={is_manifest}");
    let from = "type=registry,ref=127.0.0.1:5000/cache";
    let told = stand.told(&["-t", "first", "--cache-to", &to]);
    assert!(told.contains("exporting cache to registry") && told.contains("writing layer sha256:"), "{told}");
    let (id, stamp) = (stand.id("first"), stand.read("first", "/got"));

    stand.renew();
    let told = stand.told(&["-t", "second", "--cache-from", from]);
    assert!(told.contains("importing cache manifest from 127.0.0.1:5000/cache"), "{told}");
    assert!(told.matches("CACHED").count() >= 6, "{told}");
    assert_eq!((stand.id("second"), stand.read("second", "/got")), (id, stamp.clone()));
    assert_eq!(stand.layers(), 5, "the base's and four of the last stage");

    // A step that reads another file of the first stage needs that stage, and nobody carries it out again.
    stand.write("Dockerfile", TWO_STAGES.replace("/out /got", "/stamp /other"));
    let _ = stand.told(&["-t", "third", "--cache-from", from, "--cache-to", &to]);
    assert_eq!(stand.read("third", "/other"), stamp);

    // Nothing that the third build had not to look at was lost from the cache that it wrote.
    stand.renew();
    stand.write("Dockerfile", TWO_STAGES.replace("echo last", "cat /got"));
    let _ = stand.told(&["-t", "fourth", "--cache-from", from]);
    assert_eq!(stand.read("fourth", "/last"), stamp);
    stand.end(Some(registry));
}

/// Also what rests on that stage: it would be old otherwise.
#[test]
fn a_stage_that_is_to_be_built_without_cache_is_built_anew() {
    let stand = Project::new();
    stand.host.import("busybox", Rootfs::busybox());
    let text = "FROM busybox AS Deep\nRUN cat /proc/sys/kernel/random/uuid >/stamp\nFROM deep AS on\nRUN cp /stamp /on\n\
                FROM busybox\nCOPY --from=on /on /got\nRUN cp /got /last\n";
    stand.write("Dockerfile", text);
    let _ = stand.told(&["-t", "first"]);
    let told = stand.told(&["-t", "second"]);
    assert_eq!(stand.read("second", "/last"), stand.read("first", "/last"), "{told}");
    let told = stand.told(&["-t", "third", "--no-cache-filter", "deep"]);
    assert_ne!(stand.read("third", "/last"), stand.read("first", "/last"), "{told}");
    stand.end(None);
}

#[test]
fn an_image_holds_its_own_cache() {
    let (mut stand, registry) = stand(RegistryKind::Minke);
    stand.write("Dockerfile", TWO_STAGES);
    stand.write("file", "same");
    let name = "127.0.0.1:5000/app:1";
    let _ = stand.told(&["-t", name, "--cache-to", "type=inline", "--push"]);
    let (id, stamp) = (stand.id(name), stand.read(name, "/got"));
    stand.renew();
    let told = stand.told(&["-t", name, "--cache-from", name, "--cache-to", "type=inline"]);
    assert!(told.contains("CACHED"), "{told}");
    assert_eq!((stand.id(name), stand.read(name, "/got")), (id, stamp));
    stand.end(Some(registry));
}

#[test]
fn a_directory_of_the_clients_holds_a_cache() {
    let (mut stand, registry) = stand(RegistryKind::Minke);
    stand.write("Dockerfile", TWO_STAGES);
    stand.write("file", "same");
    let folder = stand.host.path("cache").display().to_string();
    let told = stand.told(&["-t", "first", "--cache-to", &format!("type=local,dest={folder},mode=max")]);
    assert!(told.contains("exporting cache to client directory"), "{told}");
    let (id, stamp) = (stand.id("first"), stand.read("first", "/got"));
    stand.renew();
    let from = format!("type=local,src={folder}");
    let told = stand.told(&["-t", "second", "--cache-from", &from]);
    assert!(told.contains("CACHED"), "{told}");
    assert_eq!((stand.id("second"), stand.read("second", "/got")), (id, stamp.clone()));
    // From there to a registry, without what this engine has.
    stand.renew();
    let to = "type=registry,ref=127.0.0.1:5000/cache,mode=max";
    let _ = stand.told(&["--cache-from", &from, "--cache-to", to]);
    stand.renew();
    stand.write("Dockerfile", TWO_STAGES.replace("/out /got", "/stamp /other"));
    let _ = stand.told(&["-t", "third", "--cache-from", "type=registry,ref=127.0.0.1:5000/cache"]);
    assert_eq!(stand.read("third", "/other"), stamp);
    stand.end(Some(registry));
}

#[test]
fn a_cache_that_is_none_costs_a_warning_and_one_that_can_not_be_written_is_an_error() {
    let (stand, registry) = stand(RegistryKind::Minke);
    stand.write("Dockerfile", "FROM 127.0.0.1:5000/base\nRUN echo 1 >/one\n");
    let missing = "type=registry,ref=127.0.0.1:5000/nowhere";
    let told = stand.told(&["--cache-from", missing]);
    assert!(told.contains("--cache-from 127.0.0.1:5000/nowhere is not used"), "{told}");
    // An image without a cache.
    let _ = stand.told(&["--cache-from", "type=registry,ref=127.0.0.1:5000/base"]);
    let nobody = "type=registry,ref=127.0.0.1:5999/cache,mode=max";
    let _ = stand.build(&["--cache-to", nobody]).expect_code(1).expect_stderr("export the cache");
    let told = stand.told(&["--cache-to", &format!("{nobody},ignore-error=true")]);
    assert!(told.contains("the cache was not written"), "{told}");
    for (wrong, why) in
        [("type=other", "type=other"), ("type=registry,ref=127.0.0.1:5000/c,mode=most", "mode=most")]
    {
        let _ = stand.build(&["--cache-to", wrong]).expect_code(1).expect_stderr(why);
    }
    stand.end(Some(registry));
}

#[test]
fn layers_that_are_not_what_the_cache_says_are_not_taken() {
    let (mut stand, registry) = stand(RegistryKind::Minke);
    stand.write("Dockerfile", "FROM 127.0.0.1:5000/base\nRUN cat /proc/sys/kernel/random/uuid >/stamp\n");
    let _ = stand.told(&["-t", "x", "--cache-to", "type=registry,ref=127.0.0.1:5000/cache"]);
    let stamp = stand.read("x", "/stamp");
    // Every layer of the registry is damaged, or too long; configurations stay.
    let blobs = stand.host.path("registry-5000/content/blobs/sha256");
    for blob in std::fs::read_dir(&blobs).expect("the registry's blobs") {
        let path = blob.expect("a blob").path();
        let content = std::fs::read(&path).expect("its content");
        if content.starts_with(&[0x1f, 0x8b]) && content.len() < 4096 {
            let damaged: Vec<u8> = content.iter().rev().copied().collect();
            std::fs::write(&path, damaged).expect("it is damaged");
        }
    }
    stand.renew();
    let told = stand.told(&["-t", "y", "--cache-from", "type=registry,ref=127.0.0.1:5000/cache"]);
    assert!(told.contains("a cached step is not used"), "{told}");
    assert_ne!(stand.read("y", "/stamp"), stamp);
    stand.end(Some(registry));
}
