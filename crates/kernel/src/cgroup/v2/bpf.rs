//! The few pieces of bpf(2) that device control needs: an assembler, loading, attaching.

use std::{
    ffi::c_int,
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// One instruction, laid out as `struct bpf_insn` of linux/bpf.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    /// The destination in the lower four bits, the source in the upper.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Registers; R0 is the result, R1 the context on entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reg {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    R4 = 4,
    R5 = 5,
}

fn instruction(code: u8, to: Reg, from: Reg, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: to as u8 | (from as u8) << 4, offset, immediate }
}

const LOAD_WORD: u8 = 0x61;
const COPY: u8 = 0xbf;
const SET: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP: u8 = 0x05;
const JUMP_IF_NOT_EQUAL: u8 = 0x55;
const JUMP_IF_SET: u8 = 0x45;
const EXIT: u8 = 0x95;

pub(super) fn load_word(to: Reg, from: Reg, offset: i16) -> Instruction {
    instruction(LOAD_WORD, to, from, offset, 0)
}

pub(super) fn copy(to: Reg, from: Reg) -> Instruction {
    instruction(COPY, to, from, 0, 0)
}

pub(super) fn set(to: Reg, value: i32) -> Instruction {
    instruction(SET, to, Reg::R0, 0, value)
}

pub(super) fn and(to: Reg, mask: i32) -> Instruction {
    instruction(AND, to, Reg::R0, 0, mask)
}

pub(super) fn shift_right(to: Reg, bits: i32) -> Instruction {
    instruction(SHIFT_RIGHT, to, Reg::R0, 0, bits)
}

pub(super) fn jump(skip: i16) -> Instruction {
    instruction(JUMP, Reg::R0, Reg::R0, skip, 0)
}

pub(super) fn jump_if_not_equal(register: Reg, value: i32, skip: i16) -> Instruction {
    instruction(JUMP_IF_NOT_EQUAL, register, Reg::R0, skip, value)
}

pub(super) fn jump_if_set(register: Reg, mask: i32, skip: i16) -> Instruction {
    instruction(JUMP_IF_SET, register, Reg::R0, skip, mask)
}

pub(super) fn exit() -> Instruction {
    instruction(EXIT, Reg::R0, Reg::R0, 0, 0)
}

const BPF_PROG_LOAD: c_int = 5;
const BPF_PROG_ATTACH: c_int = 8;
const BPF_PROG_DETACH: c_int = 9;
const BPF_PROG_GET_FD_BY_ID: c_int = 13;
const BPF_PROG_QUERY: c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;
const REPLACE: u32 = 4;

/// Most programs that one cgroup can have attached (`BPF_CGROUP_MAX_PROGS`).
const MAX_ATTACHED: usize = 64;

/// The parts of `union bpf_attr` for BPF_PROG_LOAD, up to the last one that is used.
#[derive(Default)]
#[repr(C)]
struct Load {
    program_type: u32,
    length: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// Likewise for BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[derive(Default)]
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

/// Likewise for BPF_PROG_QUERY.
#[derive(Default)]
#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// Likewise for BPF_PROG_GET_FD_BY_ID.
#[derive(Default)]
#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    open_flags: u32,
    padding: u32,
}

/// # Safety
/// `T` must be laid out as the kernel's attributes for `command`, and the pointers in it must hold for
/// the call.
unsafe fn bpf<T>(command: c_int, attributes: &mut T) -> io::Result<c_int> {
    // SAFETY: `attributes` is as long as is said, and the caller vouches for the rest.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>() as libc::c_uint)
    };
    match c_int::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Loads a device program. EAGAIN (the verifier was interrupted) is tried again.
pub(super) fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attempts = 0;
    loop {
        let mut attributes = Load {
            program_type: PROG_TYPE_CGROUP_DEVICE,
            length: program.len() as u32,
            instructions: program.as_ptr() as u64,
            license: c"Apache-2.0".as_ptr() as u64,
            name: *b"minke_devices\0\0\0",
            ..Load::default()
        };
        // SAFETY: the layout is BPF_PROG_LOAD's; program and license outlive the call.
        match unsafe { bpf(BPF_PROG_LOAD, &mut attributes) } {
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && attempts < 5 => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Attaches `program` to a cgroup instead of what is attached there: in one step if that is one program
/// (Linux 5.6), else the new one first, so that the cgroup is never without a filter.
pub(super) fn replace(directory: &File, program: &OwnedFd) -> io::Result<()> {
    let old = attached(directory)?;
    if let [old] = &old[..] {
        match attach(directory, program, Some(old)) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => return result,
        }
    }
    attach(directory, program, None)?;
    old.iter().try_for_each(|old| detach(directory, old))
}

fn attach(directory: &File, program: &OwnedFd, replaced: Option<&OwnedFd>) -> io::Result<()> {
    let mut attributes = Attach {
        target: directory.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: ATTACH_CGROUP_DEVICE,
        flags: if replaced.is_some() { ALLOW_MULTI | REPLACE } else { ALLOW_MULTI },
        replaced: replaced.map_or(0, |fd| fd.as_raw_fd().cast_unsigned()),
    };
    // SAFETY: the layout is BPF_PROG_ATTACH's, which has no pointers.
    unsafe { bpf(BPF_PROG_ATTACH, &mut attributes) }.map(drop)
}

fn detach(directory: &File, program: &OwnedFd) -> io::Result<()> {
    let mut attributes = Attach {
        target: directory.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: ATTACH_CGROUP_DEVICE,
        ..Attach::default()
    };
    // SAFETY: the layout is BPF_PROG_DETACH's, which has no pointers.
    unsafe { bpf(BPF_PROG_DETACH, &mut attributes) }.map(drop)
}

/// The device programs that are attached to a cgroup itself.
fn attached(directory: &File) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MAX_ATTACHED];
    let mut query = Query {
        target: directory.as_raw_fd().cast_unsigned(),
        attach_type: ATTACH_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: MAX_ATTACHED as u32,
        ..Query::default()
    };
    // SAFETY: the layout is BPF_PROG_QUERY's; `ids` has room for `count` numbers and outlives the call.
    unsafe { bpf(BPF_PROG_QUERY, &mut query) }?;
    let open = |id: &u32| {
        let mut attributes = ById { id: *id, ..ById::default() };
        // SAFETY: the layout is BPF_PROG_GET_FD_BY_ID's, which has no pointers.
        let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes) }?;
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    ids.iter().take(query.count as usize).map(open).collect()
}

/// Runs a program on the three words of a device request; for tests.
#[cfg(test)]
pub(super) fn interpret(program: &[Instruction], context: [u32; 3]) -> u64 {
    let mut registers = [0_u64; 16];
    let mut at = 0;
    loop {
        let i = program[at];
        let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
        let immediate = i64::from(i.immediate).cast_unsigned();
        at += 1;
        let skip = usize::try_from(i.offset).unwrap();
        match i.code {
            LOAD_WORD => registers[to] = context[skip / 4].into(),
            COPY => registers[to] = registers[from],
            SET => registers[to] = immediate,
            AND => registers[to] &= immediate,
            SHIFT_RIGHT => registers[to] >>= immediate,
            JUMP => at += skip,
            JUMP_IF_NOT_EQUAL if registers[to] != immediate => at += skip,
            JUMP_IF_SET if registers[to] & immediate != 0 => at += skip,
            JUMP_IF_NOT_EQUAL | JUMP_IF_SET => {}
            EXIT => return registers[0],
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}
