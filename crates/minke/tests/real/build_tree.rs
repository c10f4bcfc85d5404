//! `minke build` on a terminal: the tree, as it grows and where it ends.

use minke_testkit::{Cli, Host};

use crate::pty::Terminal;

/// A folder with a Dockerfile.
fn project(host: &Host, dockerfile: &str) -> String {
    let folder = host.path("project");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("Dockerfile"), dockerfile).expect("a file");
    folder.to_str().expect("a path of UTF-8").to_owned()
}

#[test]
fn a_build_grows_as_a_tree_and_each_step_has_its_time() {
    let host = Host::with_busybox();
    let folder =
        project(&host, "FROM busybox\nRUN echo one; echo two; sleep 1\nRUN echo 全部の文字 && sleep 1\n");
    let terminal = Terminal::start(&host, Cli::Minke, ["build", "-t", "tree", &folder]);
    terminal.expect("[+] Building ");
    terminal.expect("RUN echo one; echo two; sleep 1");
    terminal.expect(" => => # two");
    // Narrower than some rows: what is drawn again must fit.
    terminal.resize(10, 40);
    terminal.expect("RUN echo 全部");
    let last = terminal.expect("FINISHED");
    assert!(last.contains("\x1b["), "it was drawn over");
    let steps = terminal.expect("RUN echo 全部");
    assert!(!steps.contains("# two"), "what is done is one row: {steps:?}");
    assert!(terminal.echoes());
    assert_eq!(terminal.end().code(), Some(0));
    assert_eq!(host.minke(["image", "inspect", "-f", "{{.Os}}", "tree"]).ok(), "linux");
    host.expect_nothing_left();
}

#[test]
fn a_step_that_fails_is_shown_with_its_log_and_its_place() {
    let host = Host::with_busybox();
    let folder = project(&host, "FROM busybox\n\nRUN echo before && echo reason >&2 && exit 7\nRUN true\n");
    let terminal = Terminal::start(&host, Cli::Minke, ["build", &folder]);
    terminal.expect("FAILED");
    terminal.expect(" => ERROR ");
    let log = terminal.expect("Dockerfile:3");
    assert!(
        log.contains("------\r\n") && log.contains("before\r\n") && log.contains("reason\r\n"),
        "{log:?}"
    );
    terminal.expect("   3 | >>> RUN echo before");
    assert_eq!(terminal.end().code(), Some(7));
    let plain = host.minke(["build", "--progress", "plain", &folder]).expect_code(7);
    assert!(!plain.stderr.contains('\x1b') && plain.stderr.contains("reason"), "{plain}");
    let forced = host.minke(["build", "--progress", "tty", &folder]).expect_code(7);
    assert!(forced.stderr.contains("[+] Building"), "{forced}");
    host.expect_nothing_left();
}

#[test]
fn warnings_are_told_whole_below_the_tree() {
    let host = Host::with_busybox();
    let folder = project(&host, "FROM busybox as base\nMAINTAINER nobody\n");
    let terminal = Terminal::start(&host, Cli::Minke, ["build", &folder]);
    terminal.expect("2 warnings");
    terminal.expect("WARNING: FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)");
    terminal.expect("WARNING: MaintainerDeprecated: ");
    assert_eq!(terminal.end().code(), Some(0));
    host.expect_nothing_left();
}

#[test]
fn an_interrupt_leaves_the_terminal_as_it_was() {
    let host = Host::with_busybox();
    let folder = project(&host, "FROM busybox\nRUN echo begun && sleep 600\n");
    let terminal = Terminal::start(&host, Cli::Minke, ["build", &folder]);
    terminal.expect("# begun");
    terminal.signal(rustix::process::Signal::INT);
    assert!(terminal.echoes() && !terminal.shows("\x1b[?25l"));
    assert!(terminal.end().code() != Some(0));
    host.until("the step is given up", || host.minke(["ps", "-aq"]).ok().is_empty());
    host.expect_nothing_left();
}
