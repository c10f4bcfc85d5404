//! Starting a program with exactly the descriptors it is meant to have, by posix_spawn(3).
//!
//! `std::process::Command` can only hand on 0, 1 and 2 without a `pre_exec` closure, and clearing
//! close-on-exec in the parent would let every other thread's spawn inherit the descriptor too. The file
//! actions of posix_spawn run in the child alone. The C libraries implement it with `CLONE_VM|CLONE_VFORK`,
//! so its cost does not grow with the caller's memory.

use std::{
    ffi::{CString, OsStr},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::{process, sys};

/// A program to start. Nothing is inherited but the standard streams and the descriptors that are named, even
/// from a parent that was careless with close-on-exec: no environment, and signals are back at
/// their defaults and unblocked.
#[derive(Debug)]
pub struct Spawn<'fd> {
    program: Result<CString, io::Error>,
    args: Vec<Result<CString, io::Error>>,
    env: Vec<Result<CString, io::Error>>,
    descriptors: Vec<(BorrowedFd<'fd>, RawFd)>,
    new_session: bool,
}

/// A child that was started by [`Spawn::spawn`] and has not been reaped.
#[derive(Debug)]
pub struct SpawnedChild {
    pid: i32,
    pidfd: OwnedFd,
}

impl<'fd> Spawn<'fd> {
    /// The program at this path (PATH is not searched), which is also its first argument.
    pub fn new(program: &Path) -> Self {
        Self {
            program: c_string(program.as_os_str().as_bytes()),
            args: vec![c_string(program.as_os_str().as_bytes())],
            env: Vec::new(),
            descriptors: Vec::new(),
            new_session: false,
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: &OsStr) -> &mut Self {
        self.args.push(c_string(arg.as_bytes()));
        self
    }

    /// Adds a variable of the environment.
    pub fn env(&mut self, name: &OsStr, value: &OsStr) -> &mut Self {
        self.env.push(c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
        self
    }

    /// Gives the child `fd` under the number `number`.
    pub fn descriptor(&mut self, fd: BorrowedFd<'fd>, number: RawFd) -> &mut Self {
        self.descriptors.push((fd, number));
        self
    }

    /// Makes the child the leader of a session of its own, so that no terminal's signals reach it.
    pub fn new_session(&mut self) -> &mut Self {
        self.new_session = true;
        self
    }

    /// Starts the program; returns once it has been executed.
    ///
    /// # Errors
    /// Those of execve(2) and clone(2); `InvalidInput` when an argument holds a zero byte.
    pub fn spawn(&self) -> io::Result<SpawnedChild> {
        let program = self.program.as_ref().map_err(clone_error)?;
        let argv = pointers(&self.args)?;
        let envp = pointers(&self.env)?;
        let above = self.descriptors.iter().map(|(_, number)| number + 1).max().unwrap_or(3).max(3);
        let staged = self.staged_descriptors(above)?;
        // The actions name what is below. Whatever the caller has above is marked in the caller: an action for that is glibc's alone.
        process::close_on_exec_from(above as u32)?;
        let actions = FileActions::new(&staged, above)?;
        let attributes = Attributes::new(self.new_session)?;
        let mut pid = 0;
        // SAFETY: all pointers refer to values that live until the call returns; both arrays end with a null pointer.
        let code = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                program.as_ptr(),
                &raw const actions.0,
                &raw const attributes.0,
                argv.as_ptr(),
                envp.as_ptr(),
            )
        };
        check(code)?;
        let owned = Pid::from_raw(pid).ok_or(io::ErrorKind::Other)?;
        // The child is ours and unreaped, so the number still means it.
        let pidfd = pidfd_open(owned, PidfdFlags::empty())?;
        Ok(SpawnedChild { pid, pidfd })
    }

    /// Copies of the descriptors above every wanted number, so that no action overwrites what a later one reads.
    fn staged_descriptors(&self, above: RawFd) -> io::Result<Vec<(OwnedFd, RawFd)>> {
        let stage = |(fd, number): &(BorrowedFd<'_>, RawFd)| {
            Ok((rustix::io::fcntl_dupfd_cloexec(fd, above)?, *number))
        };
        self.descriptors.iter().map(stage).collect()
    }
}

impl SpawnedChild {
    /// Its pid; valid until [`SpawnedChild::reap`] has returned true.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Reaps it if it has ended, and says whether it is gone.
    pub fn reap(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::PidFd(self.pidfd.as_fd()), options), Ok(None))
    }
}

