//! Processes: clone with namespaces, pidfds, waiting, executing.
//!
//! A pid is only ever trusted together with its start time or through a pidfd, since pids are reused.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::process::{self, DumpableBehavior, Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};

use crate::{namespace::Kinds, sys};

/// How a child process is made.
#[derive(Debug, Default)]
pub struct CloneOptions<'a> {
    /// New namespaces for the child.
    pub namespaces: Kinds,
    /// The cgroup v2 directory in which the child starts.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Make a sibling: the child's parent is the caller's.
    pub sibling: bool,
}

/// A child process.
#[derive(Debug)]
pub struct Child {
    /// Its pid, as the caller sees it.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// The one number that shells make of it: the status, or 128 and the signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// clone3(2) as fork: runs `child` in a new process, which exits with the status that it returns.
///
/// The child may allocate and lock as it likes: this refuses to run in a process with more than one thread.
///
/// # Errors
/// What clone3 says (`EINVAL` or `ENOSYS` for namespaces that the kernel lacks, `EPERM`, `ENOSPC` for a user namespace
/// limit), and [`io::ErrorKind::Unsupported`] in a process with several threads.
pub fn spawn(options: &CloneOptions<'_>, child: impl FnOnce() -> i32) -> io::Result<Child> {
    if thread_count()? != 1 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the process has more than one thread"));
    }
    let sibling = if options.sibling { libc::CLONE_PARENT as u64 } else { 0 };
    // The kernel wants no signal with CLONE_PARENT: a sibling has the caller's own.
    let exit_signal = if options.sibling { 0 } else { libc::SIGCHLD };
    let flags = u64::from(options.namespaces.bits()) | sibling;
    // SAFETY: there is one thread, checked above, and no flag shares memory.
    match unsafe { sys::clone3(flags, exit_signal, options.cgroup) }? {
        Some((pid, pidfd)) => Ok(Child { pid, pidfd }),
        None => sys::exit_now(child()),
    }
}

/// How many threads the calling process has: the links of /proc/self/task, one for each and two of its own.
fn thread_count() -> io::Result<u64> {
    let links = rustix::fs::stat("/proc/self/task")?.st_nlink as u64;
    Ok(links.saturating_sub(2))
}

/// Ends the process at once, without destructors.
pub fn exit_now(status: i32) -> ! {
    sys::exit_now(status)
}

/// Closes the child's copy of a descriptor whose owner is in the parent's part of the program. Only for the closure of
/// [`spawn`]: its process never returns to the owner.
pub fn close_copy_in_child(fd: BorrowedFd<'_>) {
    sys::close_copy(fd);
}

/// Closes the child's copies of all descriptors but the standard streams, the `passed` ones after them, and
/// `kept`; as for [`close_copy_in_child`]. What the parent has open can't be taken from the child then, nor
/// be kept open by a child that is stopped.
pub fn close_other_copies_in_child(kept: &[BorrowedFd<'_>], passed: u32) {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    kept.sort_unstable();
    let mut first = 3 + passed;
    for fd in kept {
        if fd < first {
            continue;
        }
        if fd > first {
            sys::close_copies(first, fd - 1);
        }
        first = fd + 1;
    }
    sys::close_copies(first, u32::MAX);
}

/// pidfd_open(2).
///
/// # Errors
/// `ESRCH` when there is no such process.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // A negative number, as a damaged record may have it, is no process either.
    let pid = Pid::from_raw(pid.max(0)).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// The number that a process has in the caller's pid namespace (proc_pid_fdinfo(5)).
///
/// # Errors
/// `ESRCH` when it has none there, or has ended and been reaped.
pub fn number(pidfd: impl AsFd) -> io::Result<i32> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd()))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.filter(|pid| *pid > 0).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// The pidfd of `pid` if it is still the process that started at `start_time`; `None` when that has ended (or is a zombie).
///
/// # Errors
/// Anything but "no such process".
pub fn open_verified(pid: i32, start: u64) -> io::Result<Option<OwnedFd>> {
    let pidfd = match open(pid) {
        Ok(pidfd) => pidfd,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Read after the pidfd was opened: if the start time matches now, the pidfd is that process.
    match stat(pid)? {
        Some(stat) if stat.start_time == start && !stat.is_dead() => Ok(Some(pidfd)),
        _ => Ok(None),
    }
}

/// What /proc/PID/stat tells, proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// Field 3: `R`, `S`, `Z` and so on.
    pub state: u8,
    /// Field 22: clock ticks from boot to the process's start.
    pub start_time: u64,
}

