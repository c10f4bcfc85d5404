//! `/images`: listing, inspecting, naming and removing. How images come and go as archives is in [`transfer`], through
//! registries in [`registries`].

use hyper::StatusCode;
use minke_engine::ImageListOptions;
use serde_json::Value;

use self::listed::ListedImage;
use crate::call::Call;
use crate::respond::{self, Outcome};
use crate::{legacy, platform, shapes};

mod listed;
pub(crate) mod registries;
pub(crate) mod transfer;

/// `GET /images/json`
pub(crate) async fn list(call: Call) -> Outcome {
    let mut filters = call.query.filters()?;
    // The name filter of API 1.24.
    if let Some(name) = call.query.non_empty("filter") {
        filters = filters.with("reference", name);
    }
    let options = ImageListOptions {
        all: call.query.flag("all"),
        digests: call.query.flag("digests"),
        shared_size: call.query.flag("shared-size"),
        manifests: call.query.flag("manifests"),
        filters,
    };
    let images = call.engine().image_list(options).await?;
    let listed = images.iter().map(|image| ListedImage::of(call.version, image));
    respond::json(StatusCode::OK, &listed.collect::<Result<Vec<_>, _>>()?)
}

/// `GET /images/{name}/json`
pub(crate) async fn inspect(call: Call) -> Outcome {
    platform::check(&call, &call.name, "platform").await?;
    let mut image = respond::to_value(&call.engine().image_inspect(&call.name).await?)?;
    if let Some(parent) = call.engine().image_parent(&call.name)? {
        image["Parent"] = parent.to_string().into();
    }
    legacy::image_inspect(call.version, &mut image);
    respond::shaped(StatusCode::OK, &shapes::IMAGE_INSPECT, &image)
}

/// `GET /images/{name}/history`
pub(crate) async fn history(call: Call) -> Outcome {
    platform::check(&call, &call.name, "platform").await?;
    let mut history = respond::to_value(&call.engine().image_history(&call.name).await?)?;
    for entry in history.as_array_mut().into_iter().flatten() {
        // Go's nil slice for layers without a name.
        if entry["Tags"].as_array().is_some_and(Vec::is_empty) {
            entry["Tags"] = Value::Null;
        }
    }
    respond::json(StatusCode::OK, &history)
}

/// `POST /images/{name}/tag`
pub(crate) async fn tag(call: Call) -> Outcome {
    let repo = call.query.get("repo").unwrap_or_default();
    let tag = call.query.get("tag").unwrap_or_default();
    call.engine().image_tag(&call.name, repo, tag).await?;
    Ok(respond::empty(StatusCode::CREATED))
}

/// `DELETE /images/{name}`
pub(crate) async fn remove(call: Call) -> Outcome {
    platform::check(&call, &call.name, "platforms").await?;
    let (force, no_prune) = (call.query.flag("force"), call.query.flag("noprune"));
    respond::json(StatusCode::OK, &call.engine().image_remove(&call.name, force, no_prune).await?)
}

/// `POST /images/prune`
pub(crate) async fn prune(call: Call) -> Outcome {
    let pruned = call.engine().image_prune(&call.query.filters()?).await?;
    respond::shaped(StatusCode::OK, &shapes::IMAGES_PRUNED, &pruned)
}
