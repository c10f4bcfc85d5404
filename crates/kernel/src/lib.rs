//! Thin typed wrappers around what the Linux kernel offers containers.
//!
//! One of the two crates that may use `unsafe` (the other is netlink), so that everything above can forbid it.
//! Wrappers return [`std::io::Error`]: they are thin, and it is the caller who knows what was
//! being done to what. Descriptors are always close-on-exec; paths inside a container are only
//! ever resolved by [`path::Root`].

pub mod caps;
pub mod cgroup;
#[cfg(all(target_arch = "x86_64", any(test, target_env = "musl")))]
mod copy;
#[cfg(all(target_arch = "x86_64", target_feature = "crt-static"))]
mod early;
pub mod identity;
pub mod limits;
pub mod link;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod net_device;
pub mod own_code;
pub mod path;
pub mod pid_slot;
pub mod process;
pub mod procfs;
pub mod program;
pub mod pty;
pub mod resctrl;
pub mod sealed;
pub mod seccomp;
pub mod socket;
pub mod spawn;
mod sys;
pub mod tree;
