//! Changes to tars: by their entries, with sizes and checksums mended, so that a change reaches what lies behind the
//! checksum; and now and then to their bytes.

use std::{
    io::{Read, Write},
    ops::Range,
};

use serde_json::Value;

use super::{
    input::Dictionary,
    json,
    random::Random,
    text::{change_text, scratch},
};

const BLOCK: usize = 512;
const NAME: Range<usize> = 0..100;
const SIZE: Range<usize> = 124..136;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
/// Where an entry goes, and what it is.
const WHERE: [Range<usize>; 3] = [NAME, LINK, TYPE..TYPE + 1];
/// Name, mode, uid, gid, size, time, type, link, magic, devices, prefix, GNU's sparse map.
const FIELDS: [Range<usize>; 13] = [
    NAME,
    100..108,
    108..116,
    116..124,
    SIZE,
    136..148,
    TYPE..TYPE + 1,
    LINK,
    257..265,
    329..337,
    337..345,
    345..500,
    386..483,
];
/// Names that mean something, and types of entries.
const VALUES: [&[u8]; 18] = [
    b"",
    b".",
    b"..",
    b"canary",
    b"../canary",
    b"../outside",
    b"/",
    b".wh..",
    b".wh...",
    b".wh..wh..opq",
    b".wh..wh.aufs",
    b"0",
    b"1",
    b"2",
    b"5",
    b"x",
    b"S",
    b"a\nb\x1b[31m",
];
/// What numbers may be, in octal, decimal and base 256.
const NUMBERS: [&[u8]; 14] = [
    b"0",
    b"1",
    b"3",
    b"777",
    b"99999",
    b"77777777",
    b"77777777777",
    b"4294967295",
    b"9223372036854775807",
    b"18446744073709551615",
    b"-1",
    b"-1.5",
    b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
];
/// Maps of sparse files: offsets and lengths.
const MAPS: [&[u8]; 4] = [b"0,3", b"0,1,900000,2", b"0,2,1,1", b"3,0,5"];
/// Keys of PAX records.
const KEYS: [&[u8]; 20] = [
    b"path",
    b"linkpath",
    b"size",
    b"uid",
    b"gid",
    b"mtime",
    b"GNU.sparse.major",
    b"GNU.sparse.minor",
    b"GNU.sparse.realsize",
    b"GNU.sparse.size",
    b"GNU.sparse.numblocks",
    b"GNU.sparse.map",
    b"GNU.sparse.name",
    b"GNU.sparse.offset",
    b"GNU.sparse.numbytes",
    b"SCHILY.xattr.user.k",
    b"SCHILY.xattr.trusted.overlay.opaque",
    b"SCHILY.xattr.security.capability",
    b"SCHILY.xattr.user.a\nb",
    b"SCHILY.xattr.",
];
/// No archive here unpacks to more; one that would is left as it is.
const LARGEST: u64 = 16 << 20;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A tar taken apart.
#[derive(Clone)]
pub(super) struct Archive {
    packing: Packing,
    members: Vec<Member>,
    /// What follows the last entry, or cannot be read as one.
    end: Vec<u8>,
}

/// A header and what belongs to it.
#[derive(Clone)]
struct Member {
    header: [u8; BLOCK],
    /// Without the padding.
    data: Vec<u8>,
}

type PaxRecord = (Vec<u8>, Vec<u8>);

/// Changes an archive in one to six places and writes it down.
pub(super) fn changed(from: &Archive, dictionary: &Dictionary, random: &mut Random) -> Vec<u8> {
    let mut archive = from.clone();
    for _ in 0..random.changes() {
        archive.change(dictionary, random);
    }
    if random.one_in(4) {
        archive.packing = *random.pick(&[Packing::Plain, Packing::Gzip, Packing::Zstd]);
    }
    let mut tar = archive.plain();
    if random.one_in(8) {
        scratch(&mut tar, random);
    }
    let mut bytes = archive.packing.pack(tar);
    if archive.packing != Packing::Plain && random.one_in(8) {
        scratch(&mut bytes, random);
    }
    bytes
}

/// The tar of an input, whatever its compression; `None` where that is damaged.
pub fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    Packing::of(bytes).unpack(bytes)
}

