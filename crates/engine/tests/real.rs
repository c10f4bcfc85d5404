//! The engine on the real kernel with real containers: `minke-oci` from the same target directory, an image
//! made of busybox. Each test has an engine of its own in a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

#[path = "real/harness.rs"]
mod harness;

#[path = "real/attach.rs"]
mod attach;
#[path = "real/collectors.rs"]
mod collectors;
#[path = "real/exec.rs"]
mod exec;
#[path = "real/files.rs"]
mod files;
#[path = "real/init.rs"]
mod init;
#[path = "real/life.rs"]
mod life;
#[path = "real/logs.rs"]
mod logs;
#[path = "real/network.rs"]
mod network;
#[path = "real/runtimes.rs"]
mod runtimes;
#[path = "real/settings.rs"]
mod settings;
#[path = "real/takeover.rs"]
mod takeover;
#[path = "real/volumes.rs"]
mod volumes;
