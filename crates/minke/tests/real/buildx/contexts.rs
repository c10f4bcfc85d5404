//! What stands for a stage or an image by `--build-context`: folders, images in folders, nothing.

use std::os::unix::fs::MetadataExt;

use minke_testkit::{Registry, RegistryKind};

use super::{build, files, host};

#[test]
fn a_folder_by_name_is_copied_from_and_built_on_without_what_it_ignores() {
    let host = host();
    let lib = files(
        &host,
        "lib",
        &[("a", "of lib"), ("in/b", "below"), ("x.log", "no"), (".dockerignore", "*.log\n")],
    );
    let dockerfile = "FROM scratch AS lib\nCOPY nothing /\nFROM lib AS on\nCOPY more /more\nFROM base\n\
        COPY --from=lib /a /copied\nCOPY --from=on / /all/\nRUN --mount=from=lib,source=/in,target=/mnt cp /mnt/b /mounted\n";
    let context = files(&host, "context", &[("Dockerfile", dockerfile), ("more", "of the context")]);
    let named = format!("lib={lib}");
    let told = build(&host, ["buildx", "build", "-t", "made", "--build-context", &named, &context]);
    let _ = told.expect_code(0).expect_stderr("[context lib] load from client");
    let listed = host.docker([
        "run",
        "--rm",
        "made",
        "sh",
        "-c",
        "cd /all; find . -type f | sort; cat /copied /mounted more",
    ]);
    assert_eq!(listed.ok(), "./.dockerignore\n./a\n./in/b\n./more\nof libbelowof the context");
    let _ =
        build(&host, ["buildx", "build", "-t", "on", "--target", "on", "--build-context", &named, &context])
            .expect_code(0);
    assert_eq!(host.docker(["image", "inspect", "-f", "{{len .RootFS.Layers}}", "on"]).ok(), "2");
    // Another file in it is another image.
    let _ = files(&host, "lib", &[("a", "changed")]);
    let _ =
        build(&host, ["buildx", "build", "-t", "made", "--build-context", &named, &context]).expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "made", "cat", "/copied"]).ok(), "changed");
    host.expect_nothing_left();
}

#[test]
fn an_image_in_a_folder_and_none_at_all_stand_for_an_image() {
    let host = host();
    let first = files(
        &host,
        "first",
        &[("Dockerfile", "FROM base\nENV FROM=layout\nRUN cat /proc/sys/kernel/random/uuid >/made\n")],
    );
    let layout = host.path("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let _ =
        build(&host, ["buildx", "build", "-t", "kept:latest", "--output", &output, &first]).expect_code(0);
    // Whoever has none of its layers has them from the folder.
    let _ = host.docker(["buildx", "prune", "--force", "--all"]).expect_code(0);
    let dockerfile = "FROM far AS on\nRUN echo $FROM >/from\nFROM gone\nCOPY --from=on /made /from /\n";
    let context = files(&host, "context", &[("Dockerfile", dockerfile)]);
    let far = format!("far=oci-layout://{}", layout.display());
    let words = [
        "buildx",
        "build",
        "-t",
        "made",
        "--build-context",
        &far,
        "--build-context",
        "gone=docker-image://scratch",
        &context,
    ];
    let told = build(&host, words).expect_code(0);
    let _ = told.expect_stderr("oci-layout://");
    let folder = host.path("out");
    let output = format!("type=local,dest={}", folder.display());
    let words = [
        "buildx",
        "build",
        "-o",
        &output,
        "--build-context",
        &far,
        "--build-context",
        "gone=docker-image://scratch",
        &context,
    ];
    let _ = build(&host, words).expect_code(0);
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("it was written")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["from", "made"]);
    assert_eq!(std::fs::read_to_string(folder.join("from")).expect("a file"), "layout\n");
    let damaged = format!("far=oci-layout://{}@sha256:{}", layout.display(), "0".repeat(64));
    let _ = build(&host, ["buildx", "build", "--build-context", &damaged, &context]).expect_code(1);
    host.expect_nothing_left();
}

