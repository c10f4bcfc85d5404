//! Seccomp programs, judged by an interpreter against a plain reading of the rules, and by the kernel.

#![expect(clippy::unwrap_used, reason = "a test says with a panic what went wrong")]

use std::{io, os::fd::AsRawFd};

use minke_kernel::seccomp::{Instruction, Machine, Program, SeccompError, compile, compile_for};
use minke_model::runtime_spec::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompSyscall};
use proptest::prelude::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const ARM: u32 = 0x4000_0028;
const X32: u32 = 0x4000_0000;

const ALLOW: u32 = 0x7fff_0000;
const LOG: u32 = 0x7ffc_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

/// What the kernel shows a filter (`struct seccomp_data`).
#[derive(Debug, Clone, Copy, Default)]
struct Call {
    number: u32,
    arch: u32,
    args: [u64; 6],
}

/// Classic BPF as the kernel checks and runs it for seccomp.
fn interpret(program: &[Instruction], call: Call) -> u32 {
    let mut words = vec![call.number, call.arch, 0, 0];
    words.extend(call.args.iter().flat_map(|arg| [*arg as u32, (*arg >> 32) as u32]));
    let (mut accumulator, mut at) = (0_u32, 0_usize);
    loop {
        let i = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { i.jt } else { i.jf });
        match i.code {
            0x20 => accumulator = words[i.k as usize / 4],
            0x54 => accumulator &= i.k,
            0x05 => at += i.k as usize,
            0x15 => at += jump(accumulator == i.k),
            0x25 => at += jump(accumulator > i.k),
            0x35 => at += jump(accumulator >= i.k),
            0x06 => return i.k,
            code => panic!("unexpected instruction {code:#x}"),
        }
    }
}

fn profile(default: SeccompAction) -> Seccomp {
    Seccomp {
        default_action: default,
        default_errno_ret: None,
        architectures: vec![],
        flags: vec![],
        listener_path: None,
        listener_metadata: None,
        syscalls: vec![],
    }
}

fn rule(names: &[&str], action: SeccompAction, args: Vec<SeccompArg>) -> SeccompSyscall {
    SeccompSyscall { names: names.iter().map(|&n| n.to_owned()).collect(), action, errno_ret: None, args }
}

fn arg(index: u32, op: SeccompOperator, value: u64, value_two: u64) -> SeccompArg {
    SeccompArg { index, value, value_two, op }
}

fn x86_64(program: &Program, number: u32, args: [u64; 6]) -> u32 {
    interpret(program.instructions(), Call { number, arch: X86_64, args })
}

/// A profile like Docker's: nearly everything is allowed by name, some with conditions.
fn docker_like() -> Seccomp {
    let mut profile = profile(SeccompAction::Errno);
    profile.default_errno_ret = Some(1);
    profile.architectures =
        ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].map(str::to_owned).to_vec();
    let special = ["socket", "personality", "clone", "clone3", "mount", "umount2", "bpf", "reboot", "ptrace"];
    let names: Vec<&str> = (0..=450)
        .filter_map(|n| syscalls::x86_64::Sysno::new(n).map(|call| call.name()))
        .chain((0..=450).filter_map(|n| syscalls::x86::Sysno::new(n).map(|call| call.name())))
        .filter(|name| !special.contains(name))
        .collect();
    profile.syscalls.push(rule(&names, SeccompAction::Allow, vec![]));
    let allow = |name, args| rule(&[name], SeccompAction::Allow, args);
    profile.syscalls.push(allow("socket", vec![arg(0, SeccompOperator::NotEqual, 40, 0)]));
    for value in [0, 8, 131_072, 131_080, 0xffff_ffff] {
        profile.syscalls.push(allow("personality", vec![arg(0, SeccompOperator::Equal, value, 0)]));
    }
    profile.syscalls.push(allow("clone", vec![arg(0, SeccompOperator::MaskedEqual, 2_114_060_288, 0)]));
    let mut clone3 = rule(&["clone3"], SeccompAction::Errno, vec![]);
    clone3.errno_ret = Some(38);
    profile.syscalls.push(clone3);
    profile
}

