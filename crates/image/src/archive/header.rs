//! The 512-byte header block of a tar, read and written.
//!
//! POSIX ustar with GNU's and star's deviations: base-256 numbers, GNU's magic without a prefix field,
//! star's shorter prefix, old V7 headers. Reference: POSIX.1-2017 pax, "ustar Interchange Format", and the GNU
//! tar manual, "Basic Tar Format".

use std::ops::Range;

/// Bytes of a block; everything in a tar is padded to it.
pub(crate) const BLOCK: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const DEVICE_MAJOR: Range<usize> = 329..337;
const DEVICE_MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_TRAILER: Range<usize> = 508..512;
/// GNU's old sparse format: four (offset, length) pairs, a flag for more blocks, the file's size.
pub(crate) const GNU_SPARSE: Range<usize> = 386..482;
pub(crate) const GNU_SPARSE_MORE: usize = 482;
pub(crate) const GNU_REAL_SIZE: Range<usize> = 483..495;

const USTAR: &[u8] = b"ustar\x0000";
const GNU: &[u8] = b"ustar  \0";

/// One header block.
pub(crate) struct Header<'a>(pub(crate) &'a [u8; BLOCK]);

impl Header<'_> {
    /// Whether the sum of the bytes is the one the header states; old writers summed signed bytes.
    pub(crate) fn checksum_holds(&self) -> bool {
        let Some(stated) = number(&self.0[CHECKSUM]) else { return false };
        let sum = |signed: bool| -> i64 {
            (0..BLOCK)
                .map(|i| match self.0[i] {
                    _ if CHECKSUM.contains(&i) => i64::from(b' '),
                    byte if signed => i64::from(byte.cast_signed()),
                    byte => i64::from(byte),
                })
                .sum()
        };
        stated == sum(false) || stated == sum(true)
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.0[TYPE]
    }

    /// The name with ustar's prefix.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        let prefix = match &self.0[MAGIC] {
            magic if !magic.starts_with(b"ustar") || magic == GNU => &[],
            _ if &self.0[STAR_TRAILER] == b"tar\0" => text(&self.0[STAR_PREFIX]),
            _ => text(&self.0[PREFIX]),
        };
        match prefix {
            [] => name.to_vec(),
            prefix => [prefix, b"/", name].concat(),
        }
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.0[LINK]).to_vec()
    }

    pub(crate) fn mode(&self) -> Option<i64> {
        number(&self.0[MODE])
    }

    pub(crate) fn uid(&self) -> Option<i64> {
        number(&self.0[UID])
    }

    pub(crate) fn gid(&self) -> Option<i64> {
        number(&self.0[GID])
    }

    pub(crate) fn size(&self) -> Option<i64> {
        number(&self.0[SIZE])
    }

    pub(crate) fn mtime(&self) -> Option<i64> {
        number(&self.0[MTIME])
    }

    /// Major and minor number; V7 headers have none.
    pub(crate) fn device(&self) -> Option<(i64, i64)> {
        if !self.0[MAGIC].starts_with(b"ustar") {
            return Some((0, 0));
        }
        Some((number(&self.0[DEVICE_MAJOR])?, number(&self.0[DEVICE_MINOR])?))
    }
}

/// What a written header says; names that do not fit are the caller's to put into a PAX header.
pub(crate) struct HeaderFields<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) type_flag: u8,
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) device: (u32, u32),
}

/// The largest number that fits an octal field of `digits` digits.
pub(crate) const fn octal_max(digits: u32) -> u64 {
    (1 << (3 * digits)) - 1
}

/// Longest name that a header holds by itself.
pub(crate) const NAME_LENGTH: usize = NAME.end - NAME.start;

impl HeaderFields<'_> {
    /// The ustar block. Numbers and names that are too large are cut: a PAX header before it has them.
    pub(crate) fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put(&mut block[NAME], self.name);
        put(&mut block[LINK], self.link);
        put_octal(&mut block[MODE], u64::from(self.mode));
        put_octal(&mut block[UID], u64::from(self.uid));
        put_octal(&mut block[GID], u64::from(self.gid));
        put_octal(&mut block[SIZE], self.size);
        put_octal(&mut block[MTIME], u64::try_from(self.mtime).unwrap_or(0));
        put_octal(&mut block[DEVICE_MAJOR], u64::from(self.device.0));
        put_octal(&mut block[DEVICE_MINOR], u64::from(self.device.1));
        block[TYPE] = self.type_flag;
        block[MAGIC].copy_from_slice(USTAR);
        block[CHECKSUM].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        put(&mut block[CHECKSUM], format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

fn put(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

fn put_octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let largest = octal_max(u32::try_from(digits).unwrap_or(7));
    put(field, format!("{:0digits$o}", value.min(largest)).as_bytes());
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number: octal digits, or base 256 when the first bit is set. An empty field is 0.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return base_256(field);
    }
    let digits =
        field.iter().skip_while(|byte| matches!(byte, b' ' | 0)).take_while(|byte| !matches!(byte, b' ' | 0));
    digits.copied().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement over the whole field but its first bit.
fn base_256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let start = if negative { -1_i128 } else { 0 };
    let value = std::iter::once(first).chain(field[1..].iter().copied()).try_fold(start, |value, byte| {
        let next = (value << 8) | i128::from(byte);
        (i64::try_from(next).is_ok()).then_some(next)
    })?;
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256_with_a_sign() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        assert_eq!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }

    #[test]
    fn a_written_header_reads_back() {
        let fields = HeaderFields {
            name: b"dir/file",
            type_flag: b'3',
            link: b"x",
            mode: 0o4755,
            uid: 7,
            gid: 8,
            size: 9,
            mtime: 10,
            device: (11, 12),
        };
        let block = fields.block();
        let header = Header(&block);
        assert!(header.checksum_holds());
        assert_eq!(
            (header.name(), header.link(), header.type_flag()),
            (b"dir/file".to_vec(), b"x".to_vec(), b'3')
        );
        assert_eq!((header.mode(), header.uid(), header.gid()), (Some(0o4755), Some(7), Some(8)));
        assert_eq!((header.size(), header.mtime(), header.device()), (Some(9), Some(10), Some((11, 12))));
    }

    #[test]
    fn a_changed_byte_breaks_the_checksum() {
        let fields = HeaderFields {
            name: b"a",
            type_flag: b'0',
            link: b"",
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 0,
            device: (0, 0),
        };
        let mut block = fields.block();
        block[3] ^= 1;
        assert!(!Header(&block).checksum_holds());
    }
}
