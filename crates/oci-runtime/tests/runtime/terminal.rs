//! Terminals: through a console socket, and of the caller's own.

use crate::bundle::{Bundle, wait_until};
use minke_model::runtime_spec::ConsoleSize;
use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixListener},
};

fn master(listener: &UnixListener) -> File {
    let (connection, _) = listener.accept().unwrap();
    let message = minke_kernel::socket::receive(connection.as_fd()).unwrap().unwrap();
    File::from(message.descriptors.into_iter().next().expect("a descriptor comes along"))
}

fn read_until(terminal: &mut File, wanted: &str) -> String {
    let mut text = String::new();
    wait_until(wanted, || {
        let mut buffer = [0; 1024];
        // EIO, when the last process has closed it, counts as nothing more.
        let length = terminal.read(&mut buffer).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        text.contains(wanted)
    });
    text
}

#[test]
fn a_created_containers_terminal_arrives_on_the_console_socket() {
    let mut bundle = Bundle::new("tty; stty size; ls -l /dev/console | cut -c1; read line; echo got $line");
    bundle.process().terminal = true;
    bundle.process().console_size = Some(ConsoleSize { height: 30, width: 100 });
    let path = bundle.path().join("console");
    let listener = UnixListener::bind(&path).unwrap();
    bundle.create_with(&["--console-socket", path.to_str().unwrap()]).succeeded();
    let mut terminal = master(&listener);
    bundle.on("start").succeeded();
    terminal.write_all(b"typed\n").unwrap();
    let text = read_until(&mut terminal, "got typed");
    assert!(text.contains("/dev/pts/0") && text.contains("30 100") && text.contains("\nc\r\n"), "{text}");
}

#[test]
fn a_terminal_needs_a_console_socket_where_nobody_waits() {
    let mut bundle = Bundle::new("true");
    bundle.process().terminal = true;
    bundle.create().failed_with(1, &["cannot allocate tty"]);
    bundle.process().terminal = false;
    bundle.create_with(&["--console-socket", "/no/such"]).failed_with(1, &["cannot use console socket"]);
    bundle.left_nothing();
}

#[test]
fn run_and_exec_connect_a_terminal_to_their_own_streams() {
    let mut bundle = Bundle::new("tty; echo done");
    bundle.process().terminal = true;
    let outcome = bundle.run().succeeded();
    // Without the carriage returns that a terminal would add: what is connected may be a pipe.
    assert_eq!(outcome.stdout, "/dev/pts/0\ndone\n");
    bundle.process().terminal = false;
    bundle.start_sleeping();
    let outcome = bundle.call(&["exec", "-t", &bundle.id, "tty"]).succeeded();
    assert_eq!(outcome.stdout, "/dev/pts/0\n");
}

#[test]
fn a_process_of_exec_has_its_terminal_on_the_console_socket() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    let path = bundle.path().join("console");
    let listener = UnixListener::bind(&path).unwrap();
    let args = [
        "exec",
        "-d",
        "-t",
        "--console-socket",
        path.to_str().unwrap(),
        &bundle.id,
        "sh",
        "-c",
        "read x; echo got $x",
    ];
    bundle.call(&args).succeeded();
    let mut terminal = master(&listener);
    terminal.write_all(b"it\n").unwrap();
    read_until(&mut terminal, "got it");
}
