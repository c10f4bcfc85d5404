//! Compressed streams, recognised by their first bytes and never by what a media type claims.

use std::io::{self, BufRead, BufReader, Read};

/// How many first bytes tell the compression.
pub(crate) const SNIFF: usize = 8;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    /// One that minke does not read, by name.
    Unsupported(&'static str),
}

impl Compression {
    /// The compression of a stream that begins with `start`.
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // zstd's skippable frames may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Unsupported("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Unsupported("xz"),
            _ => Self::None,
        }
    }

    /// The media type of a layer compressed so (OCI image specification, "Image Layer Filesystem Changeset").
    pub(crate) fn layer_media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::None | Self::Unsupported(_) => "application/vnd.oci.image.layer.v1.tar",
        }
    }
}

/// Decompresses `source`, whatever it is; all members of a gzip file and all frames of a zstd one.
///
/// # Errors
/// When the first bytes cannot be read, or the compression is one that minke does not read.
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
        Compression::Unsupported(name) => {
            let problem =
                format!("{name} compression is not supported: decompress it first, or use gzip or zstd");
            return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
        }
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

    #[test]
    fn other_compressions_are_named() {
        assert!(read(b"BZh91AY").unwrap_err().to_string().contains("bzip2"));
        assert!(read(b"\xfd7zXZ\0\0\0").unwrap_err().to_string().contains("xz"));
    }
}
