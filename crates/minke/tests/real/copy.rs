//! `cp`, both ways, into running and stopped containers.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn files_travel_both_ways(#[values(Cli::Docker, Cli::Minke)] cli: Cli, #[values(true, false)] running: bool) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    if !running {
        let _ = host.cli(cli, ["stop", "-t", "0", "box"]).ok();
    }
    let tree = host.path("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("sub/file"), "content").unwrap();
    let tree = tree.to_str().unwrap();
    let _ = host.cli(cli, ["cp", tree, "box:/tmp/tree"]).ok();
    let back = host.path("back");
    let back = back.to_str().unwrap();
    let _ = host.cli(cli, ["cp", "box:/tmp/tree", back]).ok();
    assert_eq!(std::fs::read_to_string(format!("{back}/sub/file")).unwrap(), "content");
    let one = host.path("passwd");
    let _ = host.cli(cli, ["cp", "box:/etc/passwd", one.to_str().unwrap()]).ok();
    assert!(std::fs::read_to_string(one).unwrap().starts_with("root:"));
    let _ = host.cli(cli, ["cp", "box:/no/such/file", back]).expect_code(1).expect_stderr("/no/such/file");
    host.expect_nothing_left();
}

#[rstest]
fn a_link_out_of_the_container_stays_inside(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let outside = host.path("outside");
    std::fs::create_dir(&outside).unwrap();
    let link = format!("ln -s {} /escape; sleep 600", outside.display());
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sh", "-c", &link]).ok();
    let file = host.path("file");
    std::fs::write(&file, "x").unwrap();
    // The link's target does not exist inside the container, so this fails or writes inside; never outside.
    let _ = host.cli(cli, ["cp", file.to_str().unwrap(), "box:/escape/file"]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    host.expect_nothing_left();
}
