//! The system call filter at work, and its listener.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompSyscall};
use std::os::fd::AsFd;

fn rule(names: &[&str], action: SeccompAction, errno: u32, args: Vec<SeccompArg>) -> SeccompSyscall {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let errno_ret = (action == SeccompAction::Errno).then_some(errno);
    SeccompSyscall { names, action, errno_ret, args }
}

fn profile(syscalls: Vec<SeccompSyscall>) -> Seccomp {
    Seccomp {
        default_action: SeccompAction::Allow,
        default_errno_ret: None,
        architectures: vec![],
        flags: vec![],
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

#[test]
fn a_filter_refuses_calls_by_name_and_by_argument() {
    let mut bundle = Bundle::new(
        "mkdir /tmp/x 2>&1; kill -0 1 && echo signalled; kill -CONT 1 2>&1; grep Seccomp: /proc/self/status | cut -f2",
    );
    let continue_signal = SeccompArg { index: 1, value: 18, value_two: 0, op: SeccompOperator::Equal };
    bundle.linux().seccomp = Some(profile(vec![
        rule(&["mkdir", "mkdirat"], SeccompAction::Errno, 95, vec![]),
        rule(&["kill"], SeccompAction::Errno, 38, vec![continue_signal]),
    ]));
    for no_new_privileges in [true, false] {
        for uid in [0, 33] {
            bundle.process().no_new_privileges = no_new_privileges;
            bundle.process().user.uid = uid;
            bundle.script(
                "mkdir /tmp/x 2>&1; kill -0 $$ && echo signalled; kill -CONT $$ 2>&1; grep Seccomp: /proc/self/status | cut -f2",
            );
            let outcome = bundle.run().succeeded();
            let lines = outcome.lines();
            assert!(lines[0].contains("not supported"), "{outcome:?}");
            assert_eq!(lines[1], "signalled");
            assert!(lines[2].contains("not implemented"), "{outcome:?}");
            assert_eq!(lines[3], "2");
        }
    }
}

#[test]
fn processes_of_exec_have_the_filter_too() {
    let mut bundle = Bundle::new("");
    bundle.linux().seccomp =
        Some(profile(vec![rule(&["mkdir", "mkdirat"], SeccompAction::Errno, 95, vec![])]));
    bundle.start_sleeping();
    let outcome = bundle.exec("mkdir /tmp/x 2>&1");
    assert!(outcome.stdout.contains("not supported"), "{outcome:?}");
}

#[test]
fn a_listener_gets_the_descriptor_and_the_containers_state() {
    let mut bundle = Bundle::new("sleep 1000");
    let path = bundle.path().join("listener");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut wanted = profile(vec![rule(&["mkdir", "mkdirat"], SeccompAction::Notify, 0, vec![])]);
    wanted.listener_path = Some(path.display().to_string());
    wanted.listener_metadata = Some("metadata".into());
    bundle.linux().seccomp = Some(wanted);
    bundle.create().succeeded();
    bundle.on("start").succeeded();
    let (connection, _) = listener.accept().unwrap();
    let message = minke_kernel::socket::receive(connection.as_fd()).unwrap().unwrap();
    assert_eq!(message.descriptors.len(), 1);
    let state: serde_json::Value = serde_json::from_slice(&message.bytes).unwrap();
    assert_eq!((&state["fds"][0], &state["metadata"]), (&"seccompFd".into(), &"metadata".into()));
    assert_eq!((&state["pid"], &state["state"]["id"]), (&bundle.pid().into(), &bundle.id.as_str().into()));
}

#[test]
fn a_mistake_in_the_profile_is_found_before_anything_is_made() {
    let mut bundle = Bundle::new("true");
    let mut wrong = profile(vec![]);
    wrong.architectures = vec!["SCMP_ARCH_NONSENSE".into()];
    bundle.linux().seccomp = Some(wrong);
    bundle.run().failed_with(1, &["seccomp", "SCMP_ARCH_NONSENSE"]);
    bundle.left_nothing();
}
