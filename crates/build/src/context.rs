//! Where the files come from that a Dockerfile copies and mounts: the client's directory, an uploaded archive, a repository.

use std::{
    any::Any,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::BoxFuture;

use crate::Material;

/// Files to be built from. Nothing is transferred before it is asked for.
pub trait Context: Send + Sync {
    /// One file's content; `None` when there is no such file. For the Dockerfile and `.dockerignore`.
    ///
    /// # Errors
    /// [`ContextError`], also for a file of more than `most` bytes.
    fn read_file(&self, path: &str, most: u64) -> BoxFuture<'_, Result<Option<Vec<u8>>, ContextError>>;

    /// Brings the wanted files to this host, and gives the directory that they are in. More may be in it than was wanted: who
    /// reads it applies the patterns again. May be called several times, also at once.
    ///
    /// # Errors
    /// [`ContextError`].
    fn fetch(&self, wanted: Wanted) -> BoxFuture<'_, Result<Tree, ContextError>>;

    /// Whether its `.dockerignore` holds where it has a name: those of the client's own folders do.
    fn heeds_ignore_file(&self) -> bool {
        false
    }

    /// What it is made of, where that has a name that anybody knows it by: a commit, a file by its URL. A client's folder has none.
    ///
    /// # Errors
    /// [`ContextError`].
    fn material(&self) -> BoxFuture<'_, Result<Option<Material>, ContextError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// What names this context in messages: `.`, a URL.
    fn name(&self) -> String {
        "context".to_owned()
    }
}

/// Which files of a context are needed. Patterns are those of `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Paths that are needed, relative to the context's root, with wildcards; links on their way are followed and what they lead to
    /// is needed too (BuildKit's `followpaths`). Empty means everything.
    pub paths: Vec<String>,
    /// What is left out, in order, with `!` for exceptions: the lines of `.dockerignore`.
    pub exclude: Vec<String>,
}

/// A directory of this host with a context's files. It stays as it is as long as any clone lives.
#[derive(Clone)]
pub struct Tree {
    path: PathBuf,
    keep: Arc<dyn Any + Send + Sync>,
}

impl Tree {
    /// A directory, and what keeps it there: its deletion is `keep`'s drop.
    pub fn new(path: PathBuf, keep: impl Any + Send + Sync) -> Self {
        Self { path, keep: Arc::new(keep) }
    }

    /// The directory. Links in it lead anywhere: below it, files are opened with `RESOLVE_IN_ROOT` only.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = &self.keep;
        f.debug_struct("Tree").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why files of a context can't be had.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ContextError {
    /// What was tried, and why it failed.
    pub message: String,
    /// Whether the client's files or words are wrong, not the transport or this host.
    pub is_callers_fault: bool,
}

impl ContextError {
    /// The client's fault.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_callers_fault: true }
    }

    /// A failure of the transport or of this host.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_callers_fault: false }
    }
}
