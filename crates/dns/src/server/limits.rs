//! How much of the engine all containers together may take up by asking.
//!
//! Each question that is being forwarded and each connection holds a descriptor, of which the engine needs some for all
//! else that it does. A long answer may be 64 KiB, and waits for a client that doesn't take it.

use rustix::process::{Resource, getrlimit};
use tokio::sync::Semaphore;

/// What is left of it while questions are being answered.
#[derive(Debug)]
pub(crate) struct Limits {
    /// For questions that are being forwarded.
    pub(crate) forwards: Semaphore,
    /// How many of them one container may have. Beyond, the answer is SERVFAIL.
    pub(crate) forwards_of_a_container: usize,
    /// For connections.
    pub(crate) connections: Semaphore,
}

/// The most questions that are being forwarded for one container: as many as Docker's.
const MOST_OF_A_CONTAINER: usize = 1024;
/// Which part of all that is at most.
const PART_OF_A_CONTAINER: usize = 8;

impl Limits {
    /// For a process with as many descriptors as this one may have.
    pub(super) fn of_this_process() -> Self {
        // No limit is a limit beyond what is used here.
        Self::of(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    fn of(descriptors: u64) -> Self {
        let share = |part: u64, most: u64| (descriptors / part).clamp(16, most) as usize;
        let forwards = share(4, 16_384);
        Self {
            forwards: Semaphore::new(forwards),
            forwards_of_a_container: (forwards / PART_OF_A_CONTAINER).min(MOST_OF_A_CONTAINER),
            connections: Semaphore::new(share(16, 256)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_take_less_than_a_third_of_the_descriptors() {
        let all = |descriptors| {
            let limits = Limits::of(descriptors);
            (
                limits.forwards.available_permits(),
                limits.forwards_of_a_container,
                limits.connections.available_permits(),
            )
        };
        assert_eq!(all(1024), (256, 32, 64));
        assert_eq!(all(20_000), (5000, 625, 256));
        assert_eq!(all(1 << 20), (16_384, 1024, 256));
        assert_eq!(all(u64::MAX), (16_384, 1024, 256));
    }
}
