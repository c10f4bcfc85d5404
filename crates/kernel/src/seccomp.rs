//! The system call filter of a container: from the OCI profile to a loaded BPF program.
//!
//! [`compile`] turns a [`Seccomp`] profile into a [`Program`], which is plain data and may be kept, sent
//! and used again; [`Program::install`] loads it right before execve and allocates nothing.
//! The runtime (create and exec) is the only caller.
//!
//! ```text
//!   Seccomp ──parse──▶ Profile ──select──▶ intervals of call numbers, per audit architecture
//!           (names, flags, errno)   (tables, multiplex)                 │
//!                                               emit: one binary search per architecture
//!                                                                       ▼
//!                                                      Program: Vec<Instruction>, flags
//! ```
//!
//! What libseccomp as driven by runc does, this does too: an unconditional rule decides over conditional
//! ones for the same call, conditions on one and the same argument are alternatives, rules that repeat
//! the default are dropped, and calls newer than all that the profile names fail with ENOSYS (so that C
//! libraries fall back to older calls instead of giving up on EPERM). Conditional rules that overlap are
//! tried in the profile's order.
//!
//! A call made through an architecture that the profile does not list kills the process: it is
//! never let through unfiltered, and never judged by another architecture's numbers.

mod arch;
mod bpf;
mod door;
mod emit;
mod install;
mod multiplex;
mod profile;
mod select;
mod tables;

pub use self::{arch::Machine, bpf::Instruction, door::Door, install::InstallError};

use minke_model::runtime_spec::Seccomp;

/// What comes before the instructions in [`Program::to_bytes`].
const HEAD: usize = 8;

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
    flags_implied: bool,
    unknown: Vec<String>,
}

/// Why a profile can't be compiled; every one of them is the profile's fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SeccompError {
    /// The name of an architecture is none of libseccomp's.
    #[error("seccomp: unknown architecture {name:?}")]
    UnknownArchitecture {
        /// The name.
        name: String,
    },
    /// The name of a flag is none of the specification's.
    #[error("seccomp: unknown flag {name:?}")]
    UnknownFlag {
        /// The name.
        name: String,
    },
    /// A condition is on an argument that system calls don't have.
    #[error("seccomp: rule for {syscall}: argument index {index} is beyond 5")]
    ArgumentIndex {
        /// The first system call of the rule.
        syscall: String,
        /// The index.
        index: u32,
    },
    /// An errno is given to an action that returns none.
    #[error("seccomp: {place}: errnoRet is set, but the action returns no errno")]
    ErrnoWithoutUse {
        /// `defaultAction` or the rule.
        place: String,
    },
    /// An errno that no system call can return.
    #[error("seccomp: {place}: errnoRet {value} is out of range")]
    ErrnoRange {
        /// `defaultAction` or the rule.
        place: String,
        /// The value.
        value: u32,
    },
    /// The process that hands the listener over would be stopped by its own filter.
    #[error("seccomp: SCMP_ACT_NOTIFY cannot be used for {place}: handing over the listener needs it")]
    NotifyBlocksItself {
        /// `defaultAction`, or `the write syscall`.
        place: String,
    },
    /// More instructions than the kernel takes.
    #[error("seccomp: the profile needs {length} BPF instructions, the kernel takes at most {limit}")]
    TooLong {
        /// What the profile needs.
        length: usize,
        /// What the kernel takes.
        limit: usize,
    },
}

/// Compiles a profile for the machine this runs on.
///
/// Implements the runtime specification's "Seccomp" (config-linux.md); names of system calls that
/// none of the profile's architectures has are left out and listed in [`Program::unknown_syscalls`].
///
/// # Errors
/// The profile names an architecture or a flag that doesn't exist, or contradicts itself; trying again
/// does not help.
pub fn compile(profile: &Seccomp) -> Result<Program, SeccompError> {
    compile_for(Machine::NATIVE, profile)
}

/// As [`compile`], for another machine: programs can be made, checked and cached anywhere.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(machine: Machine, profile: &Seccomp) -> Result<Program, SeccompError> {
    check_for(machine, profile)?.compile()
}

/// Finds what is wrong with a profile, but for its length, in a fraction of the time that compiling takes.
///
/// # Errors
/// As [`compile`].
pub fn check(profile: &Seccomp) -> Result<Checked<'_>, SeccompError> {
    check_for(Machine::NATIVE, profile)
}

fn check_for(machine: Machine, profile: &Seccomp) -> Result<Checked<'_>, SeccompError> {
    Ok(Checked {
        parsed: profile::parse(profile)?,
        abis: arch::abis(machine, &profile.architectures)?,
        flags_implied: profile.flags.is_empty(),
    })
}

/// A profile without mistakes.
#[derive(Debug)]
pub struct Checked<'a> {
    parsed: profile::Profile<'a>,
    abis: Vec<arch::Abi>,
    flags_implied: bool,
}

impl Checked<'_> {
    /// Whether [`install`](Program::install) will return a notification descriptor.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.parsed.flags & profile::FLAG_NEW_LISTENER != 0
    }

    /// As [`compile()`].
    ///
    /// # Errors
    /// [`SeccompError::TooLong`].
    pub fn compile(&self) -> Result<Program, SeccompError> {
        let selection = select::select(&self.parsed, &self.abis);
        let instructions = emit::emit(&selection);
        if instructions.len() > bpf::MAX_INSTRUCTIONS {
            return Err(SeccompError::TooLong { length: instructions.len(), limit: bpf::MAX_INSTRUCTIONS });
        }
        Ok(Program {
            instructions,
            flags: self.parsed.flags,
            flags_implied: self.flags_implied,
            unknown: selection.unknown.into_iter().map(str::to_owned).collect(),
        })
    }
}

impl Program {
    /// The BPF program as the kernel gets it.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Whether [`install`](Program::install) returns a notification descriptor.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.flags & profile::FLAG_NEW_LISTENER != 0
    }

    /// The program for another process of this host; the names of unknown calls stay behind.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.instructions.len() * size_of::<Instruction>());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(u32::from(self.flags_implied).to_ne_bytes());
        bytes.extend(self.instructions.iter().flat_map(|one| one.to_bytes()));
        bytes
    }

    /// What [`to_bytes`](Program::to_bytes) has written; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, code) = bytes.split_first_chunk::<HEAD>()?;
        let ([flags, implied], []) = head.as_chunks::<4>() else { return None };
        let (instructions, []) = code.as_chunks() else { return None };
        let fits = (1..=bpf::MAX_INSTRUCTIONS).contains(&instructions.len());
        fits.then(|| Self {
            instructions: instructions.iter().map(Instruction::from_bytes).collect(),
            flags: u32::from_ne_bytes(*flags),
            flags_implied: u32::from_ne_bytes(*implied) != 0,
            unknown: Vec::new(),
        })
    }

    /// Names in the profile that no filtered architecture knows: misspelt, or newer than this program.
    #[must_use]
    pub fn unknown_syscalls(&self) -> &[String] {
        &self.unknown
    }
}
