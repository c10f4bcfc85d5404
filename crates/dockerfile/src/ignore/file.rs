//! A `.dockerignore` file to its patterns.

use crate::{
    limits::{LARGEST_IGNORE_FILE, MOST_PATTERNS},
    paths::clean,
};

/// Why a file of patterns can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreFileError {
    /// It isn't text.
    #[error("line {line} is not UTF-8: save the file as UTF-8")]
    Encoding {
        /// Where.
        line: usize,
    },
    /// It is too large.
    #[error("it has more than {LARGEST_IGNORE_FILE} bytes or {MOST_PATTERNS} patterns")]
    TooLarge,
}

/// The patterns in a file: without comments and empty lines, without spaces around, without a leading `/`, each as short as
/// it can be.
///
/// # Errors
/// [`IgnoreFileError`], which a caller shows with the file's name.
pub fn read(bytes: &[u8]) -> Result<Vec<String>, IgnoreFileError> {
    if bytes.len() > LARGEST_IGNORE_FILE {
        return Err(IgnoreFileError::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| IgnoreFileError::Encoding {
        line: bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1,
    })?;
    let patterns: Vec<String> = text.lines().filter_map(pattern).collect();
    if patterns.len() > MOST_PATTERNS { Err(IgnoreFileError::TooLarge) } else { Ok(patterns) }
}

fn pattern(line: &str) -> Option<String> {
    // Only a `#` at the very beginning makes a comment.
    if line.starts_with('#') || line.trim().is_empty() {
        return None;
    }
    let line = line.trim();
    let (mark, path) = line.strip_prefix('!').map_or(("", line), |path| ("!", path.trim()));
    if path.is_empty() {
        return Some(mark.to_owned());
    }
    let path = clean(path);
    let relative = path.strip_prefix('/').filter(|relative| !relative.is_empty());
    Some(format!("{mark}{}", relative.unwrap_or(&path)))
}