impl ProcessStat {
    /// Whether it has ended and only waits to be reaped.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Reads /proc/PID/stat; `None` when there is no such process.
///
/// # Errors
/// When /proc can't be read.
pub fn stat(pid: i32) -> io::Result<Option<ProcessStat>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => parse_stat(&text).map(Some).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The process's name, in parentheses, may hold anything; the fields start after the last `)`.
fn parse_stat(text: &[u8]) -> Option<ProcessStat> {
    let after = text.iter().rposition(|byte| *byte == b')')? + 2;
    let fields = str::from_utf8(text.get(after..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some(ProcessStat { state, start_time: fields.nth(18)?.parse().ok()? })
}

/// Whether the process has a handler for the signal (proc_pid_status(5), `SigCgt`).
///
/// # Errors
/// When it has ended.
pub fn catches(pid: i32, signal: i32) -> io::Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let caught =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
    let caught = caught.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(signal > 0 && caught.checked_shr(signal.unsigned_abs() - 1).is_some_and(|rest| rest & 1 == 1))
}

/// pidfd_send_signal(2); 0 only asks whether it is there.
///
/// # Errors
/// `ESRCH` when it has ended and been reaped.
pub fn signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    sys::pidfd_send_signal(pidfd.as_fd(), signal)
}

/// Waits for a child of the caller's to end and reaps it.
///
/// # Errors
/// `ECHILD` when it isn't the caller's child.
pub fn wait(pidfd: impl AsFd) -> io::Result<Exit> {
    loop {
        match process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => return Ok(exit_of(&status)),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reaps a child of the caller's if it has ended.
///
/// # Errors
/// `ECHILD` when it isn't the caller's child.
pub fn try_wait(pidfd: impl AsFd) -> io::Result<Option<Exit>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    Ok(process::waitid(WaitId::PidFd(pidfd.as_fd()), options)?.as_ref().map(exit_of))
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match status.exit_status() {
        Some(code) => Exit::Code(code),
        None => Exit::Signal(status.terminating_signal().unwrap_or(libc::SIGKILL)),
    }
}

/// execve(2); returns only when it fails.
pub fn exec(path: &CStr, argv: &[CString], envp: &[CString]) -> io::Error {
    sys::execve(path, argv, envp)
}

/// Marks all descriptors from `first` on close-on-exec, so that an exec leaks none of them.
///
/// # Errors
/// `ENOSYS` before Linux 5.9, `EINVAL` before 5.11.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    sys::close_range_cloexec(first)
}

/// Makes descriptor `target` (0, 1, 2, …) refer to what `fd` is and survive an exec.
///
/// # Errors
/// `EMFILE` when `target` is beyond the limit.
pub fn install_fd(fd: impl AsFd, target: i32) -> io::Result<()> {
    sys::dup_onto(fd.as_fd(), target)
}

/// Owns a descriptor that was inherited for a purpose known by its number, and makes it close-on-exec. To be called
/// once for a number, early in `main`, before the process opens descriptors that could have it.
///
/// # Errors
/// `EBADF` when it isn't open, `InvalidInput` for a standard stream.
pub fn inherited_fd(number: i32) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sys::inherited_fd(number)
}

