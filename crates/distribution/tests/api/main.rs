//! The client against real registries (Debian's docker-registry and our own) and against made-up ones behind
//! a proxy that cuts, slows, stalls and corrupts. Each test has its own servers on ports of their own.

#![expect(clippy::unwrap_used, reason = "a failed step is the test's failure")]

mod authentication;
mod certificates;
mod client;
mod debian;
mod endpoints;
mod fake;
mod faults;
mod hub;
mod limits;
mod names;
mod own;
mod proxy;
mod pull;
mod push;
mod registries;
mod secure;
