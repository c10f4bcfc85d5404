//! `-it` on a real terminal: typing, detaching, coming back, and the window's size.

use minke_testkit::{Cli, Host};
use rstest::rstest;

use crate::pty::Terminal;

/// ctrl-p ctrl-q
const DETACH: &str = "\x10\x11";

#[rstest]
fn a_shell_of_run_can_be_typed_into_and_returns_its_exit_code(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let terminal = Terminal::start(&host, cli, ["run", "-it", "--rm", "--name", "box", "busybox", "sh"]);
    terminal.expect("/ #");
    terminal.type_in("echo sum is $((40 + 2)); tty\r");
    terminal.expect("sum is 42");
    terminal.expect("/dev/");
    // ctrl-c ends what runs in the shell, not the client.
    terminal.type_in("sleep 600\r");
    terminal.expect("sleep 600");
    std::thread::sleep(std::time::Duration::from_millis(100));
    terminal.type_in("\x03");
    terminal.expect("/ #");
    terminal.type_in("exit 7\r");
    assert_eq!(terminal.end().code(), Some(7));
    host.expect_nothing_left();
}

#[rstest]
fn the_detach_keys_leave_the_container_running_and_attach_comes_back(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let host = Host::with_busybox();
    let terminal = Terminal::start(&host, cli, ["run", "-it", "--name", "box", "busybox", "sh"]);
    terminal.expect("/ #");
    terminal.type_in("word=kept\r");
    terminal.expect("/ #");
    terminal.type_in(DETACH);
    assert_eq!(terminal.end().code(), Some(0));
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.State.Running}}", "box"]).ok(), "true");

    let terminal = Terminal::start(&host, cli, ["attach", "--detach-keys", "ctrl-x,a", "box"]);
    terminal.type_in("echo still $word\r");
    terminal.expect("still kept");
    terminal.type_in("\x18a");
    let _ = terminal.end();
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.State.Running}}", "box"]).ok(), "true");

    let terminal = Terminal::start(&host, cli, ["attach", "box"]);
    terminal.type_in("exit 5\r");
    assert_eq!(terminal.end().code(), Some(5));
    host.expect_nothing_left();
}

#[rstest]
fn exec_on_a_terminal_detaches_and_returns_codes(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let terminal = Terminal::start(&host, cli, ["exec", "-it", "box", "sh"]);
    terminal.expect("/ #");
    terminal.type_in("echo in $((1 + 1)); exit 3\r");
    terminal.expect("in 2");
    assert_eq!(terminal.end().code(), Some(3));

    let terminal = Terminal::start(&host, cli, ["exec", "-it", "box", "sh"]);
    terminal.expect("/ #");
    terminal.type_in("sleep 601 & sleep 602\r");
    host.until("the shell's children", || host.cli(cli, ["top", "box"]).ok().contains("sleep 602"));
    terminal.type_in(DETACH);
    let _ = terminal.end();
    assert!(host.cli(cli, ["top", "box"]).ok().contains("sleep 602"), "detaching ends nothing");
    host.expect_nothing_left();
}

#[rstest]
fn the_terminal_has_the_windows_size_and_follows_it(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "other", "busybox", "sleep", "600"]).ok();
    let ways: [&[&str]; 2] =
        [&["run", "-it", "--name", "box", "busybox", "sh"], &["exec", "-it", "other", "sh"]];
    for args in ways {
        let terminal = Terminal::start(&host, cli, args);
        terminal.expect("/ #");
        let size = |wanted: &str| {
            // The client sends the size at its own time. The quotes tell the answer from the echo of what was typed, which a shell
            // draws again when the window changes meanwhile.
            for _ in 0..100 {
                terminal.type_in("echo si''ze: $(stty size) en''d\r");
                terminal.expect("size: ");
                if terminal.expect_within_line(wanted) {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            panic!("the size never was {wanted}");
        };
        size("24 80 ");
        terminal.resize(50, 132);
        size("50 132 ");
        terminal.type_in("exit\r");
        assert_eq!(terminal.end().code(), Some(0));
    }
    host.expect_nothing_left();
}
