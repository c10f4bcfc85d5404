//! How much space a directory takes.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt, path::Path};

/// Bytes of the files below `directory`, each inode once; what can't be read counts nothing.
pub(crate) fn usage(directory: &Path) -> i64 {
    let mut seen = HashSet::new();
    i64::try_from(walk(directory, &mut seen)).unwrap_or(i64::MAX)
}

fn walk(directory: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let mut sum = 0;
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            sum += walk(&entry.path(), seen);
        } else if metadata.is_file()
            && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())))
        {
            sum += metadata.len();
        }
    }
    sum
}
