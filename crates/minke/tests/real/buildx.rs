//! `docker buildx build` and `docker build` with Docker's own buildx, unmodified, against the engine's default builder.

mod attestations;
mod bake;
mod caches;
mod contexts;
mod outputs;
mod platforms;
mod project;

use std::path::PathBuf;

use minke_testkit::{Host, Ran, Rootfs};

/// Lets a host's docker know buildx.
pub(crate) fn link(host: &Host) {
    project::link_buildx(host);
}

/// A host whose docker knows buildx, and which has an image `base` with busybox.
pub(crate) fn host() -> Host {
    let host = Host::start();
    project::link_buildx(&host);
    host.import("base", Rootfs::busybox());
    host
}

/// A folder with these files.
pub(crate) fn files(host: &Host, name: &str, files: &[(&str, &str)]) -> String {
    let folder = host.path(name);
    for (path, content) in files {
        let path: PathBuf = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("folders");
        std::fs::write(path, content).expect("a file");
    }
    folder.to_str().expect("a path in text").to_owned()
}

pub(crate) fn build<const N: usize>(host: &Host, args: [&str; N]) -> Ran {
    host.docker_run(args).env("BUILDKIT_PROGRESS", "plain").env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").run()
}

#[test]
fn the_default_builder_runs_here() {
    let host = host();
    let shown = host.docker(["buildx", "inspect", "default"]).ok();
    for line in ["Driver: docker", "running", "Platforms:"] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
    let _ = host.docker(["buildx", "ls"]).expect_code(0).expect_stdout("running");
    host.expect_nothing_left();
}

#[test]
fn a_context_an_argument_and_a_secret_become_an_image() {
    let host = host();
    let context = files(
        &host,
        "context",
        &[
            (
                "Dockerfile",
                "# syntax=docker/dockerfile:1\nFROM base\nARG WHO\nWORKDIR /w\nCOPY . .\n\
                 RUN --mount=type=secret,id=key cat /run/secrets/key | wc -c > size && echo $WHO > who\nCMD [\"cat\", \"size\", \"who\", \"in/a\"]\n",
            ),
            (".dockerignore", "**/*.log\n"),
            ("in/a", "file a\n"),
            ("in/b.log", "not this\n"),
            ("x.log", "nor this\n"),
        ],
    );
    let secret = files(&host, "secret", &[("key", "12345")]) + "/key";
    let secret = format!("id=key,src={secret}");
    let built =
        build(&host, ["build", "-t", "made", "--build-arg", "WHO=minke", "--secret", &secret, &context]);
    let told = built.expect_code(0).stderr;
    for line in ["[internal] load build definition from Dockerfile", "transferring context", "naming to "] {
        assert!(told.contains(line), "{line}:\n{told}");
    }
    assert_eq!(host.docker(["run", "--rm", "made"]).ok(), "5\nminke\nfile a");
    let listed = host.docker(["run", "--rm", "made", "ls", "-R", "/w"]).ok();
    assert!(!listed.contains(".log"), "{listed}");
    let again = build(
        &host,
        ["buildx", "build", "-t", "made", "--build-arg", "WHO=minke", "--secret", &secret, &context],
    );
    let told = again.expect_code(0).stderr;
    assert!(told.contains("CACHED"), "{told}");
    let _ = host.docker(["image", "rm", "made", "base"]).expect_code(0);
}

#[test]
fn a_failed_step_shows_its_output_and_its_line() {
    let host = host();
    let context = files(&host, "context", &[("Dockerfile", "FROM base\nRUN echo before && exit 3\n")]);
    let told = build(&host, ["build", &context]).expect_code(1).stderr;
    for line in [
        "before",
        "did not complete successfully: exit code: 3",
        "Dockerfile:2",
        ">>> RUN echo before && exit 3",
    ] {
        assert!(told.contains(line), "{line}:\n{told}");
    }
    let bad = files(&host, "bad", &[("Dockerfile", "FROM base\nRUNN x\n")]);
    let _ = build(&host, ["build", &bad]).expect_code(1).expect_stderr("unknown instruction: RUNN");
}

#[test]
fn files_and_archives_go_to_the_clients_disk() {
    let host = host();
    let context =
        files(&host, "context", &[("Dockerfile", "FROM scratch\nCOPY a /dir/\n"), ("a", "content")]);
    let folder = host.path("out");
    let output = format!("type=local,dest={}", folder.display());
    let _ = build(&host, ["buildx", "build", "--output", &output, &context]).expect_code(0);
    assert_eq!(std::fs::read_to_string(folder.join("dir/a")).expect("it was written"), "content");
    let archive = host.path("out.tar");
    let output = format!("type=tar,dest={}", archive.display());
    let _ = build(&host, ["buildx", "build", "--output", &output, &context]).expect_code(0);
    let mut archive = tar::Archive::new(std::fs::File::open(archive).expect("it was written"));
    let names: Vec<_> = archive
        .entries()
        .expect("a tar")
        .map(|entry| entry.expect("an entry").path().expect("a path").into_owned())
        .collect();
    assert!(names.iter().any(|name| name.ends_with("dir/a")), "{names:?}");
}