impl Archive {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let packing = Packing::of(bytes);
        let tar = packing.unpack(bytes)?;
        let (mut members, mut rest) = (Vec::new(), &tar[..]);
        while let Some((member, after)) = Member::first(rest) {
            members.push(member);
            rest = after;
        }
        Some(Self { packing, members, end: rest.to_vec() })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.packing.pack(self.plain())
    }

    /// The same without the entry that is `at` places on, then without compression, then with empty entries.
    pub(super) fn without(&self, at: usize) -> Option<Self> {
        let mut copy = self.clone();
        let count = self.members.len();
        match at.checked_sub(count) {
            None => drop(copy.members.remove(at)),
            Some(0) if self.packing != Packing::Plain => copy.packing = Packing::Plain,
            Some(further) => {
                let member = copy.members.iter_mut().filter(|member| !member.data.is_empty()).nth(further)?;
                member.data.clear();
                member.mend_size();
            }
        }
        Some(copy)
    }

    /// Names of its entries, and what its links lead to.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let texts = self.members.iter().flat_map(|member| [member.text(NAME), member.text(LINK)]);
        texts.filter(|text| !text.is_empty())
    }

    /// The JSON documents in it.
    pub(super) fn documents(&self) -> impl Iterator<Item = Value> {
        self.members.iter().filter_map(Member::document)
    }

    fn plain(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        for member in &self.members {
            tar.extend_from_slice(&member.header);
            tar.extend_from_slice(&member.data);
            tar.resize(tar.len().next_multiple_of(BLOCK), 0);
        }
        tar.extend_from_slice(&self.end);
        tar
    }

    fn change(&mut self, dictionary: &Dictionary, random: &mut Random) {
        let count = self.members.len();
        if count == 0 {
            return self.members.push(Member::pax(&[pax_record(dictionary, random)]));
        }
        let (one, other) = (random.below(count), random.below(count));
        match random.below(12) {
            0..=4 => self.members[one].change_field(dictionary, random),
            5..=7 => self.members[one].change_data(dictionary, random),
            8 => self.members.insert(one, Member::pax(&[pax_record(dictionary, random)])),
            9 => drop(self.members.remove(one)),
            10 => self.members.swap(one, other),
            _ => {
                let again = self.members[one].clone();
                self.members.insert(other, again);
            }
        }
    }
}

impl Member {
    /// The entry at the beginning of a tar, and what follows it.
    fn first(tar: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = tar.split_first_chunk::<BLOCK>()?;
        let size = std::str::from_utf8(&header[SIZE]).ok()?.trim_end_matches(['\0', ' ']);
        let size = usize::from_str_radix(size, 8).ok().filter(|_| header[0] != 0 || header[TYPE] != 0)?;
        let data = rest.get(..size)?.to_vec();
        let rest = rest.get(size.next_multiple_of(BLOCK)..).unwrap_or_default();
        Some((Self { header: *header, data }, rest))
    }

    /// An extended header.
    fn pax(records: &[PaxRecord]) -> Self {
        let mut header = [0; BLOCK];
        header[..3].copy_from_slice(b"pax");
        header[100..108].copy_from_slice(b"0000644\0");
        header[TYPE] = b'x';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let mut member = Self { header, data: records.iter().flat_map(pax_line).collect() };
        member.mend_size();
        member
    }

