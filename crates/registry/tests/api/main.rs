//! The registry over HTTP: every endpoint, hostile clients, faults of the disk, and skopeo. Each test has its
//! own registry on a port of its own.

#![expect(clippy::unwrap_used, reason = "a failed step is the test's failure")]

mod auth;
mod blobs;
mod cache;
mod durability;
mod garbage;
mod hostile;
mod http;
mod lists;
mod manifests;
mod shutdown;
mod skopeo;
mod uploads;
