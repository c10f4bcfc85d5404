//! What is asked about the engine itself: `/_ping`, `/info`, `/version`, `/system/df`.

use bollard_stubs::models::SystemDataUsageResponse;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::ApiError;
use crate::query::Query;
use crate::respond::{self, Outcome, Response};
use crate::shape::Filled;
use crate::version::ApiVersion;
use crate::{build, legacy, shapes};

/// `GET /_ping`
pub(crate) async fn ping(call: Call) -> Outcome {
    Ok(with_ping_headers(&call, respond::bytes(StatusCode::OK, "text/plain; charset=utf-8", "OK")))
}

/// `HEAD /_ping`
pub(crate) async fn ping_head(call: Call) -> Outcome {
    Ok(with_ping_headers(&call, respond::bytes(StatusCode::OK, "text/plain; charset=utf-8", "")))
}

fn with_ping_headers(call: &Call, mut response: Response) -> Response {
    let headers = response.headers_mut();
    // 1 is the classic builder; with 2, or with nothing, the docker CLI speaks BuildKit's protocol.
    let builder = if call.context.buildkit.is_some() { "2" } else { "1" };
    headers.insert(HeaderName::from_static("builder-version"), HeaderValue::from_static(builder));
    headers.insert(HeaderName::from_static("swarm"), HeaderValue::from_static("inactive"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// `GET /info`
pub(crate) async fn info(call: Call) -> Outcome {
    let mut info = respond::to_value(&call.engine().info().await?)?;
    legacy::info(call.version, &mut info);
    respond::shaped(StatusCode::OK, &shapes::INFO, &info)
}

/// `GET /version`
pub(crate) async fn version(call: Call) -> Outcome {
    let mut version = call.engine().version();
    // Which versions are spoken is this crate's business, not the engine's.
    version.api_version = Some(ApiVersion::NEWEST.to_string());
    version.min_api_version = Some(ApiVersion::OLDEST.to_string());
    let mut version = respond::to_value(&version)?;
    describe_engine(&mut version);
    respond::shaped(StatusCode::OK, &shapes::VERSION, &version)
}

/// Repeats what the answer says in the details of the component "Engine", from which the docker CLI prints
/// its table.
fn describe_engine(version: &mut Value) {
    let details = [
        "ApiVersion",
        "Arch",
        "BuildTime",
        "Experimental",
        "GitCommit",
        "GoVersion",
        "KernelVersion",
        "MinAPIVersion",
        "Os",
    ]
    .map(|name| {
        let text = match &version[name] {
            Value::String(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            _ if name == "Experimental" => "false".to_owned(),
            _ => String::new(),
        };
        (name.to_owned(), Value::String(text))
    });
    let engine = json!({ "Name": "Engine", "Version": version["Version"] });
    if !version["Components"].is_array() {
        version["Components"] = json!([]);
    }
    let Value::Array(components) = &mut version["Components"] else { return };
    if !components.iter().any(|component| component["Name"] == "Engine") {
        components.insert(0, engine);
    }
    for component in components.iter_mut().filter(|component| component["Name"] == "Engine") {
        if !component["Details"].is_object() {
            component["Details"] = json!({});
        }
        let Value::Object(own) = &mut component["Details"] else { continue };
        for (name, value) in &details {
            own.entry(name.clone()).or_insert_with(|| value.clone());
        }
        // These two are never the engine's to say.
        for (name, value) in
            details.iter().filter(|(name, _)| name == "ApiVersion" || name == "MinAPIVersion")
        {
            own.insert(name.clone(), value.clone());
        }
    }
}

/// `GET /system/df`
pub(crate) async fn disk_usage(call: Call) -> Outcome {
    let kinds = Kinds::from(&call.query)?;
    let mut usage = call.engine().disk_usage().await?;
    if kinds.build_cache {
        usage.build_cache_usage = Some(build::usage(&call.context.builder).await?);
    }
    respond::json(StatusCode::OK, &classic_usage(usage, kinds, call.version)?)
}

/// What a client wants to know the size of; `type=` may be given several times.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kinds {
    containers: bool,
    images: bool,
    volumes: bool,
    build_cache: bool,
}

impl Kinds {
    fn from(query: &Query) -> Result<Self, ApiError> {
        let wanted = query.all("type");
        let known = ["container", "image", "volume", "build-cache"];
        if let Some(unknown) = wanted.iter().find(|kind| !known.contains(&kind.as_str())) {
            return Err(ApiError::invalid(format!("unknown object type: {unknown}")));
        }
        let has = |kind: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == kind);
        Ok(Self {
            containers: has("container"),
            images: has("image"),
            volumes: has("volume"),
            build_cache: has("build-cache"),
        })
    }
}

/// The answer as it was up to API 1.51: flat lists instead of the summaries of 1.52's models.
fn classic_usage(
    usage: SystemDataUsageResponse,
    kinds: Kinds,
    version: ApiVersion,
) -> Result<Value, ApiError> {
    let layers = usage.image_usage.as_ref().and_then(|images| images.total_size).unwrap_or(0);
    let list = |wanted: bool, items: Option<Vec<Value>>| match wanted {
        true => Value::Array(items.unwrap_or_default()),
        false => Value::Null,
    };
    let mut images = list(kinds.images, usage.image_usage.and_then(|usage| usage.items));
    for image in images.as_array_mut().into_iter().flatten() {
        legacy::image(version, image);
    }
    let containers = list(kinds.containers, usage.container_usage.and_then(|usage| usage.items));
    Ok(json!({
        "LayersSize": if kinds.images { layers } else { 0 },
        "Images": images,
        "Containers": respond::to_value(&Filled::new(&shapes::CONTAINER_SUMMARIES, &containers))?,
        "Volumes": list(kinds.volumes, usage.volume_usage.and_then(|usage| usage.items)),
        "BuildCache": list(kinds.build_cache, usage.build_cache_usage.and_then(|usage| usage.items)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_stubs::models::{ContainersDiskUsage, ImagesDiskUsage};

    #[test]
    fn disk_usage_has_the_lists_that_docker_28_reads() {
        let usage = SystemDataUsageResponse {
            image_usage: Some(ImagesDiskUsage {
                total_size: Some(9),
                items: Some(vec![json!({"Size": 9})]),
                ..Default::default()
            }),
            container_usage: Some(ContainersDiskUsage {
                items: Some(vec![json!({"Id": "x"})]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let all = Kinds::from(&Query::parse("")).unwrap();
        let value = classic_usage(usage.clone(), all, ApiVersion(1, 43)).unwrap();
        assert_eq!(
            (&value["LayersSize"], &value["Images"]),
            (&json!(9), &json!([{"Size": 9, "VirtualSize": 9}]))
        );
        assert_eq!(value["Containers"][0]["Mounts"], json!([]));
        assert_eq!(value["Volumes"], json!([]));
        let only = Kinds::from(&Query::parse("type=volume")).unwrap();
        assert_eq!(classic_usage(usage, only, ApiVersion::NEWEST).unwrap()["Images"], Value::Null);
        assert!(Kinds::from(&Query::parse("type=network")).is_err());
    }

    #[test]
    fn the_engine_component_repeats_the_answer() {
        let mut version = json!({"Version": "1", "ApiVersion": "1.51", "Os": "linux"});
        describe_engine(&mut version);
        assert_eq!(version["Components"][0]["Details"]["ApiVersion"], "1.51");
        assert_eq!(version["Components"][0]["Details"]["Experimental"], "false");
        assert_eq!(version["Components"][0]["Version"], "1");
    }
}