#[test]
fn a_docker_like_profile_does_what_it_says_on_every_architecture() {
    let program = compile_for(Machine::X86_64, &docker_like()).unwrap();
    assert!(program.unknown_syscalls().is_empty(), "{:?}", program.unknown_syscalls());
    assert!(program.instructions().len() < 400, "{}", program.instructions().len());
    let none = [0; 6];
    assert_eq!(x86_64(&program, 0, none), ALLOW, "read");
    assert_eq!(x86_64(&program, 165, none), EPERM, "mount");
    assert_eq!(x86_64(&program, 435, none), ENOSYS, "clone3");
    assert_eq!(x86_64(&program, 41, [40, 0, 0, 0, 0, 0]), EPERM, "socket(AF_VSOCK)");
    assert_eq!(x86_64(&program, 41, [2, 0, 0, 0, 0, 0]), ALLOW, "socket(AF_INET)");
    assert_eq!(x86_64(&program, 56, [0x1_0000, 0, 0, 0, 0, 0]), ALLOW, "clone of a thread");
    assert_eq!(x86_64(&program, 56, [0x1000_0000, 0, 0, 0, 0, 0]), EPERM, "clone(CLONE_NEWUSER)");
    assert_eq!(x86_64(&program, 135, [8, 0, 0, 0, 0, 0]), ALLOW, "personality(8)");
    assert_eq!(x86_64(&program, 135, [9, 0, 0, 0, 0, 0]), EPERM, "personality(9)");
    assert_eq!(x86_64(&program, 9999, none), ENOSYS, "newer than the profile");
    assert_eq!(x86_64(&program, u32::MAX, none), ENOSYS, "skipped by a tracer");
    assert_eq!(x86_64(&program, X32 | 520, none), ALLOW, "x32's own execve");
    assert_eq!(x86_64(&program, X32 | 165, none), EPERM, "x32 mount");
    assert_eq!(x86_64(&program, X32 | 9999, none), ENOSYS, "x32, newer than the profile");
    let i386 = |number, args| interpret(program.instructions(), Call { number, arch: I386, args });
    assert_eq!(i386(11, none), ALLOW, "i386 execve");
    assert_eq!(i386(21, none), EPERM, "i386 mount");
    assert_eq!(i386(359, [40, 0, 0, 0, 0, 0]), EPERM, "i386 socket(AF_VSOCK)");
    assert_eq!(i386(102, [1, 0, 0, 0, 0, 0]), ALLOW, "socketcall is allowed by its own name");
}

#[test]
fn other_architectures_never_get_through() {
    let mut all = profile(SeccompAction::Allow);
    let program = compile_for(Machine::X86_64, &all).unwrap();
    for arch in [I386, AARCH64, ARM, 0, u32::MAX] {
        let call = Call { number: 0, arch, args: [0; 6] };
        assert_eq!(interpret(program.instructions(), call), KILL_PROCESS, "{arch:#x}");
    }
    assert_eq!(x86_64(&program, X32, [0; 6]), KILL_PROCESS, "x32 must be listed, too");
    assert_eq!(x86_64(&program, 0, [0; 6]), ALLOW);
    all.architectures = vec!["SCMP_ARCH_X86".into(), "SCMP_ARCH_ARM".into()];
    let program = compile_for(Machine::X86_64, &all).unwrap();
    assert_eq!(interpret(program.instructions(), Call { arch: I386, ..Call::default() }), ALLOW);
    assert_eq!(interpret(program.instructions(), Call { arch: ARM, ..Call::default() }), KILL_PROCESS);
}

#[test]
fn arm_has_its_own_numbers() {
    let mut profile = profile(SeccompAction::Errno);
    profile.architectures = vec!["SCMP_ARCH_AARCH64".into(), "SCMP_ARCH_ARM".into()];
    profile.syscalls = vec![rule(&["read", "set_tls", "openat"], SeccompAction::Allow, vec![])];
    let program = compile_for(Machine::Aarch64, &profile).unwrap();
    let run = |arch, number| interpret(program.instructions(), Call { number, arch, args: [0; 6] });
    assert_eq!((run(AARCH64, 63), run(AARCH64, 56), run(AARCH64, 0)), (ALLOW, ALLOW, EPERM));
    assert_eq!((run(ARM, 3), run(ARM, 0x000f_0005), run(ARM, 4)), (ALLOW, ALLOW, EPERM));
    assert_eq!((run(ARM, 0x000f_0004), run(ARM, 9999)), (ENOSYS, ENOSYS));
    assert_eq!(run(X86_64, 63), KILL_PROCESS);
}

