//! Files by URL: `ADD https://…`. Each is asked for once per build, and sent again only when it is another than it was (RFC 9110,
//! section 13.1) or nothing is left of what was made of it.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::StreamExt;
use minke_dockerfile::evaluate::HttpSource;
use minke_engine::{Engine, Error, ErrorKind, Workspace};
use minke_model::Digest;
use reqwest::{
    Response, StatusCode,
    header::{ETAG, IF_NONE_MATCH, LAST_MODIFIED, LOCATION},
};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use crate::{BuildError, cache::failed, copy::set_times, git::Commits};

/// The largest file that is downloaded.
const LARGEST: u64 = 16 << 30;
/// URLs that are remembered.
const MOST_REMEMBERED: usize = 1000;
/// The longest name of a server's that is remembered, in bytes.
const LONGEST_ETAG: usize = 1000;

/// What one build has downloaded.
#[derive(Default)]
pub(crate) struct Downloads {
    files: Mutex<HashMap<String, Arc<OnceCell<Arc<Download>>>>>,
    pub(crate) commits: Commits,
}

/// What the files of URLs were when they were last downloaded, while the engine runs.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<HashMap<String, Known>>);

/// A file that was downloaded.
#[derive(Debug, Clone)]
struct Known {
    digest: Digest,
    modified: i64,
    /// What the server knows it by. (A time of change says too little: it has no parts of seconds.)
    etag: String,
}

/// A file of a URL.
pub(crate) struct Download {
    url: String,
    pub(crate) digest: Digest,
    /// When the server says it was changed, seconds since 1970.
    modified: i64,
    /// Its content, once it is needed.
    content: OnceCell<Content>,
}

/// A file that is here; deleted with the last who needs it.
pub(super) struct Content {
    path: PathBuf,
    digest: Digest,
    modified: i64,
    _workspace: Workspace,
}

impl Content {
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Remembered {
    fn find(&self, url: &str) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned()
    }

    fn add(&self, url: &str, known: Option<Known>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(url);
        if all.len() >= MOST_REMEMBERED {
            all.clear();
        }
        all.extend(known.map(|known| (url.to_owned(), known)));
    }
}

impl Downloads {
    /// The file of a URL, with its checksum verified. Its content is here only if it is another than is remembered.
    pub(crate) async fn http(
        &self,
        engine: &Engine,
        remembered: &Remembered,
        source: &HttpSource,
    ) -> Result<Arc<Download>, BuildError> {
        let cell = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(files.entry(source.url.clone()).or_default())
        };
        let file = cell
            .get_or_try_init(|| async { look(engine, remembered, &source.url).await.map(Arc::new) })
            .await?;
        match &source.checksum {
            Some(wanted) if *wanted != file.digest => Err(BuildError::Invalid(format!(
                "digest mismatch for {}: {} (expected: {wanted})",
                source.url, file.digest
            ))),
            _ => Ok(Arc::clone(file)),
        }
    }

    /// The digest of what a URL had, if it was asked for.
    pub(crate) fn digest(&self, url: &str) -> Option<Digest> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(url)?.get().map(|file| file.digest)
    }
}

/// Asks whether a file is still what is remembered of it; if it isn't, it comes.
async fn look(engine: &Engine, remembered: &Remembered, url: &str) -> Result<Download, BuildError> {
    let known = remembered.find(url);
    let mut request = engine.http_client()?.get(url);
    if let Some(known) = &known {
        request = request.header(IF_NONE_MATCH, &known.etag);
    }
    let response = request.send().await.map_err(|error| refused(url, &error))?;
    if let (StatusCode::NOT_MODIFIED, Some(known)) = (response.status(), known) {
        let (digest, modified) = (known.digest, known.modified);
        return Ok(Download { url: url.to_owned(), digest, modified, content: OnceCell::new() });
    }
    let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok());
    // A weak one says that the bytes may be others.
    let etag = etag.filter(|etag| etag.len() <= LONGEST_ETAG && !etag.starts_with("W/")).map(str::to_owned);
    let content = receive(engine, url, response).await?;
    let (digest, modified) = (content.digest, content.modified);
    remembered.add(url, etag.map(|etag| Known { digest, modified, etag }));
    Ok(Download { url: url.to_owned(), digest, modified, content: OnceCell::new_with(Some(content)) })
}

