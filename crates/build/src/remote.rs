//! Files by URL: `ADD https://…`, and contexts that the engine fetches itself. Each once per build.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use minke_dockerfile::evaluate::HttpSource;
use minke_engine::{Engine, Workspace};
use minke_image::archive;
use minke_model::Digest;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::sync::OnceCell;

use crate::{BuildError, DirectoryContext, cache::failed, copy::set_times};

/// The largest file that is downloaded.
const LARGEST: u64 = 16 << 30;
/// The largest Dockerfile.
const LONGEST_DOCKERFILE: u64 = 8 << 20;
/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one build has downloaded.
#[derive(Default)]
pub(crate) struct Downloads {
    files: Mutex<HashMap<String, Arc<OnceCell<Arc<Download>>>>>,
}

/// A file that was downloaded; deleted with the last who needs it.
pub(crate) struct Download {
    path: PathBuf,
    pub(crate) digest: Digest,
    /// When the server says it was changed, seconds since 1970.
    modified: i64,
    _workspace: Workspace,
}

impl Downloads {
    /// The file of a URL, with its checksum verified.
    pub(crate) async fn http(
        &self,
        engine: &Engine,
        source: &HttpSource,
    ) -> Result<Arc<Download>, BuildError> {
        let cell = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.entry(source.url.clone()).or_default())
        };
        let file = cell.get_or_try_init(|| async { fetch(engine, &source.url).await.map(Arc::new) }).await?;
        match &source.checksum {
            Some(wanted) if *wanted != file.digest => Err(BuildError::Invalid(format!(
                "digest mismatch for {}: {} (expected: {wanted})",
                source.url, file.digest
            ))),
            _ => Ok(Arc::clone(file)),
        }
    }
}

impl Download {
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Writes it as a file of a root.
    pub(crate) fn write_to(
        &self,
        directory: &OwnedFd,
        name: &OsStr,
        owner: Option<(u32, u32)>,
        mode: u32,
        latest: Option<i64>,
    ) -> io::Result<()> {
        match rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut to = File::from(rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?);
        io::copy(&mut self.open()?, &mut to)?;
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&to, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        rustix::fs::fchmod(&to, Mode::from_raw_mode(mode))?;
        set_times(&to, latest.map_or(self.modified, |latest| latest.min(self.modified)), 0)
    }
}

/// The context of a URL: an archive, or a Dockerfile alone.
///
/// # Errors
/// [`BuildError`]; git repositories can't be fetched.
pub async fn remote_context(engine: &Engine, url: &str) -> Result<DirectoryContext, BuildError> {
    let is_http = url.starts_with("http://") || url.starts_with("https://");
    if !is_http || url.split(['#', '?']).next().is_some_and(|url| url.ends_with(".git")) {
        return Err(BuildError::Invalid(format!(
            "{url}: this builder can't fetch git repositories: clone it, and build from the directory"
        )));
    }
    let download = fetch(engine, url).await?;
    let workspace = engine.build_workspace()?;
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut start = Vec::new();
        let broken = |error: io::Error| BuildError::Failed(format!("read a download: {error}"));
        let source = archive::decompress(download.open().map_err(broken)?).map_err(broken)?;
        let read = io::Read::read_to_end(&mut io::Read::take(source, 512), &mut start);
        if read.is_ok() && archive::is_header(&start) {
            return Ok(DirectoryContext::unpack(download.open().map_err(broken)?, workspace)?);
        }
        let mut text = Vec::new();
        let mut file = io::Read::take(download.open().map_err(broken)?, LONGEST_DOCKERFILE);
        io::Read::read_to_end(&mut file, &mut text).map_err(broken)?;
        Ok(DirectoryContext::only_dockerfile(&text, workspace)?)
    });
    unpacked.await.map_err(|error| failed(&error))?
}

/// Downloads a URL into a workspace of its own.
pub(crate) async fn fetch(engine: &Engine, url: &str) -> Result<Download, BuildError> {
    let refused = |error: &dyn std::error::Error| match failed(error) {
        BuildError::Failed(text) => BuildError::Invalid(format!("failed to load {url}: {text}")),
        error => error,
    };
    let response = client()?.get(url).send().await.map_err(|error| refused(&error))?;
    let response = response.error_for_status().map_err(|error| refused(&error))?;
    let modified = response.headers().get("last-modified").and_then(|value| value.to_str().ok());
    let modified = modified.and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok());
    let modified = modified.map_or(0, OffsetDateTime::unix_timestamp);
    let workspace = engine.build_workspace()?;
    let path = workspace.directory().join("download");
    let disk = |error: io::Error| BuildError::Failed(format!("write {url}: {error}"));
    let mut file = File::create_new(&path).map_err(disk)?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| refused(&error))?;
        length += piece.len() as u64;
        if length > LARGEST {
            return Err(BuildError::Invalid(format!("{url} has more than {LARGEST} bytes")));
        }
        hash.update(&piece);
        file.write_all(&piece).map_err(disk)?;
    }
    Ok(Download { path, digest: Digest::from_bytes(hash.finalize().into()), modified, _workspace: workspace })
}

/// One for the engine; proxies are those of its environment.
fn client() -> Result<&'static reqwest::Client, BuildError> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let roots = rustls_native_certs::load_native_certs().certs;
    let tls = minke_tls::client_config(&minke_tls::Trust::default(), &roots, &["h2", "http/1.1"]);
    let built = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.map_err(|error| failed(&error))?)
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .user_agent(concat!("minke/", env!("CARGO_PKG_VERSION")))
        .build();
    let built = built.map_err(|error| failed(&error))?;
    Ok(CLIENT.get_or_init(|| built))
}