    fn text(&self, field: Range<usize>) -> String {
        let bytes = self.header[field].split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn document(&self) -> Option<Value> {
        let is_one = matches!(self.data.first(), Some(b'{' | b'['));
        is_one.then(|| serde_json::from_slice(&self.data).ok())?
    }

    fn change_field(&mut self, dictionary: &Dictionary, random: &mut Random) {
        let known = if random.one_in(2) { &WHERE[..] } else { &FIELDS[..] };
        let field = random.pick(known).clone();
        let value = value(dictionary, random);
        let length = value.len().min(field.len());
        self.header[field.clone()].fill(0);
        self.header[field][..length].copy_from_slice(&value[..length]);
        self.mend_checksum();
    }

    fn change_data(&mut self, dictionary: &Dictionary, random: &mut Random) {
        if let Some(document) = self.document() {
            self.data = json::changed(&document, &dictionary.json, random);
        } else if self.header[TYPE] == b'x' && !random.one_in(6) {
            let mut records = pax_records(&self.data);
            change_records(&mut records, dictionary, random);
            self.data = records.iter().flat_map(pax_line).collect();
        } else {
            scratch(&mut self.data, random);
        }
        self.mend_size();
    }

    fn mend_size(&mut self) {
        self.header[SIZE].copy_from_slice(format!("{:011o}\0", self.data.len()).as_bytes());
        self.mend_checksum();
    }

    fn mend_checksum(&mut self) {
        self.header[CHECKSUM].fill(b' ');
        let sum: u32 = self.header.iter().map(|byte| u32::from(*byte)).sum();
        self.header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// A value of the tables, a name of the corpus or one below another, or any bytes.
fn value(dictionary: &Dictionary, random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0..=1 => random.pick(&VALUES).to_vec(),
        2 => random.pick(&NUMBERS).to_vec(),
        3..=4 if !dictionary.words.is_empty() => {
            let mut name = random.pick(&dictionary.words).clone();
            if random.one_in(3) {
                change_text(&mut name, random);
            }
            name.into_bytes()
        }
        5..=6 if !dictionary.words.is_empty() => {
            let below = match random.one_in(2) {
                true => random.pick(&dictionary.words).as_bytes(),
                false => random.pick(&VALUES),
            };
            [random.pick(&dictionary.words).as_bytes(), b"/", below].concat()
        }
        _ => (0..random.below(101)).map(|_| random.next() as u8).collect(),
    }
}

fn pax_record(dictionary: &Dictionary, random: &mut Random) -> PaxRecord {
    let key = match random.one_in(12) {
        true => value(dictionary, random),
        false => random.pick(&KEYS).to_vec(),
    };
    let value = pax_value(&key, dictionary, random);
    (key, value)
}

/// Mostly what such a record may hold.
fn pax_value(key: &[u8], dictionary: &Dictionary, random: &mut Random) -> Vec<u8> {
    match key {
        _ if random.one_in(6) => value(dictionary, random),
        b"GNU.sparse.map" => random.pick(&MAPS).to_vec(),
        b"path" | b"linkpath" | b"GNU.sparse.name" => value(dictionary, random),
        _ if key.starts_with(b"SCHILY") => value(dictionary, random),
        _ => random.pick(&NUMBERS).to_vec(),
    }
}

fn change_records(records: &mut Vec<PaxRecord>, dictionary: &Dictionary, random: &mut Random) {
    let at = random.below(records.len());
    match (random.below(4), records.is_empty()) {
        (0, false) => drop(records.remove(at)),
        (1..=2, false) => records[at].1 = pax_value(&records[at].0, dictionary, random),
        _ => records.insert(at, pax_record(dictionary, random)),
    }
}

/// The records of an extended header, as far as they can be read.
fn pax_records(mut data: &[u8]) -> Vec<PaxRecord> {
    let mut records = Vec::new();
    while let Some((record, rest)) = first_record(data) {
        records.push(record);
        data = rest;
    }
    records
}

/// `LENGTH KEY=VALUE` and a line's end.
fn first_record(data: &[u8]) -> Option<(PaxRecord, &[u8])> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some(((record[..equals].to_vec(), record[equals + 1..].to_vec()), &data[length..]))
}

fn pax_line((key, value): &PaxRecord) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    // The length counts its own digits.
    let length = (rest + 1..).find(|length| length.to_string().len() + rest == *length).unwrap_or(rest);
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

impl Packing {
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn pack(self, tar: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Plain => tar,
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&tar).and_then(|()| encoder.finish()).expect("memory takes everything")
            }
            Self::Zstd => zstd::encode_all(&tar[..], 1).expect("memory takes everything"),
        }
    }

    fn unpack(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut tar = Vec::new();
        let read = match self {
            Self::Plain => return Some(bytes.to_vec()),
            Self::Gzip => flate2::read::MultiGzDecoder::new(bytes).take(LARGEST + 1).read_to_end(&mut tar),
            Self::Zstd => {
                zstd::Decoder::new(bytes).and_then(|decoder| decoder.take(LARGEST + 1).read_to_end(&mut tar))
            }
        };
        read.ok().filter(|length| *length as u64 <= LARGEST).map(|_| tar)
    }
}
