//! Reads a tar from a stream, one entry at a time, with all its dialects resolved.
//!
//! Own code rather than the `tar` crate's loop, since a hostile archive must fail with the place and the
//! reason, extended headers must be bounded, and GNU's PAX sparse files are data that the crate does not know.

use std::io::{self, BufRead, BufReader, Read};

use super::{
    entry::{Entry, EntryKind, Moment},
    header::{BLOCK, GNU_REAL_SIZE, GNU_SPARSE, GNU_SPARSE_MORE, Header, number},
    pax::{self, Record},
    sparse::{self, MapInData, PaxSparse},
};

/// Large enough that a read is rarely smaller than what the decompressor hands over.
const BUFFER: usize = 128 << 10;

/// Why no entry could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("read the archive")]
    Io(#[source] io::Error),
    #[error("damaged archive at byte {offset}: {problem}")]
    Damaged { offset: u64, problem: String },
}

/// A tar being read.
pub(crate) struct TarReader<R> {
    input: BufReader<R>,
    /// Bytes consumed so far.
    offset: u64,
    /// Where the entry at hand began.
    entry_offset: u64,
    /// Bytes of the entry's data not consumed yet.
    data_left: u64,
    /// Bytes between the data's end and the next header.
    padding: u64,
    header_limit: usize,
    stream_limit: u64,
}

/// The headers that may precede an entry's own.
#[derive(Default)]
struct Extended {
    records: Vec<Record>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extended {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.iter().rev().find(|r| r.key == key).map(|r| r.value.as_slice()).filter(|v| !v.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.name.is_none() && self.link.is_none()
    }
}

impl<R: Read> TarReader<R> {
    /// A reader that refuses extended headers longer than `header_limit` bytes and streams longer than
    /// `stream_limit`.
    pub(crate) fn new(input: R, header_limit: usize, stream_limit: u64) -> Self {
        let input = BufReader::with_capacity(BUFFER, input);
        Self { input, offset: 0, entry_offset: 0, data_left: 0, padding: 0, header_limit, stream_limit }
    }

    /// The next entry; what the last one's data has left is skipped. `None` at the archive's end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        self.skip_rest()?;
        let mut extended = Extended::default();
        loop {
            self.entry_offset = self.offset;
            self.check_length()?;
            let Some(block) = self.block()? else {
                return if extended.is_empty() {
                    Ok(None)
                } else {
                    Err(self.damaged("it ends after an extended header"))
                };
            };
            if block.iter().all(|byte| *byte == 0) {
                return self.end();
            }
            let header = Header(&block);
            if !header.checksum_holds() {
                return Err(self.damaged("the header's checksum is wrong (not a tar, or cut)"));
            }
            match header.type_flag() {
                b'x' | b'X' => {
                    let data = self.extended_data(&header)?;
                    extended.records =
                        pax::parse(&data).ok_or_else(|| self.damaged("malformed PAX header"))?;
                }
                b'L' => extended.name = Some(until_nul(self.extended_data(&header)?)),
                b'K' => extended.link = Some(until_nul(self.extended_data(&header)?)),
                // Global PAX headers and volume labels say nothing about any file of an image.
                b'g' | b'V' => {
                    self.set_data(self.size(&header, &Extended::default())?);
                    self.skip_rest()?;
                }
                flag => return self.entry(&header, flag, &extended).map(Some),
            }
        }
    }

    /// The data of the entry at hand: for a sparse file only what lies between its holes.
    pub(crate) fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    /// Reads on to the end of the stream, so that whoever hashes it sees all of it.
    pub(crate) fn drain(&mut self) -> Result<(), ReadError> {
        loop {
            let length = self.input.fill_buf().map_err(ReadError::Io)?.len();
            if length == 0 {
                return Ok(());
            }
            self.input.consume(length);
            self.offset += length as u64;
            self.check_length()?;
        }
    }

    fn check_length(&self) -> Result<(), ReadError> {
        match self.offset > self.stream_limit {
            true => Err(self.damaged(format!("more than {} bytes in one archive", self.stream_limit))),
            false => Ok(()),
        }
    }

    /// After one empty block there must be another one or nothing.
    fn end(&mut self) -> Result<Option<Entry>, ReadError> {
        match self.block()? {
            Some(block) if block.iter().any(|byte| *byte != 0) => {
                Err(self.damaged("one empty block where the archive's end has two"))
            }
            _ => Ok(None),
        }
    }

