//! Directories' times, which are set when nothing is written into them any more: that changes them.

use std::collections::BTreeMap;

use crate::archive::entry::Moment;

/// Most bytes of names that are kept: an archive decides how many directories it has.
const MOST: usize = 16 << 20;
/// What an entry takes beside its name.
const EACH: usize = 64;

/// The times that are still to be set, by the directories' clean names.
#[derive(Debug, Default)]
pub(super) struct Times {
    of: BTreeMap<Vec<u8>, Moment>,
    bytes: usize,
}

impl Times {
    /// Keeps a directory's time. Gives those that are to be set now, where there are too many: archives go through directories one after
    /// the other, so they are those that this one isn't in.
    pub(super) fn keep(&mut self, name: &[u8], time: Moment) -> Vec<(Vec<u8>, Moment)> {
        if self.of.insert(name.to_vec(), time).is_none() {
            self.bytes += name.len() + EACH;
        }
        if self.bytes <= MOST {
            return Vec::new();
        }
        let is_above = |above: &[u8]| {
            above.is_empty()
                || name.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        let (above, done): (Vec<_>, _) =
            std::mem::take(&mut self.of).into_iter().partition(|(name, _)| is_above(name));
        self.bytes = above.iter().map(|(name, _)| name.len() + EACH).sum();
        self.of = above.into_iter().collect();
        done
    }

    /// Forgets a directory that has gone, with all in it.
    pub(super) fn forget(&mut self, name: &[u8]) {
        let below = |last: u8| [name, &[last]].concat();
        let inside: Vec<_> =
            self.of.range(below(b'/')..below(b'/' + 1)).map(|(name, _)| name.clone()).collect();
        for name in inside.iter().map(Vec::as_slice).chain([name]) {
            if self.of.remove(name).is_some() {
                self.bytes -= name.len() + EACH;
            }
        }
    }

    /// All that are left.
    pub(super) fn take(&mut self) -> Vec<(Vec<u8>, Moment)> {
        self.bytes = 0;
        std::mem::take(&mut self.of).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Moment {
        Moment { seconds, nanoseconds: 0 }
    }

    #[test]
    fn what_has_gone_is_forgotten_with_what_was_in_it() {
        let mut times = Times::default();
        for name in ["a", "a/b", "a/b/c", "a.b", "a0"] {
            assert!(times.keep(name.as_bytes(), time(1)).is_empty());
        }
        times.forget(b"a");
        let left: Vec<_> = times.take().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, [b"a.b".to_vec(), b"a0".to_vec()]);
        assert!(times.take().is_empty() && times.bytes == 0);
    }

    #[test]
    fn too_many_are_set_early_but_for_those_that_are_being_filled() {
        let mut times = Times::default();
        let (mut set, long) = (0, "n".repeat(250));
        assert!(times.keep(b"", time(0)).is_empty() && times.keep(b"top", time(1)).is_empty());
        let count = 3 * MOST / (250 + EACH);
        for number in 0..count {
            let done = times.keep(format!("top/{number}{long}").as_bytes(), time(2));
            assert!(done.iter().all(|(name, at)| name.starts_with(b"top/") && at.seconds == 2));
            set += done.len();
            assert!(times.bytes <= MOST);
        }
        let left = times.take();
        assert_eq!((left[0].1.seconds, left[1].1.seconds, set + left.len()), (0, 1, count + 2));
    }
}
