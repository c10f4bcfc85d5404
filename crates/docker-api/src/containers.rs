//! `/containers`: what is asked about containers and done to their records. Their lives, streams and files
//! are in the modules below.

use bollard_stubs::models::{ContainerCreateBody, ContainerUpdateBody};
use hyper::StatusCode;
use minke_engine::{ListOptions, RemoveOptions};
use serde_json::json;

use crate::call::Call;
use crate::error::ApiError;
use crate::platform;
use crate::respond::{self, Outcome};
use crate::version::ApiVersion;
use crate::{legacy, shapes};

pub(crate) mod archive;
pub(crate) mod commit;
pub(crate) mod life;
mod older;
pub(crate) mod stats;
pub(crate) mod streams;

/// `GET /containers/json`
pub(crate) async fn list(call: Call) -> Outcome {
    let mut filters = call.query.filters()?;
    // Parameters of their own before filters had them.
    for name in ["since", "before"] {
        if let Some(value) = call.query.non_empty(name) {
            filters = filters.with(name, value);
        }
    }
    // Docker takes 0 and -1 as "no limit".
    let limit = call.query.number::<i64>("limit")?.and_then(|limit| usize::try_from(limit).ok());
    let options = ListOptions {
        all: call.query.flag("all"),
        limit: limit.filter(|limit| *limit > 0),
        size: call.query.flag("size"),
        filters,
    };
    let containers = call.engine().list(options).await?;
    let differ = legacy::summaries_differ(call.version);
    respond::json_list(&containers, &shapes::CONTAINER_SUMMARY, |container| {
        if differ {
            legacy::container_summary(container);
        }
    })
}

/// `GET /containers/{name}/json`
pub(crate) async fn inspect(call: Call) -> Outcome {
    let container = call.engine().inspect(&call.name, call.query.flag("size")).await?;
    let mut container = respond::to_value(&container)?;
    legacy::container_network(&mut container);
    legacy::container_mac(call.engine().asked_mac(&call.name)?, &mut container);
    legacy::container_aliases(call.version, &mut container);
    respond::shaped(StatusCode::OK, &shapes::CONTAINER_INSPECT, &container)
}

/// `POST /containers/create`
pub(crate) async fn create(mut call: Call) -> Outcome {
    let (mut body, unknown) = call.json_and_unknown::<ContainerCreateBody>().await?;
    let warnings = older::translate(call.version, &mut body, unknown)?;
    let platform = call.query.non_empty("platform").filter(|_| call.version >= ApiVersion(1, 41));
    if let Some(wanted) = platform {
        platform::check_image(&call, body.image.as_deref().unwrap_or(""), &wanted.parse()?).await?;
    }
    let mut created = call.engine().create(call.query.non_empty("name"), body).await?;
    created.warnings.extend(warnings);
    respond::json(StatusCode::CREATED, &created)
}

/// `POST /containers/{name}/update`
pub(crate) async fn update(mut call: Call) -> Outcome {
    let mut body: ContainerUpdateBody = call.optional_json().await?.unwrap_or_default();
    if call.version < ApiVersion(1, 40) {
        body.pids_limit = None;
    }
    let updated = call.engine().update(&call.name, body).await?;
    respond::shaped(StatusCode::OK, &shapes::WARNINGS, &updated)
}

/// `POST /containers/{name}/rename`
pub(crate) async fn rename(call: Call) -> Outcome {
    let Some(name) = call.query.non_empty("name") else {
        return Err(ApiError::invalid("Neither old nor new names may be empty"));
    };
    call.engine().rename(&call.name, name).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// `DELETE /containers/{name}`
pub(crate) async fn remove(call: Call) -> Outcome {
    if call.query.flag("link") {
        call.engine().remove_link(&call.name).await?;
        return Ok(respond::empty(StatusCode::NO_CONTENT));
    }
    let options = RemoveOptions { force: call.query.flag("force"), volumes: call.query.flag("v") };
    call.engine().remove(&call.name, options).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// `POST /containers/prune`
pub(crate) async fn prune(call: Call) -> Outcome {
    let pruned = call.engine().prune(&call.query.filters()?).await?;
    respond::shaped(StatusCode::OK, &shapes::CONTAINERS_PRUNED, &pruned)
}

/// `GET /containers/{name}/top`
pub(crate) async fn top(call: Call) -> Outcome {
    let args = call.query.non_empty("ps_args").unwrap_or("-ef");
    respond::json(StatusCode::OK, &call.engine().top(&call.name, args).await?)
}

/// `GET /containers/{name}/changes`
pub(crate) async fn changes(call: Call) -> Outcome {
    let changes = call.engine().changes(&call.name).await?;
    match changes.is_empty() {
        // Go's nil slice; the CLI prints nothing for either.
        true => respond::json(StatusCode::OK, &json!(null)),
        false => respond::json(StatusCode::OK, &changes),
    }
}
