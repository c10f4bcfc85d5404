//! Which files a build may not see: `.dockerignore`, and `--exclude` of single steps.

use std::{path::Path, sync::Arc};

use minke_dockerfile::ignore::{self, Matcher};

use crate::{BuildError, Context};

/// The file beside a context's others that says which of them don't count.
pub(crate) const IGNORE_FILE: &str = ".dockerignore";
/// Most bytes of one.
const LONGEST_IGNORE: u64 = 8 << 20;

/// The patterns of the first of these files that a context has.
pub(crate) async fn ignored(context: &dyn Context, names: &[&str]) -> Result<Vec<String>, BuildError> {
    for name in names {
        if let Some(bytes) = context.read_file(name, LONGEST_IGNORE).await? {
            return ignore::read(&bytes).map_err(|error| BuildError::Invalid(format!("{name}: {error}")));
        }
    }
    Ok(Vec::new())
}

/// `.dockerignore`; nothing is left out by default.
#[derive(Clone, Default)]
pub(crate) struct Ignored(Option<Arc<Matcher>>);

impl Ignored {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, BuildError> {
        Ok(Self(matcher(patterns)?.map(Arc::new)))
    }

    /// Whether a path relative to the context is left out, by itself or with a directory above it.
    pub(crate) fn is_excluded(&self, path: &Path) -> bool {
        self.0.as_ref().is_some_and(|matcher| excludes(matcher, path))
    }
}

/// `--exclude`: relative to each source.
pub(crate) struct Exclude(Option<Matcher>);

impl Exclude {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, BuildError> {
        Ok(Self(matcher(patterns)?))
    }

    pub(crate) fn is_excluded(&self, path: &Path, source: &Path) -> bool {
        let Some(matcher) = &self.0 else { return false };
        // A source that is a file is named by itself.
        let relative = match path.strip_prefix(source) {
            Ok(below) if !below.as_os_str().is_empty() => below,
            _ => path.file_name().map_or(path, Path::new),
        };
        excludes(matcher, relative)
    }
}

/// What leaves out what the patterns say; `None` where there are none.
pub(crate) fn matcher(patterns: &[String]) -> Result<Option<Matcher>, BuildError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    Matcher::new(patterns).map(Some).map_err(|error| BuildError::Invalid(error.to_string()))
}

/// A match of a directory above is one of the path, unless a later exception brings it back.
fn excludes(matcher: &Matcher, path: &Path) -> bool {
    matcher.matches(&path.to_string_lossy())
}
