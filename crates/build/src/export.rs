//! What becomes of a finished build: an image in the store, an archive, a directory.

use std::{os::fd::AsFd, sync::Arc};

use minke_engine::ByteStream;
use minke_image::{Composition, archive};
use minke_kernel::path::Root;
use minke_model::image_config::ImageConfig;
use rustix::fs::OFlags;

use crate::{
    BuildError, BuildResult, ContextError, Output, OutputKind, Tree,
    build::{Build, Stage, StageBase, State, time_text},
    cache::{Key, failed, now},
    copy::Copier,
    files::Match,
    progress::Node,
};

impl Build {
    /// Writes every output of the request.
    pub(crate) async fn export(&self, stage: &Stage, state: State) -> Result<BuildResult, BuildError> {
        let mut result = BuildResult::default();
        let usual = [Output { kind: OutputKind::Image, attributes: Default::default(), destination: None }];
        let outputs: &[Output] = if self.request.outputs.is_empty() { &usual } else { &self.request.outputs };
        for output in outputs {
            let node = self.node(output);
            node.start();
            let exported = self.one(output, stage, &state, &mut result, &node).await;
            node.end(exported.as_ref().err());
            exported?;
        }
        Ok(result)
    }

    fn node(&self, output: &Output) -> Node {
        let (key, name) = match output.kind {
            OutputKind::Image => ("image", "exporting to image"),
            OutputKind::Local => ("local", "exporting to client directory"),
            OutputKind::Tar => ("tar", "exporting to client tarball"),
            OutputKind::Oci => ("oci", "exporting to oci image format"),
            OutputKind::Docker => ("docker", "exporting to docker image format"),
            OutputKind::CacheOnly => ("cacheonly", "exporting cache only"),
        };
        Node::new(&self.client.progress, Key::new("export").and(key).digest(), name.to_owned())
    }

    async fn one(
        &self,
        output: &Output,
        stage: &Stage,
        state: &State,
        result: &mut BuildResult,
        node: &Node,
    ) -> Result<(), BuildError> {
        match output.kind {
            OutputKind::CacheOnly => Ok(()),
            OutputKind::Image => {
                let names = self.names(output);
                self.image(stage, state, names, result).await?;
                let id = result.image.clone().unwrap_or_default();
                node.log(crate::LogStream::Stdout, format!("writing image {id}\n").as_bytes());
                for name in &result.names {
                    node.log(crate::LogStream::Stdout, format!("naming to {name}\n").as_bytes());
                }
                Ok(())
            }
            OutputKind::Oci | OutputKind::Docker => {
                let names = self.names(output);
                self.image(stage, state, names.clone(), result).await?;
                let saved = if names.is_empty() { result.image.iter().cloned().collect() } else { names };
                let bytes = self.engine.image_save(saved).await?;
                destination(output)?.stream(bytes).await.map_err(BuildError::from)
            }
            OutputKind::Tar => {
                let bytes = self.tar(state)?;
                destination(output)?.stream(bytes).await.map_err(BuildError::from)
            }
            OutputKind::Local => {
                let tree = self.directory(state).await?;
                destination(output)?.directory(tree).await.map_err(BuildError::from)
            }
        }
    }

    fn names(&self, output: &Output) -> Vec<String> {
        let own = output.attributes.get("name").into_iter().flat_map(|names| names.split(','));
        let mut names: Vec<String> =
            own.map(|name| name.trim().to_owned()).chain(self.request.tags.iter().cloned()).collect();
        names.retain(|name| !name.is_empty());
        names.dedup();
        names
    }

    async fn image(
        &self,
        stage: &Stage,
        state: &State,
        names: Vec<String>,
        result: &mut BuildResult,
    ) -> Result<(), BuildError> {
        let config = self.config(stage, state);
        let json = serde_json::to_vec(&config).map_err(|error| BuildError::Failed(error.to_string()))?;
        let store = self.engine.image_store().clone();
        let (layers, wanted) = (state.layers.clone(), names.clone());
        let composed = tokio::task::spawn_blocking(move || {
            let parent = None;
            store.compose(&Composition { config: &json, layers: &layers, names: &wanted, parent })
        });
        let (id, manifest) =
            composed.await.map_err(|error| failed(&error))?.map_err(|error| match &error {
                minke_image::CommitError::Name(_) => BuildError::Invalid(error.to_string()),
                _ => failed(&error),
            })?;
        for name in &names {
            self.engine.image_built(&id.to_string(), name);
        }
        let known = self.engine.image_store().find(&id.to_string());
        let familiar = |name: &String| match name.parse::<minke_model::Reference>() {
            Ok(reference) => reference.with_default_tag().familiar(),
            Err(_) => name.clone(),
        };
        result.names = names.iter().map(familiar).collect();
        result.image = Some(id.to_string());
        result.manifest = Some(known.map_or(manifest, |image| image.manifest).to_string());
        let response = &mut result.exporter_response;
        response.insert("containerimage.config.digest".to_owned(), id.to_string());
        response.insert("containerimage.digest".to_owned(), manifest.to_string());
        if !names.is_empty() {
            let full = names.iter().filter_map(|name| name.parse::<minke_model::Reference>().ok());
            let full: Vec<String> = full.map(|name| name.with_default_tag().to_string()).collect();
            response.insert("image.name".to_owned(), full.join(","));
        }
        Ok(())
    }

