//! Which files of a folder don't count: `.dockerignore`, and the patterns of `develop.watch`. What patterns mean is
//! [`minke_dockerfile::ignore`]'s.

use std::{fs, io, path::Path};

use minke_dockerfile::ignore::{self, Matcher, PatternError, Verdict};

use super::error::RunError;

/// The patterns of one folder.
#[derive(Debug, Clone)]
pub struct Ignore(Matcher);

impl Ignore {
    /// From patterns.
    ///
    /// # Errors
    /// When one is none.
    pub fn of<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, PatternError> {
        Matcher::new(patterns).map(Self)
    }

    /// The patterns of a file; none where it is missing.
    ///
    /// # Errors
    /// When it can't be read, or holds what is no text.
    pub fn patterns(path: &Path) -> Result<Option<Vec<String>>, RunError> {
        let failed = |source| RunError::File { what: "read".to_owned(), path: path.to_owned(), source };
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let patterns = ignore::read(&bytes);
        patterns.map(Some).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Whether a path below the folder is left out. A folder that is left out takes what is in it along.
    pub fn excludes(&self, path: &Path) -> bool {
        self.0.matches(&path.to_string_lossy())
    }

    /// Whether something in a folder that is left out may be taken in again.
    pub fn takes_in_below(&self, folder: &Path) -> bool {
        self.0.enter(&folder.to_string_lossy(), &self.0.root()).0 == Verdict::Partly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let text = "# comment\n*.log\n!keep.log\n/target\n**/node_modules\ndocs/*\n!docs/README.md\n";
        let ignore = Ignore::of(ignore::read(text.as_bytes()).unwrap()).unwrap();
        for (path, excluded) in [
            ("a.log", true),
            ("sub/a.log", false),
            ("keep.log", false),
            ("target/debug/x", true),
            ("src/target", false),
            ("a/b/node_modules/c", true),
            ("docs/x", true),
            ("docs/README.md", false),
            ("src/main.rs", false),
        ] {
            assert_eq!(ignore.excludes(Path::new(path)), excluded, "{path}");
        }
        assert!(!ignore.takes_in_below(Path::new("target")));
        let ignore = Ignore::of(["docs", "!docs/README.md"]).unwrap();
        assert!(ignore.excludes(Path::new("docs")) && ignore.takes_in_below(Path::new("docs")));
    }
}
