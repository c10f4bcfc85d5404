//! How much space a directory takes.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt, path::Path};

/// Bytes of the files below `directory`, each inode once; what can't be read counts nothing.
pub(crate) fn usage(directory: &Path) -> i64 {
    let (mut seen, mut sum) = (HashSet::new(), 0_u64);
    // No recursion: containers decide how deep it is.
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())))
            {
                sum += metadata.len();
            }
        }
    }
    i64::try_from(sum).unwrap_or(i64::MAX)
}
