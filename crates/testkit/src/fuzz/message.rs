//! Changes to messages of binary protocols: bytes, numbers of 16 bits, and pieces of other messages in their place.

use super::{random::Random, text::scratch};

/// Lengths, counts, types and pointers that mean something to somebody.
const NUMBERS: [u16; 14] = [0, 1, 2, 11, 12, 41, 255, 256, 512, 0x7fff, 0x8000, 0xc000, 0xc00c, u16::MAX];
/// A message that repeats itself grows no further.
const LONGEST: usize = 64 << 10;

/// Changes a message in one to six places.
pub(super) fn changed(from: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut message = from.to_vec();
    for _ in 0..random.changes() {
        let at = random.below(message.len() + 1);
        match random.below(6) {
            0 => put(&mut message, at, &random.pick(&NUMBERS).to_be_bytes()),
            1 => put(&mut message, at, &[random.next() as u8]),
            2 if !others.is_empty() => {
                let piece = piece(random.pick::<Vec<u8>>(others), random);
                message.splice(at..at, piece);
            }
            3 => {
                let again = piece(&message, random);
                let most = LONGEST.saturating_sub(message.len()) / again.len().max(1);
                message.splice(at..at, again.repeat(most.min(1 << random.below(9))));
            }
            _ => scratch(&mut message, random),
        }
    }
    message
}

/// The same without the piece of a thirty-second that is `at` places on.
pub(super) fn without(message: &[u8], at: usize) -> Option<Vec<u8>> {
    let length = message.len().div_ceil(32);
    let start = at.checked_mul(length).filter(|start| *start < message.len())?;
    let end = (start + length).min(message.len());
    Some([&message[..start], &message[end..]].concat())
}

/// Writes over what is there, as far as it goes.
fn put(message: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in message[at..].iter_mut().zip(bytes) {
        *place = *byte;
    }
}

fn piece(message: &[u8], random: &mut Random) -> Vec<u8> {
    let start = random.below(message.len() + 1);
    let length = random.below(32.min(message.len() - start) + 1);
    message[start..start + length].to_vec()
}
