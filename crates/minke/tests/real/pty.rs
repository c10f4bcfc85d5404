//! A terminal with a program in it, as a person has: what is typed goes in, what the screen gets is looked
//! at.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use minke_kernel::pty;
use minke_testkit::{Cli, Host, docker_cli, program};
use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{LocalModes, tcgetattr},
};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A terminal of 24 lines and 80 columns with one of the command lines running in it.
pub(crate) struct Terminal {
    master: OwnedFd,
    child: Child,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Starts `cli`, aimed at `host`.
    pub(crate) fn start(host: &Host, cli: Cli, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = match cli {
            Cli::Docker => Command::new(docker_cli()),
            Cli::Minke => Command::new(program("minke")),
        };
        command.args(args).env("DOCKER_HOST", host.endpoint());
        command.env("DOCKER_CONFIG", host.path("docker-config"));
        Self::of(command, |mut command| host.netns().enter(move || command.spawn()))
    }

    /// Starts any program, in whatever way.
    pub(crate) fn of(mut command: Command, spawn: impl FnOnce(Command) -> std::io::Result<Child>) -> Self {
        let pty::Pty { master, slave } = pty::open_own().expect("a pty");
        pty::set_size(&master, 24, 80).expect("a terminal has a size");
        let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("dup"));
        command.env("TERM", "xterm").stdin(stdio(&slave)).stdout(stdio(&slave)).stderr(stdio(&slave));
        let child = spawn(command).expect("the command line starts");
        let screen = Arc::new(Mutex::new(String::new()));
        let (shown, mut from) = (Arc::clone(&screen), File::from(master.try_clone().expect("dup")));
        // It ends with EIO when the last process has closed the terminal.
        std::thread::spawn(move || {
            let (mut bytes, mut read) = ([0; 4096], Vec::new());
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                read.extend_from_slice(&bytes[..count]);
                // A character may come in two pieces.
                let whole = match std::str::from_utf8(&read) {
                    Err(error) if error.error_len().is_none() => error.valid_up_to(),
                    _ => read.len(),
                };
                let text: Vec<u8> = read.drain(..whole).collect();
                shown.lock().expect("no panic").push_str(&String::from_utf8_lossy(&text));
            }
        });
        drop(slave);
        Self { master, child, screen }
    }

    /// Types.
    pub(crate) fn type_in(&self, text: &str) {
        let mut keyboard = File::from(self.master.try_clone().expect("dup"));
        keyboard.write_all(text.as_bytes()).expect("the terminal takes input");
    }

    /// Waits until the screen shows this text, and forgets all that was shown up to it, which it returns.
    pub(crate) fn expect(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut screen = self.screen.lock().expect("no panic");
            if let Some(at) = screen.find(text) {
                return screen.drain(..at + text.len()).collect();
            }
            assert!(Instant::now() < deadline, "no {text:?} on the screen:\n{screen}");
            drop(screen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the rest of the line, up to " end", begins with this text.
    pub(crate) fn expect_within_line(&self, text: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut screen = self.screen.lock().expect("no panic");
            if let Some(at) = screen.find("end") {
                let line: String = screen.drain(..at + 3).collect();
                return line.starts_with(text);
            }
            assert!(Instant::now() < deadline, "the line does not end:\n{screen}");
            drop(screen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether what is typed is shown.
    pub(crate) fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.master).expect("a terminal has settings").local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Whether the screen shows this text, of what was not forgotten.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.screen.lock().expect("no panic").contains(text)
    }

    /// Waits until `done`.
    pub(crate) fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends the program a signal, as the kernel does when ctrl-c is typed into a session's own terminal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program runs");
    }

    /// Makes the window another size and tells the program, as the kernel does for a session's own terminal.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        pty::set_size(&self.master, rows, columns).expect("a terminal has a size");
        self.signal(Signal::WINCH);
    }

    /// Waits for the program's end.
    pub(crate) fn end(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            let screen = self.screen.lock().expect("no panic").clone();
            assert!(Instant::now() < deadline, "it still runs; the screen shows:\n{screen}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