#[test]
fn files_with_several_names_are_one_file_on_the_clients_disk() {
    let host = host();
    let dockerfile = "FROM base AS make\nRUN mkdir /d && echo x >/d/a && ln /d/a /d/b\nFROM scratch\nCOPY --from=make /d /d\n";
    let context = files(&host, "context", &[("dockerfile", dockerfile)]);
    let folder = host.path("out");
    let output = format!("type=local,dest={}", folder.display());
    // The Dockerfile's name may be in lower case.
    let _ = build(&host, ["buildx", "build", "-o", &output, &context]).expect_code(0);
    let inode = |name: &str| std::fs::metadata(folder.join("d").join(name)).expect("a file").ino();
    assert_eq!(inode("a"), inode("b"));
}

#[test]
fn a_copy_that_finds_nothing_is_told_with_its_line() {
    let host = host();
    let context = files(
        &host,
        "context",
        &[("Dockerfile", "FROM base\nENV A=b\nCOPY missing /\n"), (".dockerignore", "ignored\n")],
    );
    let told = build(&host, ["build", &context]).expect_code(1).stderr;
    for line in [
        ">>> COPY missing /",
        "failed to compute cache key: failed to calculate checksum of ref",
        "\"/missing\": not found",
    ] {
        assert!(told.contains(line), "{line}:\n{told}");
    }
    let _ = files(&host, "context", &[("Dockerfile", "FROM base\nCOPY ignored /\n"), ("ignored", "")]);
    let told = host.minke(["build", "--check", &context]).expect_code(1).stdout;
    assert!(told.contains("CopyIgnoredFile"), "{told}");
}

#[test]
fn folders_on_the_way_are_kept_from_any_depth_of_the_clients_files() {
    let host = host();
    let dockerfile = "FROM base\nCOPY --parents src/**/*.c /all/\nCOPY --parents s*/./**/*.c /below/\n\
        RUN cd / && find all below -type f | sort >/list\n";
    let source = [("src/a.c", "a"), ("src/b/c/d.c", "d"), ("src/b/e.h", "no"), ("other/f.c", "no")];
    let context = files(&host, "context", &[&[("Dockerfile", dockerfile)], &source[..]].concat());
    let _ = build(&host, ["buildx", "build", "-t", "made", &context]).expect_code(0);
    let listed = host.docker(["run", "--rm", "made", "cat", "/list"]).ok();
    assert_eq!(listed, "all/src/a.c\nall/src/b/c/d.c\nbelow/a.c\nbelow/b/c/d.c");
}

#[test]
fn lints_are_told_before_a_mistake_and_as_the_build_argument_has_them() {
    let host = host();
    let text = "FROM scratch AS Bad\nMAINTAINER me\nBADCMD\n";
    let context = files(&host, "context", &[("Dockerfile", text)]);
    let told = host.minke(["build", "--check", &context]).expect_code(1).stdout;
    for words in ["StageNameCasing", "MaintainerDeprecated", "unknown instruction: BADCMD"] {
        assert!(told.contains(words), "{words}:\n{told}");
    }
    let _ = files(
        &host,
        "context",
        &[("Dockerfile", "#check=skip=all\nFROM scratch AS Bad\nCOPY Dockerfile /\n")],
    );
    let _ = build(&host, ["buildx", "build", &context]).expect_code(0);
    let argument = "BUILDKIT_DOCKERFILE_CHECK=error=true";
    let told = build(&host, ["buildx", "build", "--build-arg", argument, &context]);
    let _ = told.expect_code(1).expect_stderr("lint violation found for rules: StageNameCasing");
}

#[test]
fn an_image_that_there_is_for_one_other_platform_is_taken_with_a_word() {
    let host = host();
    let registry = Registry::start(&host, RegistryKind::Minke);
    let _ = host.docker(["tag", "base", "127.0.0.1:5000/base"]).ok();
    let _ = host.docker(["push", "127.0.0.1:5000/base"]).ok();
    let _ = host.docker(["rmi", "127.0.0.1:5000/base"]).ok();
    let dockerfile = "FROM 127.0.0.1:5000/base\nRUN echo ran >/ran\n";
    let context = files(&host, "context", &[("Dockerfile", dockerfile)]);
    let told =
        host.minke(["build", "--progress", "plain", "--platform", "linux/arm64", "-t", "made", &context]);
    let told = told.expect_code(0).stderr;
    assert!(told.contains("was pulled with platform \"linux/amd64\", expected \"linux/arm64\""), "{told}");
    assert_eq!(host.docker(["run", "--rm", "made", "cat", "/ran"]).ok(), "ran");
    drop(registry);
    host.expect_nothing_left();
}
