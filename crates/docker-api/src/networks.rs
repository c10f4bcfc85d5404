//! `/networks`: the predefined ones. Networks of one's own are not there yet, and the calls that make them
//! say so.

use hyper::StatusCode;
use serde_json::json;

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::{self, Outcome};
use crate::shapes;

/// `GET /networks`
pub(crate) async fn list(call: Call) -> Outcome {
    let networks = call.engine().network_list(&call.query.filters()?).await?;
    respond::shaped(StatusCode::OK, &shapes::NETWORKS, &networks)
}

/// `GET /networks/{name}`
pub(crate) async fn inspect(call: Call) -> Outcome {
    respond::shaped(StatusCode::OK, &shapes::NETWORK, &call.engine().network_inspect(&call.name).await?)
}

/// `DELETE /networks/{name}`
pub(crate) async fn remove(call: Call) -> Outcome {
    // 404 for those that don't exist; all that do are predefined.
    call.engine().network_inspect(&call.name).await?;
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        format!("{} is a pre-defined network and cannot be removed", call.name),
    ))
}

/// `POST /networks/prune`: there is never anything to prune.
pub(crate) async fn prune(_: Call) -> Outcome {
    respond::json(StatusCode::OK, &json!({ "NetworksDeleted": null }))
}

/// `POST /networks/create` and `/networks/{name}/connect|disconnect`
pub(crate) async fn change(_: Call) -> Outcome {
    Err(ApiError::not_implemented(
        "minke has no user-defined networks yet: use the networks bridge, host and none",
    ))
}
