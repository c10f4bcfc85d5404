//! The planner: from what is wanted and what there is to the commands that lead from the one to the other.
//!
//! ```text
//!   Project ──┐
//!             ├──▶ up, start, stop, down, … ──▶ Plan: commands, and which waits for which
//!   Observed ─┘
//! ```
//! Everything here is pure: no engine, no clock, no file. `crate::run` observes and carries plans out; `--dry-run` prints them.

pub mod command;
mod down;
mod error;
pub mod images;
pub mod labels;
mod mermaid;
pub mod names;
mod observed;
mod order;
mod providers;
mod recall;
mod request;
mod resources;
mod socket;
mod start;
mod svg;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod up;

pub use command::{Call, Cause, Command, Condition, CreateContainer, Plan, Step, StepId, Wait};
pub use down::{Down, RemovedImages, down, rm, stop};
pub use error::PlanError;
pub use mermaid::mermaid;
pub use observed::{Container, Endpoint, Image, Mount, Network, Networks, Observed, Port, Volume};
pub use order::levels;
pub use providers::{Told, inform, inform_of_models, providers};
pub use recall::recall;
pub use request::{Oneoff, Origin, oneoff};
pub(crate) use request::{environment, place, shared_hash};
pub use socket::{share_socket, wants_socket};
pub use start::{restart, start};
pub use svg::svg;
pub use text::outline;
pub use up::{Recreate, Up, diverged_volumes, orphans, up};
