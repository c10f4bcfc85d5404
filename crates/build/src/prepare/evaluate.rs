//! From a plan to evaluated stages: base images brought here, their triggers planned.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use minke_dockerfile::{
    evaluate::{Action, Base, CopySource, CopyStep, Evaluated, PathSource, Step},
    limits::MOST_HELD,
    lint::Linter,
    plan::{ImageOrigin, NamedContext as Named, Origin, Plan, PlannedStage, StageId},
};
use minke_model::{Platform, Reference, image_config::HistoryRecord};

use super::{sorted, told};
use crate::{
    BuildError, BuildRequest, Client, NamedContext,
    build::{image_key, named_key, origins},
    builder::Builder,
    exchange::layout_image,
    images::{self, BaseImage},
};

/// More base images of base images' triggers than any honest build has.
const MOST_ROUNDS: usize = 64;

pub(super) async fn evaluate(
    builder: &Builder,
    request: &BuildRequest,
    client: &Client,
    plan: &mut Plan,
    linter: &mut Linter,
    images: &mut HashMap<String, BaseImage>,
) -> Result<BTreeMap<StageId, Evaluated>, BuildError> {
    let mut triggered = BTreeSet::new();
    // Triggers of a base image may need stages that were not needed before.
    for _ in 0..MOST_ROUNDS {
        let needed = sorted(&plan.needed());
        resolve(builder, request, client, plan, &needed, images).await?;
        let mut is_settled = true;
        for id in &needed {
            let Some(image) = base_image(plan.stage(*id).base.clone(), images) else { continue };
            if triggered.insert(*id) && !image.config().config.on_build.is_empty() {
                plan.on_build(*id, &image.config().config.on_build)
                    .map_err(|diagnostic| told(&diagnostic))?;
                is_settled = false;
            }
        }
        if is_settled {
            break;
        }
    }
    let mut evaluated: BTreeMap<StageId, Evaluated> = BTreeMap::new();
    let mut held = 0_usize;
    for id in sorted(&plan.needed()) {
        let origin = plan.stage(id).base.clone();
        let image = base_image(origin.clone(), images);
        let base = match (&origin, &image) {
            (Origin::Stage(stage), _) => match evaluated.get(stage) {
                Some(stage) => Base::Stage(stage),
                None => return Err(BuildError::Failed(format!("stage {stage} was not evaluated"))),
            },
            (_, Some(image)) => Base::Image { config: image.config(), title: &image.title },
            _ => Base::Scratch,
        };
        let mut stage = plan.evaluate(id, base, linter).map_err(|diagnostic| told(&diagnostic))?;
        held = held.saturating_add(stage.bytes);
        if held > MOST_HELD {
            let reason =
                format!("its stages hold more than {MOST_HELD} bytes of variables and history together");
            return Err(BuildError::Invalid(reason));
        }
        if let Some(named) = files_of(&origin, request) {
            begin_with_files(&mut stage, plan.stage(id), named);
        }
        evaluated.insert(id, stage);
    }
    // What steps copy and mount from may be images, too.
    for step in evaluated.values().flat_map(|stage| &stage.steps) {
        for origin in origins(&step.action) {
            let found = image(builder, request, client, origin, images).await;
            found.map_err(|error| error.at(step.lines.first, step.lines.last))?;
        }
    }
    Ok(evaluated)
}

/// The named context that an origin is, where it has files and is no image.
fn files_of<'a>(origin: &'a Origin, request: &BuildRequest) -> Option<&'a Named> {
    let Origin::Named(named) = origin else { return None };
    let context = request.named_contexts.get(&named.name)?;
    matches!(context, NamedContext::Files(_) | NamedContext::Url(_)).then_some(named)
}

/// A stage on the files of a context begins with all of them.
fn begin_with_files(stage: &mut Evaluated, planned: &PlannedStage, named: &Named) {
    let source = PathSource {
        from: Origin::Named(named.clone()),
        path: "/".to_owned(),
        parents: None,
        must_exist: true,
        unpack: false,
    };
    let copy = CopyStep {
        is_add: false,
        sources: vec![CopySource::Path(source)],
        destination: "/".to_owned(),
        chown: None,
        chmod: None,
        exclude: Vec::new(),
        link: false,
    };
    let history = HistoryRecord {
        created_by: Some(format!("{} # buildkit", planned.code)),
        ..HistoryRecord::default()
    };
    stage.image.history.insert(0, history.clone());
    stage.steps.insert(
        0,
        Step {
            title: format!("[{}] {}", planned.title, planned.code),
            code: planned.code.clone(),
            lines: planned.lines,
            action: Action::Copy(Box::new(copy)),
            history: Some(history),
        },
    );
}

async fn resolve(
    builder: &Builder,
    request: &BuildRequest,
    client: &Client,
    plan: &Plan,
    needed: &[StageId],
    images: &mut HashMap<String, BaseImage>,
) -> Result<(), BuildError> {
    for id in needed {
        let stage = plan.stage(*id);
        let found = image(builder, request, client, &stage.base, images).await;
        found.map_err(|error| error.at(stage.lines.first, stage.lines.last))?;
    }
    Ok(())
}

/// Makes sure that an origin's image is here, where it is one.
async fn image(
    builder: &Builder,
    request: &BuildRequest,
    client: &Client,
    origin: &Origin,
    images: &mut HashMap<String, BaseImage>,
) -> Result<(), BuildError> {
    let (key, origin) = match origin {
        Origin::Image(image) => (image_key(image), image.clone()),
        Origin::Named(named) => match request.named_contexts.get(&named.name) {
            Some(context) if context.is_scratch() => return Ok(()),
            Some(NamedContext::Image(written)) => {
                let reference: Reference =
                    written.parse().map_err(|error| BuildError::Invalid(format!("{written}: {error}")))?;
                let image = ImageOrigin {
                    written: written.clone(),
                    reference: reference.with_default_tag(),
                    platform: named.platform.clone(),
                    is_platform_asked_for: named.platform != Platform::host(),
                };
                (named_key(named), image)
            }
            Some(NamedContext::Layout { store, digest }) => {
                if let Entry::Vacant(place) = images.entry(named_key(named)) {
                    let found = layout_image(builder, client, store, *digest, &named.platform).await?;
                    place.insert(found);
                }
                return Ok(());
            }
            Some(NamedContext::Build(linked)) => {
                if let Entry::Vacant(place) = images.entry(named_key(named)) {
                    place.insert(builder.linked(linked, &named.name, &named.platform).await?);
                }
                return Ok(());
            }
            Some(NamedContext::Built(built)) => {
                images.entry(named_key(named)).or_insert_with(|| built.0.clone());
                return Ok(());
            }
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    if let Entry::Vacant(place) = images.entry(key) {
        place.insert(images::resolve(builder.engine(), client, &origin, request.pull).await?);
    }
    Ok(())
}

fn base_image(origin: Origin, images: &HashMap<String, BaseImage>) -> Option<BaseImage> {
    match origin {
        Origin::Image(image) => images.get(&image_key(&image)).cloned(),
        Origin::Named(named) => images.get(&named_key(&named)).cloned(),
        _ => None,
    }
}