#[test]
fn directories_in_each_other_are_copied_and_too_many_are_refused() {
    let host = host();
    let folder = host.path("out");
    let output = format!("--output=type=local,dest={}", folder.display());
    let nested = |depth: usize| format!("FROM base\nRUN mkdir -p /{}\n", "d/".repeat(depth));
    let context = files(&host, "context", &[("Dockerfile", &nested(200))]);
    let _ = build(&host, ["buildx", "build", &output, &context]).expect_code(0);
    assert!(folder.join("d/".repeat(200)).is_dir());
    let context = files(&host, "context", &[("Dockerfile", &nested(1500))]);
    let failed = build(&host, ["buildx", "build", &output, &context]).expect_code(1);
    assert!(failed.stderr.contains("in each other"), "{failed}");
    let _ = host.docker(["version"]).expect_code(0);
    host.expect_nothing_left();
}

#[test]
fn the_cache_is_shown_and_emptied() {
    let host = host();
    let context = files(&host, "context", &[("Dockerfile", "FROM base\nRUN echo 1 > /one\n")]);
    let _ = build(&host, ["build", &context]).expect_code(0);
    let _ = host.docker(["buildx", "du"]).expect_code(0).expect_stdout("Total:");
    // buildx sends an id as an expression.
    let of_none = ["buildx", "prune", "--force", "--all", "--filter", "id=^nothing"];
    let _ = host.docker(of_none).expect_code(0).expect_stdout("Total:");
    assert!(build(&host, ["build", &context]).expect_code(0).stderr.contains("CACHED"));
    let _ = host.docker(["buildx", "prune", "--force", "--all"]).expect_code(0).expect_stdout("Total:");
    let told = build(&host, ["build", &context]).expect_code(0).stderr;
    assert!(!told.contains("CACHED"), "{told}");
}

#[test]
fn what_is_at_a_url_is_looked_at_each_time() {
    let host = host();
    let serve = "echo one >/file; exec httpd -f -v -p 80 -h /";
    let _ = host.docker(["run", "-d", "--name", "www", "-p", "8088:80", "base", "sh", "-c", serve]).ok();
    let _ = host.fetch("127.0.0.1:8088");
    let dockerfile = "FROM base\nADD http://127.0.0.1:8088/file /file\nRUN cat /file >/copy\n";
    let context = files(&host, "context", &[("Dockerfile", dockerfile)]);
    for content in ["one", "quite another"] {
        let write = format!("echo {content} >/file");
        let _ = host.docker(["exec", "www", "sh", "-c", &write]).ok();
        let _ = build(&host, ["build", "-t", "added", &context]).expect_code(0);
        assert_eq!(host.docker(["run", "--rm", "added", "cat", "/copy"]).ok(), content);
    }
    let told = build(&host, ["build", "-t", "added", &context]).expect_code(0).stderr;
    assert!(told.contains("CACHED"), "{told}");
    // What is still the same isn't sent again, unless it is made something else of.
    let _ = host.docker(["logs", "www"]).expect_code(0).expect_stderr("response:304");
    let _ = files(&host, "context", &[("Dockerfile", &dockerfile.replace("/file\n", "/other\n"))]);
    let _ = build(&host, ["build", "-t", "added", &context]).expect_code(1).expect_stderr("/file");
    let _ = files(&host, "context", &[("Dockerfile", &dockerfile.replace("/file ", "/other "))]);
    // A redirection to where nobody follows is no empty file.
    let serve =
        "while printf 'HTTP/1.0 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n' | nc -l -p 81; do :; done";
    let _ = host.docker(["run", "-d", "-p", "8089:81", "base", "sh", "-c", serve]).ok();
    let elsewhere = [("Dockerfile", "FROM scratch\nADD http://127.0.0.1:8089/file /file\n")];
    let context = files(&host, "context", &elsewhere);
    host.until("it is refused", || {
        let ran = build(&host, ["build", &context]);
        ran.code == Some(1) && ran.stderr.contains("to \"file:///etc/passwd\", which can't be followed")
    });
    host.expect_nothing_left();
}

#[test]
fn other_frontends_are_refused_by_name() {
    let host = host();
    let context = files(&host, "context", &[("Dockerfile", "FROM base\n")]);
    let _ = build(&host, ["build", "--build-arg", "BUILDKIT_SYNTAX=example.com/other:1", &context])
        .expect_code(1)
        .expect_stderr("solves no graphs");
}

#[test]
fn a_dockerfile_is_read_each_time_whatever_its_size_and_date() {
    let project = project::Project::new();
    let date = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for word in ["one", "two"] {
        for (name, text) in [
            ("Dockerfile", format!("FROM scratch\nLABEL word={word}\nCOPY *.txt /\n")),
            ("Dockerfile.dockerignore", format!("{word}.txt\n")),
            ("one.txt", String::new()),
            ("two.txt", String::new()),
        ] {
            project.write(name, text);
            let file = std::fs::File::open(project.host.path("context").join(name)).expect("the file");
            file.set_modified(date).expect("a date");
        }
        let _ = project.build(&["-t", word]).expect_code(0);
        let label = project.host.docker(["image", "inspect", "-f", "{{.Config.Labels.word}}", word]).ok();
        assert_eq!(label, word);
        let _ = project.host.docker(["create", "--name", word, word, "x"]).ok();
        let there = project.host.docker(["cp", &format!("{word}:/{word}.txt"), "-"]);
        let _ = there.expect_code(1).expect_stderr("Could not find the file");
    }
    project.end(None);
}

#[test]
fn a_name_that_is_none_is_refused_before_the_build() {
    let project = project::Project::new();
    project.write("Dockerfile", "FROM scratch\nCOPY nothing /\n");
    let _ = project.build(&["-o", "type=image,name=BAD"]).expect_code(1).expect_stderr("BAD");
    project.end(None);
}
