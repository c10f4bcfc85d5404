//! The engine's own builder as a [`Builder`].

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use minke_build::{
    BuildError, BuildRequest, BuildResult, CacheEntry, Client, Context, ContextError, DirectoryContext,
    RemoteContext, Subdirectory,
};
use minke_engine::{ByteStream, Engine};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncWriteExt;

use super::{Builder, CacheRecord, PruneOptions};
use crate::frontend::sources::Source;

/// The bytes of an archive that wait to be unpacked.
const BUFFER: usize = 256 * 1024;

/// The builder of an engine.
pub struct EngineBuilder {
    engine: Engine,
    builder: minke_build::Builder,
}

impl EngineBuilder {
    /// `builder` is the engine's one.
    pub fn new(engine: Engine, builder: minke_build::Builder) -> Self {
        Self { engine, builder }
    }
}

impl Builder for EngineBuilder {
    fn build(&self, request: BuildRequest, client: Client) -> BoxFuture<'_, Result<BuildResult, BuildError>> {
        Box::pin(self.builder.build(request, client))
    }

    fn check(&self, entitlements: &[String]) -> Result<(), BuildError> {
        self.builder.check_entitlements(entitlements)
    }

    fn unpack(&self, mut archive: ByteStream) -> BoxFuture<'_, Result<Arc<dyn Context>, ContextError>> {
        Box::pin(async move {
            let failed = |error: minke_engine::Error| ContextError::failed(error.to_string());
            let workspace = self.engine.build_workspace().map_err(failed)?;
            let (mut near, far) = tokio::io::duplex(BUFFER);
            let pump = async move {
                while let Some(chunk) = archive.next().await {
                    near.write_all(&chunk?).await?;
                }
                near.shutdown().await
            };
            let unpack =
                self.engine.read_blocking(far, |archive| DirectoryContext::unpack(archive, workspace));
            // What the archive's reader leaves unread nobody needs; what breaks off the reader notices.
            let (pumped, unpacked) = tokio::join!(pump, unpack);
            let context = unpacked.map_err(failed)??;
            if let Err(error) = pumped
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(ContextError::failed(format!("receive the build context: {error}")));
            }
            Ok(Arc::new(context) as Arc<dyn Context>)
        })
    }

    fn remote(
        &self,
        url: &str,
        client: &Client,
        keep_git_dir: Option<bool>,
    ) -> Result<Arc<dyn Context>, BuildError> {
        Ok(Arc::new(RemoteContext::new(&self.builder, client, url, keep_git_dir)?))
    }

    fn source(&self, source: &Source, client: &Client) -> Result<Arc<dyn Context>, BuildError> {
        Ok(match source {
            Source::Git(git) => Arc::new(RemoteContext::git(&self.builder, client, git.clone())),
            Source::File { url, name } => Arc::new(RemoteContext::file(&self.builder, client, url, name)),
            Source::Archive(url) => return self.remote(url, client, None),
            Source::Below(whole, folder) => Arc::new(Subdirectory::new(self.source(whole, client)?, folder)),
        })
    }

    fn usage(&self) -> BoxFuture<'_, Vec<CacheRecord>> {
        let builder = self.builder.clone();
        Box::pin(async move {
            let entries = tokio::task::spawn_blocking(move || builder.disk_usage()).await.unwrap_or_default();
            entries.into_iter().map(record).collect()
        })
    }

    fn prune(&self, options: PruneOptions) -> BoxFuture<'_, Result<Vec<CacheRecord>, BuildError>> {
        let builder = self.builder.clone();
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || {
                let before = builder.disk_usage();
                let options = minke_build::PruneOptions {
                    all: options.all,
                    keep_bytes: Some(options.keep).filter(|bytes| *bytes > 0),
                    unused_for: time::Duration::try_from(options.unused_for)
                        .ok()
                        .filter(|time| !time.is_zero()),
                    filter: options.filter,
                };
                let pruned = builder.prune(&options)?;
                let removed = before.into_iter().filter(|entry| pruned.ids.contains(&entry.id));
                Ok(removed.map(record).collect())
            });
            work.await
                .unwrap_or_else(|error| Err(BuildError::Failed(format!("prune the build cache: {error}"))))
        })
    }
}

fn record(entry: CacheEntry) -> CacheRecord {
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from);
    CacheRecord {
        mutable: entry.facts().mutable,
        id: entry.id,
        kind: entry.kind.to_owned(),
        description: entry.description,
        size: entry.size,
        in_use: entry.in_use,
        shared: entry.shared,
        created: time(&entry.created),
        last_used: entry.last_used.as_deref().and_then(time),
        uses: entry.uses,
        parents: Vec::new(),
    }
}
