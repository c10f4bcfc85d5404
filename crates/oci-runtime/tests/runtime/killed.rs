//! The runtime is killed at many moments: `delete --force` always cleans up what it left.

use crate::bundle::{Bundle, wait_until};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// At how many moments of a command it is killed.
const MOMENTS: u32 = 30;
/// The same for `exec`, whose orphans somebody else has to reap.
const MOMENTS_OF_EXEC: u32 = 10;

/// Processes that have the container's id in their command lines: the runtime's own, wherever they are.
fn runtimes(bundle: &Bundle) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let names_it = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|argument| argument == bundle.id)
    };
    pids.filter(names_it).collect()
}

/// Runs a command and kills it after `delay`; says whether that was before its end.
fn kill_after(mut command: Command, delay: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(9)
}

/// Kills `command` at moments from its start to after its end, each time with what `prepare` makes.
fn survive(bundle: &Bundle, moments: u32, prepare: impl Fn(), command: impl Fn() -> Command) {
    let took = |_| {
        prepare();
        let start = Instant::now();
        command().stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        let took = start.elapsed();
        bundle.call(&["delete", "--force", &bundle.id]).succeeded();
        took
    };
    // The shortest of several: one that the machine held up would put most moments after the end of the others.
    let whole = (0..4).map(took).min().unwrap();
    let mut killed = 0;
    for moment in 0..moments {
        prepare();
        killed += u32::from(kill_after(command(), whole * moment * 5 / (moments * 4)));
        bundle.call(&["delete", "--force", &bundle.id]).succeeded();
        wait_until("end of the runtime's processes", || runtimes(bundle).is_empty());
        bundle.left_nothing();
    }
    assert!(killed > moments / 4, "{killed} of {moments} were killed before their end");
}

fn create(bundle: &Bundle, name: &str, flags: &[&str]) -> Command {
    let path = bundle.path().display().to_string();
    bundle.command(&[&[name, "--bundle", &path], flags, &[&bundle.id]].concat())
}

#[test]
fn a_create_that_is_killed_leaves_what_delete_removes() {
    let bundle = Bundle::new("sleep 1000");
    bundle.write_config();
    survive(&bundle, MOMENTS, || {}, || create(&bundle, "create", &[]));
}

#[test]
fn a_run_that_is_killed_leaves_what_delete_removes() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.write_config();
    survive(&bundle, MOMENTS, || {}, || create(&bundle, "run", &["--detach"]));
    // In the foreground too, to the end of the container and its removal.
    bundle.script("true");
    bundle.write_config();
    survive(&bundle, MOMENTS, || {}, || create(&bundle, "run", &[]));
}

#[test]
fn an_exec_that_is_killed_leaves_what_delete_removes() {
    let mut bundle = Bundle::new("");
    bundle.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
    bundle.write_config();
    let prepare = || {
        let mut run = create(&bundle, "run", &["--detach"]);
        assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    };
    survive(&bundle, MOMENTS_OF_EXEC, prepare, || {
        bundle.command(&["exec", "-d", &bundle.id, "sleep", "1000"])
    });
}

#[test]
fn a_delete_that_is_killed_can_be_tried_again() {
    let mut bundle = Bundle::new("");
    bundle.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
    bundle.write_config();
    let prepare = || {
        let mut run = create(&bundle, "run", &["--detach"]);
        assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    };
    survive(&bundle, MOMENTS, prepare, || bundle.command(&["delete", "--force", &bundle.id]));
}

/// The control: what a killed creator leaves is found, before it is deleted.
#[test]
fn what_a_killed_creator_left_is_noticed() {
    let bundle = Bundle::new("sleep 1000");
    bundle.write_config();
    let mut left = 0;
    for moment in 0..MOMENTS {
        kill_after(create(&bundle, "create", &[]), Duration::from_micros(u64::from(moment) * 700));
        left += u32::from(!bundle.cgroups().is_empty());
        bundle.call(&["delete", "--force", &bundle.id]).succeeded();
        wait_until("end of the runtime's processes", || runtimes(&bundle).is_empty());
    }
    assert!(left > 0, "no moment was one at which a cgroup existed");
    bundle.left_nothing();
}
