//! The network on the real kernel, in namespaces that each test makes for itself.
//!
//! ```text
//!  lan ═ 10.77.0.2 ──── 10.77.0.1 ═ host ═ bridge ═ sandbox, sandbox, …
//! ```

#![expect(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod cost;
mod dns;
mod drivers;
mod foreign;
mod guard;
mod ipv6;
mod isolation;
mod lifecycle;
mod publishing;
mod reconcile;
mod ways;
mod world;
