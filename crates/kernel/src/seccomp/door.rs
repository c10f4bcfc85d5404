//! A door in a filter for its installer's last steps.
//!
//! Only a process with `CAP_SYS_ADMIN` may install a filter that `no_new_privs` doesn't go with, and a process that is to be made
//! without any right can't have it. So its maker installs the filter and makes the process from behind it, and
//! the filter may deny just that: forking, starting a session, taking a terminal, limiting the number of processes. These
//! four calls get through with a password in the two arguments that they don't use. It is 128 random bits of one installation, is
//! gone with the memory of the process at its execve, and opens nothing but these calls in these forms.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use minke_model::runtime_spec::Rlimit;
use rustix::process::Resource;

use super::{
    Program, SeccompError,
    arch::{Abi, Machine},
    bpf::{self, Assembler, Compare},
    emit::{ARCHITECTURE, ARGUMENTS, NUMBER},
};
use crate::{pid_slot::PidSlot, sys};

/// The one form of clone(2) that gets through: a sibling, whose number is stored.
const CLONE_FLAGS: u64 = (libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID) as u64;

/// `RLIMIT_NPROC`, as the kernel gets it.
const PROCESSES: u32 = Resource::Nproc as u32;

/// The password of one filter's door.
#[derive(Debug)]
pub struct Door {
    password: [u64; 2],
}

impl Door {
    /// A door with a new password.
    ///
    /// # Errors
    /// `ENOSYS` on a kernel without getrandom(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self { password: [sys::random()?, sys::random()?] })
    }

    /// clone(2): makes a sibling of the calling process, which must have a single thread. True in the sibling, false in the
    /// caller; `slot` holds the sibling's pid before that runs.
    ///
    /// # Errors
    /// `EAGAIN` at the user's limit of processes, `ENOMEM` also when the pid namespace is gone.
    pub fn make_sibling(&self, slot: &PidSlot) -> io::Result<bool> {
        // SAFETY: `make_sibling` asks for a single thread and the flags share no memory.
        unsafe { sys::clone_sibling(CLONE_FLAGS, slot.address(), self.password) }
    }

    /// setsid(2).
    ///
    /// # Errors
    /// `EPERM` when the caller leads a process group.
    pub fn new_session(&self) -> io::Result<()> {
        sys::setsid_with(self.password)
    }

    /// Sets the calling process's `RLIMIT_NPROC`.
    ///
    /// # Errors
    /// `EPERM` when the hard limit would rise, `EINVAL` for a soft limit above it.
    pub fn limit_processes(&self, limit: &Rlimit) -> io::Result<()> {
        sys::prlimit_self_with(PROCESSES, limit.soft, limit.hard, self.password)
    }

    /// Makes a terminal the controlling one of the caller's session.
    ///
    /// # Errors
    /// `EPERM` when the caller doesn't lead a session or has a terminal.
    pub fn make_controlling(&self, terminal: impl AsFd) -> io::Result<()> {
        sys::tiocsctty_with(terminal.as_fd().as_raw_fd(), self.password)
    }
}

impl Program {
    /// The same filter with a door.
    ///
    /// # Errors
    /// [`SeccompError::TooLong`].
    pub fn with_door(&self, door: &Door) -> Result<Self, SeccompError> {
        let native = match Machine::NATIVE {
            Machine::X86_64 => Abi::X86_64,
            Machine::Aarch64 => Abi::Aarch64,
        };
        let (mut code, judge) = Assembler::in_front_of(&self.instructions);
        let mut password = code.ret(libc::SECCOMP_RET_ALLOW);
        for (at, word) in [(4, door.password[0]), (5, door.password[1])] {
            for (half, value) in [(0, word as u32), (4, (word >> 32) as u32)] {
                let found = code.branch(Compare::Equal, value, password, judge);
                password = code.load(ARGUMENTS + 8 * at + half, found);
            }
        }
        let high = code.branch(Compare::Equal, (CLONE_FLAGS >> 32) as u32, password, judge);
        let high = code.load(ARGUMENTS + 4, high);
        let low = code.branch(Compare::Equal, CLONE_FLAGS as u32, high, judge);
        let clone = code.load(ARGUMENTS, low);
        let request = code.branch(Compare::Equal, libc::TIOCSCTTY as u32, password, judge);
        let ioctl = code.load(ARGUMENTS + 8, request);
        let resource = code.branch(Compare::Equal, PROCESSES, password, judge);
        let resource = code.load(ARGUMENTS + 8, resource);
        let own = code.branch(Compare::Equal, 0, resource, judge);
        let limit = code.load(ARGUMENTS, own);
        let mut number = code.branch(Compare::Equal, libc::SYS_clone as u32, clone, judge);
        number = code.branch(Compare::Equal, libc::SYS_prlimit64 as u32, limit, number);
        number = code.branch(Compare::Equal, libc::SYS_ioctl as u32, ioctl, number);
        number = code.branch(Compare::Equal, libc::SYS_setsid as u32, password, number);
        number = code.load(NUMBER, number);
        let start = code.branch(Compare::Equal, native.audit(), number, judge);
        code.load(ARCHITECTURE, start);
        let instructions = code.finish();
        let (length, limit) = (instructions.len(), bpf::MAX_INSTRUCTIONS);
        if length > limit {
            return Err(SeccompError::TooLong { length, limit });
        }
        Ok(Self { instructions, ..self.clone() })
    }
}
