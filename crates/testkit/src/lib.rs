//! The small language that tests of the real programs are written in: a host with an engine of its
//! own, images made of busybox, and commands whose output is asserted.
//!
//! Each [`Host`] has its own root and state directory, socket, name prefix and network namespace, so tests run
//! side by side, twice in a row, and next to an engine that serves the machine. What a test leaves
//! behind is a failure: [`Host::expect_nothing_left`].
//!
//! [`fuzz`] is the harness for what reads input from outside, of whichever crate.
//!
//! Made for tests, so a failed expectation panics with all that was printed.

#![forbid(unsafe_code)]

mod command;
mod dockerd;
pub mod fuzz;
mod git;
mod holdings;
mod host;
mod image;
mod leftovers;
mod machine;
mod netns;
mod prometheus;
mod registry;
mod tools;

pub use command::{Ran, Run};
pub use dockerd::Dockerd;
pub use git::{GitHttp, GitHttpKind, Repository, Serving, Ssh};
pub use holdings::Holdings;
pub use host::{Cli, Host};
pub use image::{Entry, Rootfs};
pub use machine::{Machine, SUBORDINATE, USER, on_terminal};
pub use netns::{Lan, NetworkNamespace};
pub use prometheus::{Prometheus, check_metrics};
pub use registry::{Registry, RegistryKind};
pub use tools::{
    api_clients, buildx, busybox, docker_cli, docker_compose, on_path, program, runtime, unpacked,
};
