//! `POST /build?version=2` and `/build/cancel`: `docker build` with BuildKit and without buildx. The client's session has the
//! files, secrets and credentials; the query becomes the Dockerfile frontend's attributes, as dockerd makes them, and the
//! answer tells BuildKit's status in Docker's JSON messages.
//!
//! An archive on the client's standard input comes by a call of its own, whose `buildid` is `upload-request:` and that of the
//! build; a build without a session's folder has it in its own body.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream;
use hyper::StatusCode;
use hyper::body::Bytes;
use minke_build::{Arrivals, BuildRequest, Context, NetworkMode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{classic, request, upload};
use crate::buildkit::not_served;
use crate::call::Call;
use crate::error::ApiError;
use crate::query::Query;
use crate::respond::{self, Outcome};

/// How builds call the client's folders.
const CLIENT_SESSION: &str = "client-session";
/// How a build calls an archive that comes by another call.
const UPLOAD: &str = "upload-request";
/// The most archives that wait for their builds.
const UPLOADS: usize = 100;
/// The argument that wants the cache to be in the image.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// A build of a session's.
pub struct SessionBuild {
    /// What names the build.
    pub id: String,
    /// The session's id; empty where the client opened none.
    pub session: String,
    /// Of the frontend `dockerfile.v0`.
    pub attributes: BTreeMap<String, String>,
    /// Where the result goes: its kind and attributes.
    pub output: (String, BTreeMap<String, String>),
    /// What it may do.
    pub entitlements: Vec<String>,
    /// Whether the image gets the cache's records.
    pub inline_cache: bool,
    /// The context where the session isn't to be asked for it.
    pub files: Option<Arc<dyn Context>>,
}

/// What such a build tells.
pub enum BuildTold {
    /// A `moby.buildkit.v1.StatusResponse`, encoded.
    Status(Bytes),
    /// The end: what the output says of what it made, or why it failed.
    End(Result<BTreeMap<String, String>, String>),
}

/// An output as the query has it.
#[derive(Deserialize)]
struct Output {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Attrs", default)]
    attributes: Option<BTreeMap<String, String>>,
}

type Files = Result<Arc<dyn Context>, ApiError>;

/// Archives on their way to builds.
#[derive(Default)]
pub(crate) struct Uploads {
    coming: Mutex<HashMap<String, oneshot::Receiver<Files>>>,
    /// Told when one comes or goes.
    changed: Arrivals,
}

/// An archive that is on its way as long as this is kept, or until its build takes it.
struct Announced<'a> {
    uploads: &'a Uploads,
    build: &'a str,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        drop(self.uploads.take(self.build));
    }
}

impl Uploads {
    fn coming(&self) -> MutexGuard<'_, HashMap<String, oneshot::Receiver<Files>>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces the archive of a build.
    fn announce<'a>(&'a self, build: &'a str) -> Result<(Announced<'a>, oneshot::Sender<Files>), ApiError> {
        let (sender, receiver) = oneshot::channel();
        let mut coming = self.coming();
        if coming.len() >= UPLOADS || coming.contains_key(build) {
            let text = format!("there is an upload for the build {build:?} already, or there are {UPLOADS}");
            return Err(ApiError::new(StatusCode::CONFLICT, text));
        }
        coming.insert(build.to_owned(), receiver);
        drop(coming);
        self.changed.tell();
        Ok((Announced { uploads: self, build }, sender))
    }

    fn take(&self, build: &str) -> Option<oneshot::Receiver<Files>> {
        let taken = self.coming().remove(build)?;
        self.changed.tell();
        Some(taken)
    }

    /// The archive of a build, which may come a little later.
    async fn get(&self, build: &str) -> Files {
        let lost = || ApiError::invalid(format!("no upload came for the build {build:?}"));
        let receiver = self.changed.when(|| self.take(build)).await.ok_or_else(lost)?;
        receiver.await.map_err(|_| lost())?
    }
}

