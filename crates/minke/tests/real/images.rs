//! Images: import, load, save, tag, list, inspect, history, remove.

use minke_testkit::{Cli, Entry, Host, Rootfs};
use rstest::rstest;

#[rstest]
fn a_saved_image_loads_elsewhere_with_the_same_id(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let (here, there) = (Host::with_busybox(), Host::start());
    let archive = here.path("image.tar");
    let archive = archive.to_str().unwrap();
    let _ = here.cli(cli, ["tag", "busybox", "team/tools:v1"]).ok();
    let _ = here.cli(cli, ["save", "-o", archive, "busybox", "team/tools:v1"]).ok();
    let _ =
        there.cli(cli, ["load", "-i", archive]).expect_code(0).expect_stdout("Loaded image: busybox:latest");
    let id = |host: &Host| host.cli(cli, ["images", "-q", "--no-trunc", "team/tools:v1"]).ok();
    assert_eq!(id(&here), id(&there));
    assert_eq!(there.cli(cli, ["run", "--rm", "team/tools:v1", "echo", "same"]).ok(), "same");
    here.expect_nothing_left();
    there.expect_nothing_left();
}

#[rstest]
fn a_repository_is_saved_with_all_its_tags(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    for tag in ["team/tools:v1", "team/tools:v2"] {
        let _ = host.cli(cli, ["tag", "busybox", tag]).ok();
    }
    let archive = host.path("image.tar");
    let archive = archive.to_str().unwrap();
    let _ = host.cli(cli, ["save", "-o", archive, "team/tools"]).ok();
    let _ = host.cli(cli, ["rmi", "team/tools:v1", "team/tools:v2"]).ok();
    let loaded = host.cli(cli, ["load", "-i", archive]).ok();
    assert!(loaded.contains("team/tools:v1") && loaded.contains("team/tools:v2"), "{loaded}");
    host.expect_nothing_left();
}

#[rstest]
fn import_takes_a_root_file_system_and_changes(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::start();
    let tar = Rootfs::busybox().add("greeting", 0o644, Entry::File(b"hi\n")).tar();
    let run = host.cli_run(
        cli,
        [
            "import",
            "-m",
            "by hand",
            "-c",
            "CMD [\"cat\", \"/greeting\"]",
            "-c",
            "ENV LANG=C.UTF-8",
            "-",
            "hello:1",
        ],
    );
    let id = run.input(tar).run().ok();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    let _ = host.cli(cli, ["run", "--rm", "hello:1"]).expect_code(0).expect_exact("hi\n");
    assert!(
        host.cli(cli, ["image", "inspect", "-f", "{{.Config.Env}}", "hello:1"]).ok().contains("LANG=C.UTF-8")
    );
    assert!(host.cli(cli, ["history", "hello:1"]).ok().contains("by hand"));
    host.expect_nothing_left();
}

#[rstest]
fn the_list_shows_every_name(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["tag", "busybox", "registry.example:5000/a/b:c"]).ok();
    let listed = host.cli(cli, ["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["busybox:latest", "registry.example:5000/a/b:c"]);
    host.expect_nothing_left();
}

#[rstest]
fn removal_untags_first_and_deletes_last(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["tag", "busybox", "again"]).ok();
    let _ = host.cli(cli, ["rmi", "again"]).expect_code(0).expect_stdout("Untagged: again:latest");
    let _ = host.cli(cli, ["create", "--name", "user", "busybox"]).ok();
    let _ = host.cli(cli, ["rmi", "busybox"]).expect_code(1).expect_stderr("container");
    let _ = host.cli(cli, ["rm", "user"]).ok();
    let _ = host.cli(cli, ["rmi", "busybox"]).expect_code(0).expect_stdout("Deleted: sha256:");
    let _ = host.cli(cli, ["rmi", "busybox"]).expect_code(1).expect_stderr("No such image");
    let layers =
        || std::fs::read_dir(host.path("root/layers")).unwrap().flatten().map(|entry| entry.file_name());
    let unpacked = || layers().filter(|name| !name.to_string_lossy().starts_with('.')).count();
    assert_eq!(unpacked(), 0, "the layers went with the image");
    host.expect_nothing_left();
}

#[rstest]
fn a_hostile_archive_is_refused_and_writes_nothing(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::start();
    let canary = host.path("canary");
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    let name = format!("../../../../../../../..{}", canary.display());
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, &b"bad"[..]).unwrap();
    let ran = host.cli_run(cli, ["import", "-", "evil"]).input(archive.into_inner().unwrap()).run();
    assert!(!canary.exists(), "{ran}");
    let ran = ran.expect_code(1);
    assert!(ran.stderr.contains("..") || ran.stdout.contains(".."), "the entry is named: {ran}");
    assert_eq!(host.cli(cli, ["images", "-q"]).ok(), "");
    host.expect_nothing_left();
}

#[test]
fn of_the_names_of_an_image_that_is_used_by_its_id_the_last_stays() {
    let host = Host::with_busybox();
    for name in ["busybox:a", "busybox:z"] {
        let _ = host.docker(["tag", "busybox", name]).ok();
    }
    let id = host.docker(["image", "inspect", "-f", "{{.Id}}", "busybox"]).ok();
    let _ = host.docker(["create", "--name", "user", &id]).ok();
    let _ = host.docker(["image", "prune", "-af"]).ok();
    assert_eq!(host.docker(["image", "inspect", "-f", "{{.RepoTags}}", &id]).ok(), "[busybox:z]");
    host.expect_nothing_left();
}
