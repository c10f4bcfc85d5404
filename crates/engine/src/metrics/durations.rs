//! How long something took, each time that it was done: a histogram with Docker's buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Upper bounds of the buckets in seconds, as dashboards for Docker have them; one without a bound follows.
pub const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counts durations by how long they are.
#[derive(Debug, Default)]
pub struct Durations {
    /// Not summed up: each counts what is above the bound before it.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// What [`Durations`] has counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DurationsSnapshot {
    /// How many took at most as long as the bound of the same place in [`BOUNDS`].
    pub cumulative: [u64; BOUNDS.len()],
    /// How many in all.
    pub count: u64,
    /// Seconds in all.
    pub sum: f64,
}

impl Durations {
    /// Counts one.
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts one that began then and ends now.
    pub(crate) fn since(&self, began: Instant) {
        self.observe(began.elapsed());
    }

    /// What has been counted until now.
    pub fn snapshot(&self) -> DurationsSnapshot {
        let mut count = 0;
        let mut sums = self.buckets.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let cumulative = std::array::from_fn(|_| sums.next().unwrap_or(0));
        let count = sums.next().unwrap_or(0);
        let sum = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        DurationsSnapshot { cumulative, count, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_first_bucket_that_holds_them() {
        let durations = Durations::default();
        for millis in [5, 6, 100, 11_000] {
            durations.observe(Duration::from_millis(millis));
        }
        let DurationsSnapshot { cumulative, count, sum } = durations.snapshot();
        assert_eq!(cumulative, [1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((count, sum), (4, 11.111));
    }
}
