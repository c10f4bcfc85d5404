//! The system calls that rustix doesn't have, each behind a safe signature.
//!
//! The one place for raw calls (cgroup's and seccomp's own excepted), so that an audit has one file to read. Every function checks the
//! result and returns errno as [`io::Error`].

use std::{
    ffi::{CStr, CString},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

/// What clone3(2) takes (`struct clone_args`, linux/sched.h, size 88).
#[repr(C, align(8))]
#[derive(Debug, Default)]
pub(crate) struct CloneArgs {
    pub(crate) flags: u64,
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    pub(crate) exit_signal: u64,
    pub(crate) stack: u64,
    pub(crate) stack_size: u64,
    pub(crate) tls: u64,
    pub(crate) set_tid: u64,
    pub(crate) set_tid_size: u64,
    pub(crate) cgroup: u64,
}

/// What mount_setattr(2) takes (`struct mount_attr`, linux/mount.h, size 32).
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct RawMountAttr {
    pub(crate) attr_set: u64,
    pub(crate) attr_clr: u64,
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

/// What sched_setattr(2) takes (`struct sched_attr`, linux/sched/types.h, size 56).
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct SchedAttr {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) util_min: u32,
    pub(crate) util_max: u32,
}

/// linux/sched.h; libc's constant has too few bits.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// clone3(2) without a new stack, as fork(2): `None` in the child, its pid and pidfd in the parent.
///
/// # Safety
/// The caller's process must have a single thread and `flags` must share no memory with the child
/// (no `CLONE_VM`), since the child goes on with a copy of this stack and of the allocator's state.
pub(crate) unsafe fn clone3(
    flags: u64,
    exit_signal: i32,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Option<(i32, OwnedFd)>> {
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        exit_signal: exit_signal as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is a whole clone_args that outlives the call; no stack is given and CLONE_VM is
    // not set (the caller's promise), so the child runs on its own copy of this stack.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, ptr::from_ref(&args), size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has just stored a new descriptor there that nobody else owns.
    Ok(Some((pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) })))
}

/// clone(2) without a new stack, as fork(2), with a password in the arguments that it doesn't use. True in the child.
///
/// # Safety
/// As for [`clone3`]; `parent_tid` points at a word that the kernel may write.
pub(crate) unsafe fn clone_sibling(flags: u64, parent_tid: *mut i32, password: [u64; 2]) -> io::Result<bool> {
    // SAFETY: no stack is given and no memory is shared (the caller's promise). The fifth argument is the thread's
    // local storage or the child's word for its own pid, which are only looked at with flags of their own.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, parent_tid, 0, password[0], password[1]) })?;
    Ok(pid == 0)
}

/// setsid(2), with a password in two arguments.
pub(crate) fn setsid_with(password: [u64; 2]) -> io::Result<()> {
    // SAFETY: setsid takes no arguments.
    check(unsafe { libc::syscall(libc::SYS_setsid, 0, 0, 0, 0, password[0], password[1]) }).map(drop)
}

/// setrlimit(2) of the calling process by prlimit(2), with a password in the arguments after its own.
pub(crate) fn prlimit_self_with(resource: u32, soft: u64, hard: u64, password: [u64; 2]) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let old = ptr::null::<libc::rlimit64>();
    // SAFETY: the new limit outlives the call and no old one is asked for.
    check(unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, old, password[0], password[1])
    })
    .map(drop)
}

/// ioctl_tty(2) `TIOCSCTTY`, with a password in the arguments after its own.
pub(crate) fn tiocsctty_with(fd: i32, password: [u64; 2]) -> io::Result<()> {
    // SAFETY: this request takes a number, 0.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::TIOCSCTTY, 0, 0, password[0], password[1]) })
        .map(drop)
}

/// 64 random bits.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the kernel writes at most the length that is given; so few bytes come whole.
    check(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } as libc::c_long)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A zeroed word in a page that is shared with children.
pub(crate) fn shared_word() -> io::Result<ptr::NonNull<std::sync::atomic::AtomicI32>> {
    // SAFETY: a new mapping at a place that the kernel chooses.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<i32>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    ptr::NonNull::new(page.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// madvise(2) `MADV_DONTFORK` of the page that holds a word of [`shared_word`].
pub(crate) fn leave_out_of_children(word: ptr::NonNull<std::sync::atomic::AtomicI32>) -> io::Result<()> {
    // SAFETY: the page stays mapped here; the caller's children never use it.
    check(libc::c_long::from(unsafe {
        libc::madvise(word.as_ptr().cast(), size_of::<i32>(), libc::MADV_DONTFORK)
    }))
    .map(drop)
}

/// Unmaps the page that holds a word of [`shared_word`].
pub(crate) fn unmap_word(word: ptr::NonNull<std::sync::atomic::AtomicI32>) {
    // SAFETY: its owner is dropped, and nobody else has the pointer.
    unsafe { libc::munmap(word.as_ptr().cast(), size_of::<i32>()) };
}

/// Overwrites the environment in memory. No other thread may use it.
pub(crate) fn wipe_environment() {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: the C library's array ends in null and holds C strings that may be written; there is one thread (the
    // caller's promise), and afterwards the array is empty, so that nobody reads the strings.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            ptr::write_bytes(*entry, 0, libc::strlen(*entry));
            *entry = ptr::null_mut();
            entry = entry.add(1);
        }
    }
}

