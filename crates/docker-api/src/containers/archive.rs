//! `/containers/{name}/archive`: what `docker cp` is made of. A tar goes in or out; what the path is travels
//! in a header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use minke_engine::{PathStat, PutOptions};

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::{self, Outcome, Response};

/// JSON in base64, as Docker's clients read it.
const PATH_STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// `HEAD /containers/{name}/archive`
pub(crate) async fn stat(call: Call) -> Outcome {
    let stat = call.engine().archive_stat(&call.name, call.query.required("path")?).await?;
    with_stat(respond::empty(StatusCode::OK), &stat)
}

/// `GET /containers/{name}/archive`
pub(crate) async fn get(call: Call) -> Outcome {
    let (stat, tar) = call.engine().archive_get(&call.name, call.query.required("path")?).await?;
    with_stat(respond::stream("application/x-tar", tar), &stat)
}

/// `PUT /containers/{name}/archive`
pub(crate) async fn put(call: Call) -> Outcome {
    let options = PutOptions {
        no_overwrite_dir_non_dir: call.query.flag("noOverwriteDirNonDir"),
        copy_uid_gid: call.query.flag("copyUIDGID"),
    };
    let path = call.query.required("path")?.to_owned();
    let engine = call.engine().clone();
    engine.archive_put(&call.name, &path, options, call.body.into_reader()).await?;
    Ok(respond::empty(StatusCode::OK))
}

fn with_stat(mut response: Response, stat: &PathStat) -> Outcome {
    let text = STANDARD.encode(serde_json::to_vec(stat).map_err(unwritable)?);
    let value = HeaderValue::from_str(&text).map_err(unwritable)?;
    response.headers_mut().insert(PATH_STAT, value);
    Ok(response)
}

fn unwritable(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("writing the path's description: {error}"))
}