/// What a URL has now.
pub(super) async fn content(engine: &Engine, url: &str) -> Result<Content, BuildError> {
    let response = engine.http_client()?.get(url).send().await.map_err(|error| refused(url, &error))?;
    receive(engine, url, response).await
}

/// What a URL has now, in a file without a name: for an import.
///
/// # Errors
/// `NotFound` where the server says so; [`BuildError::Invalid`] when it can't be had.
pub async fn fetch(engine: &Engine, url: &str) -> Result<File, BuildError> {
    let response = engine.http_client()?.get(url).send().await.map_err(|error| refused(url, &error))?;
    if response.status() == StatusCode::NOT_FOUND {
        let text = format!("download {url}: the server has no such file");
        return Err(Error::new(ErrorKind::NotFound, text).into());
    }
    let content = receive(engine, url, response).await?;
    content.open().map_err(|error| BuildError::Failed(format!("open what {url} has: {error}")))
}

fn refused(url: &str, error: &dyn std::error::Error) -> BuildError {
    match failed(error) {
        BuildError::Failed(text) => BuildError::Invalid(format!("failed to load {url}: {text}")),
        error => error,
    }
}

/// Writes an answer's body into a workspace of its own.
async fn receive(engine: &Engine, url: &str, response: Response) -> Result<Content, BuildError> {
    let response = response.error_for_status().map_err(|error| refused(url, &error))?;
    if !response.status().is_success() {
        let to = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let to = to.map(|to| format!(" to {to:?}")).unwrap_or_default();
        return Err(BuildError::Invalid(format!(
            "failed to load {url}: the server answers {}{to}, which can't be followed",
            response.status()
        )));
    }
    let modified = response.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
    let modified = modified.and_then(http_date).unwrap_or(0);
    let workspace = engine.build_workspace()?;
    let path = workspace.directory().join("download");
    let disk = |error: io::Error| BuildError::Failed(format!("write {url}: {error}"));
    let mut file = File::create_new(&path).map_err(disk)?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| refused(url, &error))?;
        length += piece.len() as u64;
        if length > LARGEST {
            return Err(BuildError::Invalid(format!("{url} has more than {LARGEST} bytes")));
        }
        hash.update(&piece);
        file.write_all(&piece).map_err(disk)?;
    }
    Ok(Content { path, digest: Digest::from_bytes(hash.finalize().into()), modified, _workspace: workspace })
}

impl Download {
    /// Sees to it that the content is here.
    ///
    /// # Errors
    /// When it can't be had, or is another by now.
    pub(crate) async fn bring(&self, engine: &Engine, remembered: &Remembered) -> Result<(), BuildError> {
        let content = self.content.get_or_try_init(|| content(engine, &self.url)).await?;
        if content.digest == self.digest {
            return Ok(());
        }
        remembered.add(&self.url, None);
        Err(BuildError::Invalid(format!("{} was changed while it was built from: build again", self.url)))
    }

    /// # Errors
    /// When [`bring`](Self::bring) wasn't called.
    pub(crate) fn open(&self) -> io::Result<File> {
        self.content.get().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?.open()
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

/// A date of HTTP (RFC 9110, section 5.6.7) in seconds since 1970. Some servers call its zone by its other name.
fn http_date(text: &str) -> Option<i64> {
    let text = text.trim().strip_suffix("UTC").map_or_else(|| text.to_owned(), |date| format!("{date}GMT"));
    httpdate::parse_http_date(&text).ok().map(|time| OffsetDateTime::from(time).unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_servers_are_read_in_each_of_their_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 UTC",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_date(text), Some(784_111_777), "{text}");
        }
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn no_more_urls_are_remembered_than_there_is_room_for() {
        let remembered = Remembered::default();
        let known = Known { digest: Digest::from_bytes([0; 32]), modified: 0, etag: "\"a\"".to_owned() };
        for number in 0..=MOST_REMEMBERED {
            remembered.add(&format!("http://x/{number}"), Some(known.clone()));
        }
        assert!(remembered.find("http://x/0").is_none());
        assert!(remembered.find(&format!("http://x/{MOST_REMEMBERED}")).is_some());
        remembered.add(&format!("http://x/{MOST_REMEMBERED}"), None);
        assert!(remembered.find(&format!("http://x/{MOST_REMEMBERED}")).is_none());
    }
}
