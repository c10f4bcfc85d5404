//! Ctrl-C on a container whose first process ignores it.

use std::{io::Read, time::Duration};

use minke_testkit::Host;
use rustix::process::{Pid, Signal, kill_process};

/// As docker 28; Debian's hangs on.
#[test]
fn the_third_interrupt_ends_the_client_and_not_the_container() {
    let host = Host::with_busybox();
    let mut client = host.minke_run(["run", "--name", "deaf", "busybox", "sleep", "100"]).spawn();
    host.until("the container runs", || {
        host.docker(["ps", "-q", "-f", "name=deaf", "-f", "status=running"]).stdout.trim() != ""
    });
    let pid = Pid::from_child(&client);
    host.until("the client has left", || {
        // It may leave between the question and the signal.
        let _ = kill_process(pid, Signal::INT);
        std::thread::sleep(Duration::from_millis(100));
        client.try_wait().expect("the client can be waited for").is_some()
    });
    assert_eq!(client.wait().expect("it has left").code(), Some(1));
    let mut said = String::new();
    client.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert_eq!(said, "\ngot 3 SIGTERM/SIGINTs, forcefully exiting\n");
    assert_eq!(host.docker(["inspect", "-f", "{{.State.Running}}", "deaf"]).ok(), "true");
    host.docker(["rm", "-f", "deaf"]).ok();
    host.expect_nothing_left();
}
