//! The builder of one engine: its front door, and the care of its cache.

use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};
use minke_dockerfile::plan::StageId;
use minke_engine::Engine;
use minke_model::{Digest, Platform};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    BuildError, BuildRequest, BuildResult, CacheEntry, CacheFilter, Client, LinkedBuild, NetworkMode,
    attest::{Facts, attest},
    build::Build,
    cache::{Cache, failed},
    caches::CacheMounts,
    exchange,
    export::{self, Finished},
    images::{self, BaseImage},
    prepare,
};

/// The builder of one engine; clones are the same.
#[derive(Clone)]
pub struct Builder(Arc<Inner>);

struct Inner {
    engine: Engine,
    cache: Arc<Cache>,
    mounts: Arc<CacheMounts>,
}

/// What is to be forgotten.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Also what an image or another result shares.
    pub all: bool,
    /// Keep so many bytes, the most recently used.
    pub keep_bytes: Option<u64>,
    /// Only what was not used for so long.
    pub unused_for: Option<Duration>,
    /// Only what it takes.
    pub filter: CacheFilter,
}

/// What was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids of the entries.
    pub ids: Vec<String>,
    /// Bytes of files that went.
    pub bytes: u64,
}

/// Ends what is under way when the build's future is dropped.
struct EndOnDrop(Vec<Arc<Build>>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        for build in &self.0 {
            build.end();
            build.cache.flush();
        }
    }
}

impl Builder {
    /// The builder of an engine. One per engine: builds of several would not know of each other.
    pub fn new(engine: Engine) -> Self {
        let cache = Arc::new(Cache::open(engine.image_store().clone()));
        let mounts = Arc::new(CacheMounts::new(engine.build_path("mounts")));
        mounts.sweep();
        Self(Arc::new(Inner { engine, cache, mounts }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.0.cache
    }

    pub(crate) fn mounts(&self) -> &Arc<CacheMounts> {
        &self.0.mounts
    }

    /// Whether builds on this engine may be allowed all of it.
    ///
    /// # Errors
    /// `Invalid` names what they may not.
    pub fn check_entitlements(&self, asked: &[String]) -> Result<(), BuildError> {
        let granted = self.0.engine.build_settings().entitlements();
        match asked.iter().find(|name| !granted.contains(&name.as_str())) {
            None => Ok(()),
            Some(denied) => Err(BuildError::Invalid(format!(
                "granting entitlement {denied} is not allowed by build daemon configuration"
            ))),
        }
    }

    /// Whether the engine allows what a build is to have.
    fn check_allowed(&self, request: &BuildRequest) -> Result<(), BuildError> {
        self.check_entitlements(&request.entitlements)?;
        if request.network == NetworkMode::Host {
            self.check_entitlements(&["network.host".to_owned()])?;
        }
        Ok(())
    }

    /// Builds. Dropping the future ends everything that is under way.
    ///
    /// # Errors
    /// [`BuildError`]; steps that were finished stay in the cache.
    pub async fn build(&self, request: BuildRequest, client: Client) -> Result<BuildResult, BuildError> {
        self.check_allowed(&request)?;
        let (check_only, began) = (request.check_only, OffsetDateTime::now_utc());
        crate::export::check(&request)?;
        let prepared = prepare::prepare(self, request, client).await?;
        if check_only {
            return Ok(BuildResult::default());
        }
        let _end = EndOnDrop(prepared.builds.iter().map(|(build, _)| Arc::clone(build)).collect());
        let finished = try_join_all(prepared.builds.iter().map(|(build, target)| finish(build, *target)));
        let finished = finished.await?;
        let attested = attest(self, &finished, began).await?;
        let mut result = export::export(&finished, &attested).await?;
        let caches = exchange::export(&prepared.builds, &prepared.exports).await?;
        result.exporter_response.extend(caches);
        result.unused_args = prepared.unused_args;
        self.trim();
        Ok(result)
    }

    /// What another build comes to, to be built on. One for several platforms is built for `platform`.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub(crate) fn linked<'a>(
        &'a self,
        linked: &'a LinkedBuild,
        name: &'a str,
        platform: &'a Platform,
    ) -> BoxFuture<'a, Result<BaseImage, BuildError>> {
        Box::pin(async move {
            let mut request =
                BuildRequest { outputs: Vec::new(), cache_to: Vec::new(), ..linked.request.clone() };
            if request.platforms.len() > 1 {
                request.platforms = vec![platform.to_string()];
            }
            self.check_allowed(&request)?;
            let prepared = prepare::prepare(self, request, linked.client.clone()).await?;
            let _end = EndOnDrop(prepared.builds.iter().map(|(build, _)| Arc::clone(build)).collect());
            let (build, target) = prepared.builds.first().ok_or_else(|| {
                BuildError::Failed(format!("the build of context {name} is for no platform"))
            })?;
            let finished = finish(build, *target).await?;
            let config = export::image_config(&finished)?;
            let made_of = Arc::new(Facts::gather(&finished, OffsetDateTime::now_utc()).await?.into_sources());
            let (config, layers) = (Arc::new(config), finished.state.layers);
            let image = images::hold_layers(self.engine(), config, layers, name.to_owned()).await?;
            Ok(image.made_of(made_of))
        })
    }