/// Hides the process from others of the same user: no ptrace, no /proc/PID/exe or fd for them.
///
/// # Errors
/// None that is known.
pub fn set_undumpable() -> io::Result<()> {
    Ok(process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Lets other processes of the same user look into this one again: whoever maps ids of its user namespace has to.
///
/// # Errors
/// None that is known.
pub fn set_dumpable() -> io::Result<()> {
    Ok(process::set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}

/// Overwrites the calling process's environment. For a child of [`spawn`] that becomes visible in a container: what
/// its maker was told is none of the container's business.
pub fn wipe_environment() {
    sys::wipe_environment();
}

/// Kills the calling process when its parent thread ends.
///
/// # Errors
/// None that is known.
pub fn die_with_parent() -> io::Result<()> {
    Ok(process::set_parent_process_death_signal(Some(process::Signal::KILL))?)
}

/// Outlives the parent again.
///
/// # Errors
/// None that is known.
pub fn outlive_parent() -> io::Result<()> {
    Ok(process::set_parent_process_death_signal(None)?)
}

/// Unblocks all signals and gives them back their default actions, as a new program expects them.
pub fn reset_signals() {
    sys::reset_signals();
}

/// Unblocks all signals.
pub fn unblock_signals() {
    sys::unblock_signals();
}

/// Blocks `signals` and returns a signalfd(2), non-blocking, that reports them.
///
/// # Errors
/// `EMFILE`.
pub fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    sys::signal_fd(signals)
}

/// Adopts orphaned descendants, prctl(2) `PR_SET_CHILD_SUBREAPER`.
///
/// # Errors
/// None that is known.
pub fn become_subreaper() -> io::Result<()> {
    Ok(process::set_child_subreaper(Some(process::getpid()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse_the_stat_parser() {
        let text = b"42 (a) Z (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21\n";
        assert_eq!(parse_stat(text), Some(ProcessStat { state: b'S', start_time: 777 }));
        assert_eq!(parse_stat(b"garbage"), None);
    }

    #[test]
    fn this_process_is_found_by_its_start_time_and_not_by_another() {
        let pid = std::process::id() as i32;
        let start = stat(pid).unwrap().unwrap().start_time;
        assert!(open_verified(pid, start).unwrap().is_some());
        assert!(open_verified(pid, start + 1).unwrap().is_none());
        assert!(open_verified(i32::MAX - 1, start).unwrap().is_none());
        assert!(open_verified(-pid, start).unwrap().is_none());
    }

    #[test]
    fn only_the_kept_copies_stay_open_in_a_child() {
        use std::os::unix::process::CommandExt;
        let null = fs::File::open("/dev/null").unwrap();
        let copies: Vec<_> =
            (40..46).map(|number| sys::dup_onto(null.as_fd(), number).map(|()| number)).collect();
        let numbers = copies.into_iter().collect::<io::Result<Vec<i32>>>().unwrap();
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "cd /proc/$$/fd; echo *"]);
        // SAFETY: the descriptors are this test's and stay open; the closure allocates, which glibc allows after fork.
        unsafe {
            command.pre_exec(|| {
                let kept = [BorrowedFd::borrow_raw(44), BorrowedFd::borrow_raw(41)];
                close_other_copies_in_child(&kept, 0);
                Ok(())
            });
        }
        // std reports a failed exec through a descriptor of its own, which is closed here too.
        let seen = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let high: Vec<i32> =
            seen.split_whitespace().filter_map(|fd| fd.parse().ok()).filter(|fd| *fd > 10).collect();
        assert_eq!(high, [41, 44]);
        numbers.into_iter().for_each(|number| drop(sys::inherited_fd(number)));
    }

    #[test]
    fn cloning_a_process_with_several_threads_is_refused() {
        let (hold, release) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || release.recv());
        let error = spawn(&CloneOptions::default(), || 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        drop(hold);
        let _ = thread.join();
    }
}
