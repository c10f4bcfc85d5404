//! Sparse files in tars: where a file's data lies between its holes.
//!
//! GNU tar has written four formats (GNU tar manual, "Storing Sparse Files"): the old one in header blocks,
//! and PAX 0.0, 0.1 and 1.0. All are read; 1.0 is written.

use super::{
    entry::Segment,
    header::{BLOCK, number},
    pax::{Record, decimal},
};

/// Pairs (offset, length) of GNU's old format, from a header's or an extension block's table. The table ends
/// at the first empty pair. `None` when a number is malformed.
pub(crate) fn old_gnu_table(table: &[u8], segments: &mut Vec<Segment>) -> Option<()> {
    for pair in table.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        let offset = u64::try_from(number(&pair[..12])?).ok()?;
        let length = u64::try_from(number(&pair[12..])?).ok()?;
        segments.push(Segment { offset, length });
    }
    Some(())
}

/// What the PAX records of one entry say about holes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PaxSparse {
    /// Not a sparse file.
    No,
    /// Formats 0.0 and 0.1: the map is in the records.
    Map(Vec<Segment>),
    /// Format 1.0: the map is at the beginning of the data.
    InData,
}

/// Reads the map from the records; `None` when it is malformed.
pub(crate) fn from_pax(records: &[Record]) -> Option<PaxSparse> {
    let get = |key: &[u8]| records.iter().rev().find(|record| record.key == key).map(|r| r.value.as_slice());
    match (get(b"GNU.sparse.major"), get(b"GNU.sparse.minor")) {
        (Some(b"1"), Some(b"0")) => return Some(PaxSparse::InData),
        (Some(b"0") | None, _) => {}
        _ => return None,
    }
    if let Some(map) = get(b"GNU.sparse.map") {
        let numbers: Option<Vec<u64>> = map.split(|byte| *byte == b',').map(decimal).collect();
        return Some(PaxSparse::Map(pairs(&numbers?)?));
    }
    let is_map = |record: &&Record| matches!(&record.key[..], b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
    let numbers: Option<Vec<u64>> =
        records.iter().filter(is_map).map(|record| decimal(&record.value)).collect();
    match (numbers?.as_slice(), get(b"GNU.sparse.size").or(get(b"GNU.sparse.numblocks"))) {
        ([], None) => Some(PaxSparse::No),
        (numbers, _) => Some(PaxSparse::Map(pairs(numbers)?)),
    }
}

fn pairs(numbers: &[u64]) -> Option<Vec<Segment>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[offset, length]| Segment { offset: *offset, length: *length }).collect())
}

/// Takes format 1.0's map out of the data, block by block: numbers on lines, padded to a block.
#[derive(Default)]
pub(crate) struct MapInData {
    numbers: Vec<u64>,
    digits: Vec<u8>,
}

impl MapInData {
    /// Feeds one block. `Ok(Some(…))` when the map is complete, `Err(())` when it is malformed.
    pub(crate) fn feed(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<Segment>>, ()> {
        for byte in block {
            match byte {
                b'\n' => {
                    self.numbers.push(decimal(&self.digits).ok_or(())?);
                    self.digits.clear();
                    if self.complete()? {
                        return pairs(&self.numbers[1..]).map(Some).ok_or(());
                    }
                }
                digit if digit.is_ascii_digit() && self.digits.len() < 20 => self.digits.push(*digit),
                _ => return Err(()),
            }
        }
        Ok(None)
    }

    fn complete(&self) -> Result<bool, ()> {
        let count = usize::try_from(self.numbers[0]).map_err(|_| ())?;
        Ok(self.numbers.len() == count.checked_mul(2).and_then(|n| n.checked_add(1)).ok_or(())?)
    }
}

/// The text of a 1.0 map, padded to a block.
pub(crate) fn map_for_data(segments: &[Segment]) -> Vec<u8> {
    let mut text = format!("{}\n", segments.len());
    for Segment { offset, length } in segments {
        text.push_str(&format!("{offset}\n{length}\n"));
    }
    let mut data = text.into_bytes();
    data.resize(data.len().next_multiple_of(BLOCK), 0);
    data
}

/// Whether the segments are in order, do not overlap, end within `size` and hold exactly `stored` bytes.
pub(crate) fn is_consistent(segments: &[Segment], size: u64, stored: u64) -> bool {
    let mut end = 0;
    let mut sum = 0_u64;
    for Segment { offset, length } in segments {
        let (Some(next), Some(total)) = (offset.checked_add(*length), sum.checked_add(*length)) else {
            return false;
        };
        if *offset < end || next > size {
            return false;
        }
        (end, sum) = (next, total);
    }
    sum == stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_in_the_data_reads_back_over_several_blocks() {
        let segments: Vec<Segment> = (0..200).map(|i| Segment { offset: i * 10_000, length: 4096 }).collect();
        let data = map_for_data(&segments);
        let mut map = MapInData::default();
        let (blocks, _) = data.as_chunks::<BLOCK>();
        let found = blocks.iter().map(|block| map.feed(block).unwrap()).collect::<Vec<_>>();
        assert_eq!(found.last().unwrap().as_ref(), Some(&segments));
        assert!(found[..found.len() - 1].iter().all(Option::is_none));
    }

    #[test]
    fn segments_that_lie_are_noticed() {
        let segment = |offset, length| Segment { offset, length };
        assert!(is_consistent(&[segment(0, 5), segment(10, 5)], 15, 10));
        assert!(!is_consistent(&[segment(0, 5), segment(4, 5)], 15, 10), "overlap");
        assert!(!is_consistent(&[segment(0, 5), segment(14, 5)], 15, 10), "past the end");
        assert!(!is_consistent(&[segment(u64::MAX, 5)], u64::MAX, 5), "overflow");
        assert!(!is_consistent(&[segment(0, 5)], 15, 6), "more data than segments");
    }
}
