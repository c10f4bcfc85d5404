//! Contexts that the engine fetches itself: repositories ([`crate::git`]), archives, Dockerfiles by their URLs.

mod download;

use std::{io, path::Path, sync::OnceLock};

use futures_util::{FutureExt, future::BoxFuture};
use minke_dockerfile::evaluate::{GitSource, git_context};
use minke_engine::Engine;
use minke_image::archive;
use minke_model::Digest;
use tokio::sync::OnceCell;

use self::download::Content;
pub use self::download::fetch;
pub(crate) use self::download::{Download, Downloads, Remembered};
use crate::{
    BuildError, Builder, Client, Context, ContextError, DirectoryContext, Material, Tree, Wanted,
    cache::{Key, failed},
    git::{Repositories, redacted},
    progress::Node,
};

/// The largest Dockerfile.
const LONGEST_DOCKERFILE: u64 = 8 << 20;

/// The context of a URL: a repository, an archive, or a Dockerfile alone. It is fetched when its files are asked for.
pub struct RemoteContext {
    repositories: Repositories,
    url: String,
    source: Source,
    fetched: OnceCell<DirectoryContext>,
    /// Of what was downloaded.
    digest: OnceLock<Digest>,
}

enum Source {
    Git(GitSource),
    /// An archive, or a Dockerfile alone.
    Http,
    /// The file itself, under this name.
    File(String),
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
        Self::of(Repositories::new(builder, client), url, keep_git_dir)
    }

    /// The files of a repository.
    pub fn git(builder: &Builder, client: &Client, git: GitSource) -> Self {
        let (repositories, url) = (Repositories::new(builder, client), git.remote.clone());
        Self {
            repositories,
            url,
            source: Source::Git(git),
            fetched: OnceCell::new(),
            digest: OnceLock::new(),
        }
    }

    /// What is at `url` as it is, as a file of this name.
    pub fn file(builder: &Builder, client: &Client, url: &str, name: &str) -> Self {
        let (repositories, source) = (Repositories::new(builder, client), Source::File(name.to_owned()));
        Self { repositories, url: url.to_owned(), source, fetched: OnceCell::new(), digest: OnceLock::new() }
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
        Ok(Self {
            repositories,
            url: url.to_owned(),
            source,
            fetched: OnceCell::new(),
            digest: OnceLock::new(),
        })
    }

    /// What its content is known by before it is fetched: a repository's commit and folder. Nothing for other URLs.
    pub(crate) async fn known_by(&self) -> Result<Option<String>, BuildError> {
        let Source::Git(git) = &self.source else { return Ok(None) };
        let commit = self.repositories.commit(git).await?;
        Ok(Some(format!("{} {git:?}", commit.id)))
    }

    /// What it is made of: the commit, or what the URL had when it was fetched.
    pub(crate) async fn pinned(&self) -> Result<Option<Material>, BuildError> {
        Ok(Some(match &self.source {
            Source::Git(git) => Material::commit(git, &self.repositories.commit(git).await?.id),
            Source::Http | Source::File(_) => Material::file(&self.url, self.digest.get()),
        }))
    }

    async fn fetched(&self) -> Result<&DirectoryContext, ContextError> {
        self.fetched.get_or_try_init(|| self.fetch_now()).await
    }

    async fn fetch_now(&self) -> Result<DirectoryContext, ContextError> {
        let url = redacted(&self.url);
        let (key, title) = match &self.source {
            Source::Git(_) => ("load git", format!("[internal] load git source {url}")),
            Source::Http | Source::File(_) => {
                ("load url", format!("[internal] load remote build context {url}"))
            }
        };
        let node =
            Node::new(&self.repositories.client.progress, Key::new(key).and(&self.url).digest(), title);
        node.start();
        let fetched = match &self.source {
            Source::Git(git) => self.repository(git, &node).await,
            Source::Http => self.downloaded(None).await,
            Source::File(name) => self.downloaded(Some(name)).await,
        };
        node.end(fetched.as_ref().err());
        fetched.map_err(as_context)
    }

    /// What the URL has: under a name, or else taken for an archive or a Dockerfile.
    async fn downloaded(&self, name: Option<&str>) -> Result<DirectoryContext, BuildError> {
        let engine = &self.repositories.engine;
        let content = download::content(engine, &self.url).await?;
        let digest = content.digest();
        let context = match name {
            Some(name) => keep_file(engine, content, &self.url, name).await,
            None => unpack(engine, content).await,
        };
        // It is fetched once.
        let _ = self.digest.set(digest);
        context
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

    fn material(&self) -> BoxFuture<'_, Result<Option<Material>, ContextError>> {
        async move { self.pinned().await.map_err(as_context) }.boxed()
    }

    fn name(&self) -> String {
        redacted(&self.url)
    }
}

fn as_context(error: BuildError) -> ContextError {
    match error {
        BuildError::Client(error) => error,
        BuildError::Invalid(text) => ContextError::invalid(text),
        error => ContextError::failed(error.to_string()),
    }
}

/// A directory with one file.
async fn keep_file(
    engine: &Engine,
    file: Content,
    url: &str,
    name: &str,
) -> Result<DirectoryContext, BuildError> {
    let workspace = engine.build_workspace()?;
    let path = workspace.directory().join("context");
    let to = path.join(Path::new(name).file_name().unwrap_or_else(|| "file".as_ref()));
    let folder = path.clone();
    let written = tokio::task::spawn_blocking(move || {
        std::fs::create_dir(folder)?;
        io::copy(&mut file.open()?, &mut std::fs::File::create_new(to)?)
    });
    let written = written.await.map_err(|error| failed(&error))?;
    written.map_err(|error| BuildError::Failed(format!("keep a download: {error}")))?;
    Ok(DirectoryContext::new(Tree::new(path, workspace), redacted(url)))
}

/// An archive, or a Dockerfile alone.
async fn unpack(engine: &Engine, file: Content) -> Result<DirectoryContext, BuildError> {
    let workspace = engine.build_workspace()?;
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut start = Vec::new();
        let broken = |error: io::Error| BuildError::Failed(format!("read a download: {error}"));
        let source = archive::decompress(file.open().map_err(broken)?).map_err(broken)?;
        let read = io::Read::read_to_end(&mut io::Read::take(source, 512), &mut start);
        if read.is_ok() && archive::is_header(&start) {
            return Ok(DirectoryContext::unpack(file.open().map_err(broken)?, workspace)?);
        }
        let mut text = Vec::new();
        let mut file = io::Read::take(file.open().map_err(broken)?, LONGEST_DOCKERFILE);
        io::Read::read_to_end(&mut file, &mut text).map_err(broken)?;
        Ok(DirectoryContext::only_dockerfile(&text, workspace)?)
    });
    unpacked.await.map_err(|error| failed(&error))?
}
