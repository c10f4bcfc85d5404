//! D-Bus messages as bytes (D-Bus specification, "Message Protocol"): what is sent to systemd is written,
//! and of what comes back the header, strings and object paths are read. Little-endian throughout, as every
//! local peer answers in kind.

/// A value in a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `s`
    Text(String),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    Numbers(Vec<u32>),
    /// `as`
    Texts(Vec<String>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::I32(_) => "i",
            Self::U32(_) => "u",
            Self::I64(_) => "x",
            Self::U64(_) => "t",
            Self::Text(_) => "s",
            Self::Bytes(_) => "ay",
            Self::Numbers(_) => "au",
            Self::Texts(_) => "as",
            Self::Pairs(_) => "a(ss)",
        }
    }
}

/// A unit's property: its name and value.
pub(crate) type Property = (String, Value);

/// Writes values one after the other, each on its boundary.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn align(&mut self, boundary: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(boundary), 0);
    }

    fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.u32(value.into());
    }

    /// A string or an object path.
    pub(super) fn text(&mut self, value: &str) {
        self.u32(value.len() as u32);
        self.bytes.extend(value.as_bytes());
        self.byte(0);
    }

    fn signature(&mut self, value: &str) {
        self.byte(value.len() as u8);
        self.bytes.extend(value.as_bytes());
        self.byte(0);
    }

    /// An array of elements on `boundary`, which `write` writes. The length leaves out the padding before
    /// the first.
    pub(super) fn array(&mut self, boundary: usize, write: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(boundary);
        let start = self.bytes.len();
        write(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(value) => self.bool(*value),
            Value::I32(value) => self.u32(*value as u32),
            Value::U32(value) => self.u32(*value),
            Value::I64(value) => self.u64(*value as u64),
            Value::U64(value) => self.u64(*value),
            Value::Text(value) => self.text(value),
            Value::Bytes(value) => self.array(1, |encoder| encoder.bytes.extend(value)),
            Value::Numbers(value) => self.numbers(value),
            Value::Texts(value) => self.array(4, |encoder| value.iter().for_each(|text| encoder.text(text))),
            Value::Pairs(value) => self.array(8, |encoder| {
                for (first, second) in value {
                    encoder.align(8);
                    encoder.text(first);
                    encoder.text(second);
                }
            }),
        }
    }

    /// `au`
    pub(super) fn numbers(&mut self, values: &[u32]) {
        self.array(4, |encoder| values.iter().for_each(|value| encoder.u32(*value)));
    }

    /// `a(sv)`
    pub(super) fn properties(&mut self, properties: &[Property]) {
        self.array(8, |encoder| {
            for (name, value) in properties {
                encoder.align(8);
                encoder.text(name);
                encoder.variant(value);
            }
        });
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// What a method call says beside its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) destination: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) signature: &'a str,
}

/// Codes of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

const METHOD_CALL: u8 = 1;

/// The bytes before the header's fields.
pub(super) const FIXED_HEADER: usize = 16;

/// A method call as bytes.
pub(super) fn method_call(call: &Call<'_>, serial: u32, body: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.bytes.extend([b'l', METHOD_CALL, 0, 1]);
    encoder.u32(body.len() as u32);
    encoder.u32(serial);
    encoder.array(8, |encoder| {
        let mut field = |code, signature: &str, value: &str| {
            encoder.align(8);
            encoder.byte(code);
            encoder.signature(signature);
            if signature == "g" { encoder.signature(value) } else { encoder.text(value) }
        };
        field(PATH, "o", call.path);
        field(INTERFACE, "s", call.interface);
        field(MEMBER, "s", call.member);
        if let Some(destination) = call.destination {
            field(DESTINATION, "s", destination);
        }
        if !call.signature.is_empty() {
            field(SIGNATURE, "g", call.signature);
        }
    });
    encoder.align(8);
    encoder.bytes.extend(body);
    encoder.into_bytes()
}

/// A kind of message that comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The answer to a call.
    Return,
    /// Its refusal.
    Error,
    /// Something that happened.
    Signal,
    /// Anything else.
    Other,
}

