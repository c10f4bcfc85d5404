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
    terminal.expect("\x1b[?1049h");
    // Only what changes is drawn, but for a window of another size all of it; so the window changes until the text is there.
    let shown = |text: &str| {
        let narrow = std::cell::Cell::new(false);
        terminal.until(text, |terminal| {
            terminal.resize(30, 150 - u16::from(narrow.replace(!narrow.get())));
            std::thread::sleep(std::time::Duration::from_millis(20));
            terminal.shows(text)
        });
    };
    shown("first");
    // A sample came and was understood.
    shown("/ 64MiB");
    assert!(!terminal.echoes());
    run("busy", "while :; do :; done");
    shown("2 containers: ");
    shown("busy");
    terminal.type_in("/bus\r");
    shown("filter: bus  ");
    let _ = host.docker(["rm", "-f", "busy"]).ok();
    terminal.expect("filter: bus");
    shown("1 container: ");
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
