//! Contexts that are directories of this host: an uploaded archive, unpacked; a checkout.

use std::{
    fs::{self, File},
    io::Read,
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
};

use futures_util::{FutureExt, future::BoxFuture};
use minke_engine::Workspace;
use minke_image::archive::{self, AbsoluteNames, Limits, Parents, UnpackOptions};
use minke_kernel::path::Root;
use rustix::fs::OFlags;

use crate::{
    Context, ContextError, Material, Tree, Wanted, cache::failed, copy::handle_path, exclude::IGNORE_FILE,
};

/// A directory whose files are all here.
#[derive(Debug, Clone)]
pub struct DirectoryContext {
    tree: Tree,
    name: String,
    /// Whether there is nothing but a Dockerfile, by whatever name.
    only_dockerfile: bool,
}

/// A directory of another context.
pub struct Subdirectory {
    whole: Arc<dyn Context>,
    path: PathBuf,
}

impl Subdirectory {
    /// The files of `whole` below `path`, which is looked for when they are read.
    pub fn new(whole: Arc<dyn Context>, path: impl Into<PathBuf>) -> Self {
        Self { whole, path: path.into() }
    }
}

impl Context for Subdirectory {
    fn read_file(&self, path: &str, most: u64) -> BoxFuture<'_, Result<Option<Vec<u8>>, ContextError>> {
        let path = self.path.join(path.trim_start_matches('/')).to_string_lossy().into_owned();
        async move { self.whole.read_file(&path, most).await }.boxed()
    }

    fn fetch(&self, _: Wanted) -> BoxFuture<'_, Result<Tree, ContextError>> {
        async move {
            // What is wanted, and what is left out, is said of the directory.
            let tree = self.whole.fetch(Wanted::default()).await?;
            let fail = |error: std::io::Error| {
                ContextError::invalid(format!(
                    "directory {} of the build context: {error}",
                    self.path.display()
                ))
            };
            let root = Root::open(tree.path()).map_err(fail)?;
            let below = root.open_at(&self.path, OFlags::PATH | OFlags::DIRECTORY).map_err(fail)?;
            let path = fs::read_link(handle_path(&below)).map_err(fail)?;
            Ok(Tree::new(path, tree))
        }
        .boxed()
    }

    fn material(&self) -> BoxFuture<'_, Result<Option<Material>, ContextError>> {
        self.whole.material()
    }

    fn name(&self) -> String {
        self.whole.name()
    }
}

impl DirectoryContext {
    /// A directory and its name in messages.
    pub fn new(tree: Tree, name: impl Into<String>) -> Self {
        Self { tree, name: name.into(), only_dockerfile: false }
    }

    /// Unpacks a tar (plain, gzip or zstd) into a workspace, which is deleted with the context. Blocking.
    ///
    /// # Errors
    /// [`ContextError`] for a damaged or too large archive, and for one whose links lead out of it.
    pub fn unpack(archive: impl Read + Send, workspace: Workspace) -> Result<Self, ContextError> {
        let path = workspace.directory().join("context");
        let broken =
            |error: std::io::Error| ContextError::failed(format!("make the context's directory: {error}"));
        fs::create_dir(&path).map_err(broken)?;
        let root = File::open(&path).map_err(broken)?;
        let options = UnpackOptions {
            limits: Limits::default(),
            absolute_names: AbsoluteNames::UnderRoot,
            parents: Parents::InRoot,
            ..UnpackOptions::default()
        };
        let unpacked = archive::decompress(archive)
            .map_err(archive::UnpackError::Read)
            .and_then(|archive| archive::unpack(archive, root.as_fd(), &options));
        match unpacked {
            Ok(_) => Ok(Self::new(Tree::new(path, workspace), "context")),
            Err(error) => Err(ContextError::invalid(format!("unpack the build context: {}", failed(&error)))),
        }
    }

    /// A context with nothing but a Dockerfile.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn only_dockerfile(text: &[u8], workspace: Workspace) -> Result<Self, ContextError> {
        let path = workspace.directory().join("context");
        let written = fs::create_dir(&path).and_then(|()| fs::write(path.join("Dockerfile"), text));
        written.map_err(|error| ContextError::failed(format!("write the Dockerfile: {error}")))?;
        Ok(Self { only_dockerfile: true, ..Self::new(Tree::new(path, workspace), "context") })
    }
}

impl Context for DirectoryContext {
    fn read_file(&self, path: &str, most: u64) -> BoxFuture<'_, Result<Option<Vec<u8>>, ContextError>> {
        let is_dockerfile = self.only_dockerfile && !path.ends_with(IGNORE_FILE);
        let (top, path) =
            (self.tree.path().to_owned(), PathBuf::from(if is_dockerfile { "Dockerfile" } else { path }));
        let tree = self.tree.clone();
        async move {
            let reading = tokio::task::spawn_blocking(move || {
                let _tree = tree;
                read(&top, &path, most)
            });
            reading.await.map_err(|error| ContextError::failed(error.to_string()))?
        }
        .boxed()
    }

    fn fetch(&self, _: Wanted) -> BoxFuture<'_, Result<Tree, ContextError>> {
        futures_util::future::ready(Ok(self.tree.clone())).boxed()
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

fn read(top: &std::path::Path, path: &std::path::Path, most: u64) -> Result<Option<Vec<u8>>, ContextError> {
    let fail = |error: std::io::Error| ContextError::invalid(format!("read {}: {error}", path.display()));
    let root = Root::open(top).map_err(fail)?;
    // Not a FIFO that would block.
    let file = match root.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(file) => File::from(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(ContextError::invalid(format!("{} is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    match bytes.len() as u64 > most {
        true => Err(ContextError::invalid(format!("{} has more than {most} bytes", path.display()))),
        false => Ok(Some(bytes)),
    }
}

/// Nothing at all: `FROM` and `RUN` need no context.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContext;

impl NoContext {
    /// As the main context of a client.
    pub fn shared() -> Arc<dyn Context> {
        Arc::new(Self)
    }
}

impl Context for NoContext {
    fn read_file(&self, _: &str, _: u64) -> BoxFuture<'_, Result<Option<Vec<u8>>, ContextError>> {
        futures_util::future::ready(Ok(None)).boxed()
    }

    fn fetch(&self, _: Wanted) -> BoxFuture<'_, Result<Tree, ContextError>> {
        futures_util::future::ready(Err(ContextError::invalid("the build has no context"))).boxed()
    }
}
