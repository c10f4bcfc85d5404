//! Compressed streams, recognised by their first bytes and never by what a media type claims.

mod xz;

use std::io::{self, BufRead, BufReader, Read};

use xz::Xz;

/// How many first bytes tell the compression.
pub(crate) const SNIFF: usize = 8;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    /// The compression of a stream that begins with `start`.
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // zstd's skippable frames may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }

    /// The media type of a layer compressed so (OCI image specification, "Image Layer Filesystem Changeset"). It has none for bzip2
    /// and xz, which readers recognise by their bytes, as Docker does.
    pub(crate) fn layer_media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::None | Self::Bzip2 | Self::Xz => "application/vnd.oci.image.layer.v1.tar",
        }
    }
}

/// Decompresses `source`, whatever it is: gzip, zstd, bzip2, xz or nothing; all members of a file, not the first alone.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompress<'a>(source: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut start = Vec::with_capacity(SNIFF);
    let mut source = source;
    source.by_ref().take(SNIFF as u64).read_to_end(&mut start)?;
    let compression = Compression::of(&start);
    let whole = BufReader::with_capacity(64 << 10, io::Cursor::new(start).chain(source));
    decoder(whole, compression)
}

fn decoder<'a>(
    source: impl BufRead + Send + 'a,
    compression: Compression,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
        Compression::Xz => Box::new(Xz::new(source)),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_member_and_every_frame_is_read() {
        assert_eq!(read(&[gzip(b"one "), gzip(b"two")].concat()).unwrap(), b"one two");
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        assert_eq!(read(&[frame(b"one "), frame(b"two")].concat()).unwrap(), b"one two");
        assert_eq!(read(b"plain").unwrap(), b"plain");
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn a_cut_stream_is_an_error_and_not_a_short_file() {
        let whole = gzip(&vec![7; 100_000]);
        assert!(read(&whole[..whole.len() - 5]).is_err());
        let whole = zstd::encode_all(&vec![7; 100_000][..], 1).unwrap();
        assert!(read(&whole[..whole.len() - 1]).is_err());
    }

    /// What `xz` makes of "one ", and of "two", one after the other.
    const XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x0, 0x0, 0x4, 0xe6, 0xd6, 0xb4, 0x46, 0x2, 0x0, 0x21, 0x1, 0x16, 0x0,
        0x0, 0x0, 0x74, 0x2f, 0xe5, 0xa3, 0x1, 0x0, 0x3, 0x6f, 0x6e, 0x65, 0x20, 0x0, 0x5a, 0x8c, 0x83, 0xa3,
        0x31, 0x35, 0xef, 0x7e, 0x0, 0x1, 0x1c, 0x4, 0x6f, 0x2c, 0x9c, 0xc1, 0x1f, 0xb6, 0xf3, 0x7d, 0x1,
        0x0, 0x0, 0x0, 0x0, 0x4, 0x59, 0x5a, 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x0, 0x0, 0x4, 0xe6, 0xd6, 0xb4,
        0x46, 0x2, 0x0, 0x21, 0x1, 0x16, 0x0, 0x0, 0x0, 0x74, 0x2f, 0xe5, 0xa3, 0x1, 0x0, 0x2, 0x74, 0x77,
        0x6f, 0x0, 0x0, 0x5d, 0xd3, 0x79, 0x29, 0x75, 0x28, 0x52, 0x3, 0x0, 0x1, 0x1b, 0x3, 0xb, 0x2f, 0xb9,
        0x10, 0x1f, 0xb6, 0xf3, 0x7d, 0x1, 0x0, 0x0, 0x0, 0x0, 0x4, 0x59, 0x5a,
    ];

    #[test]
    fn bzip2_and_xz_are_read_to_their_last_stream() {
        let bzip2 = |bytes: &[u8]| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let two = [bzip2(b"one "), bzip2(b"two")].concat();
        assert_eq!(read(&two).unwrap(), b"one two");
        assert!(read(&two[..two.len() - 4]).is_err());
        assert_eq!(read(XZ).unwrap(), b"one two");
        assert!(read(&XZ[..XZ.len() - 4]).is_err());
        let mut damaged = XZ.to_vec();
        damaged[30] ^= 1;
        assert!(read(&damaged).is_err());
    }

    /// A panic would end the engine.
    #[test]
    fn a_damaged_stream_is_an_error_or_other_bytes_and_nothing_worse() {
        let samples: [&[u8]; 5] = [
            include_bytes!("../tests/image/compressed/text.xz"),
            include_bytes!("../tests/image/compressed/delta.xz"),
            include_bytes!("../tests/image/compressed/x86.xz"),
            include_bytes!("../tests/image/compressed/two.xz"),
            include_bytes!("../tests/image/compressed/text.bz2"),
        ];
        let tried = |bytes: &[u8]| {
            let mut reader = decompress(bytes).unwrap().take(1 << 20);
            let first = reader.read_to_end(&mut Vec::new());
            // Whoever goes on after an error gets no more than an error.
            let _ = reader.read(&mut [0; 16]);
            first
        };
        for sample in samples {
            let whole = tried(sample).unwrap();
            for at in 0..sample.len() {
                assert_ne!(tried(&sample[..at]).ok(), Some(whole));
                for change in [1, 0x80, 0xff] {
                    let mut damaged = sample.to_vec();
                    damaged[at] ^= change;
                    let _ = tried(&damaged);
                }
            }
        }
    }

    #[test]
    fn streams_of_xz_may_end_anywhere_in_a_buffer() {
        struct Dripping<'a>(&'a [u8]);
        impl Read for Dripping<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let most = buffer.len().min(3);
                self.0.read(&mut buffer[..most])
            }
        }
        let mut out = Vec::new();
        decompress(Dripping(XZ)).unwrap().read_to_end(&mut out).unwrap();
        assert_eq!(out, b"one two");
    }

    #[test]
    fn an_xz_stream_gets_no_more_memory_than_is_usual() {
        assert!(
            read(&[
                0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x0, 0x0, 0x4, 0xe6, 0xd6, 0xb4, 0x46, 0x2, 0x0, 0x21, 0x1,
                0x24, 0x0, 0x0, 0x0, 0x5e, 0x1f, 0xc7, 0xf9, 0x1, 0x0, 0x3, 0x68, 0x75, 0x67, 0x65, 0x0,
                0x93, 0xaa, 0x57, 0x3c, 0x21, 0x19, 0x68, 0xd4, 0x0, 0x1, 0x1c, 0x4, 0x6f, 0x2c, 0x9c, 0xc1,
                0x1f, 0xb6, 0xf3, 0x7d, 0x1, 0x0, 0x0, 0x0, 0x0, 0x4, 0x59, 0x5a,
            ])
            .unwrap_err()
            .to_string()
            .contains("memory")
        );
    }
}
