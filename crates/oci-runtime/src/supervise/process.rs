//! One process that the supervisor looks after, the container's first or an added one: its streams
//! and how it ended.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::{
    event::epoll::EventFlags,
    fs::OFlags,
    pipe::{PipeFlags, pipe_with},
    pty::OpenptFlags,
};

use super::{
    line_splitter::LineSplitter,
    protocol::{ExitRecord, Streams, Target},
    stdin::Stdin,
};
use crate::container::Stdio;

/// Which output stream; the value is the stream's kind in Docker's stream format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Standard output, and all output of a terminal.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// The supervisor's ends of a process's streams.
#[derive(Debug, Default)]
pub(super) struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

/// A process and its streams.
#[derive(Debug)]
pub(super) struct Supervised {
    pub(super) name: Target,
    pub(super) pid: i32,
    pub(super) stdin: Stdin,
    pub(super) stdin_watched: Option<EventFlags>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
    terminal: Option<Terminal>,
    /// How and when it ended; its output may still be on the way.
    pub(super) ended: Option<Ended>,
    /// Set once it has ended and its output is complete.
    pub(super) record: Option<ExitRecord>,
}

/// The end of a process.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) exit_code: i32,
    pub(super) at: Instant,
    pub(super) finished_at: String,
}

/// One stream of output.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) end: File,
    /// Makes log records of it, for a stream that is logged.
    pub(super) splitter: Option<LineSplitter>,
    pub(super) watched: Option<EventFlags>,
}

/// What reading an output gave.
pub(super) enum Chunk {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    NotYet,
    /// Nothing ever again.
    End,
}

#[derive(Debug)]
struct Terminal {
    master: OwnedFd,
    /// Kept open so that a moment in which the process has closed its terminal does not look like its end.
    slave: Option<OwnedFd>,
}

/// What a process without a client's input reads, and where unwanted output goes.
fn null() -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// Pipes for the wanted streams and /dev/null for the others: the process's side, and the supervisor's.
pub(super) fn make_pipes(wanted: Streams) -> io::Result<(Stdio, Ends)> {
    let mut ends = Ends::default();
    let stdin = match wanted.stdin {
        true => {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            set_non_blocking(&write)?;
            ends.stdin = Some(write);
            read
        }
        false => null()?,
    };
    let output = |wanted: bool| -> io::Result<(OwnedFd, Option<OwnedFd>)> {
        if !wanted {
            return Ok((null()?, None));
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        set_non_blocking(&read)?; // only our end: the flag belongs to the open file, and each end is one
        Ok((write, Some(read)))
    };
    let (stdout, stdout_end) = output(wanted.stdout)?;
    let (stderr, stderr_end) = output(wanted.stderr)?;
    (ends.stdout, ends.stderr) = (stdout_end, stderr_end);
    Ok((Stdio::Fds { stdin, stdout, stderr }, ends))
}

fn set_non_blocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}

impl Supervised {
    /// With pipes.
    pub(super) fn with_pipes(name: Target, pid: i32, ends: Ends) -> Self {
        Self {
            name,
            pid,
            stdin: ends.stdin.map_or_else(Stdin::none, Stdin::new),
            stdin_watched: None,
            stdout: ends.stdout.map(Output::new),
            stderr: ends.stderr.map(Output::new),
            terminal: None,
            ended: None,
            record: None,
        }
    }

    /// With a terminal, whose master side this takes; `input` says whether clients may type.
    pub(super) fn with_terminal(name: Target, pid: i32, master: OwnedFd, input: bool) -> io::Result<Self> {
        set_non_blocking(&master)?;
        let slave = rustix::pty::ioctl_tiocgptpeer(
            &master,
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        );
        let ends = Ends {
            stdin: if input { Some(master.try_clone()?) } else { None },
            stdout: Some(master.try_clone()?),
            stderr: None,
        };
        let mut process = Self::with_pipes(name, pid, ends);
        process.terminal = Some(Terminal { master, slave: slave.ok() });
        Ok(process)
    }

    /// Lets the output become log records.
    pub(super) fn log_output(&mut self) {
        if let Some(stdout) = &mut self.stdout {
            stdout.splitter = Some(LineSplitter::new("stdout"));
        }
        if let Some(stderr) = &mut self.stderr {
            stderr.splitter = Some(LineSplitter::new("stderr"));
        }
    }

    /// Whether it has a terminal.
    pub(super) fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Sets the terminal's size; `None` when it has none.
    pub(super) fn resize(&self, width: u16, height: u16) -> Option<io::Result<()>> {
        let terminal = self.terminal.as_ref()?;
        Some(minke_kernel::pty::set_size(&terminal.master, height, width))
    }

    /// The slot of one output stream.
    pub(super) fn output(&mut self, kind: Kind) -> &mut Option<Output> {
        match kind {
            Kind::Stdout => &mut self.stdout,
            Kind::Stderr => &mut self.stderr,
        }
    }

    /// Notes that it has ended. What it wrote last is still to be read.
    pub(super) fn end(&mut self, exit_code: i32, finished_at: String) {
        self.ended = Some(Ended { exit_code, at: Instant::now(), finished_at });
        if let Some(terminal) = &mut self.terminal {
            terminal.slave = None; // from now on, no other user of the terminal means its end
        }
    }

    /// Whether all output has been read to its end.
    pub(super) fn is_drained(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }
}

impl Output {
    fn new(end: OwnedFd) -> Self {
        Self { end: end.into(), splitter: None, watched: None }
    }

    /// Reads once.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Chunk {
        match self.end.read(buffer) {
            Ok(0) => Chunk::End,
            Ok(count) => Chunk::Bytes(count),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Chunk::NotYet,
                _ => Chunk::End, // EIO: nobody has the terminal open
            },
        }
    }
}
