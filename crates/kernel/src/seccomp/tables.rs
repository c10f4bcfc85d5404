//! Numbers of system calls by name, for each way of calling the kernel.
//!
//! The names come from the `syscalls` crate, whose own look-up compares a name with all others of its
//! length. A profile has 400 names and is compiled for three tables at each start of a container, so hash
//! tables are made of them, at compile time.

use super::arch::Abi;

/// Twice the calls of the largest table, and a power of two.
const SLOTS: usize = 1024;

/// Call numbers plus one, placed by the hash of their name; 0 is free.
type Table = [u16; SLOTS];

/// The hash of a name; computed once for all tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameHash(usize);

pub(super) const fn hash(name: &str) -> NameHash {
    let bytes = name.as_bytes();
    let mut state: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < bytes.len() {
        state = (state ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    NameHash((state ^ (state >> 15)) as usize % SLOTS)
}

macro_rules! table {
    ($module:ident) => {{
        let mut table: Table = [0; SLOTS];
        let mut number: usize = 0;
        while number <= syscalls::$module::Sysno::last().id() as usize {
            if let Some(call) = syscalls::$module::Sysno::new(number) {
                let mut slot = hash(call.name()).0;
                while table[slot] != 0 {
                    slot = (slot + 1) % SLOTS;
                }
                table[slot] = number as u16 + 1;
            }
            number += 1;
        }
        table
    }};
}

static X86_64: Table = table!(x86_64);
static X86: Table = table!(x86);
static AARCH64: Table = table!(aarch64);
static ARM: Table = table!(arm);

/// Calls that only 32-bit ARM has, beyond its table (`__ARM_NR_BASE`, asm/unistd.h).
const ARM_PRIVATE: &[(&str, u32)] = &[
    ("breakpoint", 0x0f_0001),
    ("cacheflush", 0x0f_0002),
    ("usr26", 0x0f_0003),
    ("usr32", 0x0f_0004),
    ("set_tls", 0x0f_0005),
    ("get_tls", 0x0f_0006),
];

/// The first of [`ARM_PRIVATE`]: these say nothing about how new a profile is.
pub(super) const ARM_PRIVATE_START: u32 = 0x0f_0000;

/// Calls whose structures differ on x32 and which therefore have numbers of their own there, from 512 on
/// (arch/x86/entry/syscalls/syscall_64.tbl). All others are x86_64's.
const X32_OWN: &[syscalls::x86_64::Sysno] = {
    use syscalls::x86_64::Sysno;
    &[
        Sysno::rt_sigaction,
        Sysno::rt_sigreturn,
        Sysno::ioctl,
        Sysno::readv,
        Sysno::writev,
        Sysno::recvfrom,
        Sysno::sendmsg,
        Sysno::recvmsg,
        Sysno::execve,
        Sysno::ptrace,
        Sysno::rt_sigpending,
        Sysno::rt_sigtimedwait,
        Sysno::rt_sigqueueinfo,
        Sysno::sigaltstack,
        Sysno::timer_create,
        Sysno::mq_notify,
        Sysno::kexec_load,
        Sysno::waitid,
        Sysno::set_robust_list,
        Sysno::get_robust_list,
        Sysno::vmsplice,
        Sysno::move_pages,
        Sysno::preadv,
        Sysno::pwritev,
        Sysno::rt_tgsigqueueinfo,
        Sysno::recvmmsg,
        Sysno::sendmmsg,
        Sysno::process_vm_readv,
        Sysno::process_vm_writev,
        Sysno::setsockopt,
        Sysno::getsockopt,
        Sysno::io_setup,
        Sysno::io_submit,
        Sysno::execveat,
        Sysno::preadv2,
        Sysno::pwritev2,
    ]
};

/// The number of the call `name`, whose hash is `hash`; for x32 without its bit.
pub(super) fn number(abi: Abi, name: &str, hash: NameHash) -> Option<u32> {
    match abi {
        Abi::X86_64 => find(&X86_64, hash, name, x86_64_name),
        Abi::X32 => find(&X86_64, hash, name, x86_64_name).map(x32_number),
        Abi::X86 => find(&X86, hash, name, x86_name),
        Abi::Aarch64 => find(&AARCH64, hash, name, aarch64_name),
        Abi::Arm => find(&ARM, hash, name, arm_name)
            .or_else(|| ARM_PRIVATE.iter().find(|(private, _)| *private == name).map(|(_, n)| *n)),
    }
}

fn x32_number(number: u32) -> u32 {
    X32_OWN.iter().position(|own| own.id().cast_unsigned() == number).map_or(number, |at| 512 + at as u32)
}

fn find(table: &Table, hash: NameHash, name: &str, name_of: fn(u16) -> Option<&'static str>) -> Option<u32> {
    let mut slot = hash.0;
    loop {
        let number = table[slot].checked_sub(1)?;
        if name_of(number) == Some(name) {
            return Some(number.into());
        }
        slot = (slot + 1) % SLOTS;
    }
}

fn x86_64_name(number: u16) -> Option<&'static str> {
    syscalls::x86_64::Sysno::new(number.into()).map(|call| call.name())
}

fn x86_name(number: u16) -> Option<&'static str> {
    syscalls::x86::Sysno::new(number.into()).map(|call| call.name())
}

fn aarch64_name(number: u16) -> Option<&'static str> {
    syscalls::aarch64::Sysno::new(number.into()).map(|call| call.name())
}

fn arm_name(number: u16) -> Option<&'static str> {
    syscalls::arm::Sysno::new(number.into()).map(|call| call.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(abi: Abi, name: &str) -> Option<u32> {
        number(abi, name, hash(name))
    }

    #[test]
    fn every_call_of_every_table_is_found_by_its_name() {
        for call in syscalls::x86_64::Sysno::iter() {
            assert_eq!(lookup(Abi::X86_64, call.name()), Some(call.id() as u32));
        }
        for call in syscalls::x86::Sysno::iter() {
            assert_eq!(lookup(Abi::X86, call.name()), Some(call.id() as u32));
        }
        for call in syscalls::aarch64::Sysno::iter() {
            assert_eq!(lookup(Abi::Aarch64, call.name()), Some(call.id() as u32));
        }
        for call in syscalls::arm::Sysno::iter() {
            assert_eq!(lookup(Abi::Arm, call.name()), Some(call.id() as u32));
        }
    }

    #[test]
    fn names_without_a_number_are_not_found() {
        assert_eq!(lookup(Abi::X86_64, "frobnicate"), None);
        assert_eq!(lookup(Abi::Aarch64, "open"), None);
        assert_eq!(lookup(Abi::X86_64, ""), None);
    }

    #[test]
    fn x32_and_arm_have_numbers_of_their_own() {
        assert_eq!(lookup(Abi::X32, "execve"), Some(520));
        assert_eq!(lookup(Abi::X32, "pwritev2"), Some(547));
        assert_eq!(lookup(Abi::X32, "read"), Some(0));
        assert_eq!(lookup(Abi::Arm, "set_tls"), Some(0x0f_0005));
    }
}
