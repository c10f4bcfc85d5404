//! How a result came about, as SLSA's provenance (<https://slsa.dev/provenance/v1>, <https://slsa.dev/provenance/v0.2>), with the parameters
//! and fields that BuildKit's has. There is no graph of BuildKit's in it, since nothing here is built from one.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use minke_dockerfile::{
    ast::NetworkMode,
    evaluate::{Action, CopySource, MountKind, PROXIES},
    plan::Origin,
};
use minke_image::Predicate;
use minke_model::Platform;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Provenance, Slsa};
use crate::{
    BuildError, Material, NamedContext, RemoteContext,
    build::{Build, StageBase, image_key, named_key, origins},
    cache::failed,
    export::Finished,
    git::redacted,
};

/// What nobody else can do anything with: what is this host's, and what only says where it comes from.
const OF_THIS_HOST: [&str; 4] = ["cgroup-parent", "image-resolve-mode", "platform", "cache-imports"];

/// What something was made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    materials: BTreeSet<Material>,
    /// Names of folders of the client's.
    folders: BTreeSet<String>,
    /// Ids of secrets, and whether they might have been missing.
    secrets: BTreeMap<String, bool>,
    /// The same of ssh agents.
    agents: BTreeMap<String, bool>,
    has_network: bool,
}

impl Sources {
    /// An image.
    pub(crate) fn of(material: Material) -> Self {
        Self { materials: BTreeSet::from([material]), ..Self::default() }
    }

    /// Adds what else it was made of.
    pub(super) fn merge(&mut self, other: &Self) {
        self.materials.extend(other.materials.iter().cloned());
        self.folders.extend(other.folders.iter().cloned());
        for (ids, others) in [(&mut self.secrets, &other.secrets), (&mut self.agents, &other.agents)] {
            for (id, optional) in others {
                need(ids, id, *optional);
            }
        }
        self.has_network |= other.has_network;
    }
}

/// One use that can't do without it is enough for all.
fn need(ids: &mut BTreeMap<String, bool>, id: &str, optional: bool) {
    *ids.entry(id.to_owned()).or_insert(true) &= optional;
}

/// What is known of a result.
pub(crate) struct Facts<'a> {
    build: &'a Build,
    began: OffsetDateTime,
    pub(super) sources: Sources,
    /// What the main context is, where it is no folder of the client's.
    context: Option<Material>,
}

impl<'a> Facts<'a> {
    /// Gathers them. What was fetched for the build is not fetched again.
    pub(crate) async fn gather(finished: &'a Finished, began: OffsetDateTime) -> Result<Self, BuildError> {
        let build = &*finished.build;
        let mut facts = Self { build, began, sources: Sources::default(), context: None };
        facts.context().await?;
        for stage in build.stages.values() {
            if let StageBase::Image(name) = &stage.base {
                facts.image(name);
            }
            for action in stage.evaluated.steps.iter().map(|step| &step.action) {
                for origin in origins(action) {
                    facts.origin(origin).await?;
                }
                facts.action(action).await?;
            }
        }
        Ok(facts)
    }

    /// What it was made of.
    pub(crate) fn into_sources(self) -> Sources {
        self.sources
    }

    /// The main context, and where the Dockerfile comes from.
    async fn context(&mut self) -> Result<(), BuildError> {
        let attributes = &self.build.request.invocation.attributes;
        let is_elsewhere = attributes.get("context").is_some_and(|url| !url.is_empty());
        if is_elsewhere {
            self.context = match &self.build.client.context {
                Some(context) => context.material().await?,
                None => None,
            };
            self.sources.materials.extend(self.context.clone());
        } else if self.build.client.context.is_some() {
            // Its `.dockerignore` was looked for, if nothing else.
            let key = attributes.get("contextkey").map_or("context", String::as_str);
            self.sources.folders.insert(key.to_owned());
        }
        if !is_elsewhere || attributes.contains_key("dockerfilekey") {
            let key = attributes.get("dockerfilekey").map_or("dockerfile", String::as_str);
            self.sources.folders.insert(key.to_owned());
        }
        Ok(())
    }

    fn image(&mut self, key: &str) {
        if let Some(image) = self.build.images.get(key) {
            self.sources.merge(&image.made_of);
        }
    }

