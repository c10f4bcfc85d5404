//! The first process of a container that was asked for with `--init`: it starts the container's program, hands on signals to
//! it, reaps whatever is orphaned, and ends as the program ends.
//!
//! The engine binds this program at `/sbin/docker-init` and puts `/sbin/docker-init --` before the arguments; it knows by its
//! name what it is. It does what tini does, since that is what Docker runs there, and keeps nothing else.
//!
//! ```text
//!  docker-init -- PROGRAM ARGS ──spawn──▶ docker-init --exec PROGRAM ARGS
//!    waits for signals                      a process group of its own, in the terminal's foreground
//!    and for ends                           └─▶ PROGRAM ARGS
//! ```
//! The step between is needed because only the child can take the terminal before it reads from it, and because a fork is not
//! to be had: seccomp filters refuse clone3(2).

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::Command,
};

use minke_kernel::{
    own_code, process as kernel,
    spawn::{Spawn, SpawnedChild},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, Signal, WaitOptions},
};

/// The name by which it is called.
const NAME: &str = "docker-init";
/// What the step between is called with.
const STEP: &str = "--exec";
/// tini's name for it: signals go to the program's whole process group.
const GROUP_VARIABLE: &str = "TINI_KILL_PROCESS_GROUP";
/// Signals that mean a fault of this process, or its terminal: they are not handed on.
const OWN: [Signal; 9] = [
    Signal::FPE,
    Signal::ILL,
    Signal::SEGV,
    Signal::BUS,
    Signal::ABORT,
    Signal::TRAP,
    Signal::SYS,
    Signal::TTIN,
    Signal::TTOU,
];
/// The last real-time signal.
const LAST_SIGNAL: i32 = 64;
/// The size of a signalfd_siginfo, which begins with the signal's number.
const SIGNAL_INFO: usize = 128;

/// Whether the program was started under the name of an init.
pub(crate) fn is_called() -> bool {
    minke_kernel::program::arguments()
        .first()
        .is_some_and(|name| Path::new(name).file_name() == Some(OsStr::new(NAME)))
}

/// Runs as a container's init.
pub(crate) fn run() -> u8 {
    match minke_kernel::program::arguments() {
        [_, step, program, rest @ ..] if step == STEP => execute(program, rest),
        [own, separator, command @ ..] if separator == "--" && !command.is_empty() => {
            guard(Path::new(own), command).unwrap_or_else(|error| {
                eprintln!("{NAME}: start {}: {error}", command[0].display());
                1
            })
        }
        _ => {
            eprintln!("usage: {NAME} -- PROGRAM [ARGUMENT…]");
            1
        }
    }
}

/// Starts the command and looks after it until it ends.
fn guard(own: &Path, command: &[OsString]) -> io::Result<u8> {
    // Before there is a child, so that no signal falls between.
    let signals = kernel::signal_fd(&handed_on())?;
    let child = start(own, command)?;
    let whole_group = std::env::var_os(GROUP_VARIABLE).is_some();
    own_code::unmap_unused();
    loop {
        poll(&mut [PollFd::new(&signals, PollFlags::IN)], None)?;
        for signal in pending(&signals) {
            if signal != Signal::CHILD.as_raw() {
                hand_on(signal, &child, whole_group);
            }
        }
        if let Some(code) = reap(child.pid()) {
            return Ok(code);
        }
    }
}

/// All signals that can be caught, but for this process's own.
fn handed_on() -> Vec<i32> {
    let left_out =
        |signal: i32| OWN.iter().chain(&[Signal::KILL, Signal::STOP]).any(|other| other.as_raw() == signal);
    (1..=LAST_SIGNAL).filter(|signal| !left_out(*signal)).collect()
}

fn start(own: &Path, command: &[OsString]) -> io::Result<SpawnedChild> {
    let mut spawn = Spawn::new(own);
    spawn.arg(OsStr::new(STEP));
    for arg in command {
        spawn.arg(arg);
    }
    for (name, value) in std::env::vars_os() {
        spawn.env(&name, &value);
    }
    spawn.spawn()
}

/// The signals that have come.
fn pending(signals: &OwnedFd) -> Vec<i32> {
    let mut buffer = [0; SIGNAL_INFO * 8];
    let count = rustix::io::read(signals, &mut buffer).unwrap_or(0);
    let number = |info: &[u8]| info.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    buffer[..count]
        .chunks_exact(SIGNAL_INFO)
        .filter_map(number)
        .filter_map(|number| number.try_into().ok())
        .collect()
}

/// The program may have ended, or have become somebody whom this user can't signal: nothing to be done then.
fn hand_on(signal: i32, child: &SpawnedChild, whole_group: bool) {
    let group = Pid::from_raw(child.pid()).zip(Signal::from_named_raw(signal)).filter(|_| whole_group);
    let _ = match group {
        Some((group, signal)) => rustix::process::kill_process_group(group, signal).map_err(io::Error::from),
        None => kernel::signal(child.as_fd(), signal),
    };
}

/// Reaps whatever has ended; gives the exit code of `child` when it is among it.
fn reap(child: i32) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == child {
            code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
        }
    }
    code.map(|code| u8::try_from(code).unwrap_or(u8::MAX))
}

/// Becomes the program, in a process group of its own that has the terminal, if there is one.
fn execute(program: &OsStr, args: &[OsString]) -> u8 {
    let _ = rustix::process::setpgid(None, None); // fails for the leader of a session, which has one already
    // A background process that takes the terminal is stopped by SIGTTOU, unless it blocks that.
    if let Ok(_blocked) = kernel::signal_fd(&[Signal::TTOU.as_raw()]) {
        let _ = rustix::termios::tcsetpgrp(io::stdin(), rustix::process::getpgrp()); // without a terminal it fails
    }
    kernel::reset_signals();
    let error = Command::new(program).args(args).exec();
    eprintln!("{NAME}: execute {}: {error}", program.display());
    match error.kind() {
        io::ErrorKind::NotFound => 127,
        io::ErrorKind::PermissionDenied => 126,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_of_faults_and_of_terminals_are_not_handed_on() {
        let all = handed_on();
        for signal in [Signal::TERM, Signal::HUP, Signal::WINCH, Signal::USR1, Signal::CHILD] {
            assert!(all.contains(&signal.as_raw()), "{signal:?}");
        }
        assert!(all.contains(&37), "real-time signals too");
        for signal in [Signal::KILL, Signal::STOP, Signal::SEGV, Signal::TTOU] {
            assert!(!all.contains(&signal.as_raw()), "{signal:?}");
        }
    }
}