/// Ends the process at once: no destructors, no buffers flushed. Where a filter keeps it from that (`libc::_exit` would try for
/// ever), it dies of an instruction that nobody may execute.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: exit_group has no preconditions, and returns only when it is refused.
    unsafe {
        libc::syscall(libc::SYS_exit_group, status);
        libc::abort()
    }
}

/// Closes a descriptor in a forked child, where the owner's destructor never runs.
pub(crate) fn close_copy(fd: BorrowedFd<'_>) {
    // SAFETY: this process is a fork whose owner of the descriptor is never dropped (it exits or
    // executes), so nothing here uses the number afterwards.
    unsafe { libc::close(fd.as_raw_fd()) };
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

/// execve(2); returns only when it fails.
pub(crate) fn execve(path: &CStr, argv: &[CString], envp: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: both arrays end in null and, as all strings, live until the call returns.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// execveat(2) of the file that `fd` is; returns only when it fails.
pub(crate) fn execveat(fd: BorrowedFd<'_>, argv: &[CString], envp: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: both arrays end in null and, as all strings, live until the call returns; the empty path goes with AT_EMPTY_PATH.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Marks all descriptors from `first` on close-on-exec.
pub(crate) fn close_range_cloexec(first: u32) -> io::Result<()> {
    // SAFETY: only a flag of descriptors changes; none is closed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// Closes all descriptors from `first` to `last` in a forked child, where their owners' destructors never run.
pub(crate) fn close_copies(first: u32, last: u32) {
    // SAFETY: as for `close_copy`. Only a range that ends before it begins is an error, and closes nothing.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// Takes ownership of a descriptor that this process inherited and makes it close-on-exec.
pub(crate) fn inherited_fd(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on a number that isn't open only fails.
    check(libc::c_long::from(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }))?;
    // SAFETY: it is open, and the caller of `process::inherited_fd` promises that nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// dup3(2) without close-on-exec: makes `target` refer to what `fd` is.
pub(crate) fn dup_onto(fd: BorrowedFd<'_>, target: i32) -> io::Result<()> {
    if fd.as_raw_fd() == target {
        // SAFETY: only clears FD_CLOEXEC of an open descriptor.
        return check(libc::c_long::from(unsafe { libc::fcntl(target, libc::F_SETFD, 0) })).map(drop);
    }
    // SAFETY: the caller decides what `target` is; nothing in this process owns descriptors 0 to 2
    // by value, and others are replaced only between clone and exec.
    check(libc::c_long::from(unsafe { libc::dup3(fd.as_raw_fd(), target, 0) })).map(drop)
}

/// mount_setattr(2) of the mount that `fd` is.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, recursive: bool, attr: &RawMountAttr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, `attr` a whole mount_attr whose size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(attr),
            size_of::<RawMountAttr>(),
        )
    })
    .map(drop)
}

/// pidfd_send_signal(2), with any number that the kernel takes (real-time signals and 0 as well).
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: no siginfo is passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// unshare(2); never with `CLONE_FILES`, `CLONE_FS` or `CLONE_VM`.
pub(crate) fn unshare(namespaces: i32) -> io::Result<()> {
    // SAFETY: only namespaces change; see setns.
    check(libc::c_long::from(unsafe { libc::unshare(namespaces) })).map(drop)
}

/// setns(2) with a namespace's descriptor or a pidfd.
pub(crate) fn setns(fd: BorrowedFd<'_>, namespaces: i32) -> io::Result<()> {
    // SAFETY: the thread changes its namespaces; memory and descriptors stay as they are.
    check(libc::c_long::from(unsafe { libc::setns(fd.as_raw_fd(), namespaces) })).map(drop)
}

/// The `CLONE_NEW…` constant of a namespace's descriptor (ioctl_ns(2), `NS_GET_NSTYPE`).
pub(crate) fn namespace_type(fd: BorrowedFd<'_>) -> io::Result<i32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: this request takes no argument.
    check(libc::c_long::from(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as _) })).map(|v| v as i32)
}

/// How many bytes of a socket's wait to be read by its peer (unix) or to be acknowledged (TCP): ioctl `SIOCOUTQ`.
pub(crate) fn unread_output(socket: BorrowedFd<'_>) -> io::Result<i32> {
    let mut count: libc::c_int = 0;
    // SAFETY: this request writes one int, to where the pointer says.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ as _, ptr::from_mut(&mut count))
    }))
    .map(|_| count)
}

/// keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING` with a name.
pub(crate) fn join_session_keyring(name: &CStr) -> io::Result<i32> {
    // SAFETY: the name is a C string.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })
        .map(|serial| serial as i32)
}

