//! cgroup v2's device control: a BPF program made from the rules (BPF_PROG_TYPE_CGROUP_DEVICE, bpf(2)).
//!
//! The kernel calls the program with the operation (any of mknod, read, write), the kind and the
//! numbers of a device, and lets it happen if the result is not 0. For each operation the last
//! rule that is about it decides; what no rule is about is denied.

use std::io;

use minke_model::runtime_spec::DeviceRule;

use super::{
    super::{
        CgroupError,
        devices::{self, Access, Kind, Rule},
        dir::Dir,
    },
    bpf::{self, Instruction, Reg},
};

/// `BPF_DEVCG_DEV_…` of linux/bpf.h.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

pub(super) fn apply(rules: &[DeviceRule], dir: &Dir) -> Result<(), CgroupError> {
    if rules.is_empty() {
        return Ok(());
    }
    let program = program(&devices::parse(rules)?);
    let failed =
        |action, source: io::Error| CgroupError::DeviceFilter { action, path: dir.path().to_owned(), source };
    let loaded = bpf::load(&program).map_err(|source| failed("load", source))?;
    // bpf(2) wants a real descriptor, and the directory is open for its path only.
    let directory = dir.open_file(".").map_err(|source| failed("open the directory for", source))?;
    bpf::replace(&directory, &loaded).map_err(|source| failed("attach", source))
}

/// The program for `rules`. From the last rule to the first, each settles the operations that it is about;
/// what is denied ends the program, what is allowed is taken off the operations that are still open.
fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut code = vec![
        // struct bpf_cgroup_dev_ctx: u32 access_type (operations << 16 | kind), major, minor.
        bpf::load_word(Reg::R2, Reg::R1, 0),
        bpf::load_word(Reg::R4, Reg::R1, 4),
        bpf::load_word(Reg::R5, Reg::R1, 8),
        bpf::copy(Reg::R3, Reg::R2),
        bpf::and(Reg::R2, 0xffff),
        bpf::shift_right(Reg::R3, 16),
    ];
    for rule in rules.iter().rev() {
        let settled = settle(rule);
        code.extend(conditions(rule, settled.len()));
        code.extend(settled);
        if rule.is_total() {
            // Nothing before it can matter, and the verifier refuses code that is never reached.
            return code;
        }
    }
    code.extend(verdict(0));
    code
}

/// Tests that skip the rest of a rule, `body` instructions, for other devices.
fn conditions(rule: &Rule, body: usize) -> Vec<Instruction> {
    let kind = rule.kind.map(|kind| match kind {
        Kind::Block => BLOCK,
        Kind::Character => CHARACTER,
    });
    let number = |number: Option<u32>| number.map(u32::cast_signed);
    let tests: Vec<(Reg, i32)> =
        [(Reg::R2, kind), (Reg::R4, number(rule.major)), (Reg::R5, number(rule.minor))]
            .into_iter()
            .filter_map(|(register, value)| Some((register, value?)))
            .collect();
    let count = tests.len();
    let skip = |at: usize| (count - at - 1 + body) as i16;
    tests
        .iter()
        .enumerate()
        .map(|(at, (reg, value))| bpf::jump_if_not_equal(*reg, *value, skip(at)))
        .collect()
}

/// What a rule does to devices it is about. R3 has the operations that are still open.
fn settle(rule: &Rule) -> Vec<Instruction> {
    let mask = i32::from(rule.access.0);
    let mut code = match (rule.allow, rule.access) {
        (_, Access::ALL) => Vec::new(),
        (true, _) => vec![bpf::and(Reg::R3, !mask & 7), bpf::jump_if_not_equal(Reg::R3, 0, 2)],
        (false, _) => vec![bpf::jump_if_set(Reg::R3, mask, 1), bpf::jump(2)],
    };
    code.extend(verdict(i32::from(rule.allow)));
    code
}

fn verdict(value: i32) -> [Instruction; 2] {
    [bpf::set(Reg::R0, value), bpf::exit()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device operation as the kernel asks about it.
    #[derive(Debug, Clone, Copy)]
    struct Request {
        kind: Kind,
        access: u8,
        major: u32,
        minor: u32,
    }

    fn run(program: &[Instruction], request: Request) -> bool {
        let kind = if request.kind == Kind::Block { 1 } else { 2 };
        bpf::interpret(program, [u32::from(request.access) << 16 | kind, request.major, request.minor]) != 0
    }

    /// For each operation by itself: the last rule that is about it.
    fn judge(rules: &[Rule], request: Request) -> bool {
        [1, 2, 4].iter().filter(|bit| request.access & **bit != 0).all(|bit| {
            rules
                .iter()
                .rev()
                .find(|rule| {
                    rule.kind.is_none_or(|kind| kind == request.kind)
                        && rule.major.is_none_or(|major| major == request.major)
                        && rule.minor.is_none_or(|minor| minor == request.minor)
                        && rule.access.0 & bit != 0
                })
                .is_some_and(|rule| rule.allow)
        })
    }

    fn check(rules: &[Rule]) {
        let program = program(rules);
        for kind in [Kind::Block, Kind::Character] {
            for access in 1..8 {
                for (major, minor) in [(0, 0), (0, 1), (1, 0), (1, 1), (7, 9)] {
                    let request = Request { kind, access, major, minor };
                    assert_eq!(run(&program, request), judge(rules, request), "{rules:?} {request:?}");
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn programs_decide_as_the_rules_say(
            rules in proptest::collection::vec((0u8..2, 0u8..3, 0u8..3, 0u8..3, 1u8..8), 0..8)
        ) {
            let number = |n: u8| (n < 2).then_some(u32::from(n));
            let kind = |n: u8| [None, Some(Kind::Block), Some(Kind::Character)][usize::from(n)];
            let rules: Vec<Rule> = rules.into_iter().map(|(allow, k, major, minor, access)| Rule {
                allow: allow == 1, kind: kind(k), major: number(major), minor: number(minor), access: Access(access),
            }).collect();
            check(&rules);
        }
    }

    #[test]
    fn without_rules_everything_is_denied() {
        check(&[]);
    }
}