    /// Everything in the cache. Blocking: cache mounts are measured.
    pub fn disk_usage(&self) -> Vec<CacheEntry> {
        let layers = self.0.cache.entries().into_iter().map(|(_, entry)| entry);
        layers.chain(self.0.mounts.entries().into_iter().map(|(_, entry)| entry)).collect()
    }

    /// Forgets what is not in use. Blocking.
    ///
    /// # Errors
    /// What the store says.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned, BuildError> {
        let mut pruned = Pruned::default();
        loop {
            let more = self.prune_once(options)?;
            // What only the forgotten shared is shared no longer.
            let is_all = options.all || more.ids.is_empty();
            pruned.ids.extend(more.ids);
            pruned.bytes += more.bytes;
            if is_all {
                return Ok(pruned);
            }
        }
    }

    fn prune_once(&self, options: &PruneOptions) -> Result<Pruned, BuildError> {
        enum What {
            Layer(Digest),
            Mount(String),
        }
        let layers = self.0.cache.entries().into_iter().map(|(key, entry)| (What::Layer(key), entry));
        let mounts = self.0.mounts.entries().into_iter().map(|(name, entry)| (What::Mount(name), entry));
        let mut candidates: Vec<_> = layers.chain(mounts).collect();
        candidates.sort_by(|(_, a), (_, b)| b.last_used.cmp(&a.last_used));
        let mut kept = 0;
        let mut pruned = Pruned::default();
        let mut keys = Vec::new();
        for (what, entry) in candidates {
            let is_kept = options.keep_bytes.is_some_and(|most| kept + entry.size <= most);
            if is_kept || entry.in_use || !options.means(&entry) {
                kept += entry.size;
                continue;
            }
            match what {
                What::Layer(key) => {
                    keys.push(key);
                    pruned.ids.push(entry.id);
                }
                What::Mount(name) => {
                    if self.0.mounts.delete(&name).map_err(|error| failed(&error))? {
                        pruned.ids.push(entry.id);
                        pruned.bytes += entry.size;
                    }
                }
            }
        }
        pruned.bytes += self.0.cache.forget(&keys)?;
        Ok(pruned)
    }

    /// Forgets what was used least recently, where the cache holds more than it may.
    fn trim(&self) {
        let Some(most) = self.0.engine.build_settings().keep_bytes else { return };
        let total: u64 = self.0.cache.entries().iter().map(|(_, entry)| entry.size).sum();
        if total > most {
            let options = PruneOptions { all: true, keep_bytes: Some(most), ..PruneOptions::default() };
            if let Err(error) = self.prune(&options) {
                tracing::warn!(%error, "trim the build cache");
            }
        }
    }
}

/// Brings about what a build is for.
async fn finish(build: &Arc<Build>, target: StageId) -> Result<Finished, BuildError> {
    build.say_unreached(target);
    let state = build.result(target).await.map_err(BuildError::Shared)?;
    for stage in build.stages.values() {
        // What nobody had to carry out was there.
        for node in stage.from.iter().chain(&stage.nodes) {
            node.done(true, None);
        }
    }
    Ok(Finished { build: Arc::clone(build), target, state })
}

impl PruneOptions {
    fn means(&self, entry: &CacheEntry) -> bool {
        let used = entry.last_used.as_deref().and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok());
        let is_old = |age: Duration| used.is_none_or(|used| OffsetDateTime::now_utc() - used >= age);
        (self.all || !entry.shared) && self.filter.takes(&entry.facts()) && self.unused_for.is_none_or(is_old)
    }
}