/// A message that came in.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) kind: Kind,
    pub(super) reply_serial: Option<u32>,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) body: Vec<u8>,
}

/// How many bytes follow the fixed header; None for what is no message of ours.
pub(super) fn rest_length(header: &[u8; FIXED_HEADER]) -> Option<usize> {
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if header[0] != b'l' {
        return None;
    }
    let fields = (number(12) as usize).checked_next_multiple_of(8)?;
    fields.checked_add(number(4) as usize)
}

/// Reads a whole message.
pub(super) fn parse(header: &[u8; FIXED_HEADER], rest: &[u8]) -> Option<Incoming> {
    let fields_length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
    let body = rest.get(fields_length.checked_next_multiple_of(8)?..)?.to_vec();
    let kind = match header[1] {
        2 => Kind::Return,
        3 => Kind::Error,
        4 => Kind::Signal,
        _ => Kind::Other,
    };
    let mut message =
        Incoming { kind, reply_serial: None, member: String::new(), error: String::new(), body };
    // The fixed header has 16 bytes, so boundaries in the rest are those in the message.
    let mut fields = Decoder::new(rest.get(..fields_length)?);
    while fields.rest() > 0 {
        fields.align(8);
        let code = fields.byte()?;
        match fields.signature()?.as_str() {
            "s" | "o" => {
                let text = fields.text()?;
                match code {
                    MEMBER => message.member = text,
                    ERROR_NAME => message.error = text,
                    _ => {}
                }
            }
            "g" => drop(fields.signature()?),
            "u" => {
                let number = fields.u32()?;
                if code == REPLY_SERIAL {
                    message.reply_serial = Some(number);
                }
            }
            // Of a type that no header field has had so far; what counts comes with the known ones.
            _ => break,
        }
    }
    Some(message)
}

/// Reads values one after the other; None beyond the end.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn rest(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn align(&mut self, boundary: usize) {
        self.at = self.at.next_multiple_of(boundary);
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A string or an object path.
    pub(super) fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    pub(super) fn signature(&mut self) -> Option<String> {
        let length = self.byte()?.into();
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> ([u8; FIXED_HEADER], &[u8]) {
        (bytes[..FIXED_HEADER].try_into().unwrap(), &bytes[FIXED_HEADER..])
    }

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let call = Call { destination: None, path: "/o", interface: "a.b", member: "M", signature: "s" };
        let mut body = Encoder::default();
        body.text("hi");
        let bytes = method_call(&call, 7, &body.into_bytes());
        let (header, rest) = split(&bytes);
        assert_eq!(header[..12], [b'l', 1, 0, 1, 7, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(rest_length(&header), Some(rest.len()));
        assert_eq!(rest[..11], [1, 1, b'o', 0, 2, 0, 0, 0, b'/', b'o', 0]);
        let parsed = parse(&header, rest).unwrap();
        assert_eq!((parsed.kind, parsed.member.as_str(), parsed.body.len()), (Kind::Other, "M", 7));
    }

    #[test]
    fn arrays_of_structures_begin_on_their_boundary() {
        let mut encoder = Encoder::default();
        encoder.properties(&[("Delegate".into(), Value::Bool(true))]);
        let bytes = encoder.into_bytes();
        // The length leaves out the padding before the first structure.
        assert_eq!(bytes[..8], [20, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[8..24], *b"\x08\0\0\0Delegate\0\x01b\0");
        assert_eq!(bytes[24..], [1, 0, 0, 0]);
    }

    #[test]
    fn damaged_messages_are_refused_and_never_read_beyond() {
        let call =
            Call { destination: Some("x.y"), path: "/o", interface: "a.b", member: "M", signature: "" };
        let bytes = method_call(&call, 1, &[]);
        let (header, rest) = split(&bytes);
        for length in 0..rest.len() {
            let _ = parse(&header, &rest[..length]);
        }
        for at in 0..rest.len() {
            let mut damaged = rest.to_vec();
            damaged[at] ^= 0xff;
            let _ = parse(&header, &damaged);
        }
        assert_eq!(rest_length(b"B\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), None);
    }
}
