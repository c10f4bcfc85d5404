//! minke's command line beside the docker CLI's, on one engine: what people and scripts see must not differ.

#![cfg(target_os = "linux")]

mod interrupts;
mod starting;
mod templates;
