//! Network namespaces: make one, run something in one.
//!
//! A thread's network namespace is its own, so each of these uses a short-lived thread and leaves
//! the caller where it was. No name below /run/netns is made: a namespace lives as long as a
//! descriptor of it or a process in it.

use std::{
    fs::File,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    panic, thread,
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// The calling thread's network namespace.
///
/// # Errors
/// When /proc is not mounted or no descriptor is left.
pub fn current() -> io::Result<OwnedFd> {
    File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
}

/// A fresh network namespace being made, and what was run in it.
#[derive(Debug)]
pub struct Making<T>(thread::JoinHandle<io::Result<T>>);

impl<T> Making<T> {
    /// Waits until it is made.
    ///
    /// # Errors
    /// When the kernel made no namespace (no CAP_SYS_ADMIN, too many namespaces) or no thread.
    pub fn finish(self) -> io::Result<T> {
        self.0.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

/// Begins to make a network namespace and to run `work` in it; the caller goes on meanwhile,
/// since making one costs the kernel up to a millisecond.
///
/// # Errors
/// When no thread could be made.
pub fn make<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<Making<T>> {
    let thread = thread::Builder::new().name("netns".to_owned()).spawn(move || {
        leave()?;
        work()
    })?;
    Ok(Making(thread))
}

/// Runs `work` in the network namespace `namespace` and waits for it.
///
/// # Errors
/// When the thread could not be made or could not enter.
pub fn run_in<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, || {
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
            Ok(work())
        })?;
        thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

/// Moves the calling thread into a network namespace of its own.
fn leave() -> io::Result<()> {
    // SAFETY: unsharing is unsafe for what threads assume they share (CLONE_FILES); a network
    // namespace belongs to a thread alone, and this thread was started for it.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(io::Error::from)
}
