//! How much an archive may ask of the disk before it counts as a bomb.

/// Stated limits on one archive; reaching one is an error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of file content, holes of sparse files included, and of the unpacked archive itself.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of one entry's path.
    pub path_length: usize,
    /// Components of one entry's path.
    pub path_depth: usize,
    /// Bytes of one entry's extended headers (long names, extended attributes).
    pub header: usize,
}

impl Default for Limits {
    /// What no layer in the wild reaches: 256 GiB, ten million entries, Linux's longest path.
    fn default() -> Self {
        Self { bytes: 256 << 30, entries: 10_000_000, path_length: 4095, path_depth: 512, header: 1 << 20 }
    }
}