    fn entry(&mut self, header: &Header<'_>, flag: u8, extended: &Extended) -> Result<Entry, ReadError> {
        let name = extended.get(b"GNU.sparse.name").or(extended.get(b"path")).map(<[u8]>::to_vec);
        let name = name.or_else(|| extended.name.clone()).unwrap_or_else(|| header.name());
        let kind = match flag {
            b'0' | 0 | b'7' | b'S' if name.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::Hardlink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'M' => return Err(self.damaged("a file continued from another volume")),
            other => return Err(self.damaged(format!("unknown entry type {:?}", char::from(other)))),
        };
        let mut entry = Entry::new(name, kind);
        let link = extended.get(b"linkpath").map(<[u8]>::to_vec).or_else(|| extended.link.clone());
        entry.link = link.unwrap_or_else(|| header.link());
        self.numbers(&mut entry, header, extended)?;
        entry.xattrs = extended.records.iter().filter_map(xattr).collect();
        let stored = if kind == EntryKind::File { self.size(header, extended)? } else { 0 };
        entry.size = stored;
        self.set_data(stored);
        if kind == EntryKind::File {
            self.sparse(&mut entry, header, flag, extended)?;
        }
        Ok(entry)
    }

    fn numbers(&self, entry: &mut Entry, header: &Header<'_>, extended: &Extended) -> Result<(), ReadError> {
        let id = |field: Option<i64>, key: &[u8]| {
            let value = match extended.get(key) {
                Some(text) => pax::decimal(text).and_then(|n| i64::try_from(n).ok()),
                None => field,
            };
            // u32::MAX means "leave as it is" to chown(2), so it is no id.
            value.and_then(|n| u32::try_from(n).ok()).filter(|id| *id != u32::MAX)
        };
        let mode = header.mode().ok_or_else(|| self.damaged("the mode is no number"))?;
        entry.mode = u32::try_from(mode & 0o7777).unwrap_or(0);
        entry.uid = id(header.uid(), b"uid").ok_or_else(|| self.damaged("the user id is out of range"))?;
        entry.gid = id(header.gid(), b"gid").ok_or_else(|| self.damaged("the group id is out of range"))?;
        entry.mtime = match extended.get(b"mtime") {
            Some(text) => pax::moment(text),
            None => header.mtime().map(|seconds| Moment { seconds, nanoseconds: 0 }),
        }
        .ok_or_else(|| self.damaged("the modification time is no number"))?;
        if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            let numbers =
                header.device().and_then(|(a, b)| Some((u32::try_from(a).ok()?, u32::try_from(b).ok()?)));
            entry.device = numbers.ok_or_else(|| self.damaged("the device number is out of range"))?;
        }
        Ok(())
    }

    fn size(&self, header: &Header<'_>, extended: &Extended) -> Result<u64, ReadError> {
        let size = match extended.get(b"size") {
            Some(text) => pax::decimal(text).filter(|size| i64::try_from(*size).is_ok()),
            None => header.size().and_then(|size| u64::try_from(size).ok()),
        };
        size.ok_or_else(|| self.damaged("the size is no number, or negative"))
    }

    /// Fills in a sparse file's map and real size, from wherever its dialect keeps them.
    fn sparse(
        &mut self,
        entry: &mut Entry,
        header: &Header<'_>,
        flag: u8,
        extended: &Extended,
    ) -> Result<(), ReadError> {
        let malformed = || "malformed map of a sparse file";
        let (segments, size) = if flag == b'S' {
            let mut segments = Vec::new();
            let size = number(&header.0[GNU_REAL_SIZE]).and_then(|size| u64::try_from(size).ok());
            sparse::old_gnu_table(&header.0[GNU_SPARSE], &mut segments)
                .ok_or_else(|| self.damaged(malformed()))?;
            self.old_gnu_extensions(header.0[GNU_SPARSE_MORE] != 0, &mut segments)?;
            (segments, size)
        } else {
            let segments =
                match sparse::from_pax(&extended.records).ok_or_else(|| self.damaged(malformed()))? {
                    PaxSparse::No => return Ok(()),
                    PaxSparse::Map(segments) => segments,
                    PaxSparse::InData => self.map_in_data()?,
                };
            let size = extended.get(b"GNU.sparse.realsize").or(extended.get(b"GNU.sparse.size"));
            (segments, size.and_then(pax::decimal))
        };
        let size = size.ok_or_else(|| self.damaged("a sparse file without a size"))?;
        if i64::try_from(size).is_err() || !sparse::is_consistent(&segments, size, self.data_left) {
            return Err(self.damaged("the map of a sparse file contradicts its size"));
        }
        (entry.size, entry.sparse) = (size, Some(segments));
        Ok(())
    }

    fn old_gnu_extensions(
        &mut self,
        mut more: bool,
        segments: &mut Vec<super::entry::Segment>,
    ) -> Result<(), ReadError> {
        let mut read = 0;
        while more {
            read += BLOCK;
            if read > self.header_limit {
                return Err(self.damaged("the map of a sparse file is too long"));
            }
            let block =
                self.block()?.ok_or_else(|| self.damaged("it ends within the map of a sparse file"))?;
            sparse::old_gnu_table(&block[..21 * 24], segments)
                .ok_or_else(|| self.damaged("malformed map of a sparse file"))?;
            more = block[21 * 24] != 0;
        }
        Ok(())
    }

    fn map_in_data(&mut self) -> Result<Vec<super::entry::Segment>, ReadError> {
        let mut map = MapInData::default();
        let mut read = 0;
        loop {
            read += BLOCK;
            if self.data_left < BLOCK as u64 || read > self.header_limit {
                return Err(self.damaged("the map of a sparse file is too long"));
            }
            let block =
                self.block()?.ok_or_else(|| self.damaged("it ends within the map of a sparse file"))?;
            self.data_left -= BLOCK as u64;
            let done = map.feed(&block).map_err(|()| self.damaged("malformed map of a sparse file"))?;
            if let Some(segments) = done {
                return Ok(segments);
            }
        }
    }

    fn extended_data(&mut self, header: &Header<'_>) -> Result<Vec<u8>, ReadError> {
        let size = self.size(header, &Extended::default())?;
        if size > self.header_limit as u64 {
            let problem = format!("an extended header of {size} bytes, more than {}", self.header_limit);
            return Err(self.damaged(problem));
        }
        self.set_data(size);
        let mut data = Vec::new();
        let read = self.data().read_to_end(&mut data);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends within an extended header"),
            _ => ReadError::Io(error),
        })?;
        self.skip_rest()?;
        Ok(data)
    }

    fn set_data(&mut self, size: u64) {
        self.data_left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Skips data and padding. A stream may end within the last padding: some writers leave it out.
    fn skip_rest(&mut self) -> Result<(), ReadError> {
        while self.data_left > 0 {
            let mut data = self.data();
            let length = match data.fill_buf() {
                Ok(buffer) => buffer.len(),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(
                        self.damaged(format!("it ends {} bytes before the entry does", self.data_left))
                    );
                }
                Err(error) => return Err(ReadError::Io(error)),
            };
            data.consume(length);
        }
        let padding = std::mem::take(&mut self.padding);
        self.offset +=
            io::copy(&mut (&mut self.input).take(padding), &mut io::sink()).map_err(ReadError::Io)?;
        Ok(())
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ReadError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.damaged("it ends within a header")),
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
        self.offset += BLOCK as u64;
        Ok(Some(block))
    }

    fn damaged(&self, problem: impl Into<String>) -> ReadError {
        ReadError::Damaged { offset: self.entry_offset, problem: problem.into() }
    }
}

/// The data of one entry. Ends with `UnexpectedEof` when the archive ends first.
pub(crate) struct Data<'a, R>(&'a mut TarReader<R>);

impl<R> Data<'_, R> {
    /// Bytes still to come.
    pub(crate) fn left(&self) -> u64 {
        self.0.data_left
    }
}

impl<R: Read> BufRead for Data<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.0.data_left == 0 {
            return Ok(&[]);
        }
        let buffer = self.0.input.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends within the entry's data",
            ));
        }
        let length = buffer.len().min(usize::try_from(self.0.data_left).unwrap_or(usize::MAX));
        Ok(&buffer[..length])
    }

    fn consume(&mut self, length: usize) {
        self.0.input.consume(length);
        self.0.offset += length as u64;
        self.0.data_left -= length as u64;
    }
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
    text
}

fn xattr(record: &Record) -> Option<(Vec<u8>, Vec<u8>)> {
    let name = record.key.strip_prefix(pax::XATTR.as_bytes())?;
    Some((name.to_vec(), record.value.clone()))
}
