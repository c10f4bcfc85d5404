//! Loads a compiled filter into the kernel with seccomp(2).
//!
//! Used between clone and execve, so nothing here allocates before the call.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

use super::Program;

/// Why a filter could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The kernel refused it: EACCES without `no_new_privs` and CAP_SYS_ADMIN, EINVAL for a flag that it
    /// doesn't know.
    #[error("load the seccomp filter")]
    Refused(#[source] io::Error),
    /// With `SECCOMP_FILTER_FLAG_TSYNC`, a thread runs under another filter.
    #[error("load the seccomp filter: thread {thread} has a filter of its own")]
    NotSynchronised {
        /// The thread's id.
        thread: i32,
    },
}

impl Program {
    /// Puts the calling thread (with TSYNC: the whole process) under this filter, for good.
    ///
    /// Returns the notification descriptor (close-on-exec) if the profile has `SCMP_ACT_NOTIFY`
    /// rules. See seccomp(2), `SECCOMP_SET_MODE_FILTER`. Async-signal-safe and free of allocations.
    ///
    /// # Errors
    /// [`InstallError`]; trying again does not help.
    pub fn install(&self) -> Result<Option<OwnedFd>, InstallError> {
        let flags = self.flags;
        match self.load(flags) {
            // Linux before 4.17 doesn't know the flag that nobody asked for (SPEC_ALLOW).
            Err(InstallError::Refused(error))
                if self.flags_implied && error.raw_os_error() == Some(libc::EINVAL) =>
            {
                self.load(flags & super::profile::FLAG_NEW_LISTENER)
            }
            result => result,
        }
    }

    fn load(&self, flags: u32) -> Result<Option<OwnedFd>, InstallError> {
        let program = libc::sock_fprog {
            // compile() has made sure that it is at most 4096.
            len: self.instructions.len() as u16,
            filter: self.instructions.as_ptr().cast::<libc::sock_filter>().cast_mut(),
        };
        // SAFETY: `program` points at `len` instructions laid out as `sock_filter` (a test compares
        // the layouts), which outlive the call; the kernel copies them and writes nothing.
        let result = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
        };
        let result = i32::try_from(result).unwrap_or(-1);
        match result {
            -1 => Err(InstallError::Refused(io::Error::last_os_error())),
            0 if !self.notifies() => Ok(None),
            // SAFETY: with NEW_LISTENER the kernel returns a descriptor that nobody else knows of.
            fd if self.notifies() => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
            thread => Err(InstallError::NotSynchronised { thread }),
        }
    }
}
