//! A command, run to its end, and what is expected of it.

use std::{
    ffi::OsStr,
    fmt,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::NetworkNamespace;

/// A command under construction.
#[must_use = "call .run() or .spawn()"]
pub struct Run {
    command: Command,
    shown: String,
    input: Vec<u8>,
    limit: Duration,
    netns: Option<NetworkNamespace>,
}

/// What a command did.
#[must_use = "expect something of it"]
pub struct Ran {
    shown: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Run {
    /// `program` with these arguments; a limit of a minute, no input.
    pub fn new(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(&program);
        let mut shown = program.as_ref().to_string_lossy().into_owned();
        for arg in args {
            shown = format!("{shown} {}", arg.as_ref().to_string_lossy());
            command.arg(arg);
        }
        Self { command, shown, input: Vec::new(), limit: Duration::from_secs(60), netns: None }
    }

    /// One word more, which may have spaces in it.
    pub fn arg(mut self, word: &str) -> Self {
        self.shown = format!("{} {word:?}", self.shown);
        self.command.arg(word);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The directory it runs in.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What it reads on standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// How long it may take before the test fails.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it in this network namespace.
    pub fn within(mut self, netns: &NetworkNamespace) -> Self {
        self.netns = Some(netns.clone());
        self
    }

    /// Starts it and hands it over; its input is at its end, its output can be read from the child.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Self { mut command, shown, netns, .. } = self;
        let spawned = match netns {
            Some(netns) => netns.enter(move || command.spawn()),
            None => command.spawn(),
        };
        spawned.unwrap_or_else(|error| panic!("can't start {shown}: {error}"))
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it can't be started or takes longer than its limit.
    pub fn run(self) -> Ran {
        let (shown, limit, input) = (self.shown.clone(), self.limit, self.input.clone());
        let started = Instant::now();
        let mut child = self.spawn();
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        // A command that does not read its input is not at fault: a broken pipe is ignored.
        let feed = std::thread::spawn(move || stdin.write_all(&input));
        let output =
            wait_within(child, limit).unwrap_or_else(|| panic!("$ {shown}\nstill runs after {limit:?}"));
        let _ = feed.join();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Ran { shown, code: output.status.code(), stdout, stderr, took: started.elapsed() }
    }

    /// Runs it and expects success; returns its trimmed standard output.
    pub fn ok(self) -> String {
        self.run().ok()
    }
}

fn wait_within(mut child: Child, limit: Duration) -> Option<Output> {
    let deadline = Instant::now() + limit;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            let take = |thread: std::thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
            return Some(Output { status, stdout: take(stdout), stderr: take(stderr) });
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn drain(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        bytes
    })
}

impl Ran {
    /// Expects exit code 0 and returns the trimmed standard output.
    pub fn ok(self) -> String {
        self.expect_code(0).stdout.trim_end().to_owned()
    }

    /// Expects this exit code.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of:\n{self}");
        self
    }

    /// Expects this text somewhere in standard output.
    pub fn expect_stdout(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no {text:?} in the standard output of:\n{self}");
        self
    }

    /// Expects exactly this standard output.
    pub fn expect_exact(self, text: &str) -> Self {
        assert_eq!(self.stdout, text, "standard output of:\n{self}");
        self
    }

    /// Expects this text somewhere in standard error.
    pub fn expect_stderr(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in the standard error of:\n{self}");
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}):\n{self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("a signal".to_owned(), |code| code.to_string());
        write!(f, "$ {}\n{}{}[{code} after {:?}]", self.shown, self.stdout, self.stderr, self.took)
    }
}
