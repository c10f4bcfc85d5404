//! Capabilities: names, and the five sets of a thread (capabilities(7)).

use std::io;

use minke_model::runtime_spec::Capabilities;
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

/// Names in the order of their numbers (linux/capability.h).
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Sets of capabilities as bit masks (bit = number).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// What can ever be gained.
    pub bounding: u64,
    /// What is checked.
    pub effective: u64,
    /// What executables with file capabilities may keep.
    pub inheritable: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What is kept over execve without file capabilities.
    pub ambient: u64,
}

/// The capabilities that this program knows by name, in the order of their numbers.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// The number of a capability; `None` for a name that isn't known.
pub fn number(name: &str) -> Option<u32> {
    NAMES.iter().position(|known| *known == name).map(|at| at as u32)
}

/// The sets of a configuration, and the names in it that aren't known, each once.
pub fn parse(capabilities: &Capabilities) -> (Sets, Vec<String>) {
    let mut unknown: Vec<String> = Vec::new();
    let mut mask = |names: &[String]| {
        names.iter().fold(0, |mask, name| match number(name) {
            Some(number) => mask | 1 << number,
            None => {
                if !unknown.contains(name) {
                    unknown.push(name.clone());
                }
                mask
            }
        })
    };
    let sets = Sets {
        bounding: mask(&capabilities.bounding),
        effective: mask(&capabilities.effective),
        inheritable: mask(&capabilities.inheritable),
        permitted: mask(&capabilities.permitted),
        ambient: mask(&capabilities.ambient),
    };
    (sets, unknown)
}

/// Whether the running kernel has a capability of this number.
fn exists(number: u32) -> bool {
    thread::capability_is_in_bounding_set(bit(number)).is_ok()
}

fn bit(number: u32) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << number)
}

/// Takes everything but `keep` out of the bounding set. What the caller doesn't have is dropped in silence, for
/// it can't be given.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn limit_bounding(keep: u64) -> io::Result<()> {
    for number in (0..64).filter(|number| keep & 1 << number == 0) {
        match thread::remove_capability_from_bounding_set(bit(number)) {
            Err(_) if !exists(number) => break,
            result => result?,
        }
    }
    Ok(())
}

/// Whether the kernel will let a process inherit what `sets` wants, once its bounding set is theirs (capset(2)).
pub fn are_inheritable(sets: &Sets) -> io::Result<bool> {
    let now = thread::capabilities(None)?;
    let wanted = sets.inheritable & now.permitted.bits();
    Ok(wanted & !(sets.bounding | now.inheritable.bits()) == 0)
}

/// The permitted capabilities of the calling thread.
///
/// # Errors
/// None that is known.
pub fn permitted() -> io::Result<u64> {
    Ok(thread::capabilities(None)?.permitted.bits())
}

/// Sets effective, permitted, inheritable and ambient capabilities of the calling thread. What the caller isn't permitted is left
/// out, as the specification wants of a runtime that can't grant something.
///
/// # Errors
/// What capset(2) says.
pub fn apply(sets: &Sets) -> io::Result<()> {
    let now = thread::capabilities(None)?;
    let permitted = sets.permitted & now.permitted.bits();
    let inheritable = sets.inheritable & (now.permitted.bits() | now.inheritable.bits());
    thread::set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::from_bits_retain(sets.effective & permitted),
            permitted: CapabilitySet::from_bits_retain(permitted),
            inheritable: CapabilitySet::from_bits_retain(inheritable),
        },
    )?;
    thread::clear_ambient_capability_set()?;
    // Only what is both permitted and inheritable can be ambient.
    let ambient = sets.ambient & permitted & inheritable;
    for number in (0..64).filter(|number| ambient & 1 << number != 0) {
        thread::configure_capability_in_ambient_set(bit(number), true)?;
    }
    Ok(())
}

/// Keeps permitted capabilities when the user id stops being 0.
///
/// # Errors
/// `EPERM` when the bit is locked.
pub fn keep_over_setuid(keep: bool) -> io::Result<()> {
    Ok(thread::set_keep_capabilities(keep)?)
}

/// Makes all permitted capabilities effective again, which a change of the user id took away.
///
/// # Errors
/// None that is known.
pub fn raise_effective() -> io::Result<()> {
    let now = thread::capabilities(None)?;
    Ok(thread::set_capabilities(None, CapabilitySets { effective: now.permitted, ..now })?)
}

/// Puts the securebits back to none set.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn clear_secure_bits() -> io::Result<()> {
    Ok(thread::set_capabilities_secure_bits(CapabilitiesSecureBits::empty())?)
}

/// prctl(2) `PR_SET_NO_NEW_PRIVS`.
///
/// # Errors
/// None that is known.
pub fn set_no_new_privileges() -> io::Result<()> {
    Ok(thread::set_no_new_privs(true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_reported_once_and_known_ones_become_bits() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let capabilities = Capabilities {
            bounding: names(&["CAP_CHOWN", "CAP_KILL", "CAP_FLY"]),
            effective: names(&["CAP_FLY"]),
            ..Capabilities::default()
        };
        let (sets, unknown) = parse(&capabilities);
        assert_eq!((sets.bounding, sets.effective), (0b10_0001, 0));
        assert_eq!(unknown, ["CAP_FLY"]);
    }
}
