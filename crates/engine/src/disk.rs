//! How much space a directory takes.

use std::path::Path;

use minke_kernel::tree;

/// Bytes of the files below `directory`, in the API's type.
pub(crate) fn usage(directory: &Path) -> i64 {
    i64::try_from(tree::usage(directory)).unwrap_or(i64::MAX)
}
