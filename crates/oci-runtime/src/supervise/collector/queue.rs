//! Records that a collector has not taken: how much of them was sent, and which it still has to acknowledge. Pure.

use std::{collections::VecDeque, io::IoSlice};

/// What a record costs besides its bytes.
const OVERHEAD: u64 = 64;
/// How many records go into one call.
const AT_ONCE: usize = 64;

/// Records in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: VecDeque<Kept>,
    /// How many of them, from the front, were sent whole and are to be acknowledged.
    sent: usize,
    /// How many bytes of the one after these were sent.
    offset: usize,
    bytes: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    /// What its acknowledgement will name, if there is to be one.
    name: Option<String>,
}

impl Kept {
    fn cost(&self) -> u64 {
        self.bytes.len() as u64 + OVERHEAD
    }
}

impl Queue {
    /// Appends a record unless there is no room for it; a single one has room in any case.
    pub(super) fn push(&mut self, bytes: Vec<u8>, name: Option<String>, room: u64) {
        let record = Kept { bytes, name };
        let cost = record.cost();
        if !self.records.is_empty() && self.bytes.saturating_add(cost) > room {
            self.dropped += 1;
            return;
        }
        self.bytes += cost;
        self.records.push_back(record);
    }

    /// How much is kept.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.records.len()
    }

    /// Whether records have been sent whose acknowledgement has not come.
    pub(super) fn owes_answers(&self) -> bool {
        self.sent > 0
    }

    /// Whether nothing would have to be sent again if the connection ended now.
    pub(super) fn is_between_records(&self) -> bool {
        self.offset == 0 && self.sent == 0
    }

    /// The next bytes to send: one slice for each record.
    pub(super) fn unsent(&self) -> Vec<IoSlice<'_>> {
        let next = self.records.iter().skip(self.sent).take(AT_ONCE);
        next.enumerate()
            .map(|(index, record)| IoSlice::new(&record.bytes[if index == 0 { self.offset } else { 0 }..]))
            .collect()
    }

    /// So many bytes of these were taken.
    pub(super) fn sent(&mut self, mut count: usize) {
        while count > 0 && self.has_unsent() {
            let left = self.records[self.sent].bytes.len() - self.offset;
            if count < left {
                self.offset += count;
                return;
            }
            count -= left;
            self.record_sent();
        }
    }

    /// The next record was taken whole.
    pub(super) fn record_sent(&mut self) {
        self.offset = 0;
        match self.records.get(self.sent) {
            Some(Kept { name: Some(_), .. }) => self.sent += 1,
            Some(_) => self.remove(self.sent),
            None => {}
        }
    }

    /// The next record can't be sent at all.
    pub(super) fn drop_first(&mut self) {
        self.offset = 0;
        self.remove(self.sent);
        self.dropped += 1;
    }

    /// An acknowledgement has come. Which no record waits for means nothing.
    pub(super) fn acknowledged(&mut self, name: &str) {
        let found = self.records.iter().take(self.sent).position(|kept| kept.name.as_deref() == Some(name));
        if let Some(index) = found {
            self.remove(index);
            self.sent -= 1;
        }
    }

    /// The connection has ended: what it did not take for sure is to be sent again.
    pub(super) fn start_over(&mut self) {
        (self.sent, self.offset) = (0, 0);
    }

    /// Drops everything, and counts it.
    pub(super) fn give_up(&mut self) {
        self.dropped += self.records.len() as u64;
        self.records.clear();
        self.bytes = 0;
        self.start_over();
    }

    /// How many records were dropped since this was last asked.
    pub(super) fn take_dropped(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.dropped)).filter(|count| *count > 0)
    }

    fn remove(&mut self, index: usize) {
        if let Some(record) = self.records.remove(index) {
            self.bytes -= record.cost();
        }
        if self.records.is_empty() {
            self.records = VecDeque::new(); // a flood's memory must not stay
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unsent(queue: &Queue) -> Vec<u8> {
        queue.unsent().iter().flat_map(|slice| slice.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn whatever_a_connection_takes_every_record_is_sent_whole_and_in_order(
            lengths in prop::collection::vec(1_usize..50, 1..80),
            takes in prop::collection::vec((1_usize..200, prop::bool::weighted(0.2)), 1..200),
        ) {
            let mut queue = Queue::default();
            for (number, length) in lengths.iter().enumerate() {
                queue.push(vec![u8::try_from(number).unwrap(); *length], None, u64::MAX);
            }
            // What collectors saw, one after the other; a connection that ends may end inside a record.
            let mut connections = vec![Vec::new()];
            for (take, ends) in takes {
                let bytes = unsent(&queue);
                let count = take.min(bytes.len());
                connections.last_mut().unwrap().extend_from_slice(&bytes[..count]);
                queue.sent(count);
                if ends {
                    queue.start_over();
                    connections.push(Vec::new());
                }
            }
            connections.last_mut().unwrap().extend(std::iter::from_fn(|| {
                let bytes = unsent(&queue);
                queue.sent(bytes.len());
                (!bytes.is_empty()).then_some(bytes)
            }).flatten());
            let mut whole = Vec::new();
            for bytes in connections {
                for group in bytes.chunk_by(|a, b| a == b) {
                    if group.len() == lengths[usize::from(group[0])] {
                        whole.push(usize::from(group[0]));
                    }
                }
            }
            prop_assert_eq!(whole, (0..lengths.len()).collect::<Vec<_>>());
            prop_assert!(queue.is_empty() && queue.bytes() == 0);
        }
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted_but_for_a_single_record() {
        let mut queue = Queue::default();
        queue.push(vec![0; 1000], None, 100);
        queue.push(vec![0; 1], None, 100);
        assert_eq!(queue.bytes(), 1000 + OVERHEAD);
        assert_eq!((queue.take_dropped(), queue.take_dropped()), (Some(1), None));
    }

    #[test]
    fn an_acknowledged_record_is_forgotten_and_the_others_are_sent_again() {
        let mut queue = Queue::default();
        for name in ["a", "b", "c"] {
            queue.push(name.as_bytes().to_vec(), Some(name.to_owned()), u64::MAX);
        }
        queue.sent(2);
        assert!(queue.owes_answers() && unsent(&queue) == b"c");
        queue.acknowledged("b");
        queue.acknowledged("unknown");
        queue.start_over();
        assert_eq!(unsent(&queue), b"ac");
        queue.give_up();
        assert_eq!((queue.take_dropped(), queue.bytes()), (Some(2), 0));
    }
}