/// Lets whoever has the caller's user id search the keyring too (`KEYCTL_SETPERM`).
pub(crate) fn allow_keyring_search(serial: i32) -> io::Result<()> {
    const DESCRIBE_BUFFER: usize = 1024;
    const USER_SEARCH: u32 = 0x0008_0000;
    let mut text = [0u8; DESCRIBE_BUFFER];
    // SAFETY: the kernel writes at most the length that is given into the buffer.
    let length = check(unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_DESCRIBE, serial, text.as_mut_ptr(), DESCRIBE_BUFFER)
    })? as usize;
    let text = String::from_utf8_lossy(&text[..length.min(DESCRIBE_BUFFER)]);
    let permissions = text.split(';').nth(3).and_then(|field| u32::from_str_radix(field, 16).ok());
    let permissions = permissions.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, serial, permissions | USER_SEARCH) })
        .map(drop)
}

/// sched_setattr(2) of a thread; 0 is the calling one.
pub(crate) fn sched_setattr(thread: i32, attr: &SchedAttr) -> io::Result<()> {
    // SAFETY: `attr` carries its own size and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, thread, ptr::from_ref(attr), 0) }).map(drop)
}

/// ioprio_set(2) of the calling process.
pub(crate) fn ioprio_set(value: i32) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: plain numbers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) }).map(drop)
}

/// personality(2).
pub(crate) fn personality(domain: u64) -> io::Result<()> {
    // SAFETY: plain number.
    check(libc::c_long::from(unsafe { libc::personality(domain as libc::c_ulong) })).map(drop)
}

/// set_mempolicy(2) with a mask of up to 1024 nodes.
pub(crate) fn set_mempolicy(mode: i32, nodes: &[u64; 16]) -> io::Result<()> {
    let bits = nodes.len() * 64 + 1;
    let empty = nodes.iter().all(|word| *word == 0);
    let mask = if empty { ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the mask holds `bits - 1` bits (the kernel reads one less than it is told), or is null with a length of 0.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, if empty { 0 } else { bits }) })
        .map(drop)
}

/// setrlimit(2) of any process by number, prlimit(2); 0 is the caller.
pub(crate) fn prlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the new limit outlives the call and no old one is asked for.
    check(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            resource,
            ptr::from_ref(&limit),
            ptr::null::<libc::rlimit64>(),
        )
    })
    .map(drop)
}

/// The calling process's hard limit of a resource, getrlimit(2).
pub(crate) fn hard_limit(resource: u32) -> io::Result<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new = ptr::null::<libc::rlimit64>();
    // SAFETY: no limit is set, and the old one has its place, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, &raw mut limit) })?;
    Ok(limit.rlim_max)
}

/// Adds flags to a network interface of the socket's namespace (netdevice(7), `SIOCGIFFLAGS`, `SIOCSIFFLAGS`).
pub(crate) fn add_interface_flags(socket: BorrowedFd<'_>, name: &CStr, flags: i16) -> io::Result<()> {
    // SAFETY: an ifreq of zeros is valid: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let bytes = name.to_bytes();
    if bytes.len() >= request.ifr_name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    // SAFETY: the request is a whole ifreq with a terminated name.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, ptr::from_mut(&mut request))
    }))?;
    // SAFETY: SIOCGIFFLAGS has just filled the flags member of the union.
    unsafe { request.ifr_ifru.ifru_flags |= flags };
    // SAFETY: as above.
    check(libc::c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, ptr::from_ref(&request))
    }))
    .map(drop)
}

/// Blocks, or sets back to their defaults, nothing but signals: every handler that isn't the default
/// or ignored is reset by execve, so what remains is the mask and what is ignored.
pub(crate) fn reset_signals() {
    unblock_signals();
    for signal in 1..=31 {
        // SAFETY: the default action is valid for every signal; refusals (SIGKILL) don't matter.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Ignores SIGPIPE.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: ignoring is valid for this signal.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Unblocks all signals of the calling thread.
pub(crate) fn unblock_signals() {
    // SAFETY: the set lives until the call returns.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &signal_set(0), ptr::null_mut()) };
}

/// A set of signals: bit 0 is signal 1. Not by sigaddset(3) and sigfillset(3), which leave out the first real-time signals,
/// that C libraries keep for themselves (musl one more than glibc); to a container they are signals like others.
pub(crate) fn signal_set(bits: u64) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a sigset_t is an array of at least 64 bits, as long words, and every pattern of them is valid.
    unsafe {
        set.as_mut_ptr().cast::<u64>().write_unaligned(bits);
        set.assume_init()
    }
}

/// Blocks signals of the calling thread and returns a signalfd(2) that reports them.
pub(crate) fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = signal_set(signals.iter().fold(0, |bits, signal| bits | 1 << (signal - 1)));
    // SAFETY: the set lives until the calls return; signalfd makes a new descriptor.
    unsafe {
        if libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(libc::c_long::from(fd))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