#[test]
fn all_actions_become_the_kernels() {
    let actions = [
        ("read", SeccompAction::Kill, KILL_THREAD),
        ("write", SeccompAction::KillProcess, KILL_PROCESS),
        ("open", SeccompAction::KillThread, KILL_THREAD),
        ("close", SeccompAction::Trap, 0x0003_0000),
        ("stat", SeccompAction::Errno, EPERM),
        ("fstat", SeccompAction::Trace, 0x7ff0_0001),
        ("lstat", SeccompAction::Log, LOG),
        ("poll", SeccompAction::Notify, 0x7fc0_0000),
    ];
    let mut all = profile(SeccompAction::Allow);
    all.syscalls = actions.iter().map(|(name, action, _)| rule(&[name], *action, vec![])).collect();
    let program = compile_for(Machine::X86_64, &all).unwrap();
    assert!(program.notifies());
    for (number, (name, _, expected)) in (0..).zip(actions) {
        assert_eq!(x86_64(&program, number, [0; 6]), expected, "{name}");
    }
    assert_eq!(x86_64(&program, 8, [0; 6]), ALLOW);
    assert_eq!(x86_64(&program, 9999, [0; 6]), ALLOW, "a permissive default hides nothing");
}

#[test]
fn an_unconditional_rule_decides_over_conditional_ones_and_the_first_over_later_ones() {
    let mut p = profile(SeccompAction::Allow);
    p.syscalls = vec![
        rule(&["read"], SeccompAction::Log, vec![arg(0, SeccompOperator::Equal, 1, 0)]),
        rule(&["read"], SeccompAction::Errno, vec![]),
        rule(&["read"], SeccompAction::Trap, vec![]),
        rule(&["write"], SeccompAction::Errno, vec![arg(0, SeccompOperator::LessOrEqual, 5, 0)]),
        rule(&["write"], SeccompAction::Trap, vec![arg(0, SeccompOperator::LessOrEqual, 9, 0)]),
    ];
    let program = compile_for(Machine::X86_64, &p).unwrap();
    assert_eq!(x86_64(&program, 0, [1, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(x86_64(&program, 1, [5, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(x86_64(&program, 1, [6, 0, 0, 0, 0, 0]), 0x0003_0000);
    assert_eq!(x86_64(&program, 1, [10, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn denied_sockets_can_not_be_had_through_socketcall() {
    let mut p = profile(SeccompAction::Allow);
    p.architectures = vec!["SCMP_ARCH_X86".into()];
    p.syscalls = vec![
        rule(&["socket"], SeccompAction::Errno, vec![arg(0, SeccompOperator::Equal, 16, 0)]),
        rule(&["shmat"], SeccompAction::Errno, vec![]),
    ];
    let program = compile_for(Machine::X86_64, &p).unwrap();
    let i386 = |number, first| {
        interpret(program.instructions(), Call { number, arch: I386, args: [first, 0, 0, 0, 0, 0] })
    };
    assert_eq!((i386(359, 16), i386(359, 2)), (EPERM, ALLOW));
    assert_eq!((i386(102, 1), i386(102, 2)), (EPERM, ALLOW));
    assert_eq!((i386(117, 21), i386(117, 0x1_0015), i386(117, 22)), (EPERM, EPERM, ALLOW));
}

#[test]
fn allowed_sockets_with_conditions_are_not_allowed_through_socketcall() {
    let mut p = profile(SeccompAction::Errno);
    p.architectures = vec!["SCMP_ARCH_X86".into()];
    p.syscalls = vec![
        rule(&["socket"], SeccompAction::Allow, vec![arg(0, SeccompOperator::Equal, 1, 0)]),
        rule(&["bind"], SeccompAction::Allow, vec![]),
    ];
    let program = compile_for(Machine::X86_64, &p).unwrap();
    let i386 = |number, first| {
        interpret(program.instructions(), Call { number, arch: I386, args: [first, 0, 0, 0, 0, 0] })
    };
    assert_eq!((i386(102, 1), i386(102, 2)), (EPERM, ALLOW));
}

#[test]
fn unknown_names_are_listed_and_left_out() {
    let mut p = profile(SeccompAction::Allow);
    p.syscalls = vec![rule(&["frobnicate", "read", "arm_fadvise64_64"], SeccompAction::Errno, vec![])];
    let program = compile_for(Machine::X86_64, &p).unwrap();
    assert_eq!(program.unknown_syscalls(), ["frobnicate", "arm_fadvise64_64"]);
    assert_eq!(x86_64(&program, 0, [0; 6]), EPERM);
}

#[test]
fn faults_of_a_profile_are_named() {
    let fault = |change: &dyn Fn(&mut Seccomp)| {
        let mut p = profile(SeccompAction::Allow);
        change(&mut p);
        compile(&p).unwrap_err().to_string()
    };
    assert_eq!(fault(&|p| p.flags = vec!["X".into()]), "seccomp: unknown flag \"X\"");
    assert_eq!(fault(&|p| p.architectures = vec!["X".into()]), "seccomp: unknown architecture \"X\"");
    let error = fault(&|p| {
        p.syscalls = vec![rule(&["read"], SeccompAction::Errno, vec![arg(6, SeccompOperator::Equal, 0, 0)])];
    });
    assert_eq!(error, "seccomp: rule for read: argument index 6 is beyond 5");
    assert_eq!(
        compile(&profile(SeccompAction::Notify)).unwrap_err(),
        SeccompError::NotifyBlocksItself { place: "defaultAction".into() }
    );
    let error = fault(&|p| p.syscalls = vec![rule(&["write"], SeccompAction::Notify, vec![])]);
    assert!(error.contains("cannot be used for the write syscall"));
}

#[test]
fn a_profile_beyond_what_the_kernel_takes_is_refused() {
    let mut p = profile(SeccompAction::Allow);
    for value in 0..5000 {
        p.syscalls.push(rule(
            &["read"],
            SeccompAction::Errno,
            vec![arg(0, SeccompOperator::Equal, value, 0)],
        ));
    }
    assert!(matches!(compile(&p), Err(SeccompError::TooLong { .. })));
}

#[test]
fn far_jumps_reach_their_targets() {
    let mut p = profile(SeccompAction::Errno);
    for value in 0..300 {
        let condition = arg(0, SeccompOperator::Equal, value * 3, 0);
        p.syscalls.push(rule(&["read", "write", "close"], SeccompAction::Allow, vec![condition]));
    }
    p.syscalls.push(rule(&["open", "statx"], SeccompAction::Allow, vec![]));
    let program = compile_for(Machine::X86_64, &p).unwrap();
    for number in [0, 1, 3] {
        for value in 0..910 {
            let expected = if value % 3 == 0 && value < 900 { ALLOW } else { EPERM };
            assert_eq!(x86_64(&program, number, [value, 0, 0, 0, 0, 0]), expected);
        }
    }
    assert_eq!((x86_64(&program, 2, [0; 6]), x86_64(&program, 332, [0; 6])), (ALLOW, ALLOW));
}

#[test]
fn many_values_of_one_argument_cost_an_instruction_each_and_keep_their_order() {
    let high = 1 << 32;
    let mut p = profile(SeccompAction::Errno);
    let mut allow = |action, value| {
        p.syscalls.push(rule(&["socket"], action, vec![arg(0, SeccompOperator::Equal, value, 0)]));
    };
    (0..40).for_each(|value| allow(SeccompAction::Allow, value * 2));
    // What comes first decides, and equal low words are not equal values.
    allow(SeccompAction::KillThread, 4);
    allow(SeccompAction::KillThread, 5);
    allow(SeccompAction::Allow, high + 5);
    allow(SeccompAction::Allow, high + 7);
    let program = compile_for(Machine::X86_64, &p).unwrap();
    assert!(program.instructions().len() < 75, "{} instructions", program.instructions().len());
    let socket = |value| x86_64(&program, 41, [value, 0, 0, 0, 0, 0]);
    for value in 0..100 {
        let expected = match value {
            5 => KILL_THREAD,
            even if even % 2 == 0 && even < 80 => ALLOW,
            _ => EPERM,
        };
        assert_eq!(socket(value), expected, "{value}");
    }
    assert_eq!([socket(high + 4), socket(high + 5), socket(high + 7)], [EPERM, ALLOW, ALLOW]);
}

// --- Any profile against a plain reading of its rules.

/// Calls with their x86_64 and i386 numbers, two of which are next to each other.
const CALLS: [(&str, u32, u32); 5] =
    [("read", 0, 3), ("write", 1, 4), ("close", 3, 6), ("ioctl", 16, 54), ("execve", 59, 11)];

fn holds(condition: &SeccompArg, args: [u64; 6], wide: bool) -> bool {
    let narrow = |value: u64| if wide { value } else { value & 0xffff_ffff };
    let (a, v) = (narrow(args[condition.index as usize]), narrow(condition.value));
    match condition.op {
        SeccompOperator::NotEqual => a != v,
        SeccompOperator::Less => a < v,
        SeccompOperator::LessOrEqual => a <= v,
        SeccompOperator::Equal => a == v,
        SeccompOperator::GreaterOrEqual => a >= v,
        SeccompOperator::Greater => a > v,
        SeccompOperator::MaskedEqual => a & v == narrow(condition.value_two),
    }
}

fn value_of(action: SeccompAction) -> u32 {
    match action {
        SeccompAction::Errno => EPERM,
        SeccompAction::Log => LOG,
        SeccompAction::Trap => 0x0003_0000,
        SeccompAction::KillProcess => KILL_PROCESS,
        _ => ALLOW,
    }
}

fn judge(profile: &Seccomp, call: Call) -> u32 {
    let x32_number = |name: &str, number: u32| match name {
        "ioctl" => X32 | 514,
        "execve" => X32 | 520,
        _ => X32 | number,
    };
    let default = value_of(profile.default_action);
    let lists = |name: &str| profile.architectures.iter().any(|arch| arch == name);
    let x32 = call.arch == X86_64 && call.number & X32 != 0 && call.number != u32::MAX;
    if !matches!(call.arch, X86_64 | I386)
        || call.arch == I386 && !lists("SCMP_ARCH_X86")
        || x32 && !lists("SCMP_ARCH_X32")
    {
        return KILL_PROCESS;
    }
    let number = |call_name: &(&str, u32, u32)| match (call.arch, x32) {
        (I386, _) => call_name.2,
        (_, true) => x32_number(call_name.0, call_name.1),
        _ => call_name.1,
    };
    let named = |name: &str| CALLS.iter().find(|c| c.0 == name).map(&number).unwrap();
    let about: Vec<&SeccompSyscall> = profile
        .syscalls
        .iter()
        .filter(|r| value_of(r.action) != default && r.names.iter().any(|name| named(name) == call.number))
        .collect();
    if let Some(rule) = about.iter().find(|rule| rule.args.is_empty()) {
        return value_of(rule.action);
    }
    for rule in &about {
        let repeated =
            (0..rule.args.len()).any(|i| rule.args[..i].iter().any(|a| a.index == rule.args[i].index));
        let mut results = rule.args.iter().map(|condition| holds(condition, call.args, call.arch == X86_64));
        if if repeated { results.any(|r| r) } else { results.all(|r| r) } {
            return value_of(rule.action);
        }
    }
    let newest = profile.syscalls.iter().flat_map(|r| &r.names).map(|name| named(name)).max();
    match newest {
        Some(newest) if call.number > newest && !matches!(default, ALLOW | LOG) => ENOSYS,
        _ => default,
    }
}

fn operators() -> impl Strategy<Value = SeccompOperator> {
    prop::sample::select(vec![
        SeccompOperator::NotEqual,
        SeccompOperator::Less,
        SeccompOperator::LessOrEqual,
        SeccompOperator::Equal,
        SeccompOperator::GreaterOrEqual,
        SeccompOperator::Greater,
        SeccompOperator::MaskedEqual,
    ])
}

/// Values that differ in one word only, or not at all.
fn values() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 1, 2, 0xffff_ffff, 1 << 32, (1 << 32) + 1, (2 << 32) + 1, u64::MAX])
}

fn actions() -> impl Strategy<Value = SeccompAction> {
    prop::sample::select(vec![
        SeccompAction::Allow,
        SeccompAction::Errno,
        SeccompAction::Log,
        SeccompAction::Trap,
        SeccompAction::KillProcess,
    ])
}

fn rules() -> impl Strategy<Value = SeccompSyscall> {
    let names = prop::sample::subsequence(CALLS.map(|c| c.0.to_owned()).to_vec(), 1..4);
    let args = prop::collection::vec((0_u32..3, operators(), values(), values()), 0..4);
    (names, actions(), args).prop_map(|(names, action, args)| SeccompSyscall {
        names,
        action,
        errno_ret: None,
        args: args.into_iter().map(|(index, op, value, two)| arg(index, op, value, two)).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn programs_decide_as_the_rules_say(
        default in actions(),
        architectures in prop::sample::subsequence(
            vec!["SCMP_ARCH_X86".to_owned(), "SCMP_ARCH_X32".to_owned(), "SCMP_ARCH_AARCH64".to_owned()], 0..3),
        syscalls in prop::collection::vec(rules(), 0..7),
        args in prop::collection::vec((values(), values(), values()), 12),
    ) {
        let mut profile = profile(default);
        profile.architectures = architectures;
        profile.syscalls = syscalls;
        let compiled = compile_for(Machine::X86_64, &profile).unwrap();
        // As the container's process gets it.
        let program = Program::from_bytes(&compiled.to_bytes()).unwrap();
        prop_assert_eq!(program.instructions(), compiled.instructions());
        let numbers = CALLS.iter().flat_map(|c| [c.1, c.2, c.1 | X32]);
        for number in numbers.chain([2, 60, 9999, 514 | X32, 520 | X32, 9999 | X32, u32::MAX]) {
            for arch in [X86_64, I386, AARCH64] {
                for (a, b, c) in &args {
                    let call = Call { number, arch, args: [*a, *b, *c, 0, 0, 0] };
                    prop_assert_eq!(interpret(program.instructions(), call), judge(&profile, call), "{:?}", call);
                }
            }
        }
    }
}

#[test]
fn what_is_no_program_is_not_read_as_one() {
    let bytes = compile(&docker_like()).unwrap().to_bytes();
    for broken in [&bytes[..0], &bytes[..7], &bytes[..8], &bytes[..9], &bytes[..bytes.len() - 1]] {
        assert_eq!(Program::from_bytes(broken), None);
    }
    assert_eq!(Program::from_bytes(&vec![0; 8 + 8 * 4097]), None);
}

// --- The kernel itself.

/// Runs `body` in a forked child and returns its wait status. The child only makes system calls.
fn in_child(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: between fork and _exit the child makes system calls on memory that it already has.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", io::Error::last_os_error());
    if pid == 0 {
        let code = body();
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call, and `pid` is a child of this process.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

fn syscall_error(number: libc::c_long, first: usize) -> i32 {
    // SAFETY: the calls made here have numbers as arguments only.
    match unsafe { libc::syscall(number, first, 0, 0) } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or(-1),
        _ => 0,
    }
}

#[test]
fn the_kernel_runs_a_docker_like_filter() {
    let program = compile(&docker_like()).unwrap();
    let status = in_child(|| {
        if program.install().is_err() {
            return 1;
        }
        let checks = [
            (syscall_error(libc::SYS_getppid, 0), 0),
            (syscall_error(libc::SYS_personality, 9), libc::EPERM),
            (syscall_error(libc::SYS_personality, 0), 0),
            (syscall_error(libc::SYS_reboot, 0), libc::EPERM),
            (syscall_error(libc::SYS_socket, 40), libc::EPERM),
            (syscall_error(libc::SYS_clone3, 0), libc::ENOSYS),
            (syscall_error(4000, 0), libc::ENOSYS),
        ];
        checks.iter().position(|(got, expected)| got != expected).map_or(0, |at| 10 + at as i32)
    });
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
}

#[test]
fn the_kernel_kills_for_a_foreign_architecture_and_by_rule() {
    let mut p = profile(SeccompAction::Allow);
    p.flags = vec!["SECCOMP_FILTER_FLAG_LOG".into()];
    p.syscalls = vec![rule(&["getppid"], SeccompAction::KillProcess, vec![])];
    let program = compile(&p).unwrap();
    for number in [libc::SYS_getppid, libc::SYS_getpid | 0x4000_0000] {
        if cfg!(not(target_arch = "x86_64")) && number != libc::SYS_getppid {
            continue;
        }
        let status = in_child(|| match program.install() {
            Ok(_) => syscall_error(number, 0),
            Err(_) => 99,
        });
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS, "status {status:#x}");
    }
}

#[test]
fn a_profile_with_notifications_returns_a_listener() {
    for flags in [vec![], vec!["SECCOMP_FILTER_FLAG_TSYNC".to_owned()]] {
        let mut p = profile(SeccompAction::Allow);
        p.flags = flags;
        p.syscalls = vec![rule(&["getppid"], SeccompAction::Notify, vec![])];
        let program = compile(&p).unwrap();
        let status = in_child(|| match program.install() {
            // SAFETY: asks for the flags of a descriptor that is open.
            Ok(Some(fd)) => match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) } {
                libc::FD_CLOEXEC => 0,
                _ => 2,
            },
            _ => 1,
        });
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
    }
}

/// Run with `cargo test --release -- --ignored --nocapture` to see what compiling costs.
#[test]
#[ignore = "prints a time; a figure, not a check"]
fn how_long_compiling_takes() {
    let profile = docker_like();
    let begin = std::time::Instant::now();
    for _ in 0..1000 {
        std::hint::black_box(compile(&profile).unwrap());
    }
    println!(
        "{:?} each, {} instructions",
        begin.elapsed() / 1000,
        compile(&profile).unwrap().instructions().len()
    );
}
