//! Pseudo terminals of a container's own devpts.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{FsWord, Mode, OFlags, ResolveFlags},
    pty::OpenptFlags,
    termios::{self, Winsize},
};

use crate::path::Root;

/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
const DEVPTS_MAGIC: FsWord = 0x1cd1;

/// Both sides of a pseudo terminal.
#[derive(Debug)]
pub struct Pty {
    /// What the user's side reads and writes.
    pub master: OwnedFd,
    /// The terminal.
    pub slave: OwnedFd,
}

/// Opens a pseudo terminal of the devpts mounted at /dev/pts of `root`.
///
/// Opening a device can have effects of its own (a watchdog starts), so what an image has there isn't even opened: in
/// a devpts there are only terminals.
///
/// # Errors
/// `ENOENT` when nothing is there, `ENODEV` when it is no devpts, `ENOSPC` when all are in use.
pub fn open_in(root: &Root) -> io::Result<Pty> {
    let directory = root.open_at(Path::new("/dev/pts"), OFlags::PATH | OFlags::DIRECTORY)?;
    if rustix::fs::fstatfs(&directory)?.f_type != DEVPTS_MAGIC {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
    from_master(rustix::fs::openat2(&directory, "ptmx", flags, Mode::empty(), resolve)?)
}

/// Opens a pseudo terminal of the caller's own /dev/ptmx.
///
/// # Errors
/// As for [`open_in`].
pub fn open_own() -> io::Result<Pty> {
    from_master(rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?)
}

/// The slave is opened through the master (`TIOCGPTPEER`), never by its path, which could lead elsewhere.
fn from_master(master: OwnedFd) -> io::Result<Pty> {
    rustix::pty::unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    Ok(Pty { master, slave })
}

/// Sets a terminal's size in characters.
///
/// # Errors
/// `ENOTTY`.
pub fn set_size(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(termios::tcsetwinsize(terminal, size)?)
}

/// A terminal's size in characters: rows and columns.
///
/// # Errors
/// `ENOTTY`.
pub fn size(terminal: impl AsFd) -> io::Result<(u16, u16)> {
    let size = termios::tcgetwinsize(terminal)?;
    Ok((size.ws_row, size.ws_col))
}

/// Stops a terminal from turning the line feeds that programs write into carriage return and line feed: who reads the
/// other side gets what was written.
///
/// # Errors
/// `ENOTTY`.
pub fn pass_line_feeds(terminal: impl AsFd) -> io::Result<()> {
    let mut modes = termios::tcgetattr(&terminal)?;
    modes.output_modes.remove(termios::OutputModes::ONLCR);
    Ok(termios::tcsetattr(&terminal, termios::OptionalActions::Now, &modes)?)
}

/// Makes a terminal the controlling one of the caller's session.
///
/// # Errors
/// `EPERM` when the caller doesn't lead a session or has a terminal.
pub fn make_controlling(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

/// A terminal in raw mode until it is dropped.
#[derive(Debug)]
pub struct RawMode<Fd: AsFd> {
    terminal: Fd,
    before: termios::Termios,
}

impl<Fd: AsFd> RawMode<Fd> {
    /// Puts a terminal into raw mode.
    ///
    /// # Errors
    /// `ENOTTY`.
    pub fn enter(terminal: Fd) -> io::Result<Self> {
        let before = termios::tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        // What is written there has bare line feeds ([`pass_line_feeds`]), which it has to make lines of.
        raw.output_modes |= before.output_modes & termios::OutputModes::OPOST;
        termios::tcsetattr(&terminal, termios::OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl<Fd: AsFd> Drop for RawMode<Fd> {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = termios::tcsetattr(&self.terminal, termios::OptionalActions::Drain, &self.before);
    }
}
