//! The supervisor on the real kernel: containers of busybox, driven through the engine's client.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

#[path = "supervise/bench.rs"]
mod bench;
#[path = "supervise/collector.rs"]
mod collector;
#[path = "supervise/ending.rs"]
mod ending;
#[path = "supervise/exec.rs"]
mod exec;
#[path = "supervise/hostile.rs"]
mod hostile;
#[path = "supervise/inherit.rs"]
mod inherit;
#[path = "supervise/restart.rs"]
mod restart;
#[path = "supervise/runc.rs"]
mod runc;
#[path = "supervise/size.rs"]
mod size;
#[path = "supervise/streams.rs"]
mod streams;
