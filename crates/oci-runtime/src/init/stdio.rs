//! The standard streams of the container's process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use minke_kernel::{process, pty};
use rustix::fs::{self, FileType, Gid, OFlags, Uid};

use crate::{
    container::{InitError, Stdio},
    step::Step,
};

/// Installs streams that aren't a new terminal.
pub(crate) fn install(stdio: Stdio) -> Result<(), InitError> {
    if let Stdio::Fds { stdin, stdout, stderr } = stdio {
        for (target, fd) in [&stdin, &stdout, &stderr].into_iter().enumerate() {
            process::install_fd(fd, target as i32).step(|| "set up the standard streams".into())?;
        }
    }
    Ok(())
}

/// Makes a terminal all three streams and the session's controlling terminal.
pub(super) fn install_terminal(slave: &OwnedFd) -> Result<(), InitError> {
    pty::make_controlling(slave).step(|| "make the terminal the controlling one".into())?;
    install_everywhere(slave)
}

/// Makes a terminal all three streams, and no more.
pub(crate) fn install_everywhere(slave: &OwnedFd) -> Result<(), InitError> {
    for target in 0..3 {
        process::install_fd(slave, target).step(|| "set up the standard streams".into())?;
    }
    Ok(())
}

/// Makes streams that are the host's /dev/null the container's own, which a checkpoint can name and which is no way out.
/// What can't be opened stays as it is.
pub(super) fn reopen_null() {
    let null = fs::makedev(1, 3);
    let is_null = |stat: fs::Stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == null
    };
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for (target, stream) in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().enumerate() {
        if !fs::fstat(stream).is_ok_and(is_null) {
            continue;
        }
        // Both ways, whichever the caller's was: managers hand over one that was opened for reading as all three.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // An image may have something else there.
        if let Ok(own) = fs::open("/dev/null", flags, fs::Mode::empty())
            && fs::fstat(&own).is_ok_and(is_null)
        {
            let _ = process::install_fd(&own, target as i32);
        }
    }
}

/// Gives the streams to the user, so that programs may open /dev/stderr again by its path.
/// What can't be given away (a read-only file, another user namespace's) works without that.
pub(super) fn give_to(uid: u32) {
    for fd in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        if needs_new_owner(fd, uid) {
            let _ = rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None::<Gid>);
        }
    }
}

/// Devices other than terminals (that is, /dev/null) are shared with everybody.
fn needs_new_owner(fd: BorrowedFd<'_>, uid: u32) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        let device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        stat.st_uid != uid && (!device || rustix::termios::isatty(fd))
    })
}
