//! What a registry is told when it starts.

use std::{path::PathBuf, sync::Arc, time::Duration};

use minke_tls::TlsFiles;

use crate::Upstream;

/// A registry's configuration.
#[derive(Clone)]
pub struct RegistryConfig {
    /// The folder of everything it keeps; made when it is missing.
    pub root: PathBuf,
    /// A folder of blobs with the same layout (`<algorithm>/<hex>`) that others write: what is there too is on the disk once,
    /// if both are on one file system and may be linked.
    pub twin: Option<PathBuf>,
    /// Whether pushes and deletions are refused.
    pub read_only: bool,
    /// Whether tags, manifests and blobs may be deleted by clients.
    pub deletion: bool,
    /// Whether a manifest is refused that names blobs or manifests its repository lacks. Off, manifests may
    /// be sparse.
    pub complete: bool,
    /// The certificate to serve TLS with; without it the registry speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// A file of `user:bcrypt` lines as `htpasswd -B` writes them. It is read again when it changes. Without
    /// it everybody may do everything.
    pub htpasswd: Option<PathBuf>,
    /// What a hostile client may take.
    pub limits: Limits,
    /// When what nothing names is removed; `None`: never by itself.
    pub garbage: Option<GarbageOptions>,
    /// The registry whose content this one caches. With one, clients can only pull.
    pub upstream: Option<Arc<dyn Upstream>>,
}

impl RegistryConfig {
    /// Plain HTTP for everybody, with deletion, below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            twin: None,
            read_only: false,
            deletion: true,
            complete: true,
            tls: None,
            htpasswd: None,
            limits: Limits::default(),
            garbage: Some(GarbageOptions::default()),
            upstream: None,
        }
    }
}

/// When and what the garbage collection takes.
#[derive(Debug, Clone, Copy)]
pub struct GarbageOptions {
    /// How long it waits between two runs.
    pub every: Duration,
    /// How long nobody must have pushed to a repository before blobs that its manifests don't name are
    /// garbage: a push sends its blobs first and its manifest last.
    pub grace: Duration,
}

impl Default for GarbageOptions {
    fn default() -> Self {
        Self { every: Duration::from_secs(3600), grace: Duration::from_secs(24 * 3600) }
    }
}

/// Bounds on what clients may send, hold open and make wait.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a manifest.
    pub manifest: usize,
    /// Bytes of a blob.
    pub blob: u64,
    /// Bytes of a request's line and headers.
    pub head: usize,
    /// Connections at a time; more wait in the listener's backlog.
    pub connections: usize,
    /// Uploads that were started and not finished; more are answered with 429.
    pub uploads: usize,
    /// How long an upload may lie untouched before it is dropped.
    pub upload_expiry: Duration,
    /// How long a client may take for its headers, its TLS handshake, and between two pieces of a body or of
    /// an answer.
    pub patience: Duration,
    /// Bytes a second that a body has to bring on average, beyond [`Limits::patience`].
    pub slowest: u64,
    /// Bytes of the disk that are left free: the database needs room to note what is deleted.
    pub reserve: u64,
    /// Entries of one page of a list; the rest is on the pages that `Link` names.
    pub page: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 4 << 20,
            blob: 1 << 40,
            head: 64 << 10,
            connections: 1024,
            uploads: 1024,
            upload_expiry: Duration::from_secs(24 * 3600),
            patience: Duration::from_secs(60),
            slowest: 1024,
            reserve: 8 << 20,
            page: 10_000,
        }
    }
}