    /// The image's configuration: the stage's, with its layers, and the times of their making.
    fn config(&self, stage: &Stage, state: &State) -> ImageConfig {
        let mut config = self.config.clone();
        config.rootfs.diff_ids = state.layers.iter().map(|layer| layer.diff_id).collect();
        let base = self.base_of(stage);
        let mut times = state.times.iter().cloned();
        let mut last = base.and_then(|base| base.created.clone());
        for entry in config.history.iter_mut().skip(base.map_or(0, |base| base.history.len())) {
            if !entry.empty_layer {
                last = times.next().or(last);
            }
            entry.created = last.clone();
        }
        let epoch = self.request.source_date_epoch.and_then(time_text);
        config.created = Some(epoch.or(last).unwrap_or_else(now));
        // Steps before the first layer, on nothing.
        for entry in &mut config.history {
            entry.created = entry.created.take().or_else(|| config.created.clone());
        }
        config
    }

    /// The configuration of the image that a stage begins with, below all stages.
    fn base_of(&self, stage: &Stage) -> Option<&ImageConfig> {
        match &stage.base {
            StageBase::Image(name) => Some(self.images.get(name)?.config()),
            StageBase::Stage(id) => self.base_of(self.stages.get(id)?),
            StageBase::Nothing | StageBase::Files(_) => None,
        }
    }

    fn root(&self, state: &State) -> Result<Root, BuildError> {
        let lower = self.lower(&state.layers)?;
        let root = match lower.is_empty() {
            true => Root::open(&self.engine.build_directory("empty")?),
            false => minke_engine::layers_root(&lower),
        };
        root.map_err(|error| BuildError::Failed(format!("look at the result's files: {error}")))
    }

    fn tar(&self, state: &State) -> Result<ByteStream, BuildError> {
        let root = self.root(state)?;
        let held = state.clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(8);
        tokio::task::spawn_blocking(move || {
            let _held = held;
            let mut writer = Pieces { sender: sender.clone(), buffer: Vec::new() };
            let options = archive::PackOptions { exact_times: true, ..archive::PackOptions::default() };
            let opened = root.open_at(std::path::Path::new("/"), OFlags::RDONLY | OFlags::DIRECTORY);
            let packed = opened.map_err(|error| error.to_string()).and_then(|root| {
                archive::pack(root.as_fd(), std::path::Path::new(""), &mut writer, &options)
                    .map_err(|error| error.to_string())
            });
            let _ = std::io::Write::flush(&mut writer);
            if let Err(error) = packed {
                let _ = sender.blocking_send(Err(std::io::Error::other(error)));
            }
        });
        Ok(Box::pin(futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        })))
    }

    /// A copy of the files in a workspace: an overlay mount has no path of this host's.
    async fn directory(&self, state: &State) -> Result<Tree, BuildError> {
        let root = self.root(state)?;
        let workspace = Arc::new(self.engine.build_workspace()?);
        let held = state.clone();
        let copied = tokio::task::spawn_blocking(move || {
            let _held = held;
            let to = Root::open(&workspace.upper())
                .map_err(|error| BuildError::Failed(format!("open a workspace: {error}")))?;
            let mut copier =
                Copier { to: &to, owner: None, chmod: None, made_at: None, links: Default::default() };
            let all = Match { path: "".into(), name: "".into() };
            copier.copy(&root, &all, "/", false, &|_, _| false)?;
            Ok::<_, BuildError>(Tree::new(workspace.upper(), workspace))
        });
        copied.await.map_err(|error| failed(&error))?
    }
}

fn destination(output: &Output) -> Result<&Arc<dyn crate::Destination>, BuildError> {
    output.destination.as_ref().ok_or_else(|| {
        BuildError::Client(ContextError::invalid(
            "this output needs a destination, and the client takes none",
        ))
    })
}

/// Blocking writes that become pieces of a stream.
struct Pieces {
    sender: tokio::sync::mpsc::Sender<std::io::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
}

const PIECE: usize = 128 << 10;

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = bytes::Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.blocking_send(Ok(piece)).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let _ = std::io::Write::flush(self);
    }
}
