//! Protocol buffers, as far as criu's RPC (its `images/rpc.proto`) needs them: numbers, texts and messages
//! in messages.

/// Writes fields.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

const NUMBER: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A number, an enumeration's value or, sign-extended, a negative number.
    pub(super) fn number(&mut self, field: u64, value: i64) {
        self.varint(field << 3 | NUMBER);
        self.varint(value as u64);
    }

    pub(super) fn bool(&mut self, field: u64, value: bool) {
        self.number(field, value.into());
    }

    /// A number where there is one.
    pub(super) fn maybe(&mut self, field: u64, value: Option<i64>) {
        if let Some(value) = value {
            self.number(field, value);
        }
    }

    pub(super) fn text(&mut self, field: u64, value: &str) {
        self.raw(field, value.as_bytes());
    }

    pub(super) fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.raw(field, &inner.bytes);
    }

    fn raw(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | BYTES);
        self.varint(value.len() as u64);
        self.bytes.extend(value);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) => 0,
        }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Number(_) => &[],
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The fields of a message in their order; what is damaged ends it.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let key = varint(&mut rest)?;
        let field = match key & 7 {
            NUMBER => Field::Number(varint(&mut rest)?),
            FIXED_64 => Field::Bytes(take(&mut rest, 8)?),
            FIXED_32 => Field::Bytes(take(&mut rest, 4)?),
            BYTES => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Field::Bytes(take(&mut rest, length)?)
            }
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were_written() {
        let mut writer = Writer::default();
        writer.number(1, 300);
        writer.number(2, -1);
        writer.text(3, "hi");
        writer.message(40, |inner| inner.bool(1, true));
        let bytes = writer.into_bytes();
        assert_eq!(bytes[..3], [8, 0xac, 2]);
        let read: Vec<_> = fields(&bytes).collect();
        assert_eq!(
            read[..3],
            [(1, Field::Number(300)), (2, Field::Number(u64::MAX)), (3, Field::Bytes(b"hi"))]
        );
        assert_eq!(fields(read[3].1.bytes()).next(), Some((1, Field::Number(1))));
        for length in 0..bytes.len() {
            assert!(fields(&bytes[..length]).count() <= 4);
        }
        assert_eq!(fields(&[0xff; 40]).count(), 0);
    }
}
