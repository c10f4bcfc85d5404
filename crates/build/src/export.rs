//! What becomes of a finished build: an image in the store or in a registry, an archive, a directory.

mod files;
pub(crate) mod form;
mod image;
mod layout;
mod merge;
mod statements;

pub(crate) use image::image_config;

use std::sync::Arc;

use minke_dockerfile::plan::StageId;
use minke_model::Reference;

use self::form::ImageForm;
use crate::{
    BuildError, BuildRequest, BuildResult, ContextError, Output, OutputKind, ToldProvenance,
    attest::Attested,
    build::{Build, State},
    cache::{Key, failed},
    progress::Node,
};

/// A build for one platform, and what it came to.
pub(crate) struct Finished {
    pub(crate) build: Arc<Build>,
    pub(crate) target: StageId,
    pub(crate) state: State,
}

/// Writes every output of the request, with what was attested.
pub(crate) async fn export(finished: &[Finished], attested: &[Attested]) -> Result<BuildResult, BuildError> {
    let mut result = BuildResult { provenance: provenance(finished, attested)?, ..BuildResult::default() };
    let Some(Finished { build, .. }) = finished.first() else { return Ok(result) };
    let usual = [Output { kind: OutputKind::Image, attributes: Default::default(), destination: None }];
    let outputs: &[Output] = if build.request.outputs.is_empty() { &usual } else { &build.request.outputs };
    for output in outputs {
        let node = node(build, output);
        node.start();
        let exported = one(output, finished, attested, build, &mut result, &node).await;
        node.end(exported.as_ref().err());
        exported?;
    }
    Ok(result)
}

fn node(build: &Build, output: &Output) -> Node {
    let (key, name) = match output.kind {
        OutputKind::Image => ("image", "exporting to image"),
        OutputKind::Local => ("local", "exporting to client directory"),
        OutputKind::Tar => ("tar", "exporting to client tarball"),
        OutputKind::Oci => ("oci", "exporting to oci image format"),
        OutputKind::Docker => ("docker", "exporting to docker image format"),
        OutputKind::CacheOnly => ("cacheonly", "exporting cache only"),
    };
    Node::new(&build.client.progress, Key::new("export").and(key).digest(), name.to_owned())
}

/// How each result came about, for the client alone.
fn provenance(finished: &[Finished], attested: &[Attested]) -> Result<Vec<ToldProvenance>, BuildError> {
    let told = finished.iter().zip(attested).map(|(one, Attested { provenance, .. })| {
        let platform = if finished.len() > 1 { one.build.platform.to_string() } else { String::new() };
        let json = serde_json::to_vec_pretty(&provenance.body).map_err(|error| failed(&error))?;
        Ok(ToldProvenance { platform, kind: provenance.kind.clone(), json })
    });
    told.collect()
}

async fn one(
    output: &Output,
    finished: &[Finished],
    attested: &[Attested],
    build: &Build,
    result: &mut BuildResult,
    node: &Node,
) -> Result<(), BuildError> {
    match output.kind {
        OutputKind::CacheOnly => Ok(()),
        OutputKind::Image => {
            let form = ImageForm::read(output)?;
            image::export(finished, &form, attested, &names(&build.request, output), result, node).await
        }
        OutputKind::Docker if finished.len() > 1 => Err(BuildError::Invalid(
            "docker's image format holds no image of several platforms: use --output type=oci".to_owned(),
        )),
        OutputKind::Oci | OutputKind::Docker => {
            let names = names(&build.request, output);
            // Docker's own format has no place for more than an image.
            let attested = if output.kind == OutputKind::Oci { attested } else { &[] };
            let composed = image::compose(finished, &ImageForm::read(output)?, attested, &names).await?;
            image::tell_of(&composed, &names, result)?;
            if output.is_layout() {
                return layout::write(build, &composed, node).await;
            }
            let names = names.iter().filter_map(|name| name.parse::<Reference>().ok());
            let saving = composed.save(names.map(|name| name.with_default_tag()).collect());
            destination(output)?.stream(build.engine.save_composed(saving)).await.map_err(BuildError::from)
        }
        OutputKind::Tar => {
            let bytes = files::tar(finished, output, attested).await?;
            destination(output)?.stream(bytes).await.map_err(BuildError::from)
        }
        OutputKind::Local => {
            let tree = files::directory(finished, output, attested).await?;
            destination(output)?.directory(tree).await.map_err(BuildError::from)
        }
    }
}

/// Checks the names of what is to be made, and how it is to be, before it is.
pub(crate) fn check(request: &BuildRequest) -> Result<(), BuildError> {
    for output in &request.outputs {
        let form = match output.kind {
            OutputKind::Image | OutputKind::Oci | OutputKind::Docker => ImageForm::read(output)?,
            OutputKind::Local | OutputKind::Tar | OutputKind::CacheOnly => continue,
        };
        for name in names(request, output) {
            let parsed = name.parse::<Reference>();
            let parsed = parsed
                .map_err(|error| BuildError::Invalid(format!("invalid image name {name:?}: {error}")))?;
            if form.by_digest && parsed.tag().is_some() {
                return Err(BuildError::Invalid(format!("can't push tagged ref {parsed} by digest")));
            }
        }
    }
    Ok(())
}

fn names(request: &BuildRequest, output: &Output) -> Vec<String> {
    let own = output.attributes.get("name").into_iter().flat_map(|names| names.split(','));
    let mut names: Vec<String> =
        own.map(|name| name.trim().to_owned()).chain(request.tags.iter().cloned()).collect();
    names.retain(|name| !name.is_empty());
    names.dedup();
    names
}

fn destination(output: &Output) -> Result<&Arc<dyn crate::Destination>, BuildError> {
    output.destination.as_ref().ok_or_else(|| {
        BuildError::Client(ContextError::invalid(
            "this output needs a destination, and the client takes none",
        ))
    })
}