    async fn origin(&mut self, origin: &Origin) -> Result<(), BuildError> {
        match origin {
            Origin::Image(image) => self.image(&image_key(image)),
            Origin::Named(named) => {
                self.image(&named_key(named));
                match self.build.request.named_contexts.get(&named.name) {
                    Some(NamedContext::Files(context)) => match context.material().await? {
                        Some(material) => drop(self.sources.materials.insert(material)),
                        None => drop(self.sources.folders.insert(named.name.clone())),
                    },
                    Some(NamedContext::Url(url)) => {
                        let context = RemoteContext::of(self.build.repositories(), url, None)?;
                        self.sources.materials.extend(context.pinned().await?);
                    }
                    _ => {}
                }
            }
            Origin::Context | Origin::Stage(_) | Origin::Scratch => {}
        }
        Ok(())
    }

    async fn action(&mut self, action: &Action) -> Result<(), BuildError> {
        match action {
            Action::Run(run) => {
                let is_off = run.network == NetworkMode::None
                    || (run.network == NetworkMode::Default
                        && self.build.request.network == crate::NetworkMode::None);
                self.sources.has_network |= !is_off;
                for mount in &run.mounts {
                    match &mount.kind {
                        MountKind::Secret { id, required, .. } => {
                            need(&mut self.sources.secrets, id, !required);
                        }
                        MountKind::Ssh { id, required, .. } => need(&mut self.sources.agents, id, !required),
                        _ => {}
                    }
                }
            }
            Action::Copy(copy) => {
                for source in &copy.sources {
                    match source {
                        CopySource::Git(git) => {
                            let commit = self.build.repositories().commit(git).await?;
                            self.sources.materials.insert(Material::commit(git, &commit.id));
                        }
                        CopySource::Http(http) => {
                            let known = http.checksum.or_else(|| self.build.downloads.digest(&http.url));
                            self.sources.materials.insert(Material::file(&http.url, known.as_ref()));
                        }
                        CopySource::Path(_) | CopySource::Inline { .. } => {}
                    }
                }
            }
            Action::Nothing | Action::MakeDirectory(_) => {}
        }
        Ok(())
    }

    /// As a predicate.
    ///
    /// # Errors
    /// When all materials are wanted, and not all have a name.
    pub(super) fn predicate(&self, options: &Provenance) -> Result<Predicate, BuildError> {
        if options.wants_all_materials && !self.sources.folders.is_empty() {
            let folders: Vec<&str> = self.sources.folders.iter().map(String::as_str).collect();
            return Err(BuildError::Invalid(format!(
                "provenance with complete materials is wanted, and the build reads folders of its client: {}",
                folders.join(", ")
            )));
        }
        let (kind, body) = match options.version {
            Slsa::V1 => ("https://slsa.dev/provenance/v1", self.version_1(options)?),
            Slsa::V02 => ("https://slsa.dev/provenance/v0.2", self.version_0_2(options)?),
        };
        Ok(Predicate { kind: kind.to_owned(), body, subjects: Vec::new() })
    }

    fn version_1(&self, options: &Provenance) -> Result<Value, BuildError> {
        let request = self.request(options);
        let source = self.config_source("path");
        Ok(json!({
            "buildDefinition": {
                "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
                "externalParameters": { "configSource": source, "request": request.words },
                "internalParameters": { "builderPlatform": Platform::host().to_string() },
                "resolvedDependencies": self.sources.materials,
            },
            "runDetails": {
                "builder": { "id": options.builder_id },
                "metadata": {
                    "invocationId": self.build.request.invocation.id,
                    "startedOn": time_text(self.began)?,
                    "finishedOn": time_text(OffsetDateTime::now_utc())?,
                    "buildkit_metadata": self.metadata(options),
                    "buildkit_hermetic": self.is_hermetic(),
                    "buildkit_completeness": {
                        "request": request.is_complete,
                        "resolvedDependencies": self.sources.folders.is_empty(),
                    },
                    "buildkit_reproducible": options.is_reproducible,
                },
            },
        }))
    }

    fn version_0_2(&self, options: &Provenance) -> Result<Value, BuildError> {
        let request = self.request(options);
        Ok(json!({
            "buildType": "https://mobyproject.org/buildkit@v1",
            "builder": { "id": options.builder_id },
            "materials": self.sources.materials,
            "invocation": {
                "configSource": self.config_source("entryPoint"),
                "parameters": request.words,
                "environment": { "platform": Platform::host().to_string() },
            },
            "metadata": {
                "buildInvocationID": self.build.request.invocation.id,
                "buildStartedOn": time_text(self.began)?,
                "buildFinishedOn": time_text(OffsetDateTime::now_utc())?,
                "completeness": {
                    "parameters": request.is_complete,
                    "environment": true,
                    "materials": self.sources.folders.is_empty(),
                },
                "reproducible": options.is_reproducible,
                "https://mobyproject.org/buildkit@v1#metadata": self.metadata(options),
                "https://mobyproject.org/buildkit@v1#hermetic": self.is_hermetic(),
            },
        }))
    }

