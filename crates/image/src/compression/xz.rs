//! An xz decoder that holds what [`Read`] promises: `lzma-rust2`'s takes a read into an empty buffer for the end of a block, and a
//! short read of its source, which a buffer's end is, for a cut stream.

use std::io::{self, Read};

use lzma_rust2::XzReader;

/// The most memory that one filter of a stream gets, KiB: twice what `xz -9` needs. A stream may ask for 4 GiB.
const MEMORY: u32 = 128 << 10;

/// Decompresses all streams of a source.
pub(super) struct Xz<R: Read> {
    reader: XzReader<Whole<R>>,
    is_broken: bool,
}

impl<R: Read> Xz<R> {
    pub(super) fn new(source: R) -> Self {
        Self { reader: XzReader::new_mem_limit(Whole(source), true, MEMORY), is_broken: false }
    }
}

impl<R: Read> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.is_broken {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the xz stream is damaged"));
        }
        let read = self.reader.read(buffer);
        self.is_broken = read.is_err();
        read
    }
}

/// Reads less than was asked for at its end alone.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}
