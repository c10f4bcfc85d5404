//! One entry of a tar, after all its headers were read and before anything was done about it.

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    Symlink,
    Hardlink,
    CharDevice,
    BlockDevice,
    Fifo,
}

/// A run of data in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// A moment, as tar has it: seconds since 1970 and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moment {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// One entry. Names are bytes exactly as the archive has them: nothing is trusted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// Target of a symbolic or hard link.
    pub(crate) link: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Moment,
    /// Bytes of the file, holes included.
    pub(crate) size: u64,
    /// Major and minor number.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where a sparse file's data belongs; `None` for an ordinary file.
    pub(crate) sparse: Option<Vec<Segment>>,
}

impl Entry {
    /// An entry with nothing but a name and a kind.
    pub(crate) fn new(name: impl Into<Vec<u8>>, kind: EntryKind) -> Self {
        Self {
            name: name.into(),
            kind,
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Moment::default(),
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}

/// A hostile name, fit to be printed: escaped by the caller's `{:?}`, and never longer than a few lines.
pub(crate) fn printable(name: &[u8]) -> String {
    const LONGEST: usize = 160;
    let text = String::from_utf8_lossy(name);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
