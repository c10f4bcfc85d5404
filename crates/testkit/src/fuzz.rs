//! Fuzzing of what reads input from outside, on the stable compiler (`docs/decisions/0017-fuzzing-on-stable.md`).
//!
//! A crate has a [`Suite`] of [`Target`]s and a folder of inputs to begin with for each. Inputs are changed by their
//! structure, for what isn't JSON or a tar at all gets no further than the parser. The tests try a fixed number of
//! them; `make fuzz` tries them without end.
//!
//! ```text
//!  CRATE/fuzz/corpus/TARGET/* ──▶ change ──▶ target: panics, takes too long, or breaks a promise? ──▶ target/fuzz/TARGET/SEED.…
//!               ▲                              │ an outcome that was not seen before
//!               └─────────── kept ─────────────┘
//! ```
//!
//! Variables: `MINKE_FUZZ_SECONDS` (how long for each target, 0 is for ever), `MINKE_FUZZ_SEED`, `MINKE_FUZZ_TARGET`
//! (only this one), and `MINKE_FUZZ_REPLAY` (a file to try alone).

mod campaign;
mod input;
mod json;
mod message;
mod promise;
mod random;
mod suite;
mod tar;
mod text;

pub use input::Input;
pub use promise::{REFUSED, TAKEN, broken, chain, holds, one_line, reads_back, refused, shown};
pub use suite::{Run, Suite, Target, Verdict, folder};
pub use tar::unpacked;

#[cfg(test)]
mod tests;
