//! Writes a tar: ustar headers, with a PAX header before those whose values do not fit.

use std::io::{self, Write};

use super::{
    entry::{Entry, EntryKind},
    header::{BLOCK, HeaderFields, NAME_LENGTH, octal_max},
    pax, sparse,
};

/// A tar being written.
pub(crate) struct TarWriter<W> {
    out: W,
    /// Zeros owed after the entry at hand.
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, padding: 0 }
    }

    /// Begins an entry; the caller then writes exactly its data (for a sparse file, the segments').
    pub(crate) fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.pad()?;
        let map = entry.sparse.as_deref().map(sparse::map_for_data).unwrap_or_default();
        let data = match &entry.sparse {
            Some(segments) => segments.iter().map(|segment| segment.length).sum(),
            None if entry.kind == EntryKind::File => entry.size,
            None => 0,
        };
        let stored = map.len() as u64 + data;
        let records = extended(entry, stored);
        if !records.is_empty() {
            self.extended_header(&records)?;
        }
        self.out.write_all(&fields(entry, &entry.name, stored).block())?;
        self.out.write_all(&map)?;
        self.padding = padding(data);
        Ok(())
    }

    /// The stream to write an entry's data to.
    pub(crate) fn data(&mut self) -> &mut W {
        &mut self.out
    }

    /// One whole small file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut entry = Entry::new(name, EntryKind::File);
        (entry.mode, entry.size) = (mode, content.len() as u64);
        self.entry(&entry)?;
        self.out.write_all(content)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.pad()?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn pad(&mut self) -> io::Result<()> {
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(&[0; BLOCK][..padding])
    }

    fn extended_header(&mut self, records: &[u8]) -> io::Result<()> {
        let header = Entry::new("./PaxHeaders/entry", EntryKind::File);
        let size = records.len() as u64;
        self.out
            .write_all(&HeaderFields { type_flag: b'x', ..fields(&header, &header.name, size) }.block())?;
        self.out.write_all(records)?;
        self.padding = padding(size);
        self.pad()
    }
}

fn padding(size: u64) -> usize {
    let block = BLOCK as u64;
    usize::try_from((block - size % block) % block).unwrap_or(0)
}

fn fields<'a>(entry: &'a Entry, name: &'a [u8], size: u64) -> HeaderFields<'a> {
    HeaderFields {
        name,
        type_flag: match entry.kind {
            EntryKind::File => b'0',
            EntryKind::Hardlink => b'1',
            EntryKind::Symlink => b'2',
            EntryKind::CharDevice => b'3',
            EntryKind::BlockDevice => b'4',
            EntryKind::Directory => b'5',
            EntryKind::Fifo => b'6',
        },
        link: &entry.link,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size,
        mtime: entry.mtime.seconds,
        device: entry.device,
    }
}

/// The PAX records an entry needs.
fn extended(entry: &Entry, stored: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let mut push = |key: &str, value: &[u8]| pax::push(&mut records, key.as_bytes(), value);
    if entry.sparse.is_some() {
        push("GNU.sparse.major", b"1");
        push("GNU.sparse.minor", b"0");
        push("GNU.sparse.name", &entry.name);
        push("GNU.sparse.realsize", entry.size.to_string().as_bytes());
    }
    let plain = |text: &[u8]| text.len() <= NAME_LENGTH && text.is_ascii();
    if !plain(&entry.name) {
        push("path", &entry.name);
    }
    if !plain(&entry.link) {
        push("linkpath", &entry.link);
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if u64::from(id) > octal_max(7) {
            push(key, id.to_string().as_bytes());
        }
    }
    if stored > octal_max(11) {
        push("size", stored.to_string().as_bytes());
    }
    let time = entry.mtime;
    if time.nanoseconds != 0 || time.seconds < 0 || time.seconds.unsigned_abs() > octal_max(11) {
        push("mtime", pax::moment_text(time).as_bytes());
    }
    for (key, value) in &entry.xattrs {
        pax::push(&mut records, &[pax::XATTR.as_bytes(), key].concat(), value);
    }
    records
}
