//! `kill`: send a signal to a container's first process.

use anyhow::{anyhow, bail};
use minke_kernel::process;
use minke_model::runtime_spec::Status;
use minke_oci_runtime::container::{Container, Stored};

use super::{
    Command, Global, find,
    flags::{Flag, Parsed},
};

pub(super) const COMMAND: Command = Command {
    name: "kill",
    summary: "send a signal (default: SIGTERM) to the container's first process",
    operands: "<container-id> [signal]",
    count: 1..=2,
    flags: &[Flag::switch("all", Some('a'), "send it to all processes of the container")],
    rest: None,
    sealed: false,
    run: kill,
    failure: 1,
};

/// Signals in the order of their numbers, signal(7); the same on x86_64 and aarch64.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

const KILL: i32 = 9;

/// The largest signal number of Linux.
const LAST: i32 = 64;

/// The first real-time signal that the C library leaves to programs.
const RTMIN: i32 = 34;

fn kill(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let signal = match parsed.operands.len() {
        1 => "TERM",
        _ => parsed.operand(1)?,
    };
    let signal = number(signal).ok_or_else(|| anyhow!("unknown signal {signal:?}"))?;
    let stored = find(global, &parsed)?;
    if parsed.has("all") {
        return kill_all(global, &stored, signal);
    }
    // The first process's end is not the others' where the pid namespace isn't the container's own.
    let outlived = signal == KILL && stored.record.shares_pid_namespace;
    if stored.status() == Status::Stopped && !outlived {
        bail!("container not running");
    }
    if outlived {
        return kill_all(global, &stored, signal);
    }
    let paused = stored.status() == Status::Paused;
    let container = Container::attach(stored, None)?.ok_or_else(|| anyhow!("container not running"))?;
    container.signal(signal)?;
    if signal == KILL && paused {
        // A frozen process takes no signal on cgroup v1.
        container.resume()?;
    }
    Ok(0)
}

fn kill_all(global: &Global, stored: &Stored, signal: i32) -> anyhow::Result<u8> {
    let Some(group) = stored.record.cgroup()? else { return kill_without_cgroup(global, stored, signal) };
    if signal == KILL {
        group.kill_all()?;
        return Ok(0);
    }
    for pid in group.pids()? {
        send(pid.as_raw_nonzero().get(), signal);
    }
    Ok(0)
}

/// A container without a cgroup has no list of its processes. Those of a pid namespace of its own are known, and end with
/// the first; of others only that one is.
fn kill_without_cgroup(global: &Global, stored: &Stored, signal: i32) -> anyhow::Result<u8> {
    let Some(pidfd) = &stored.process else { return Ok(0) };
    if stored.record.shares_pid_namespace {
        global.log.warning(
            "failed to kill all processes: the container has neither a cgroup nor a pid namespace of its own",
        );
    } else if signal != KILL {
        stored.pids()?.iter().filter(|pid| **pid != stored.record.pid).for_each(|pid| send(*pid, signal));
    }
    process::signal(pidfd, signal)?;
    Ok(0)
}

/// One that has ended meanwhile needs no signal.
fn send(pid: i32, signal: i32) {
    if let Ok(pidfd) = process::open(pid) {
        let _ = process::signal(&pidfd, signal);
    }
}

/// A signal by number or by name, with or without `SIG`.
fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        // 0 only asks whether the process is there.
        return (0..=LAST).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse::<i32>().ok()? };
        return Some(RTMIN + offset).filter(|number| *number <= LAST);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('-')?.parse::<i32>().ok()? };
        return Some(LAST - offset).filter(|number| *number >= RTMIN);
    }
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        other => other,
    };
    NAMES.iter().position(|known| *known == name).map(|at| at as i32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_number_and_by_name() {
        for text in ["9", "KILL", "SIGKILL", "kill", "sigkill"] {
            assert_eq!(number(text), Some(9), "{text}");
        }
        assert_eq!((number("SYS"), number("RTMIN+3"), number("SIGRTMAX")), (Some(31), Some(37), Some(64)));
        for text in ["FOO", "65", "", "RTMIN+40", "-9"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
