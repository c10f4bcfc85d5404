//! `/networks`.

use bollard_stubs::models::{NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use hyper::StatusCode;

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::{self, Outcome};
use crate::shapes;
use crate::version::ApiVersion;

/// `GET /networks`
pub(crate) async fn list(call: Call) -> Outcome {
    let containers = call.version < ApiVersion(1, 28);
    let networks = call.engine().network_list(&call.query.filters()?, containers).await?;
    respond::shaped(StatusCode::OK, &shapes::NETWORKS, &networks)
}

/// `GET /networks/{name}`. `verbose` and `scope` are about swarms: everything here is local, and told.
pub(crate) async fn inspect(call: Call) -> Outcome {
    if let Some(verbose) = call.query.non_empty("verbose")
        && !["0", "1", "t", "f", "true", "false", "True", "False", "TRUE", "FALSE"].contains(&verbose)
    {
        return Err(ApiError::invalid(format!("invalid value for verbose: {verbose}")));
    }
    if call.query.non_empty("scope").is_some_and(|scope| scope != "local") {
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("network {} not found", call.name)));
    }
    respond::shaped(StatusCode::OK, &shapes::NETWORK, &call.engine().network_inspect(&call.name).await?)
}

/// `POST /networks/create`
pub(crate) async fn create(mut call: Call) -> Outcome {
    let mut request: NetworkCreateRequest = call.json().await?;
    if call.version < ApiVersion(1, 48) {
        request.enable_ipv4 = None;
    }
    respond::json(StatusCode::CREATED, &call.engine().network_create(request).await?)
}

/// `DELETE /networks/{name}`
pub(crate) async fn remove(call: Call) -> Outcome {
    call.engine().network_remove(&call.name).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// `POST /networks/prune`
pub(crate) async fn prune(call: Call) -> Outcome {
    let pruned = call.engine().network_prune(&call.query.filters()?).await?;
    respond::shaped(StatusCode::OK, &shapes::NETWORKS_PRUNED, &pruned)
}

/// `POST /networks/{name}/connect`
pub(crate) async fn connect(mut call: Call) -> Outcome {
    let request: NetworkConnectRequest = call.json().await?;
    let settings = request.endpoint_config.unwrap_or_default();
    call.engine().network_connect(&call.name, &request.container, settings).await?;
    Ok(respond::empty(StatusCode::OK))
}

/// `POST /networks/{name}/disconnect`
pub(crate) async fn disconnect(mut call: Call) -> Outcome {
    let request: NetworkDisconnectRequest = call.json().await?;
    let force = request.force.unwrap_or(false);
    call.engine().network_disconnect(&call.name, &request.container, force).await?;
    Ok(respond::empty(StatusCode::OK))
}
