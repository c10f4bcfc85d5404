//! `docker build` with BuildKit and without buildx, as Debian 12's docker does it: a session, and `POST /build?version=2`.

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
    let _ = built.run().expect_code(0).expect_stderr("me text 5").expect_stderr("naming to app:1");
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
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in [("Dockerfile", "FROM busybox\nCOPY file /\n"), ("file", "from the archive")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let iid = host.path("iid");
    let args = ["-t", "packed", "--iidfile", iid.to_str().unwrap(), "-"];
    let _ = run(&host, &project, &args).input(archive.into_inner().unwrap()).run().expect_code(0);
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
