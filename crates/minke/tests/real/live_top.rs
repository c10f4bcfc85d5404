//! `minke top` without a container: all of them, live, on a terminal.

use minke_testkit::{Cli, Host};
use rustix::process::Signal;

use crate::pty::Terminal;

#[test]
fn containers_come_and_go_on_the_screen_and_keys_work() {
    let host = Host::with_busybox();
    let run = |name: &str, program: &str| {
        let _ = host.docker(["run", "-d", "--name", name, "-m", "64m", "busybox", "sh", "-c", program]).ok();
    };
    run("first", "sleep 600");
    let terminal = Terminal::start(&host, Cli::Minke, ["top"]);
    terminal.resize(30, 150);
    terminal.expect("\x1b[?1049h");
    terminal.expect("first");
    // The sample came and was understood.
    terminal.expect("/ 64MiB");
    assert!(!terminal.echoes());
    // Only what changes is drawn: of a line of sums the number alone may be.
    run("busy", "while :; do :; done");
    terminal.expect("busy");
    terminal.type_in("/");
    terminal.expect("filter: ");
    terminal.type_in("bus\r");
    terminal.expect("filter: bus");
    let _ = host.docker(["rm", "-f", "busy"]).ok();
    let all = |text: &str| {
        let narrow = std::cell::Cell::new(false);
        terminal.until(text, |terminal| {
            terminal.resize(30, 150 - u16::from(narrow.replace(!narrow.get())));
            std::thread::sleep(std::time::Duration::from_millis(20));
            terminal.shows(text)
        });
    };
    all("1 container: ");
    terminal.type_in("q");
    terminal.expect("\x1b[?1049l");
    assert_eq!(terminal.end().code(), Some(0));
    host.expect_nothing_left();
}

#[test]
fn the_live_view_ends_with_its_engine_or_a_signal_and_wants_a_terminal() {
    let mut host = Host::with_busybox();
    let terminal = Terminal::start(&host, Cli::Minke, ["container", "top"]);
    terminal.expect("0 containers");
    terminal.signal(Signal::TERM);
    terminal.expect("\x1b[?1049l");
    terminal.until("what is typed is shown again", Terminal::echoes);
    assert_eq!(terminal.end().code(), Some(143));

    let terminal = Terminal::start(&host, Cli::Minke, ["top"]);
    terminal.expect("0 containers");
    host.stop_daemon();
    terminal.expect("\x1b[?1049l");
    assert_eq!(terminal.end().code(), Some(1));
    host.start_daemon();

    let _ = host.minke(["top"]).expect_code(1).expect_stderr("needs a terminal");
    let _ = host.minke(["top", "no-such"]).expect_code(1).expect_stderr("No such container: no-such");
    host.expect_nothing_left();
}
