//! Calls that Docker has and minke hasn't (yet): each answer says so, and what to do instead where there is
//! something.

use hyper::StatusCode;
use serde_json::json;

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::{self, Outcome};

/// Everything that needs Swarm mode, in the words by which docker's clients recognise it.
pub(crate) async fn swarm(_: Call) -> Outcome {
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this \
         node to swarm and try again.",
    ))
}

/// `POST /swarm/init` and `/swarm/join`
pub(crate) async fn swarm_mode(_: Call) -> Outcome {
    Err(ApiError::not_implemented("minke has no Swarm mode yet"))
}

/// `POST /swarm/leave`
pub(crate) async fn swarm_leave(_: Call) -> Outcome {
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "This node is not part of a swarm"))
}

/// `GET /plugins`: there are none.
pub(crate) async fn plugins(_: Call) -> Outcome {
    respond::json(StatusCode::OK, &json!([]))
}

/// `GET /plugins/{name*}/json` and what is done to one plugin
pub(crate) async fn plugin(call: Call) -> Outcome {
    Err(ApiError::new(StatusCode::NOT_FOUND, format!("plugin {:?} not found", call.name)))
}

/// `GET /plugins/privileges`, `POST /plugins/pull` and `/plugins/create`
pub(crate) async fn plugin_install(_: Call) -> Outcome {
    Err(ApiError::not_implemented("minke has no Docker plugins"))
}

/// `/containers/{name}/checkpoints`
pub(crate) async fn checkpoint(_: Call) -> Outcome {
    Err(ApiError::not_implemented("minke has no checkpoints"))
}
