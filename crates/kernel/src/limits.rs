//! What a process may use and how it is scheduled: rlimits, CPU scheduler, io priority, personality, memory policy.

use std::io;

use minke_model::runtime_spec::{IoPriority, MemoryPolicy, Personality, Rlimit, Scheduler};

use crate::sys::{self, SchedAttr};

/// Resources in the order of their numbers (asm-generic/resource.h; the same on x86_64 and aarch64).
const RESOURCES: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// Policies by number (sched(7)); 4 was reserved for `SCHED_ISO`, which no kernel has.
const POLICIES: [&str; 7] =
    ["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];

/// Flags of sched_setattr(2) by bit.
const SCHEDULER_FLAGS: [&str; 7] = [
    "SCHED_FLAG_RESET_ON_FORK",
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];

/// Modes of set_mempolicy(2) by number.
const MEMORY_MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

/// Flags of set_mempolicy(2) and their values.
const MEMORY_FLAGS: [(&str, i32); 3] = [
    ("MPOL_F_STATIC_NODES", 1 << 15),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
];

fn position(names: &[&str], name: &str) -> Option<usize> {
    names.iter().position(|known| *known == name)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Whether `name` is a resource limit that Linux has.
pub fn is_rlimit(name: &str) -> bool {
    position(&RESOURCES, name).is_some()
}

/// Whether a limit is above the calling process's own ceiling, which only a privileged process can raise.
///
/// # Errors
/// `InvalidInput` for an unknown name.
pub fn raises(limit: &Rlimit) -> io::Result<bool> {
    let resource = position(&RESOURCES, &limit.kind).ok_or_else(|| invalid("unknown limit".into()))?;
    Ok(limit.hard > sys::hard_limit(resource as u32)?)
}

/// Sets a limit of process `pid` (0 is the caller), prlimit(2).
///
/// # Errors
/// `InvalidInput` for an unknown name or a soft limit above the hard one, `EPERM` when the hard limit would rise.
pub fn set_rlimit(pid: i32, limit: &Rlimit) -> io::Result<()> {
    let resource = position(&RESOURCES, &limit.kind).ok_or_else(|| invalid("unknown limit".into()))?;
    sys::prlimit(pid, resource as u32, limit.soft, limit.hard)
}

/// Whether a child that is forked would not be scheduled so too.
pub fn is_lost_by_fork(scheduler: &Scheduler) -> bool {
    scheduler.policy == "SCHED_DEADLINE"
        || scheduler.flags.iter().any(|flag| flag == "SCHED_FLAG_RESET_ON_FORK")
}

/// Sets the scheduler of a thread (0 is the caller), sched_setattr(2).
///
/// # Errors
/// `InvalidInput` for unknown names, `EPERM` without `CAP_SYS_NICE`, `EBUSY` for a deadline that doesn't fit.
pub fn set_scheduler(thread: i32, scheduler: &Scheduler) -> io::Result<()> {
    let policy = position(&POLICIES, &scheduler.policy)
        .ok_or_else(|| invalid(format!("unknown policy {:?}", scheduler.policy)))?;
    let mut flags = 0;
    for name in &scheduler.flags {
        let bit =
            position(&SCHEDULER_FLAGS, name).ok_or_else(|| invalid(format!("unknown flag {name:?}")))?;
        flags |= 1 << bit;
    }
    let attributes = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: policy as u32,
        flags,
        nice: scheduler.nice.unwrap_or_default(),
        priority: u32::try_from(scheduler.priority.unwrap_or_default())
            .map_err(|_| invalid("a priority below 0".into()))?,
        runtime: scheduler.runtime.unwrap_or_default(),
        deadline: scheduler.deadline.unwrap_or_default(),
        period: scheduler.period.unwrap_or_default(),
        ..SchedAttr::default()
    };
    sys::sched_setattr(thread, &attributes)
}

/// Sets the calling process's io priority, ioprio_set(2).
///
/// # Errors
/// `InvalidInput` for an unknown class or a priority outside 0 to 7, `EPERM` for the real-time class without `CAP_SYS_NICE`.
pub fn set_io_priority(priority: &IoPriority) -> io::Result<()> {
    const CLASS_SHIFT: i32 = 13;
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(invalid(format!("unknown class {other:?}"))),
    };
    if !(0..=7).contains(&priority.priority) {
        return Err(invalid(format!("priority {} is not between 0 and 7", priority.priority)));
    }
    sys::ioprio_set(class << CLASS_SHIFT | priority.priority)
}

