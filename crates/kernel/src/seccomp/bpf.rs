//! An assembler for classic BPF that works from the last instruction to the first.
//!
//! Jumps in classic BPF only go forward. Written backwards, the place a jump goes to always exists
//! already, so that nothing needs to be patched later; and since a conditional jump reaches no further
//! than 255 instructions, a far target gets a stepping stone right behind the jump.

/// What the kernel takes (`BPF_MAXINSNS`).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction, laid out as `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub jt: u8,
    /// How many instructions to skip when it doesn't.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

impl Instruction {
    pub(super) fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let ([c0, c1], [k0, k1, k2, k3]) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [c0, c1, self.jt, self.jf, k0, k1, k2, k3]
    }

    pub(super) fn from_bytes(&[c0, c1, jt, jf, k0, k1, k2, k3]: &[u8; size_of::<Self>()]) -> Self {
        Self { code: u16::from_ne_bytes([c0, c1]), jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
    }
}

const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// How a conditional jump compares the accumulator with its operand; unsigned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Compare {
    Equal,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn code(self) -> u16 {
        match self {
            Compare::Equal => 0x15,
            Compare::Greater => 0x25,
            Compare::GreaterOrEqual => 0x35,
        }
    }
}

/// Where an instruction is, counted from the program's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(usize);

/// A program in the making; its first instruction is the one that was added last.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    returns: Vec<(u32, Position)>,
}

impl Assembler {
    pub(super) fn with_capacity(instructions: usize) -> Assembler {
        Assembler { reversed: Vec::with_capacity(instructions), returns: Vec::new() }
    }

    /// Goes on in front of a finished program; returns where that starts.
    pub(super) fn in_front_of(program: &[Instruction]) -> (Assembler, Position) {
        let reversed: Vec<Instruction> = program.iter().rev().copied().collect();
        let start = Position(reversed.len().saturating_sub(1));
        (Assembler { reversed, returns: Vec::new() }, start)
    }

    /// Ends the program with `value`; shares an instruction that does so within reach.
    pub(super) fn ret(&mut self, value: u32) -> Position {
        let near = self.reversed.len().saturating_sub(128);
        if let Some((_, at)) = self.returns.iter().find(|(v, at)| *v == value && at.0 >= near) {
            return *at;
        }
        let at = self.push(RETURN, 0, 0, value);
        self.returns.retain(|(v, _)| *v != value);
        self.returns.push((value, at));
        at
    }

    /// Loads the word at `offset` of `struct seccomp_data` and goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Position) -> Position {
        self.fall_through_to(next);
        self.push(LOAD_WORD, 0, 0, offset)
    }

    /// Keeps the accumulator's bits that are in `mask` and goes on at `next`.
    pub(super) fn and(&mut self, mask: u32, next: Position) -> Position {
        self.fall_through_to(next);
        self.push(AND, 0, 0, mask)
    }

    /// Goes on at `yes` or `no`, by how the accumulator compares with `operand`.
    pub(super) fn branch(&mut self, compare: Compare, operand: u32, yes: Position, no: Position) -> Position {
        if yes == no {
            return yes;
        }
        let (mut yes, mut no) = (yes, no);
        // A stepping stone moves the jump one further away from everything, so both are looked at until
        // both are near.
        loop {
            if self.distance(yes) > 255 {
                yes = self.step_to(yes);
            } else if self.distance(no) > 255 {
                no = self.step_to(no);
            } else {
                break;
            }
        }
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(compare.code(), jt, jf, operand)
    }

    /// The program, first instruction first.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn fall_through_to(&mut self, target: Position) {
        if self.distance(target) != 0 {
            self.step_to(target);
        }
    }

    /// An instruction here that does the same as going to `target`.
    fn step_to(&mut self, target: Position) -> Position {
        let there = self.reversed[target.0];
        match there.code {
            RETURN => self.push(RETURN, 0, 0, there.k),
            _ => self.push(JUMP, 0, 0, self.distance(target) as u32),
        }
    }

    /// How many instructions the next one would skip to reach `target`.
    fn distance(&self, target: Position) -> usize {
        self.reversed.len() - target.0 - 1
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Position {
        self.reversed.push(Instruction { code, jt, jf, k });
        Position(self.reversed.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_laid_out_as_the_kernels() {
        assert_eq!(size_of::<Instruction>(), size_of::<libc::sock_filter>());
        assert_eq!(align_of::<Instruction>(), align_of::<libc::sock_filter>());
    }

    #[test]
    fn a_far_return_is_repeated_nearby() {
        let mut assembler = Assembler::default();
        let far = assembler.ret(7);
        let mut next = assembler.ret(8);
        for _ in 0..300 {
            next = assembler.load(0, next);
        }
        assembler.branch(Compare::Equal, 1, far, next);
        let program = assembler.finish();
        assert_eq!(program[0], Instruction { code: 0x15, jt: 0, jf: 1, k: 1 });
        assert_eq!(program[1], Instruction { code: RETURN, jt: 0, jf: 0, k: 7 });
    }

    #[test]
    fn a_far_instruction_is_reached_over_a_jump() {
        let mut assembler = Assembler::default();
        let end = assembler.ret(8);
        let far = assembler.load(4, end);
        let mut next = far;
        for _ in 0..300 {
            next = assembler.load(0, next);
        }
        assembler.branch(Compare::Equal, 1, next, far);
        let program = assembler.finish();
        assert_eq!(program[0], Instruction { code: 0x15, jt: 1, jf: 0, k: 1 });
        assert_eq!(program[1], Instruction { code: JUMP, jt: 0, jf: 0, k: 300 });
    }
}
