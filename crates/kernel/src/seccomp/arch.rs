//! Which architectures a filter is made for, and the numbers they have in the kernel's audit interface.
//!
//! The specification names architectures as libseccomp does. A machine can only run its own and
//! those of its 32-bit and x32 modes, so the others need no code: they never get past the dispatch.

use super::{SeccompError, profile::Ret};

/// The machine a filter runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// 64-bit x86, with its 32-bit and x32 modes.
    X86_64,
    /// 64-bit ARM, with its 32-bit mode.
    Aarch64,
}

impl Machine {
    /// The machine this program was built for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Machine = Machine::X86_64;
    /// The machine this program was built for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Machine = Machine::Aarch64;
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("add this architecture's tables to seccomp::tables and its name to seccomp::arch");

/// One way to make system calls: a table of numbers and an audit architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X32,
    X86,
    Aarch64,
    Arm,
}

/// What marks an x32 call; x32 shares its audit architecture with x86_64 (asm/unistd.h).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// Calls to an architecture that is not in the profile end the whole process. libseccomp would end
/// only the thread, which leaves multi-threaded programs hanging.
pub(super) const BAD_ARCHITECTURE: Ret = Ret(libc::SECCOMP_RET_KILL_PROCESS);

impl Abi {
    /// `AUDIT_ARCH_…` of linux/audit.h.
    pub(super) fn audit(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::X86 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments have 64 bits; where they have 32, only those are compared.
    pub(super) fn wide_arguments(self) -> bool {
        matches!(self, Abi::X86_64 | Abi::X32 | Abi::Aarch64)
    }
}

/// Those of `names` that can occur on `machine`; its own always does and comes first.
pub(super) fn abis(machine: Machine, names: &[String]) -> Result<Vec<Abi>, SeccompError> {
    let (native, others): (Abi, &[(&str, Abi)]) = match machine {
        Machine::X86_64 => (Abi::X86_64, &[("SCMP_ARCH_X32", Abi::X32), ("SCMP_ARCH_X86", Abi::X86)]),
        Machine::Aarch64 => (Abi::Aarch64, &[("SCMP_ARCH_ARM", Abi::Arm)]),
    };
    if let Some(name) = names.iter().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(SeccompError::UnknownArchitecture { name: name.clone() });
    }
    let listed = others.iter().filter(|(name, _)| names.iter().any(|n| n == name)).map(|(_, abi)| *abi);
    Ok(std::iter::once(native).chain(listed).collect())
}

/// All names that the specification allows.
const KNOWN: &[&str] = &[
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_NATIVE",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn the_machines_own_architecture_is_always_filtered() {
        assert_eq!(abis(Machine::X86_64, &[]).unwrap(), [Abi::X86_64]);
        assert_eq!(abis(Machine::Aarch64, &names(&["SCMP_ARCH_ARM"])).unwrap(), [Abi::Aarch64, Abi::Arm]);
    }

    #[test]
    fn foreign_architectures_are_accepted_and_left_out() {
        let listed = names(&["SCMP_ARCH_S390X", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]);
        assert_eq!(abis(Machine::X86_64, &listed).unwrap(), [Abi::X86_64, Abi::X86]);
    }

    #[test]
    fn an_invented_architecture_is_an_error() {
        let error = abis(Machine::X86_64, &names(&["SCMP_ARCH_PDP11"])).unwrap_err();
        assert_eq!(error, SeccompError::UnknownArchitecture { name: "SCMP_ARCH_PDP11".into() });
    }
}
