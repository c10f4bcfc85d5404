//! sha256 while bytes pass by.

use std::io::{self, Read, Write};

use minke_model::Digest;
use sha2::{Digest as _, Sha256};

/// A sha256 in the making.
#[derive(Default)]
pub(crate) struct Hasher {
    hash: Sha256,
    length: u64,
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The digest, and the number of bytes it covers.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.finalize().into()), self.length)
    }
}

/// The digest of some bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish().0
}

/// Hashes what is written through it.
pub(crate) struct HashWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> HashWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    pub(crate) fn finish(self) -> (W, Digest, u64) {
        let (digest, length) = self.hasher.finish();
        (self.inner, digest, length)
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hashes what is read through it.
pub(crate) struct HashReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R> HashReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    pub(crate) fn finish(self) -> (Digest, u64) {
        self.hasher.finish()
    }
}

impl<R: Read> Read for HashReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_and_writing_give_the_same_digest() {
        let mut writer = HashWriter::new(Vec::new());
        writer.write_all(b"abc").unwrap();
        let (_, digest, length) = writer.finish();
        assert_eq!(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((digest, length), (digest_of(b"abc"), 3));
        let mut reader = HashReader::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish(), (digest, 3));
    }
}
