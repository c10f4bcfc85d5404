//! How an upload is cut into requests, and what follows a failure. Pure.

use std::time::Duration;

use crate::{Error, retry::Hope, retry::RetryPolicy};

/// What is sent in one request together with its end: a request less for the many small blobs.
const SMALL: u64 = 1 << 20;
/// The pieces that are sent where one stream is not taken.
const PIECE: u64 = 16 << 20;
/// The smallest pieces that are tried.
const LEAST: u64 = 64 << 10;

/// The state of an upload over all of its tries.
#[derive(Debug)]
pub(super) struct Plan {
    size: u64,
    /// The length of a piece; `None`: everything in one stream.
    piece: Option<u64>,
    /// The smallest piece that the registry takes.
    least: u64,
    /// The farthest that the registry came.
    best: u64,
    /// Failures in a row without progress.
    failed: u32,
    /// Whether this upload goes on from a cut, so that its content may be damaged by it.
    is_resumed: bool,
    /// Whether it began anew because of that.
    began_anew: bool,
}

/// What to do after a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing helps.
    GiveUp,
    /// Try again after a pause: where the registry says it stopped, or from the beginning.
    Again { pause: Duration, resume: bool },
}

impl Plan {
    pub(super) fn new(size: u64) -> Self {
        Self { size, piece: None, least: 0, best: 0, failed: 0, is_resumed: false, began_anew: false }
    }

    /// Notes where an upload begins or goes on.
    pub(super) fn begun(&mut self, least: Option<u64>, offset: u64) {
        if let Some(least) = least {
            self.least = least;
            self.piece = Some(self.piece.unwrap_or(PIECE).max(least));
        }
        if offset > self.best {
            (self.best, self.failed) = (offset, 0);
        }
        self.is_resumed = offset > 0;
    }

    /// Whether anything went wrong since it last came farther.
    pub(super) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// Whether all of it goes with the request that ends it.
    pub(super) fn is_whole(&self, offset: u64) -> bool {
        offset == 0 && self.size <= self.piece.unwrap_or(SMALL).min(SMALL)
    }

    /// The length of the next piece. Never more than is left.
    pub(super) fn length(&self, offset: u64) -> u64 {
        let left = self.size - offset;
        self.piece.map_or(left, |piece| piece.min(left))
    }

    /// What follows an error.
    pub(super) fn after(&mut self, error: &Error, policy: RetryPolicy, dice: f64) -> Next {
        let status = error.refusal().map(|refusal| refusal.status);
        let code = error.refusal().and_then(|refusal| refusal.code.as_deref());
        match (status, code) {
            (Some(413), _) => self.smaller(),
            (_, Some("DIGEST_INVALID")) if self.is_resumed && !self.began_anew => {
                self.began_anew = true;
                Next::Again { pause: Duration::ZERO, resume: false }
            }
            // The registry has lost it, or has come to another place.
            (Some(404), _) => self.again(Hope::After(None), policy, dice, false),
            (Some(416), _) | (_, Some("BLOB_UPLOAD_INVALID" | "RANGE_INVALID")) => {
                self.again(Hope::After(None), policy, dice, true)
            }
            _ => self.again(error.hope(), policy, dice, true),
        }
    }

    fn again(&mut self, hope: Hope, policy: RetryPolicy, dice: f64, resume: bool) -> Next {
        self.failed += 1;
        match policy.pause(self.failed, hope, dice) {
            Some(pause) => Next::Again { pause, resume },
            None => Next::GiveUp,
        }
    }

