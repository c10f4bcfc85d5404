//! Writes a [`Selection`] as BPF: a dispatch on the architecture, then a binary search for the call's number.

use minke_model::runtime_spec::SeccompOperator;

use super::{
    arch::BAD_ARCHITECTURE,
    bpf::{Assembler, Compare, Instruction, Position},
    profile::{Condition, Ret},
    select::{Alternative, Interval, Section, Selection, Verdict},
};

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;
pub(super) const ARGUMENTS: u32 = 16;

/// A bit above what Docker's profile needs for three architectures.
const USUAL_LENGTH: usize = 1024;

pub(super) fn emit(selection: &Selection<'_>) -> Vec<Instruction> {
    let mut out = Emitter { code: Assembler::with_capacity(USUAL_LENGTH), default: selection.default };
    // Backwards: the machine's own architecture is emitted last, and so is tested first.
    let mut next = out.ret(BAD_ARCHITECTURE);
    for section in selection.sections.iter().rev() {
        let search = out.search(section, &section.intervals);
        let start = out.code.load(NUMBER, search);
        next = out.code.branch(Compare::Equal, section.audit, start, next);
    }
    out.code.load(ARCHITECTURE, next);
    out.code.finish()
}

struct Emitter {
    code: Assembler,
    default: Ret,
}

impl Emitter {
    fn ret(&mut self, ret: Ret) -> Position {
        self.code.ret(ret.0)
    }

    /// Finds the interval that the accumulator is in.
    fn search(&mut self, section: &Section, intervals: &[Interval]) -> Position {
        if let [only] = intervals {
            return match only.verdict {
                Verdict::Always(ret) => self.ret(ret),
                Verdict::Check(at) => self.check(&section.checks[at], section.wide_arguments),
            };
        }
        let (low, high) = intervals.split_at(intervals.len() / 2);
        let yes = self.search(section, high);
        let no = self.search(section, low);
        self.code.branch(Compare::GreaterOrEqual, high[0].start, yes, no)
    }

    /// The first alternative that holds decides, or else the default.
    fn check(&mut self, alternatives: &[Alternative], wide: bool) -> Position {
        let mut next = self.ret(self.default);
        for group in alternatives.chunk_by(Alternative::is_about_the_same_as).rev() {
            let yes = self.ret(group[0].ret);
            next = match group {
                [one] => {
                    let conditions = one.conditions.iter().rev();
                    conditions.fold(yes, |yes, condition| self.condition(condition, wide, yes, next))
                }
                // Docker's profile names some forty socket families, for which one look at the argument is enough.
                several => {
                    let values: Vec<u32> = several.iter().map(|one| one.conditions[0].value as u32).collect();
                    self.equal(Argument::new(&several[0].conditions[0], wide), &values, yes, next)
                }
            };
        }
        next
    }

    fn condition(&mut self, condition: &Condition, wide: bool, yes: Position, no: Position) -> Position {
        let argument = Argument::new(condition, wide);
        match condition.op {
            SeccompOperator::Equal => self.equal(argument, &[argument.low], yes, no),
            SeccompOperator::NotEqual => self.equal(argument, &[argument.low], no, yes),
            SeccompOperator::Greater => self.ordered(argument, Compare::Greater, yes, no),
            SeccompOperator::LessOrEqual => self.ordered(argument, Compare::Greater, no, yes),
            SeccompOperator::GreaterOrEqual => self.ordered(argument, Compare::GreaterOrEqual, yes, no),
            SeccompOperator::Less => self.ordered(argument, Compare::GreaterOrEqual, no, yes),
            SeccompOperator::MaskedEqual => self.masked(argument, condition.value_two, yes, no),
        }
    }

    /// Whether the argument's high word is what it says, and the low one is any of `lows`.
    fn equal(&mut self, argument: Argument, lows: &[u32], yes: Position, no: Position) -> Position {
        let mut next =
            lows.iter().rev().fold(no, |next, low| self.code.branch(Compare::Equal, *low, yes, next));
        next = self.code.load(argument.low_offset, next);
        if argument.wide {
            next = self.code.branch(Compare::Equal, argument.high, next, no);
            next = self.code.load(argument.high_offset, next);
        }
        next
    }

    fn ordered(&mut self, argument: Argument, low: Compare, yes: Position, no: Position) -> Position {
        let mut next = self.code.branch(low, argument.low, yes, no);
        next = self.code.load(argument.low_offset, next);
        if argument.wide {
            next = self.code.branch(Compare::Equal, argument.high, next, no);
            next = self.code.branch(Compare::Greater, argument.high, yes, next);
            next = self.code.load(argument.high_offset, next);
        }
        next
    }

    /// The argument's value is the mask here.
    fn masked(&mut self, mask: Argument, wanted: u64, yes: Position, no: Position) -> Position {
        let (low, high) = (wanted as u32, (wanted >> 32) as u32);
        let mut next = self.masked_word(mask.low_offset, mask.low, low, yes, no);
        if mask.wide {
            next = self.masked_word(mask.high_offset, mask.high, high, next, no);
        }
        next
    }

    fn masked_word(&mut self, offset: u32, mask: u32, wanted: u32, yes: Position, no: Position) -> Position {
        match mask {
            0 if wanted == 0 => return yes,
            0 => return no,
            _ => {}
        }
        let mut next = self.code.branch(Compare::Equal, wanted, yes, no);
        if mask != u32::MAX {
            next = self.code.and(mask, next);
        }
        self.code.load(offset, next)
    }
}

/// An argument's two words and what they are compared with; both machines are little-endian.
#[derive(Debug, Clone, Copy)]
struct Argument {
    low_offset: u32,
    high_offset: u32,
    low: u32,
    high: u32,
    wide: bool,
}

impl Argument {
    fn new(condition: &Condition, wide: bool) -> Argument {
        let low_offset = ARGUMENTS + 8 * condition.index;
        Argument {
            low_offset,
            high_offset: low_offset + 4,
            low: condition.value as u32,
            high: (condition.value >> 32) as u32,
            wide,
        }
    }
}
