//! Cuts an answer to what its client takes. Pure.

use crate::{
    query::{Asked, OPT},
    wire::{self, HEADER, RawRecord},
};

const TRUNCATED: u8 = 0x02;

/// The answer, or as many of its first records as fit, marked as truncated: a client then asks by TCP.
pub(crate) fn fit(answer: Vec<u8>, asked: &Asked) -> Vec<u8> {
    if answer.len() <= asked.limit() { answer } else { cut(&answer, asked) }
}

fn cut(answer: &[u8], asked: &Asked) -> Vec<u8> {
    let options = options(answer, asked.question_end).unwrap_or_default();
    let room = asked.limit().saturating_sub(options.len());
    let answers = Records { message: answer, at: asked.question_end }.take(count(answer, 6));
    let (mut kept, mut end) = (0u16, asked.question_end);
    for record in answers.take_while(|record| record.end <= room) {
        kept += 1;
        end = record.end;
    }
    // Pointers in what is kept lead backwards, so they still lead to the same place.
    let mut cut = [&answer[..end], options].concat();
    cut[2] |= TRUNCATED;
    cut[6..8].copy_from_slice(&kept.to_be_bytes());
    cut[8..HEADER].copy_from_slice(&[0, 0, 0, u8::from(!options.is_empty())]);
    cut
}

/// The record with EDNS options, if it isn't so long that nothing would fit beside it.
fn options(answer: &[u8], start: usize) -> Option<&[u8]> {
    const LONGEST: usize = 128;
    let all = count(answer, 6) + count(answer, 8) + count(answer, 10);
    let mut start = start;
    for record in (Records { message: answer, at: start }).take(all) {
        if record.kind == OPT {
            return (record.end - start <= LONGEST).then(|| &answer[start..record.end]);
        }
        start = record.end;
    }
    None
}

fn count(message: &[u8], at: usize) -> usize {
    wire::number(message, at).into()
}

/// Records one after the other, until one is no record.
struct Records<'a> {
    message: &'a [u8],
    at: usize,
}

impl Iterator for Records<'_> {
    type Item = RawRecord;

    fn next(&mut self) -> Option<RawRecord> {
        let record = wire::record(self.message, self.at)?;
        self.at = record.end;
        Some(record)
    }
}