/// The pidfd: readable when the child has ended.
impl AsFd for SpawnedChild {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl AsRawFd for SpawnedChild {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    /// Places `descriptors`, and closes everything else below `above` but 0, 1 and 2.
    fn new(descriptors: &[(OwnedFd, RawFd)], above: RawFd) -> io::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: init writes the whole value.
        check(unsafe { libc::posix_spawn_file_actions_init(raw.as_mut_ptr()) })?;
        // SAFETY: it was initialised above.
        let mut actions = Self(unsafe { raw.assume_init() });
        for (fd, number) in descriptors {
            // SAFETY: `actions` is initialised; the kernel checks the descriptors, in the child.
            check(unsafe {
                libc::posix_spawn_file_actions_adddup2(&raw mut actions.0, fd.as_raw_fd(), *number)
            })?;
        }
        for unnamed in (3..above).filter(|number| descriptors.iter().all(|(_, named)| named != number)) {
            // SAFETY: as above. Closing what is not open is no error here.
            check(unsafe { libc::posix_spawn_file_actions_addclose(&raw mut actions.0, unnamed) })?;
        }
        Ok(actions)
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new` and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(new_session: bool) -> io::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: init writes the whole value.
        check(unsafe { libc::posix_spawnattr_init(raw.as_mut_ptr()) })?;
        // SAFETY: it was initialised above.
        let mut attributes = Self(unsafe { raw.assume_init() });
        let mut flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        if new_session {
            flags |= libc::c_int::from(libc::POSIX_SPAWN_SETSID);
        }
        let flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
        // Where one is left out, glibc's posix_spawn ignores the two that it keeps for itself, and the program would inherit that.
        let (none, all) = (sys::signal_set(0), sys::signal_set(u64::MAX));
        // SAFETY: `attributes` and both sets are initialised.
        unsafe {
            check(libc::posix_spawnattr_setflags(&raw mut attributes.0, flags))?;
            check(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, &raw const none))?;
            check(libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, &raw const all))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new` and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// The null-terminated array of pointers that execve(2) wants; valid as long as `strings`.
fn pointers(strings: &[Result<CString, io::Error>]) -> io::Result<Vec<*mut libc::c_char>> {
    let mut pointers = Vec::with_capacity(strings.len() + 1);
    for string in strings {
        pointers.push(string.as_ref().map_err(clone_error)?.as_ptr().cast_mut());
    }
    pointers.push(ptr::null_mut());
    Ok(pointers)
}

fn c_string(bytes: &[u8]) -> Result<CString, io::Error> {
    CString::new(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn clone_error(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// posix_spawn's functions return the error instead of setting errno.
fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, os::unix::net::UnixStream};

    use super::*;

    fn shell(script: &str) -> (UnixStream, SpawnedChild) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        let mut spawn = Spawn::new(Path::new("/bin/sh"));
        spawn
            .arg(OsStr::new("-c"))
            .arg(OsStr::new(script))
            .env(OsStr::new("PATH"), OsStr::new("/bin:/usr/bin"));
        spawn
            .descriptor(theirs.as_fd(), 1)
            .descriptor(null.as_fd(), 0)
            .descriptor(null.as_fd(), 7)
            .new_session();
        let child = spawn.spawn().unwrap();
        (ours, child)
    }

    #[test]
    fn the_child_has_the_named_descriptors_and_no_others() {
        let _noise = File::open("/dev/null").unwrap();
        let (mut ours, child) = shell("cd /proc/$$/fd; echo *");
        let mut seen = String::new();
        ours.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "0 1 2 3 7\n", "3 is the directory that the shell reads");
        while !child.reap() {}
    }

    #[test]
    fn the_child_ignores_and_blocks_no_signal() {
        let (mut ours, child) =
            shell("while read a b; do case $a in Sig[BI]*) echo $b;; esac; done </proc/$$/status");
        let mut seen = String::new();
        ours.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "0000000000000000\n0000000000000000\n");
        while !child.reap() {}
    }

    #[test]
    fn a_missing_program_is_an_error_and_no_child() {
        let error = Spawn::new(Path::new("/no/such/program")).spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = Spawn::new(Path::new("/bin/sh")).arg(OsStr::from_bytes(b"a\0b")).spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
