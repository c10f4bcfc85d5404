//! What a step is cached by before anything has run.

use minke_dockerfile::{
    evaluate::{Action, CopySource, MountKind, Step},
    plan::Origin,
};
use minke_model::Digest;

use super::{Build, copy, image_key, named_key, run};
use crate::{BuildError, NamedContext, RemoteContext, cache::Key, walk::apart};

impl Build {
    /// The definition of a step after another's; `None` when it can't be known yet.
    pub(crate) async fn definition(&self, before: Digest, step: &Step) -> Result<Option<Digest>, BuildError> {
        let key = match &step.action {
            Action::Nothing => return Ok(Some(before)),
            Action::MakeDirectory(directory) => Key::new("define directory").and(format!("{directory:?}")),
            Action::Run(run) => {
                let key = Key::new("define run").and(run::words(run));
                let mut key = run::surroundings(key, run, &self.request);
                for mount in &run.mounts {
                    if let MountKind::Bind { from, source } | MountKind::Cache { from, source, .. } =
                        &mount.kind
                    {
                        let Some(part) = self.origin(from).await? else { return Ok(None) };
                        key = key.and(part);
                        if *from == Origin::Context {
                            key = key.and(self.mounted_content(source).await?.hex());
                        }
                    }
                }
                key
            }
            Action::Copy(copied) => {
                let mut key = Key::new("define copy").and(copy::key_words(copied));
                let mut reads_context = false;
                for source in &copied.sources {
                    match source {
                        CopySource::Path(path) => {
                            let Some(part) = self.origin(&path.from).await? else { return Ok(None) };
                            reads_context |= path.from == Origin::Context;
                            key = key.and(part);
                        }
                        CopySource::Http(http) => match http.checksum {
                            Some(checksum) => key = key.and(checksum.hex()),
                            None => return Ok(None),
                        },
                        CopySource::Git(git) => {
                            // The step itself tells why a repository can't be asked.
                            let commit = self.repositories().commit(git).await;
                            let Ok(commit) = commit else { return Ok(None) };
                            key = key.and(&commit.id).and(format!("{git:?}"));
                        }
                        CopySource::Inline { .. } => {}
                    }
                }
                if reads_context {
                    let files = self.context_files().await?;
                    let copied = copied.clone();
                    let digest = apart(move |stop| copy::context_content(&files, &copied, stop));
                    key = key.and(digest.await?.hex());
                }
                key
            }
        };
        let epoch = self.request.source_date_epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
        Ok(Some(key.and(before.hex()).and(epoch).digest()))
    }

    /// What names the files of an origin, but for the context's, which are named by their content.
    async fn origin(&self, origin: &Origin) -> Result<Option<String>, BuildError> {
        Ok(match origin {
            Origin::Context => Some("context".to_owned()),
            Origin::Scratch => Some("scratch".to_owned()),
            Origin::Stage(stage) => self.stages.get(stage).and_then(|stage| stage.end).map(|end| end.hex()),
            Origin::Image(image) => self.images.get(&image_key(image)).map(|image| image.key().hex()),
            Origin::Named(named) => match self.request.named_contexts.get(&named.name) {
                Some(context) if context.is_scratch() => Some("scratch".to_owned()),
                Some(
                    NamedContext::Image(_)
                    | NamedContext::Layout { .. }
                    | NamedContext::Build(_)
                    | NamedContext::Built(_),
                ) => self.images.get(&named_key(named)).map(|image| image.key().hex()),
                Some(NamedContext::Url(url)) => {
                    let context = RemoteContext::of(self.repositories(), url, None)?;
                    context.known_by().await?
                }
                // Their content is looked at when they are read.
                _ => None,
            },
        })
    }

    async fn mounted_content(&self, source: &str) -> Result<Digest, BuildError> {
        let files = self.context_files().await?;
        files.content(source).await
    }
}
