//! How long a peer may take over what it sends: never longer than the stall timeout for the next byte, and
//! not forever by a byte now and then. Pure: only time that was spent waiting is counted, and it is an
//! argument.

use std::time::Duration;

/// Bytes a second that an answer has to bring on average, beyond the stall timeout.
const SLOWEST: u64 = 1024;
/// The same for what is sent: a peer's kernel and ours hold some of it before anybody answers.
const SLOWEST_TAKEN: u64 = 64 << 10;
/// The most that kernels hold.
const HELD: u64 = 4 << 20;
/// What a registry hashes in a second when it is told that an upload is complete.
const HASHED: u64 = 16 << 20;

/// The patience that is left with one answer.
#[derive(Debug)]
pub(crate) struct Pace {
    stall: Duration,
    waited: Duration,
    received: u64,
}

impl Pace {
    pub(crate) fn new(stall: Duration) -> Self {
        Self { stall, waited: Duration::ZERO, received: 0 }
    }

    /// How long the next piece may take.
    pub(crate) fn patience(&self) -> Duration {
        let earned = Duration::from_millis(self.received.saturating_mul(1000) / SLOWEST);
        (self.stall + earned).saturating_sub(self.waited).min(self.stall)
    }

    /// A piece of so many bytes came after so long.
    pub(crate) fn received(&mut self, bytes: usize, waited: Duration) {
        self.received += bytes as u64;
        self.waited += waited;
    }
}

/// How long a peer that was sent `sent` bytes may go without taking more of them or answering.
pub(crate) fn patience_of_sender(stall: Duration, sent: u64) -> Duration {
    stall + Duration::from_millis(sent.min(HELD) * 1000 / SLOWEST_TAKEN)
}

/// How long the answer to the end of an upload may take.
pub(crate) fn patience_of_commit(stall: Duration, size: u64) -> Duration {
    stall + Duration::from_secs(size / HASHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_steady_stream_never_ends_and_a_drip_does() {
        let mut steady = Pace::new(10 * SECOND);
        for _ in 0..1000 {
            steady.received(64 << 10, SECOND);
        }
        assert_eq!(steady.patience(), 10 * SECOND);
        let mut drip = Pace::new(10 * SECOND);
        (0..9).for_each(|_| drip.received(1, SECOND));
        assert!(drip.patience() <= SECOND + SECOND / 10, "{:?}", drip.patience());
        drip.received(1, 2 * SECOND);
        assert_eq!(drip.patience(), Duration::ZERO);
    }

    #[test]
    fn what_was_sent_and_what_must_be_hashed_gives_more_time() {
        assert_eq!(patience_of_sender(SECOND, 0), SECOND);
        assert_eq!(patience_of_sender(SECOND, u64::MAX), 65 * SECOND);
        assert_eq!(patience_of_commit(SECOND, 160 << 20), 11 * SECOND);
    }
}