/// Sets the calling process's execution domain, personality(2).
///
/// # Errors
/// `InvalidInput` for an unknown domain or any flag.
pub fn set_personality(personality: &Personality) -> io::Result<()> {
    if let Some(flag) = personality.flags.first() {
        return Err(invalid(format!("unknown flag {flag:?}")));
    }
    match personality.domain.as_str() {
        "LINUX" => sys::personality(0),
        "LINUX32" => sys::personality(8),
        other => Err(invalid(format!("unknown domain {other:?}"))),
    }
}

/// Sets the calling thread's NUMA policy, set_mempolicy(2).
///
/// # Errors
/// `InvalidInput` for unknown names and ill-formed lists, `EINVAL` for nodes that don't exist.
pub fn set_memory_policy(policy: &MemoryPolicy) -> io::Result<()> {
    let mode = position(&MEMORY_MODES, &policy.mode)
        .ok_or_else(|| invalid(format!("invalid memory policy mode {:?}", policy.mode)))?;
    let mut value = mode as i32;
    for name in &policy.flags {
        let flag = MEMORY_FLAGS.iter().find(|(known, _)| known == name);
        value |= flag.ok_or_else(|| invalid(format!("invalid memory policy flag {name:?}")))?.1;
    }
    let nodes =
        node_mask(&policy.nodes).map_err(|error| invalid(format!("invalid memory policy node: {error}")))?;
    sys::set_mempolicy(value, &nodes)
}

/// `0-3,7` as bits.
fn node_mask(list: &str) -> io::Result<[u64; 16]> {
    let mut mask = [0u64; 16];
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            return Err(invalid(format!("{list:?} is not a list of nodes")));
        };
        if first > last || last >= 64 * mask.len() {
            return Err(invalid(format!("{list:?} is not a list of nodes")));
        }
        (first..=last).for_each(|node| mask[node / 64] |= 1 << (node % 64));
    }
    Ok(mask)
}

/// The names of memory policies, their flags excluded, that this program knows.
pub fn memory_modes() -> &'static [&'static str] {
    &MEMORY_MODES
}

/// The names of memory policy flags that this program knows.
pub fn memory_flags() -> impl Iterator<Item = &'static str> {
    MEMORY_FLAGS.iter().map(|(name, _)| *name)
}

/// A list like `0-3,7` as one number in hexadecimal, `0x8f`, as logs and /proc show sets of CPUs.
///
/// # Errors
/// `InvalidInput` for an ill-formed list.
pub fn mask_text(list: &str) -> io::Result<String> {
    let words = node_mask(list)?;
    let digits: String = words.iter().rev().map(|word| format!("{word:016x}")).collect();
    let digits = digits.trim_start_matches('0');
    Ok(format!("0x{}", if digits.is_empty() { "0" } else { digits }))
}

/// Sets the CPUs that the calling thread may run on, from a list like `0-3,7`.
///
/// # Errors
/// `InvalidInput` for an ill-formed list, `EINVAL` when none of them may be used.
pub fn set_cpu_affinity(list: &str) -> io::Result<()> {
    let mask = node_mask(list)?;
    let mut set = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| mask[cpu / 64] & 1 << (cpu % 64) != 0)
        .for_each(|cpu| set.set(cpu));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Lets the calling thread run on all CPUs that its cgroup has, whatever its parent was confined to: a mask is inherited,
/// and a program of the host's that is tied to a CPU means itself and no container.
///
/// # Errors
/// None that is known.
pub fn reset_cpu_affinity() -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    (0..rustix::thread::CpuSet::MAX_CPU).for_each(|cpu| set.set(cpu));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_lists_are_parsed_and_nonsense_is_refused() {
        assert_eq!(node_mask("0-2,65").unwrap()[..2], [0b111, 0b10]);
        assert_eq!(node_mask("").unwrap(), [0; 16]);
        assert_eq!(mask_text("0-3,68").unwrap(), "0x10000000000000000f");
        assert_eq!(mask_text("").unwrap(), "0x0");
        for list in ["a", "3-1", "1-", "99999"] {
            assert!(node_mask(list).is_err(), "{list}");
        }
    }
}
