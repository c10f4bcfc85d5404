//! RSA keys of OpenSSH's files, which lack two of the numbers that a quick signature takes.

use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::RsaKeyPair;
use zeroize::Zeroizing;

use super::KeyFault;

/// The most bytes of a modulus, of 4096 bits.
const MOST: usize = 512;

/// What a file has, without zeros before it.
pub(super) struct Numbers<'a> {
    pub(super) n: &'a [u8],
    pub(super) e: &'a [u8],
    pub(super) d: &'a [u8],
    /// Of `q`, by `p`.
    pub(super) inverse: &'a [u8],
    pub(super) p: &'a [u8],
    pub(super) q: &'a [u8],
}

/// The key that signs.
pub(super) fn pair(&Numbers { n, e, d, inverse, p, q }: &Numbers<'_>) -> Result<RsaKeyPair, KeyFault> {
    // Before anything is calculated with them.
    if [n, d, p, q].iter().any(|number| number.len() > MOST) {
        return Err(KeyFault::Kind);
    }
    let (for_p, for_q) = (exponent(d, p), exponent(d, q));
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: &for_p[..],
        dQ: &for_q[..],
        qInv: inverse,
    };
    RsaKeyPair::from_components(&components).map_err(|_| KeyFault::Kind)
}

/// The remainder of `d` divided by `prime - 1`, in as many bytes as `prime` has, bit by bit. It is calculated once for a key
/// that the user reads, with nobody there to measure it.
fn exponent(d: &[u8], prime: &[u8]) -> Zeroizing<Vec<u8>> {
    // A byte before it: twice the remainder may have a bit more.
    let mut divisor = Zeroizing::new([&[0], prime].concat());
    if let Some(last) = divisor.last_mut() {
        *last &= !1; // Primes are odd.
    }
    let mut rest = Zeroizing::new(vec![0; divisor.len()]);
    for bit in d.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        double(&mut rest, bit);
        if *rest >= *divisor {
            subtract(&mut rest, &divisor);
        }
    }
    rest.remove(0);
    rest
}

/// Twice the number, and `bit`.
fn double(number: &mut [u8], bit: u8) {
    let mut carry = bit;
    for byte in number.iter_mut().rev() {
        (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
    }
}

/// `number - other`, of which `number` is not the lesser and both have the same length.
fn subtract(number: &mut [u8], other: &[u8]) {
    let mut borrow = false;
    for (byte, other) in number.iter_mut().zip(other).rev() {
        let (less, first) = byte.overflowing_sub(*other);
        let (less, second) = less.overflowing_sub(u8::from(borrow));
        (*byte, borrow) = (less, first || second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_those_of_division() {
        for (d, prime) in [(0x1234_5678_9abc_def0_u64, 0xfff1_u64), (5, 257), (u64::MAX, 0xffff_fffb), (9, 3)]
        {
            let digits = prime.to_be_bytes();
            let digits = &digits[digits.iter().position(|byte| *byte != 0).unwrap()..];
            let found = exponent(&d.to_be_bytes(), digits);
            let found = found.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            assert_eq!(found, d % (prime - 1), "{d} {prime}");
        }
    }
}