    fn is_hermetic(&self) -> bool {
        self.sources.folders.is_empty() && !self.sources.has_network
    }

    /// Where the build's own description comes from. `path` is what the form calls its file.
    fn config_source(&self, path: &str) -> Value {
        let attributes = &self.build.request.invocation.attributes;
        let mut source = Map::new();
        if let Some(url) = attributes.get("context").filter(|url| !url.is_empty()) {
            source.insert("uri".to_owned(), redacted(url).into());
            if let Some(material) = &self.context {
                source.insert("digest".to_owned(), json!(material.digest));
            }
        }
        if let Some(name) = attributes.get("filename").filter(|name| !name.is_empty()) {
            source.insert(path.to_owned(), name.as_str().into());
        }
        source.into()
    }

    fn request(&self, options: &Provenance) -> Request {
        let attributes = &self.build.request.invocation.attributes;
        let context = attributes.get("contextkey").map_or("context", String::as_str);
        let mut is_complete = true;
        let mut arguments = Map::new();
        for (key, value) in attributes {
            let is_private = key.starts_with("build-arg:") || key.starts_with("label:");
            if is_private && options.is_minimal {
                is_complete = false;
                continue;
            }
            let is_left_out = OF_THIS_HOST.contains(&key.as_str())
                || ["attest:", "vcs:", "local-sessionid:"].iter().any(|prefix| key.starts_with(prefix))
                || is_proxy(key)
                || key == context
                || key == "filename";
            if !is_left_out {
                let value = if key.starts_with("context:") { redacted(value) } else { value.clone() };
                arguments.insert(key.clone(), value.into());
            }
        }
        let mut words = Map::from_iter([("frontend".to_owned(), Value::from("dockerfile.v0"))]);
        if !arguments.is_empty() {
            words.insert("args".to_owned(), arguments.into());
        }
        let optional = |ids: &BTreeMap<String, bool>| -> Vec<Value> {
            let one = |(id, optional): (&String, &bool)| match optional {
                true => json!({ "id": id, "optional": true }),
                false => json!({ "id": id }),
            };
            ids.iter().map(one).collect()
        };
        for (key, ids) in [("secrets", &self.sources.secrets), ("ssh", &self.sources.agents)] {
            if !options.is_minimal && !ids.is_empty() {
                words.insert(key.to_owned(), optional(ids).into());
            }
        }
        if !self.sources.folders.is_empty() {
            let locals: Vec<Value> =
                self.sources.folders.iter().map(|name| json!({ "name": name })).collect();
            words.insert("locals".to_owned(), locals.into());
        }
        Request { words: words.into(), is_complete }
    }

    /// What BuildKit's has beside SLSA's fields: which commit the client's folder was at, and the Dockerfile itself.
    fn metadata(&self, options: &Provenance) -> Value {
        let mut metadata = Map::new();
        let attributes = &self.build.request.invocation.attributes;
        let commit = attributes.iter().filter_map(|(key, value)| {
            let key = key.strip_prefix("vcs:").filter(|_| !value.is_empty())?;
            Some((key.to_owned(), Value::from(if key == "source" { redacted(value) } else { value.clone() })))
        });
        let commit: Map<String, Value> = commit.collect();
        if !commit.is_empty() {
            metadata.insert("vcs".to_owned(), commit.into());
        }
        if !options.is_minimal {
            let source = &self.build.source;
            let file = json!({
                "filename": &*source.name,
                "language": "Dockerfile",
                "data": STANDARD.encode(source.text.as_bytes()),
            });
            metadata.insert("source".to_owned(), json!({ "infos": [file] }));
        }
        metadata.into()
    }
}

/// Whether it is an argument with the client's proxy, which is in no image: there may be a password in it.
fn is_proxy(key: &str) -> bool {
    let name = key.strip_prefix("build-arg:").map(str::to_ascii_uppercase);
    name.is_some_and(|name| PROXIES.contains(&name.as_str()))
}

/// What the client asked for.
struct Request {
    words: Value,
    /// Whether nothing of it is left out.
    is_complete: bool,
}

fn time_text(time: OffsetDateTime) -> Result<String, BuildError> {
    time.format(&Rfc3339).map_err(|error| failed(&error))
}
