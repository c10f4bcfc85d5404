//! OpenSSH's form of private keys (its PROTOCOL.key), as far as it isn't encrypted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING as P256, ECDSA_P384_SHA384_FIXED_SIGNING as P384, Ed25519KeyPair,
};
use zeroize::Zeroizing;

use super::encoding::{number, string};
use super::key::{Key, Signer, ecdsa};
use super::{KeyFault, rsa};

/// What it begins with.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The bytes of an ed25519 seed, before its public half.
const SEED: usize = 32;

/// Reads the key of a file's text.
pub(super) fn read(text: &str) -> Result<Key, KeyFault> {
    let content = decoded(text).ok_or(KeyFault::Damaged)?;
    let (cipher, private) = private(&content).ok_or(KeyFault::Damaged)?;
    match cipher {
        b"none" => key(private),
        _ => Err(KeyFault::Encrypted),
    }
}

/// What is between the first line and the last one.
fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END OPENSSH PRIVATE KEY-----")?;
    // In one piece of the right size: a buffer that grows leaves copies behind.
    let mut line = Zeroizing::new(String::with_capacity(body.len()));
    line.extend(body.chars().filter(|letter| !letter.is_whitespace()));
    let mut content = Zeroizing::new(vec![0; line.len()]);
    let length = STANDARD.decode_slice(line.as_bytes(), &mut content).ok()?;
    content.truncate(length);
    Some(content)
}

/// The cipher's name, and the private half as it leaves it.
fn private(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = content.strip_prefix(MAGIC)?;
    let (cipher, _kdf, _options) = (string(&mut rest)?, string(&mut rest)?, string(&mut rest)?);
    // There has never been a file of several.
    if number(&mut rest)? != 1 {
        return None;
    }
    let _public = string(&mut rest)?;
    Some((cipher, string(&mut rest)?))
}

fn key(mut rest: &[u8]) -> Result<Key, KeyFault> {
    let rest = &mut rest;
    // The same number twice; whoever decrypts sees by it whether the passphrase was right.
    let checks = (number(rest), number(rest));
    if checks.0.is_none() || checks.0 != checks.1 {
        return Err(KeyFault::Damaged);
    }
    let mut next = || string(rest).ok_or(KeyFault::Damaged);
    let signer = match next()? {
        b"ssh-ed25519" => {
            let (public, private) = (next()?, next()?);
            let seed = private.get(..SEED).ok_or(KeyFault::Damaged)?;
            let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
            Signer::Ed25519(pair.map_err(|_| KeyFault::Damaged)?)
        }
        b"ecdsa-sha2-nistp256" => {
            let (_curve, public, private) = (next()?, next()?, next()?);
            Signer::Ecdsa(ecdsa(&P256, &padded::<32>(private)?[..], public).map_err(|_| KeyFault::Damaged)?)
        }
        b"ecdsa-sha2-nistp384" => {
            let (_curve, public, private) = (next()?, next()?, next()?);
            Signer::Ecdsa(ecdsa(&P384, &padded::<48>(private)?[..], public).map_err(|_| KeyFault::Damaged)?)
        }
        b"ssh-rsa" => {
            let [n, e, d, inverse, p, q] = [next()?, next()?, next()?, next()?, next()?, next()?].map(digits);
            Signer::Rsa(rsa::pair(&rsa::Numbers { n, e, d, inverse, p, q })?)
        }
        _ => return Err(KeyFault::Kind),
    };
    Ok(Key::new(signer, String::from_utf8_lossy(next()?).into_owned()))
}

/// A number's bytes without the zeros before them.
fn digits(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

/// A number in that many bytes: numbers are written as short as they can be, and ring wants all.
fn padded<const SIZE: usize>(number: &[u8]) -> Result<Zeroizing<[u8; SIZE]>, KeyFault> {
    let digits = digits(number);
    let mut padded = Zeroizing::new([0; SIZE]);
    let start = SIZE.checked_sub(digits.len()).ok_or(KeyFault::Damaged)?;
    padded[start..].copy_from_slice(digits);
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use super::super::encoding::Encoder;
    use super::*;

    #[test]
    fn numbers_have_their_zeros_back() {
        assert_eq!(padded::<3>(&[0, 0x80, 1]).unwrap()[..], [0, 0x80, 1]);
        assert_eq!(padded::<3>(&[7]).unwrap()[..], [0, 0, 7]);
        assert!(padded::<3>(&[1, 2, 3, 4]).is_err());
    }

    /// One, whose public half is the curve's generator.
    #[test]
    fn a_key_may_be_a_short_number() {
        let generator = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
        let byte = |place: usize| u8::from_str_radix(&generator[place..place + 2], 16).unwrap();
        let generator: Vec<u8> = (0..generator.len()).step_by(2).map(byte).collect();
        let written = Encoder::default().number(7).number(7).string(b"ecdsa-sha2-nistp256");
        let written = written.string(b"nistp256").string(&generator).string(&[1]).string(b"one").done();
        let read = key(&written).unwrap();
        assert!(read.public().ends_with(&generator) && read.sign(b"data", 0).is_some());
        assert_eq!(read.comment(), "one");
    }

    #[test]
    fn what_says_more_than_there_is_is_damaged() {
        let head = [MAGIC, &[0, 0, 0, 4], b"none", &[0, 0, 0, 0, 255, 255, 255, 255]].concat();
        for length in 0..=head.len() {
            assert!(private(&head[..length]).is_none(), "{length}");
        }
        assert!(matches!(key(&[0, 0, 0, 1, 0, 0, 0, 2]), Err(KeyFault::Damaged)));
        assert!(matches!(key(&[0; 8]), Err(KeyFault::Damaged)));
    }
}
