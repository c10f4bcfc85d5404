//! The standard streams of the container's process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use minke_kernel::{process, pty};
use rustix::fs::{FileType, Gid, Uid};

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
    for target in 0..3 {
        process::install_fd(slave, target).step(|| "set up the standard streams".into())?;
    }
    Ok(())
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
