//! minke's command line beside the docker CLI's, on one engine: what people and scripts see must not differ.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod interrupts;
mod registry;
mod starting;
mod templates;
