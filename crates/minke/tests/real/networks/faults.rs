//! What becomes of networks when the engine dies at a bad moment, and when many leave at once.

use std::{thread, time::Duration};

use minke_testkit::{Cli, Host};

use super::{exec, idle, inspect};

#[test]
fn an_engine_killed_while_it_connects_leaves_what_it_says() {
    let mut host = Host::with_busybox();
    let cli = Cli::Minke;
    for name in ["red", "blue"] {
        let _ = host.minke(["network", "create", name]).ok();
    }
    idle(&host, cli, "box", &["red"]);
    for round in 0..6u32 {
        let verb = if round % 2 == 0 { "connect" } else { "disconnect" };
        let asking = host.minke_run(["network", verb, "blue", "box"]);
        let asked = thread::spawn(move || asking.run());
        thread::sleep(Duration::from_millis(u64::from(round) * 3));
        host.kill_daemon();
        let answered = asked.join().expect("it is asked").code == Some(0);
        host.start_daemon();
        let shown = inspect(&host, cli, "{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}", "box");
        let interfaces = exec(&host, cli, "box", "ls /sys/class/net | tr '\\n' ' '");
        let connected = shown.contains("blue");
        assert_eq!(interfaces.contains("eth1"), connected, "{verb}: {shown:?}, {interfaces:?}");
        assert!(shown.contains("red") && interfaces.contains("eth0"), "{shown:?}, {interfaces:?}");
        if answered {
            assert_eq!(connected, verb == "connect", "what was answered is so");
        }
        // Whatever it was, it can be asked for again.
        let _ = host.minke(["network", verb, "blue", "box"]);
    }
    host.expect_nothing_left();
}

#[test]
fn many_that_leave_at_once_leave_nothing() {
    const COUNT: usize = 40;
    let host = Host::with_busybox();
    let cli = Cli::Minke;
    let _ = host.minke(["network", "create", "red"]).ok();
    let names: Vec<String> = (0..COUNT).map(|n| format!("box{n}")).collect();
    for name in &names {
        idle(&host, cli, name, &["name=red,alias=all"]);
    }
    let count = "{{len .Containers}}";
    assert_eq!(host.minke(["network", "inspect", "-f", count, "red"]).ok(), COUNT.to_string());
    let mut remove = vec!["rm", "-f"];
    remove.extend(names.iter().map(String::as_str));
    let _ = host.cli_args(cli, &remove).ok();
    assert_eq!(host.minke(["network", "inspect", "-f", count, "red"]).ok(), "0");
    let _ = host.minke(["network", "rm", "red"]).ok();
    host.expect_nothing_left();
}