    /// The registry, or a proxy before it, doesn't take so much at a time.
    fn smaller(&mut self) -> Next {
        let piece = match self.piece {
            None => PIECE.min(self.size.div_ceil(2)),
            Some(piece) => piece / 2,
        };
        if piece < LEAST.max(self.least) {
            return Next::GiveUp;
        }
        self.piece = Some(piece);
        Next::Again { pause: Duration::ZERO, resume: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TransportError, refusal};

    const POLICY: RetryPolicy =
        RetryPolicy { retries: 2, first: Duration::from_secs(1), longest: Duration::from_secs(60) };
    const RESUME: Next = Next::Again { pause: Duration::from_secs(1), resume: true };

    fn refused(status: u16, code: &str) -> Error {
        let body = format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#);
        refusal::error("PATCH https://r/".to_owned(), status, None, body.as_bytes())
    }

    fn cut() -> Error {
        Error::Transport {
            request: "PATCH https://r/".to_owned(),
            source: TransportError::Cut("x".to_owned()),
        }
    }

    #[test]
    fn small_blobs_go_whole_and_large_ones_in_a_stream() {
        let plan = Plan::new(SMALL);
        assert!(plan.is_whole(0) && !plan.is_whole(5));
        let plan = Plan::new(100 * PIECE);
        assert!(!plan.is_whole(0));
        assert_eq!((plan.length(0), plan.length(PIECE)), (100 * PIECE, 99 * PIECE));
    }

    #[test]
    fn an_announced_least_length_makes_pieces() {
        let mut plan = Plan::new(100 * PIECE);
        plan.begun(Some(5), 0);
        assert_eq!(plan.length(0), PIECE);
        plan.begun(Some(2 * PIECE), 0);
        assert_eq!((plan.length(0), plan.length(99 * PIECE)), (2 * PIECE, PIECE));
    }

    #[test]
    fn what_is_too_much_is_sent_in_ever_smaller_pieces() {
        let mut plan = Plan::new(100 * PIECE);
        let mut lengths = Vec::new();
        while plan.after(&refused(413, ""), POLICY, 1.0) != Next::GiveUp {
            lengths.push(plan.length(0));
        }
        assert_eq!(&lengths[..2], &[PIECE, PIECE / 2]);
        assert_eq!(lengths.last(), Some(&LEAST));
        let mut small = Plan::new(SMALL);
        assert_ne!(small.after(&refused(413, ""), POLICY, 1.0), Next::GiveUp);
        assert!(!small.is_whole(0) && small.length(0) == SMALL / 2);
        let mut bound = Plan::new(100 * PIECE);
        bound.begun(Some(PIECE), 0);
        assert_eq!(bound.after(&refused(413, ""), POLICY, 1.0), Next::GiveUp);
    }

    #[test]
    fn cuts_are_counted_until_the_registry_has_come_farther() {
        let mut plan = Plan::new(100 * PIECE);
        for offset in [10, 20, 30] {
            plan.begun(None, offset);
            assert_eq!(plan.after(&cut(), POLICY, 1.0), RESUME);
        }
        plan.begun(None, 30);
        plan.after(&cut(), POLICY, 1.0);
        plan.begun(None, 25);
        assert_eq!(plan.after(&cut(), POLICY, 1.0), Next::GiveUp);
    }

    #[test]
    fn a_lost_upload_begins_anew_and_another_offset_is_asked_for() {
        let mut plan = Plan::new(100 * PIECE);
        let anew = Next::Again { pause: Duration::from_secs(1), resume: false };
        assert_eq!(plan.after(&refused(404, "BLOB_UPLOAD_UNKNOWN"), POLICY, 1.0), anew);
        let mut plan = Plan::new(100 * PIECE);
        assert_eq!(plan.after(&refused(416, "BLOB_UPLOAD_INVALID"), POLICY, 1.0), RESUME);
    }

    #[test]
    fn a_wrong_digest_after_a_cut_is_tried_once_more_from_the_beginning() {
        let mut plan = Plan::new(100 * PIECE);
        assert_eq!(plan.after(&refused(400, "DIGEST_INVALID"), POLICY, 1.0), Next::GiveUp);
        plan.begun(None, 10);
        let anew = Next::Again { pause: Duration::ZERO, resume: false };
        assert_eq!(plan.after(&refused(400, "DIGEST_INVALID"), POLICY, 1.0), anew);
        plan.begun(None, 10);
        assert_eq!(plan.after(&refused(400, "DIGEST_INVALID"), POLICY, 1.0), Next::GiveUp);
        assert_eq!(plan.after(&refused(403, "DENIED"), POLICY, 1.0), Next::GiveUp);
    }
}
