//! `checkpoint` and `restore` as far as they go on a host without criu. With one they are tried in
//! tests/vm/systemd.sh.

use crate::bundle::Bundle;
use std::fs;

#[test]
fn without_criu_the_error_says_so_and_the_container_runs_on() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    let images = bundle.path().join("images");
    let call = |args: &[&str]| bundle.command(args).env("PATH", "/nowhere").output().unwrap();
    let output = call(&["checkpoint", "--image-path", images.to_str().unwrap(), &bundle.id]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("criu is not installed") && stderr.lines().count() == 1, "{stderr}");
    assert_eq!(bundle.status(), "running");
    fs::create_dir_all(&images).unwrap();
    let path = bundle.path().display().to_string();
    let output = call(&["restore", "--image-path", images.to_str().unwrap(), "--bundle", &path, "other"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("criu is not installed"));
    assert!(!bundle.state_root().join("other").exists());
}

#[test]
fn wrong_options_and_wrong_states_are_refused_before_anything_is_done() {
    let mut bundle = Bundle::new("");
    bundle.create().succeeded();
    bundle.on("checkpoint").failed_with(1, &["cannot be checkpointed in created state"]);
    bundle.on("start").succeeded();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    bundle.start_sleeping();
    for (flag, reason) in [
        ("--page-server=here", "ADDRESS:PORT"),
        ("--page-server=here:x", "port"),
        ("--manage-cgroups-mode=most", "manage-cgroups-mode"),
        ("--empty-ns=user", "not supported"),
        ("--parent-path=/abs", "must be relative"),
        ("--parent-path=nothing", "invalid --parent-path"),
    ] {
        bundle.call(&["checkpoint", flag, &bundle.id]).failed_with(1, &[reason]);
    }
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_null_device_of_the_host_is_no_stream_of_the_container() {
    // criu could not name it, and it would be a file of the host's.
    let mut bundle = Bundle::new("stat -c %d /dev/null; stat -L -c %d /proc/self/fd/0");
    bundle.process().terminal = false;
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines()[0], outcome.lines()[1], "{outcome:?}");
}
