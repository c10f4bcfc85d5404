//! `minke-oci` on the real kernel: bundles with a static busybox, run as root.
//!
//! Each test has its own state root, bundle and container id, and removes what it made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundle;
mod cgroups;
mod checkpoint;
mod conformance;
mod escapes;
mod events;
mod exec;
mod hooks;
mod identity;
mod joining;
mod killed;
mod landlock;
mod lifecycle;
mod mistakes;
mod mounts;
mod namespaces;
mod notify;
mod rootfs;
mod rootless;
mod seccomp;
mod terminal;
mod update;
