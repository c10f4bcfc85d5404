//! The OCI runtime behind `minke-oci`: it turns a bundle (config.json and a root file system) into
//! a running container and looks after it until it is deleted.
//!
//! Two callers: the `minke-oci` command line, a drop-in for runc, and [`supervise`], which keeps
//! one container of the engine. Everything here is synchronous and runs on one thread.

#![forbid(unsafe_code)]

mod channel;
pub mod config;
pub mod container;
pub mod criu;
pub mod features;
#[cfg(test)]
mod fuzz;
mod hooks;
mod init;
pub mod landlock;
mod placement;
mod step;
pub mod supervise;
mod systemd;

pub use step::plain;