/// `POST /build?version=2`
pub(super) async fn build(call: Call) -> Outcome {
    let id = call.query.get("buildid").unwrap_or_default().to_owned();
    if let Some(build) = id.strip_prefix(UPLOAD).and_then(|rest| rest.strip_prefix(':')) {
        return keep(call, build).await;
    }
    let buildkit = call.context.buildkit.clone().ok_or_else(not_served)?;
    let quiet = call.query.flag("q");
    let stopped = Box::pin(call.context.life.stopped());
    let mut build = read(&call.query, id)?;
    let remote = call.query.non_empty("remote").map(str::to_owned);
    build.files = match remote.as_deref() {
        Some(UPLOAD) => Some(call.context.uploads.get(&build.id).await?),
        Some(_) => None,
        None => Some(Arc::new(upload(call).await?)),
    };
    // Where no image is made there is none to be named.
    let makes_image = matches!(&*build.output.0, "moby" | "image");
    let told = buildkit.solve(build).flat_map(move |told| stream::iter(lines(told, quiet, makes_image)));
    Ok(respond::json_stream(told.take_until(stopped)))
}

/// Keeps the body until its build takes it.
async fn keep(call: Call, build: &str) -> Outcome {
    let context = Arc::clone(&call.context);
    let (_announced, sender) = context.uploads.announce(build)?;
    let files: Files = upload(call).await.map(|files| Arc::new(files) as _);
    // Both calls say why there are none.
    let failed = files.as_ref().err().cloned();
    // A build that is gone needs none.
    let _ = sender.send(files);
    if let Some(error) = failed {
        return Err(error);
    }
    let taken = || (!context.uploads.coming().contains_key(build)).then_some(());
    match context.uploads.changed.when(taken).await {
        Some(()) => respond::json(StatusCode::OK, &json!({})),
        None => Err(ApiError::invalid(format!("no build {build:?} came for its upload"))),
    }
}

/// `POST /build/cancel`
pub(crate) async fn cancel(call: Call) -> Outcome {
    let id = call.query.non_empty("id").ok_or_else(|| ApiError::invalid("build ID not provided"))?;
    call.context.buildkit.clone().ok_or_else(not_served)?.cancel(id);
    Ok(respond::empty(StatusCode::OK))
}

/// What the client is told.
fn lines(told: BuildTold, quiet: bool, makes_image: bool) -> Vec<Value> {
    match told {
        BuildTold::Status(_) if quiet => Vec::new(),
        BuildTold::Status(status) => {
            vec![json!({ "id": "moby.buildkit.trace", "aux": STANDARD.encode(status) })]
        }
        BuildTold::End(Err(error)) => vec![classic::error(&error, None)],
        BuildTold::End(Ok(mut response)) => {
            let Some(image) = response.remove("containerimage.digest").filter(|_| makes_image) else {
                return Vec::new();
            };
            let mut lines = vec![json!({ "id": "moby.image.id", "aux": { "ID": image } })];
            if quiet {
                lines.push(json!({ "stream": format!("{image}\n") }));
            }
            lines
        }
    }
}

/// Reads the query.
fn read(query: &Query, id: String) -> Result<SessionBuild, ApiError> {
    let asked = request::read(query)?;
    let outputs: Vec<Output> = request::json(query, "outputs")?;
    if outputs.len() > 1 {
        return Err(ApiError::invalid("multiple outputs not supported"));
    }
    let cache_from: Vec<String> = request::json(query, "cachefrom")?;
    let output = outputs.into_iter().next();
    let (kind, mut output) = output.map_or_else(
        || ("moby".to_owned(), BTreeMap::new()),
        |output| (output.kind, output.attributes.unwrap_or_default()),
    );
    if matches!(&*kind, "moby" | "image") && !asked.tags.is_empty() {
        output.insert("name".to_owned(), asked.tags.join(","));
    }
    let flag =
        |value: &Option<String>| matches!(value.as_deref(), Some("1" | "t" | "T" | "true" | "True" | "TRUE"));
    let mut entitlements = asked.entitlements.clone();
    if asked.network == NetworkMode::Host {
        entitlements.push("network.host".to_owned());
    }
    Ok(SessionBuild {
        // Nobody else names it then.
        id: if id.is_empty() { format!("{:032x}", fastrand::u128(..)) } else { id },
        session: query.get("session").unwrap_or_default().to_owned(),
        inline_cache: asked.args.get(INLINE_CACHE).is_some_and(flag),
        attributes: attributes(query, &asked, &cache_from),
        output: (kind, output),
        entitlements,
        files: None,
    })
}

