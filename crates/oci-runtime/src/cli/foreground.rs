//! Waiting for a process in the foreground: signals are handed on, a terminal's bytes are copied both ways.

use std::{
    io::{self, Write},
    os::fd::{BorrowedFd, OwnedFd},
};

use anyhow::Context;
use minke_kernel::{
    process,
    pty::{self, RawMode},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::Signal,
};

/// Signals that mean something to the caller itself, or that can't be caught.
const OWN: [Signal; 10] = [
    Signal::CHILD,
    Signal::URG,
    Signal::PIPE,
    Signal::KILL,
    Signal::STOP,
    Signal::SEGV,
    Signal::BUS,
    Signal::FPE,
    Signal::ILL,
    Signal::TSTP,
];

/// The size of `struct signalfd_siginfo`, whose first word is the signal's number.
const SIGNAL_INFO: usize = 128;

/// How much of a terminal is copied at a time, in bytes.
const CHUNK: usize = 8192;

/// Signals are held back from here on.
pub(super) struct Foreground {
    signals: OwnedFd,
}

impl Foreground {
    /// Starts to hold signals back.
    pub(super) fn prepare() -> anyhow::Result<Self> {
        let own: Vec<i32> = OWN.iter().map(|signal| signal.as_raw()).collect();
        let signals: Vec<i32> = (1..32).filter(|signal| !own.contains(signal)).collect();
        Ok(Self { signals: process::signal_fd(&signals).context("prepare for signals")? })
    }

    /// Attends to a child of the caller's until it has ended; returns its exit code.
    pub(super) fn attend(&self, pidfd: BorrowedFd<'_>, master: Option<OwnedFd>) -> anyhow::Result<u8> {
        let mut terminal = master.map(Terminal::enter);
        loop {
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            if let Some(terminal) = &terminal {
                terminal.poll_on(&mut fds);
            }
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("wait for the process"),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[1] {
                self.forward(pidfd, terminal.as_ref());
            }
            if let Some(terminal) = &mut terminal {
                terminal.copy(&ready[2..]);
            }
            if ready[0] {
                if let Some(terminal) = &mut terminal {
                    terminal.drain();
                }
                let exit = process::wait(pidfd).context("wait for the process")?;
                return Ok(exit.code() as u8);
            }
        }
    }

    fn forward(&self, pidfd: BorrowedFd<'_>, terminal: Option<&Terminal>) {
        let mut info = [0u8; SIGNAL_INFO];
        while rustix::io::read(&self.signals, &mut info) == Ok(SIGNAL_INFO) {
            let signal = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
            match terminal {
                Some(terminal) if signal == Signal::WINCH.as_raw() => terminal.resize(),
                // It may have ended meanwhile.
                _ => drop(process::signal(pidfd, signal)),
            }
        }
    }
}

/// A container's terminal, connected to the caller's own.
struct Terminal {
    master: OwnedFd,
    input: io::Stdin,
    raw: Option<RawMode<io::Stdin>>,
    reads_input: bool,
    open: bool,
}

impl Terminal {
    fn enter(master: OwnedFd) -> Self {
        // Without a terminal on the caller's side bytes are copied all the same.
        let raw = RawMode::enter(io::stdin()).ok();
        let terminal = Self { master, input: io::stdin(), raw, reads_input: true, open: true };
        terminal.resize();
        terminal
    }

    fn resize(&self) {
        if let (Some(_), Ok((rows, columns))) = (&self.raw, pty::size(io::stdin())) {
            let _ = pty::set_size(&self.master, rows, columns);
        }
    }

    fn poll_on<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if self.open {
            fds.push(PollFd::new(&self.master, PollFlags::IN));
        }
        if self.open && self.reads_input {
            fds.push(PollFd::new(&self.input, PollFlags::IN));
        }
    }

    fn copy(&mut self, ready: &[bool]) {
        let input_ready = ready.get(1) == Some(&true);
        if ready.first() == Some(&true) {
            self.copy_output();
        }
        if input_ready {
            self.copy_input();
        }
    }

    fn copy_output(&mut self) {
        let mut buffer = [0; CHUNK];
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(0) => self.open = false,
            Ok(length) => {
                let _ = io::stdout().write_all(&buffer[..length]).and_then(|()| io::stdout().flush());
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EIO: the last one that had the other side open closed it.
            Err(_) => self.open = false,
        }
    }

    fn copy_input(&mut self) {
        let mut buffer = [0; CHUNK];
        match rustix::io::read(&self.input, &mut buffer) {
            Ok(0) => {
                self.reads_input = false;
                // What a terminal sends at the end of a line of its own.
                let _ = rustix::io::write(&self.master, &[END_OF_TRANSMISSION]);
            }
            Ok(length) => {
                let mut rest = &buffer[..length];
                while let Ok(written) = rustix::io::write(&self.master, rest) {
                    rest = &rest[written..];
                    if rest.is_empty() {
                        break;
                    }
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.reads_input = false,
        }
    }

    /// What the process wrote before it ended.
    fn drain(&mut self) {
        loop {
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            let ready = self.open && matches!(poll(&mut fds, Some(&ZERO)), Ok(1..));
            if !ready {
                return;
            }
            self.copy_output();
        }
    }
}

const END_OF_TRANSMISSION: u8 = 4;
const ZERO: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
