//! User, groups, capabilities, limits, scheduling.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{Capabilities, IoPriority, Personality, Rlimit, Scheduler, User};

fn caps(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn user_groups_umask_and_home_are_set() {
    let mut bundle = Bundle::new("id -u; id -g; id -G; umask; echo $HOME; grep Groups /proc/self/status");
    bundle.process().user =
        User { uid: 33, gid: 34, umask: Some(0o77), additional_gids: vec![5, 6], ..User::default() };
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines()[..5], ["33", "34", "34 5 6", "0077", "/tmp"]);
}

#[test]
fn a_user_may_open_the_standard_streams_again() {
    let mut bundle = Bundle::new("echo again >/dev/stdout; echo again >/dev/stderr");
    bundle.process().user.uid = 33;
    let outcome = bundle.run().succeeded();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("again\n", "again\n"));
}

#[test]
fn root_has_the_capabilities_of_the_configuration_and_no_others() {
    let mut bundle = Bundle::new("grep Cap /proc/self/status | cut -f2");
    let all = caps(&["CAP_CHOWN", "CAP_KILL"]);
    bundle.process().capabilities = Some(Capabilities {
        bounding: all.clone(),
        effective: all.clone(),
        permitted: all,
        inheritable: vec![],
        ambient: vec![],
    });
    let outcome = bundle.run().succeeded();
    let set = "0000000000000021";
    assert_eq!(outcome.lines(), ["0000000000000000", set, set, set, "0000000000000000"]);
    bundle.process().capabilities = None;
    assert_eq!(bundle.run().succeeded().lines(), ["0000000000000000"; 5]);
}

#[test]
fn ambient_capabilities_reach_an_ordinary_user() {
    let mut bundle = Bundle::new("grep Cap /proc/self/status | cut -f2");
    let net = caps(&["CAP_NET_BIND_SERVICE"]);
    bundle.process().user.uid = 33;
    bundle.process().capabilities = Some(Capabilities {
        bounding: net.clone(),
        effective: net.clone(),
        permitted: net.clone(),
        inheritable: net.clone(),
        ambient: net,
    });
    assert_eq!(bundle.run().succeeded().lines(), ["0000000000000400"; 5]);
    // Without ambient ones, execve takes all from an ordinary user.
    bundle.process().capabilities.as_mut().unwrap().ambient.clear();
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines()[1..3], ["0000000000000000"; 2]);
}

#[test]
fn unknown_capabilities_are_a_warning() {
    let mut bundle = Bundle::new("echo ran");
    bundle.process().capabilities.as_mut().unwrap().bounding.push("CAP_FLY".into());
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.stdout, "ran\n");
    assert!(outcome.stderr.contains("level=warning") && outcome.stderr.contains("CAP_FLY"), "{outcome:?}");
}

#[test]
fn limits_privileges_and_the_oom_score_are_set() {
    let mut bundle = Bundle::new(
        "ulimit -n; ulimit -Hn; grep NoNewPrivs /proc/self/status | cut -f2; cat /proc/self/oom_score_adj",
    );
    bundle.process().rlimits = vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 100, hard: 200 }];
    bundle.process().no_new_privileges = true;
    bundle.process().oom_score_adj = Some(321);
    assert_eq!(bundle.run().succeeded().lines(), ["100", "200", "1", "321"]);
}

#[test]
fn scheduling_io_priority_and_personality_are_set() {
    let mut bundle = Bundle::new("cut -d' ' -f19,41 /proc/self/stat; uname -m");
    bundle.process().scheduler =
        Some(Scheduler { policy: "SCHED_BATCH".into(), nice: Some(7), ..Scheduler::default() });
    bundle.process().io_priority = Some(IoPriority { class: "IOPRIO_CLASS_IDLE".into(), priority: 0 });
    bundle.linux().personality = Some(Personality { domain: "LINUX32".into(), flags: vec![] });
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines()[0], "7 3");
    assert_ne!(outcome.lines()[1], "x86_64");
    bundle.process().scheduler.as_mut().unwrap().policy = "SCHED_NONSENSE".into();
    bundle.run().failed_with(1, &["process.scheduler", "SCHED_NONSENSE"]);
    bundle.left_nothing();
}

#[test]
fn the_working_directory_is_made_where_it_is_missing() {
    let mut bundle = Bundle::new("pwd");
    bundle.process().cwd = "/not/there/yet".into();
    assert_eq!(bundle.run().succeeded().stdout, "/not/there/yet\n");
}

#[test]
fn labels_of_security_modules_that_are_absent_are_refused() {
    let mut bundle = Bundle::new("true");
    if !std::path::Path::new("/sys/module/apparmor/parameters/enabled").exists() {
        bundle.process().apparmor_profile = Some("docker-default".into());
        bundle.run().failed_with(1, &["process.apparmorProfile", "not enabled"]);
        bundle.process().apparmor_profile = None;
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        bundle.process().selinux_label = Some("system_u:system_r:container_t:s0".into());
        bundle.run().failed_with(1, &["process.selinuxLabel", "not enabled"]);
    }
    bundle.left_nothing();
}
