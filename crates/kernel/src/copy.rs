//! Copying memory, in the place of musl's memcpy(3) and memmove(3).
//!
//! musl's use `rep movsq` for every length, which the processor has to prepare for; a log of many lines took up to a tenth longer
//! by them than with glibc's. These read all of what is short before they write any of it, so that one function
//! is right for both: overlapping or not. It uses nothing that x86-64 doesn't have from the beginning.
//!
//! Assembly, since the compiler makes calls of memcpy from loops that copy, which would be calls of itself.

use std::arch::global_asm;

// rdi to, rsi from, rdx length; returns rax, the first of them (System V ABI for AMD64, section 3.2.3). xmm0 to xmm7, rcx and
// r8 to r10 are the function's to change.
global_asm!(
    ".pushsection .text.minke_copy, \"ax\", @progbits",
    ".globl minke_copy",
    ".type minke_copy, @function",
    ".p2align 4",
    "minke_copy:",
    "mov rax, rdi",
    "cmp rdx, 16",
    "jb .Lminke_copy_below_16",
    "cmp rdx, 32",
    "ja .Lminke_copy_above_32",
    // The first and the last sixteen, which may be partly the same.
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "ret",
    ".Lminke_copy_above_32:",
    "cmp rdx, 64",
    "ja .Lminke_copy_above_64",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups xmm2, [rsi + rdx - 32]",
    "movups xmm3, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "movups [rdi + rdx - 32], xmm2",
    "movups [rdi + rdx - 16], xmm3",
    "ret",
    ".Lminke_copy_above_64:",
    "cmp rdx, 128",
    "ja .Lminke_copy_above_128",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups xmm2, [rsi + 32]",
    "movups xmm3, [rsi + 48]",
    "movups xmm4, [rsi + rdx - 64]",
    "movups xmm5, [rsi + rdx - 48]",
    "movups xmm6, [rsi + rdx - 32]",
    "movups xmm7, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "movups [rdi + 32], xmm2",
    "movups [rdi + 48], xmm3",
    "movups [rdi + rdx - 64], xmm4",
    "movups [rdi + rdx - 48], xmm5",
    "movups [rdi + rdx - 32], xmm6",
    "movups [rdi + rdx - 16], xmm7",
    "ret",
    ".Lminke_copy_above_128:",
    "mov r8, rdi",
    "sub r8, rsi",
    // As unsigned numbers: not less when it begins before `from`, or behind its end.
    "cmp r8, rdx",
    "jb .Lminke_copy_backward",
    "cmp rdx, 2048",
    "jae .Lminke_copy_long",
    // The last 32 are read first: they may be written over on the way.
    "movups xmm2, [rsi + rdx - 32]",
    "movups xmm3, [rsi + rdx - 16]",
    "lea r9, [rdi + rdx - 32]",
    ".Lminke_copy_32:",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "add rsi, 32",
    "add rdi, 32",
    "cmp rdi, r9",
    "jb .Lminke_copy_32",
    "movups [r9], xmm2",
    "movups [r9 + 16], xmm3",
    "ret",
    ".Lminke_copy_long:",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    // The first 32 are read first.
    ".Lminke_copy_backward:",
    "movups xmm2, [rsi]",
    "movups xmm3, [rsi + 16]",
    ".Lminke_copy_32_back:",
    "movups xmm0, [rsi + rdx - 16]",
    "movups xmm1, [rsi + rdx - 32]",
    "movups [rdi + rdx - 16], xmm0",
    "movups [rdi + rdx - 32], xmm1",
    "sub rdx, 32",
    "cmp rdx, 32",
    "ja .Lminke_copy_32_back",
    "movups [rdi], xmm2",
    "movups [rdi + 16], xmm3",
    "ret",
    ".Lminke_copy_below_16:",
    "cmp edx, 8",
    "jb .Lminke_copy_below_8",
    "mov rcx, [rsi]",
    "mov r8, [rsi + rdx - 8]",
    "mov [rdi], rcx",
    "mov [rdi + rdx - 8], r8",
    "ret",
    ".Lminke_copy_below_8:",
    "cmp edx, 4",
    "jb .Lminke_copy_below_4",
    "mov ecx, [rsi]",
    "mov r8d, [rsi + rdx - 4]",
    "mov [rdi], ecx",
    "mov [rdi + rdx - 4], r8d",
    "ret",
    ".Lminke_copy_below_4:",
    "test edx, edx",
    "jz .Lminke_copy_nothing",
    // The first, the middle and the last, which may be the same.
    "mov r9, rdx",
    "shr r9",
    "movzx ecx, byte ptr [rsi]",
    "movzx r10d, byte ptr [rsi + r9]",
    "movzx r8d, byte ptr [rsi + rdx - 1]",
    "mov [rdi], cl",
    "mov [rdi + r9], r10b",
    "mov [rdi + rdx - 1], r8b",
    ".Lminke_copy_nothing:",
    "ret",
    ".size minke_copy, . - minke_copy",
    ".popsection",
);

#[cfg(target_env = "musl")]
global_asm!(
    ".globl memcpy",
    ".type memcpy, @function",
    ".set memcpy, minke_copy",
    ".globl memmove",
    ".type memmove, @function",
    ".set memmove, minke_copy",
);

#[cfg(test)]
mod tests {
    unsafe extern "C" {
        fn minke_copy(to: *mut u8, from: *const u8, length: usize) -> *mut u8;
    }

    /// What has `length` bytes at `from` copied to `to`.
    fn copied(before: &[u8], to: usize, from: usize, length: usize) -> Vec<u8> {
        let mut memory = before.to_vec();
        assert!(to + length <= memory.len() && from + length <= memory.len());
        let start = memory.as_mut_ptr();
        // SAFETY: both ends were checked.
        let returned = unsafe { minke_copy(start.add(to), start.add(from), length) };
        assert_eq!(returned.addr(), start.addr() + to);
        memory
    }

    #[test]
    fn each_length_is_copied_and_nothing_beside_it_wherever_it_overlaps() {
        let before: Vec<u8> = (0..6000_u32).map(|at| (at * 31 + at / 251) as u8).collect();
        let lengths = (0..300_usize).chain([511, 512, 1000, 2047, 2048, 2049, 2500]);
        for length in lengths {
            // Far apart, the same, and overlapping by all but a little, half and a little, in both directions.
            for shift in [
                0,
                1,
                3,
                7,
                8,
                15,
                16,
                17,
                31,
                32,
                33,
                64,
                100,
                length / 2,
                length.saturating_sub(1),
                length,
                3000,
            ] {
                for (to, from) in [(20, 20 + shift), (20 + shift, 20)] {
                    let mut expected = before.clone();
                    expected.copy_within(from..from + length, to);
                    assert!(
                        copied(&before, to, from, length) == expected,
                        "{length} bytes from {from} to {to}"
                    );
                }
            }
        }
    }
}
