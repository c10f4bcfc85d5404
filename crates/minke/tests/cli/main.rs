//! minke's command line beside the docker CLI's, on one engine: what people and scripts see must not differ.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod engine;
mod interrupts;
mod like_docker;
mod prompts;
#[path = "../real/pty.rs"]
#[expect(dead_code, reason = "the tests of real containers use all of it")]
mod pty;
mod registries;
mod registry;
mod requests;
mod starting;
mod templates;