/// The attributes that dockerd makes of the same query.
fn attributes(query: &Query, asked: &BuildRequest, cache_from: &[String]) -> BTreeMap<String, String> {
    let text = |name: &str| query.non_empty(name).map(str::to_owned);
    let joined = |list: &[String]| Some(list.join(",")).filter(|text| !text.is_empty());
    let mut attributes = BTreeMap::new();
    for (name, value) in [
        ("filename", text("dockerfile").filter(|name| name != ".")),
        ("target", text("target")),
        ("platform", text("platform")),
        ("cache-from", joined(cache_from)),
        ("add-hosts", joined(&asked.extra_hosts)),
        ("no-cache", asked.no_cache.then(String::new)),
        ("image-resolve-mode", Some(if asked.pull { "pull" } else { "default" }.to_owned())),
        ("shm-size", asked.shm_size.map(|bytes| bytes.to_string())),
        ("ulimit", joined(&asked.ulimits)),
        ("cgroup-parent", text("cgroupparent")),
        ("context", text("remote").filter(|remote| remote != CLIENT_SESSION && remote != UPLOAD)),
        (
            "force-network-mode",
            match &asked.network {
                NetworkMode::Default => None,
                NetworkMode::None => Some("none".to_owned()),
                NetworkMode::Host => Some("host".to_owned()),
                NetworkMode::Named(name) => Some(name.clone()),
            },
        ),
    ] {
        attributes.extend(value.map(|value| (name.to_owned(), value)));
    }
    let args =
        asked.args.iter().filter_map(|(name, value)| Some((format!("build-arg:{name}"), value.clone()?)));
    attributes.extend(args);
    attributes.extend(asked.labels.iter().map(|(name, value)| (format!("label:{name}"), value.clone())));
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_becomes_the_frontends_attributes() {
        let query = Query::parse(
            "version=2&buildid=b1&session=s1&remote=client-session&dockerfile=Dockerfile&t=a%3A1&t=b&networkmode=host\
             &buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%2C%22BUILDKIT_INLINE_CACHE%22%3A%221%22%7D&nocache=1&labels=%7B%22l%22%3A%22v%22%7D",
        );
        let build = read(&query, "b1".to_owned()).unwrap();
        let attribute = |name: &str| build.attributes.get(name).map(String::as_str);
        assert_eq!((attribute("filename"), attribute("no-cache")), (Some("Dockerfile"), Some("")));
        assert_eq!((attribute("build-arg:A"), attribute("build-arg:B")), (Some("1"), None));
        assert_eq!((attribute("label:l"), attribute("context")), (Some("v"), None));
        assert_eq!(attribute("force-network-mode"), Some("host"));
        assert_eq!(build.entitlements, ["network.host"]);
        assert_eq!((&*build.output.0, build.output.1["name"].as_str()), ("moby", "a:1,b"));
        assert_eq!((&*build.session, build.inline_cache), ("s1", true));
    }

    #[tokio::test]
    async fn an_upload_and_its_build_meet_whichever_comes_first() {
        let uploads = Uploads::default();
        let build = uploads.get("a");
        let upload = async {
            let (_announced, sender) = uploads.announce("a").unwrap();
            assert!(uploads.announce("a").is_err());
            assert!(sender.send(Err(ApiError::invalid("bad archive"))).is_ok());
            uploads.changed.when(|| uploads.coming().is_empty().then_some(())).await.unwrap();
        };
        let (got, ()) = tokio::join!(build, upload);
        assert_eq!(got.err().unwrap().message, "bad archive");
        drop(uploads.announce("b").unwrap());
        assert!(uploads.coming().is_empty());
    }
}
