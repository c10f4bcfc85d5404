//! Several patterns in order: the last that matches decides.

use super::{PatternError, pattern::Pattern};

/// Patterns of a `.dockerignore`, of `--exclude`, or of what `--parents` includes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
}

/// What is known of a folder when its files are looked at: which patterns match it, so all in it. Cheap to keep while a
/// walk is in the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder(Vec<bool>);

/// What becomes of a folder in a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept; what is in it may not be.
    Kept,
    /// It is ignored, but something in it may be kept: it must be walked.
    Partly,
    /// It is ignored with all that is in it: no need to open it.
    Ignored,
}

impl Matcher {
    /// From patterns as [`super::read()`] gives them.
    ///
    /// # Errors
    /// The first that isn't one.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, PatternError> {
        let mut matcher = Self::default();
        for text in patterns {
            if let Some(pattern) = Pattern::new(text.as_ref())? {
                matcher.has_exceptions |= pattern.is_exception;
                matcher.patterns.push(pattern);
            }
        }
        Ok(matcher)
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a pattern is an exception (`!`).
    pub fn has_exceptions(&self) -> bool {
        self.has_exceptions
    }

    /// Whether a path, or a folder that it is in, matches. Slashes separate, none leads. In a walk, [`Self::is_ignored`] and
    /// [`Self::enter`] do less work.
    pub fn matches(&self, path: &str) -> bool {
        let mut matched = false;
        for pattern in &self.patterns {
            if pattern.is_exception == matched && pattern.matches_with_parents(path) {
                matched = !pattern.is_exception;
            }
        }
        matched
    }

    /// Whether a pattern that isn't an exception has this text, clean.
    pub(crate) fn ignores_all(&self) -> bool {
        self.patterns.iter().any(|p| !p.is_exception && matches!(p.text.as_str(), "*" | "**" | "**/*"))
    }

    /// What is known at the root of a walk.
    pub fn root(&self) -> Folder {
        Folder::default()
    }

    /// Whether a file is ignored. `path` is in full; `folder` is what [`Self::enter`] said of the folder it is in.
    pub fn is_ignored(&self, path: &str, folder: &Folder) -> bool {
        self.look(path, folder, |_, _| ())
    }

    /// What becomes of a folder, and what is known in it.
    pub fn enter(&self, path: &str, folder: &Folder) -> (Verdict, Folder) {
        let mut matched = vec![false; self.patterns.len()];
        let is_ignored = self.look(path, folder, |at, matches| matched[at] = matches);
        let may_be_kept = |(at, pattern): (usize, &Pattern)| {
            pattern.is_exception && (matched[at] || pattern.may_match_below(path))
        };
        let verdict = match is_ignored {
            false => Verdict::Kept,
            true if self.has_exceptions && self.patterns.iter().enumerate().any(may_be_kept) => {
                Verdict::Partly
            }
            true => Verdict::Ignored,
        };
        (verdict, Folder(matched))
    }

    /// For patterns that say what is included: whether anything below this folder could match.
    pub fn may_match_below(&self, folder: &str) -> bool {
        self.patterns.iter().any(|pattern| !pattern.is_exception && pattern.may_match_below(folder))
    }

    /// As in a walk of moby: what matched a folder isn't tried again, and what couldn't change anything isn't tried.
    fn look(&self, path: &str, folder: &Folder, mut note: impl FnMut(usize, bool)) -> bool {
        let mut matched = false;
        for (at, pattern) in self.patterns.iter().enumerate() {
            let by_folder = folder.0.get(at).copied();
            let matches = by_folder == Some(true)
                || pattern.is_exception == matched
                    && match by_folder {
                        Some(_) => pattern.matches(path),
                        None => pattern.matches_with_parents(path),
                    };
            note(at, matches);
            if matches {
                matched = !pattern.is_exception;
            }
        }
        matched
    }
}
