//! The image store and its archives on the real kernel: as root, in temporary folders, without a network.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod built;
mod commit;
mod formats;
mod full_disk;
mod fuzz;
mod hostile;
mod life;
mod pack;
mod property;
mod pull;
mod store;
mod support;
mod unpack;
