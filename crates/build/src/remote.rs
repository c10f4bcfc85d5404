//! Files by URL: `ADD https://…`, and contexts that the engine fetches itself. Each once per build. Repositories are in
//! [`crate::git`].

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

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use minke_dockerfile::evaluate::{GitSource, HttpSource, git_context};
use minke_engine::{Engine, Workspace};
use minke_image::archive;
use minke_model::Digest;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::sync::OnceCell;

use crate::{
    BuildError, Builder, Client, Context, ContextError, DirectoryContext, Tree, Wanted,
    cache::{Key, failed},
    copy::set_times,
    git::{Commits, Repositories, redacted},
    progress::Node,
};

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
    pub(crate) commits: Commits,
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

/// The context of a URL: a repository, an archive, or a Dockerfile alone. It is fetched when its files are asked for.
pub struct RemoteContext {
    repositories: Repositories,
    url: String,
    source: Source,
    fetched: OnceCell<DirectoryContext>,
}

enum Source {
    Git(GitSource),
    Http,
}

impl RemoteContext {
    /// The context of `url`, fetched with what `client` has of secrets and agents. `keep_git_dir` says whether a repository's
    /// `.git` is part of it.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for a URL that is of no kind which can be fetched.
    pub fn new(
        builder: &Builder,
        client: &Client,
        url: &str,
        keep_git_dir: Option<bool>,
    ) -> Result<Self, BuildError> {
        let repositories = Repositories {
            engine: builder.engine().clone(),
            cache: Arc::clone(builder.cache()),
            client: Client { context: None, ..client.clone() },
            commits: Commits::default(),
        };
        Self::of(repositories, url, keep_git_dir)
    }

    pub(crate) fn of(
        repositories: Repositories,
        url: &str,
        keep_git_dir: Option<bool>,
    ) -> Result<Self, BuildError> {
        let git = git_context(url, keep_git_dir);
        let git = git.map_err(|error| BuildError::Invalid(format!("{}: {error}", redacted(url))))?;
        let source = match git {
            Some(git) => Source::Git(git),
            None if url.starts_with("http://") || url.starts_with("https://") => Source::Http,
            None => {
                return Err(BuildError::Invalid(format!(
                    "{}: neither a repository nor a URL of http or https",
                    redacted(url)
                )));
            }
        };
        Ok(Self { repositories, url: url.to_owned(), source, fetched: OnceCell::new() })
    }

    /// What its content is known by before it is fetched: a repository's commit and folder. Nothing for other URLs.
    pub(crate) async fn known_by(&self) -> Result<Option<String>, BuildError> {
        let Source::Git(git) = &self.source else { return Ok(None) };
        let commit = self.repositories.commit(git).await?;
        Ok(Some(format!("{} {git:?}", commit.id)))
    }

    async fn fetched(&self) -> Result<&DirectoryContext, ContextError> {
        self.fetched.get_or_try_init(|| self.fetch_now()).await
    }

    async fn fetch_now(&self) -> Result<DirectoryContext, ContextError> {
        let url = redacted(&self.url);
        let (key, title) = match &self.source {
            Source::Git(_) => ("load git", format!("[internal] load git source {url}")),
            Source::Http => ("load url", format!("[internal] load remote build context {url}")),
        };
        let node =
            Node::new(&self.repositories.client.progress, Key::new(key).and(&self.url).digest(), title);
        node.start();
        let fetched = match &self.source {
            Source::Git(git) => self.repository(git, &node).await,
            Source::Http => download_context(&self.repositories.engine, &self.url).await,
        };
        node.end(fetched.as_ref().err());
        fetched.map_err(|error| match error {
            BuildError::Client(error) => error,
            BuildError::Invalid(text) => ContextError::invalid(text),
            error => ContextError::failed(error.to_string()),
        })
    }

    async fn repository(&self, git: &GitSource, node: &Node) -> Result<DirectoryContext, BuildError> {
        let commit = self.repositories.commit(git).await?;
        let tree = self.repositories.tree(git, &commit, node).await?;
        Ok(DirectoryContext::new(tree, redacted(&self.url)))
    }
}

impl Context for RemoteContext {
    fn read_file<'a>(
        &'a self,
        path: &str,
        most: u64,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ContextError>> {
        let path = path.to_owned();
        async move { self.fetched().await?.read_file(&path, most).await }.boxed()
    }

    fn fetch(&self, wanted: Wanted) -> BoxFuture<'_, Result<Tree, ContextError>> {
        async move { self.fetched().await?.fetch(wanted).await }.boxed()
    }

    fn name(&self) -> String {
        redacted(&self.url)
    }
}

/// An archive, or a Dockerfile alone.
async fn download_context(engine: &Engine, url: &str) -> Result<DirectoryContext, BuildError> {
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
