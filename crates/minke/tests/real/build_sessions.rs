//! `docker build` with BuildKit and without buildx, as Debian 12's docker does it: a session, and `POST /build?version=2`.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use minke_testkit::{Host, Run, unpacked};

use crate::build::Project;

fn run(host: &Host, project: &Project, args: &[&str]) -> Run {
    let docker = unpacked("managers").join("usr/bin/docker");
    let words = ["build"].iter().chain(args);
    let run = Run::new(docker, words).within(host.netns());
    let run =
        run.env("DOCKER_HOST", host.endpoint()).env("DOCKER_BUILDKIT", "1").env("HOME", host.path("home"));
    run.current_dir(project.path())
}

fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// A build without a session, as SDKs ask for it.
fn post(host: &Host, query: &str, archive: &[u8]) -> String {
    let mut socket = UnixStream::connect(host.path("docker.sock")).unwrap();
    let head = format!(
        "POST /v1.51/build?version=2&{query} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\
         Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        archive.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(archive).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_folder_and_a_secret_come_by_the_session_and_progress_in_the_answer() {
    let host = Host::with_busybox();
    let project = Project::new(
        "FROM busybox\nARG WHO\nCOPY file /file\nRUN --mount=type=secret,id=key echo $WHO $(cat /file) $(cat /run/secrets/key | wc -c) > /said; cat /said\n",
    );
    project.write("file", "text");
    project.write("key", "12345");
    let secret = "id=key,src=key";
    let built = run(
        &host,
        &project,
        &["--progress", "plain", "-t", "app:1", "--build-arg", "WHO=me", "--secret", secret, "."],
    );
    let _ = built
        .run()
        .expect_code(0)
        .expect_stderr("me text 5")
        .expect_stderr("naming to docker.io/library/app:1");
    assert_eq!(host.docker(["run", "--rm", "app:1", "cat", "/said"]).ok(), "me text 5");
    let id = host.docker(["image", "inspect", "-f", "{{.Id}}", "app:1"]).ok();
    let quiet = run(&host, &project, &["-q", "--build-arg", "WHO=me", "--secret", secret, "."]).run().ok();
    assert_eq!(quiet, id, "all of it was in the cache");
    host.expect_nothing_left();
}

#[test]
fn what_comes_on_standard_input_is_a_dockerfile_or_a_context() {
    let host = Host::with_busybox();
    let project = Project::new("");
    let dockerfile = run(&host, &project, &["-t", "plain", "-"]).input(b"FROM busybox\nENV A=b\n".to_vec());
    let _ = dockerfile.run().expect_code(0);
    assert_eq!(host.docker(["image", "inspect", "-f", "{{index .Config.Env 1}}", "plain"]).ok(), "A=b");
    let archive = packed(&[("Dockerfile", "FROM busybox\nCOPY file /\n"), ("file", "from the archive")]);
    let iid = host.path("iid");
    let args = ["-t", "packed", "--iidfile", iid.to_str().unwrap(), "-"];
    let _ = run(&host, &project, &args).input(archive).run().expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "packed", "cat", "/file"]).ok(), "from the archive");
    let id = host.docker(["image", "inspect", "-f", "{{.Id}}", "packed"]).ok();
    assert_eq!(std::fs::read_to_string(iid).unwrap(), id);
    host.expect_nothing_left();
}

#[test]
fn a_result_goes_to_the_clients_disk_and_failures_are_told() {
    let host = Host::with_busybox();
    let project =
        Project::new("FROM busybox AS make\nRUN echo made > /out\nFROM scratch\nCOPY --from=make /out /\n");
    let out = host.path("out");
    let output = format!("type=local,dest={}", out.display());
    let _ = run(&host, &project, &["-o", &output, "."]).run().expect_code(0);
    assert_eq!(std::fs::read_to_string(out.join("out")).unwrap(), "made\n");
    project.write("Dockerfile", "FROM busybox\nRUN exit 3\n");
    let _ = run(&host, &project, &["."]).run().expect_code(1).expect_stderr("exit code: 3");
    project.write("Dockerfile", "FROM busybox\nRUNN x\n");
    let _ = run(&host, &project, &["."]).run().expect_code(1).expect_stderr("unknown instruction: RUNN");
    host.expect_nothing_left();
}

#[test]
fn files_in_the_call_need_no_session_which_would_have_secrets() {
    let host = Host::with_busybox();
    let dockerfile = "FROM busybox\nCOPY file /\nRUN --mount=type=secret,id=key ! test -e /run/secrets/key\n";
    let told = post(&host, "t=posted", &packed(&[("Dockerfile", dockerfile), ("file", "posted")]));
    assert!(told.contains("moby.image.id"), "{told}");
    assert_eq!(host.docker(["run", "--rm", "posted", "cat", "/file"]).ok(), "posted");
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=key,required true\n";
    let told = post(&host, "t=secret", &packed(&[("Dockerfile", dockerfile)]));
    assert!(told.contains("secret key: not found"), "{told}");
    let told = post(&host, "remote=client-session", &[]);
    assert!(told.contains("no active sessions"), "{told}");
    host.expect_nothing_left();
}
