//! `/volumes`.

use bollard_stubs::models::VolumeCreateRequest;
use hyper::StatusCode;

use crate::call::Call;
use crate::respond::{self, Outcome};
use crate::version::ApiVersion;
use crate::{refusals, shapes};

/// `GET /volumes`
pub(crate) async fn list(call: Call) -> Outcome {
    let volumes = call.engine().volume_list(&call.query.filters()?).await?;
    respond::shaped(StatusCode::OK, &shapes::VOLUMES, &volumes)
}

/// `POST /volumes/create`
pub(crate) async fn create(mut call: Call) -> Outcome {
    let request: VolumeCreateRequest = call.json().await?;
    respond::json(StatusCode::CREATED, &call.engine().volume_create(request).await?)
}

/// `GET /volumes/{name}`
pub(crate) async fn inspect(call: Call) -> Outcome {
    respond::json(StatusCode::OK, &respond::to_value(&call.engine().volume_inspect(&call.name).await?)?)
}

/// `PUT /volumes/{name}`: only cluster volumes can be changed, and there are none without a swarm.
pub(crate) async fn update(call: Call) -> Outcome {
    call.engine().volume_inspect(&call.name).await?;
    refusals::swarm(call).await
}

/// `DELETE /volumes/{name}`
pub(crate) async fn remove(call: Call) -> Outcome {
    call.engine().volume_remove(&call.name, call.query.flag("force")).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// `POST /volumes/prune`
pub(crate) async fn prune(call: Call) -> Outcome {
    let mut filters = call.query.filters()?;
    if call.version < ApiVersion(1, 42) && filters.get("all").is_none() {
        // Before there was the filter, named volumes were pruned as well.
        filters = filters.with("all", "true");
    }
    let pruned = call.engine().volume_prune(&filters).await?;
    respond::shaped(StatusCode::OK, &shapes::VOLUMES_PRUNED, &pruned)
}
