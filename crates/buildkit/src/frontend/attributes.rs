//! The attributes of the Dockerfile frontend, as `docker buildx build` sends them, read without asking anybody anything.

use std::collections::BTreeMap;

use minke_build::{BuildRequest, CacheEndpoint, Invocation, NetworkMode, ResourceLimits};
use minke_model::Digest;
use serde::Deserialize;

use super::attest;
use crate::grpc::Status;
use crate::pb::source::Definition;
use crate::session::upload;

/// A build as its attributes describe it; its files, secrets and outputs come from elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    /// All that needs nobody else.
    pub(crate) request: BuildRequest,
    pub(crate) context: Files,
    /// The directory of a context elsewhere that the build is of.
    pub(crate) subdirectory: Option<String>,
    /// The name of the client's folder with the Dockerfile; `None` takes it from a context that isn't the client's.
    pub(crate) dockerfile: Option<String>,
    pub(crate) named: BTreeMap<String, Named>,
    /// Graphs that named contexts may be, by the names that the client gives them.
    pub(crate) inputs: BTreeMap<String, Definition>,
    /// The sessions of folders that aren't in the build's own.
    pub(crate) sessions: BTreeMap<String, String>,
    /// What is asked about the build instead of it.
    pub(crate) question: Option<String>,
}

/// Where the build's files are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// A folder of the client's.
    Local(String),
    /// An archive that the client sends.
    Upload(String),
    /// A repository or an archive elsewhere.
    Remote(String),
    /// What came with the request that asks for the build.
    Posted,
}

impl Default for Files {
    fn default() -> Self {
        Self::Local("context".to_owned())
    }
}

/// Where the files of a named context are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Local(String),
    Image(String),
    /// An image in a directory of the client's, by the directory's name among what it offers and a digest.
    Layout(String, Digest),
    Url(String),
    /// One of the inputs.
    Input(String),
}

impl Attributes {
    /// Reads them.
    ///
    /// # Errors
    /// Which one is wrong, or can't be had.
    pub(crate) fn read(attributes: &BTreeMap<String, String>) -> Result<Self, Status> {
        let text = |key: &str| attributes.get(key).cloned().unwrap_or_default();
        let mut read = Self { request: request(attributes)?, ..Self::default() };
        let context_key = attributes.get("contextkey").map_or("context", String::as_str);
        read.context = match &*text("context") {
            "" => Files::Local(context_key.to_owned()),
            url => upload::id(url)
                .map_or_else(|| Files::Remote(url.to_owned()), |id| Files::Upload(id.to_owned())),
        };
        read.subdirectory = Some(text("contextsubdir")).filter(|path| !path.is_empty());
        read.dockerfile = match (attributes.get("dockerfilekey"), &read.context) {
            (Some(key), _) => Some(key.clone()),
            (None, Files::Local(_)) => Some("dockerfile".to_owned()),
            (None, _) => None,
        };
        read.question = attributes.get("requestid").cloned();
        for (key, value) in attributes {
            if let Some(name) = key.strip_prefix("context:") {
                read.named.insert(name.to_owned(), named(name, value)?);
            } else if let Some(name) = key.strip_prefix("local-sessionid:") {
                read.sessions.insert(name.to_owned(), value.clone());
            }
        }
        Ok(read)
    }
}

fn request(attributes: &BTreeMap<String, String>) -> Result<BuildRequest, Status> {
    let text = |key: &str| attributes.get(key).cloned().unwrap_or_default();
    let list = |key: &str| -> Vec<String> {
        text(key).split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let prefixed = |prefix: &'static str| {
        attributes
            .iter()
            .filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())))
    };
    let args: BTreeMap<_, _> = prefixed("build-arg:").map(|(name, value)| (name, Some(value))).collect();
    let arg = |name: &str| args.get(name).cloned().flatten().unwrap_or_default();
    let no_cache_filter = list("no-cache");
    Ok(BuildRequest {
        dockerfile: attributes.get("filename").map_or("Dockerfile", String::as_str).to_owned(),
        target: text("target"),
        labels: prefixed("label:").collect(),
        platforms: list("platform"),
        no_cache: attributes.contains_key("no-cache") && no_cache_filter.is_empty(),
        no_cache_filter,
        pull: pull(&text("image-resolve-mode"))?,
        cache_from: cache_from(attributes)?,
        network: network(&text("force-network-mode"))?,
        extra_hosts: list("add-hosts").iter().map(|host| host.replacen('=', ":", 1)).collect(),
        shm_size: match number(attributes, "shm-size")? {
            0 => None,
            bytes => Some(u64::try_from(bytes).map_err(|_| wrong("shm-size", &text("shm-size")))?),
        },
        ulimits: ulimits(&text("ulimit")),
        cgroup_parent: text("cgroup-parent"),
        limits: limits(attributes)?,
        source_date_epoch: epoch(&arg("SOURCE_DATE_EPOCH"))?,
        hostname: Some(arg("BUILDKIT_SANDBOX_HOSTNAME"))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| text("hostname")),
        attest: attest::read(attributes)?,
        invocation: Invocation { id: String::new(), attributes: attributes.clone() },
        args,
        ..BuildRequest::default()
    })
}

fn wrong(key: &str, value: &str) -> Status {
    Status::invalid(format!("invalid value {value:?} of {key}"))
}

fn number(attributes: &BTreeMap<String, String>, key: &str) -> Result<i64, Status> {
    match attributes.get(key).map(String::as_str) {
        None | Some("") => Ok(0),
        Some(value) => value.parse().map_err(|_| wrong(key, value)),
    }
}

fn limits(attributes: &BTreeMap<String, String>) -> Result<ResourceLimits, Status> {
    let text = |key: &str| attributes.get(key).cloned().unwrap_or_default();
    Ok(ResourceLimits {
        memory: number(attributes, "memory")?,
        memory_swap: number(attributes, "memswap")?,
        cpu_shares: number(attributes, "cpushares")?,
        cpu_period: number(attributes, "cpuperiod")?,
        cpu_quota: number(attributes, "cpuquota")?,
        cpuset_cpus: text("cpusetcpus"),
        cpuset_mems: text("cpusetmems"),
    })
}

fn pull(mode: &str) -> Result<bool, Status> {
    match mode {
        "" | "default" | "local" => Ok(false),
        "pull" => Ok(true),
        other => Err(wrong("image-resolve-mode", other)),
    }
}

fn network(mode: &str) -> Result<NetworkMode, Status> {
    match mode {
        "" | "default" | "sandbox" => Ok(NetworkMode::Default),
        "none" => Ok(NetworkMode::None),
        "host" => Ok(NetworkMode::Host),
        other => Err(wrong("force-network-mode", other)),
    }
}

/// `nofile=1024:2048,nproc=5`
fn ulimits(text: &str) -> Vec<String> {
    text.split(',').filter(|limit| !limit.is_empty()).map(str::to_owned).collect()
}

fn epoch(text: &str) -> Result<Option<i64>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong("SOURCE_DATE_EPOCH", text)),
    }
}

/// One of `cache-imports`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Import {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

fn cache_from(attributes: &BTreeMap<String, String>) -> Result<Vec<CacheEndpoint>, Status> {
    let mut found = Vec::new();
    if let Some(json) = attributes.get("cache-imports").filter(|json| !json.is_empty()) {
        let imports: Option<Vec<Import>> = serde_json::from_str(json)
            .map_err(|error| Status::invalid(format!("reading cache-imports: {error}")))?;
        let imports = imports.unwrap_or_default().into_iter();
        found.extend(imports.map(|import| CacheEndpoint { kind: import.kind, attributes: import.attrs }));
    } else if let Some(references) = attributes.get("cache-from") {
        let references = references.split(',').filter(|reference| !reference.is_empty());
        found.extend(references.map(|reference| CacheEndpoint {
            kind: "registry".to_owned(),
            attributes: BTreeMap::from([("ref".to_owned(), reference.to_owned())]),
        }));
    }
    Ok(found)
}

fn named(name: &str, value: &str) -> Result<Named, Status> {
    match value.split_once(':') {
        Some(("local", folder)) => Ok(Named::Local(folder.to_owned())),
        Some(("docker-image", reference)) => Ok(Named::Image(reference.trim_start_matches("//").to_owned())),
        Some(("http" | "https" | "git" | "ssh", _)) => Ok(Named::Url(value.to_owned())),
        _ if value.starts_with("git@") => Ok(Named::Url(value.to_owned())),
        Some(("input", key)) => Ok(Named::Input(key.to_owned())),
        Some(("oci-layout", image)) => {
            let image = image.trim_start_matches("//");
            let parts = image.split_once('@').and_then(|(store, digest)| Some((store, digest.parse().ok()?)));
            let (store, digest) = parts.ok_or_else(|| {
                Status::invalid(format!(
                    "could not parse oci-layout reference {image:?} for {name}: want STORE@DIGEST"
                ))
            })?;
            // A tag says no more than the digest.
            let store = store.split_once(':').map_or(store, |(store, _)| store);
            Ok(Named::Layout(format!("oci:{store}"), digest))
        }
        Some((kind @ "target", _)) => Err(Status::unimplemented(format!(
            "context {name}={value}: contexts of the kind {kind} can't be had here; use a folder, a URL, an image or an input"
        ))),
        _ => Err(Status::invalid(format!("unsupported context source {value:?} for {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &[(&str, &str)]) -> Result<Attributes, Status> {
        Attributes::read(
            &attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn nothing_said_is_a_dockerfile_beside_its_files() {
        let read = read(&[]).unwrap();
        assert_eq!(read.context, Files::Local("context".into()));
        assert_eq!(read.dockerfile.as_deref(), Some("dockerfile"));
        assert_eq!(read.request.dockerfile, "Dockerfile");
        assert!(!read.request.no_cache && !read.request.pull);
    }

    #[test]
    fn flags_become_the_request() {
        let read = read(&[
            ("filename", "x.Dockerfile"),
            ("target", "run"),
            ("build-arg:A", "1"),
            ("build-arg:SOURCE_DATE_EPOCH", "5"),
            ("label:l", "m"),
            ("no-cache", "a,b"),
            ("platform", "linux/amd64,linux/arm64"),
            ("add-hosts", "a=1.2.3.4,b=::1"),
            ("shm-size", "1024"),
            ("ulimit", "nofile=1:2,nproc=3"),
            ("force-network-mode", "host"),
            ("image-resolve-mode", "pull"),
            ("memory", "4096"),
            ("cache-imports", r#"[{"Type":"registry","Attrs":{"ref":"a/b"}}]"#),
        ])
        .unwrap()
        .request;
        assert_eq!(
            (&*read.dockerfile, &*read.target, read.source_date_epoch),
            ("x.Dockerfile", "run", Some(5))
        );
        assert_eq!(read.args["A"].as_deref(), Some("1"));
        assert_eq!(read.labels["l"], "m");
        assert_eq!((read.no_cache, read.no_cache_filter), (false, vec!["a".into(), "b".into()]));
        assert_eq!(read.platforms, ["linux/amd64", "linux/arm64"]);
        assert_eq!(read.extra_hosts, ["a:1.2.3.4", "b:::1"]);
        assert_eq!((read.shm_size, read.limits.memory, read.pull), (Some(1024), 4096, true));
        assert_eq!(read.ulimits, ["nofile=1:2", "nproc=3"]);
        assert_eq!(read.network, NetworkMode::Host);
        assert_eq!((&*read.cache_from[0].kind, &*read.cache_from[0].attributes["ref"]), ("registry", "a/b"));
    }

    #[test]
    fn contexts_come_from_where_they_say() {
        let read = read(&[
            ("context", "https://example.com/a.git#main"),
            ("context:src", "local:src"),
            ("context:base", "docker-image://alpine:3"),
            ("context:far", "https://example.com/b.tar"),
            ("local-sessionid:src", "abc"),
            ("no-cache", ""),
        ])
        .unwrap();
        assert_eq!(read.context, Files::Remote("https://example.com/a.git#main".into()));
        assert_eq!(read.dockerfile, None);
        assert_eq!(read.named["src"], Named::Local("src".into()));
        assert_eq!(read.named["base"], Named::Image("alpine:3".into()));
        assert_eq!(read.sessions["src"], "abc");
        assert!(read.request.no_cache);
        assert_eq!(
            super::tests::read(&[("context", "http://buildkit-session/x")]).unwrap().context,
            Files::Upload("x".into())
        );
    }

    #[test]
    fn what_is_wrong_or_missing_is_named() {
        for (key, value) in [
            ("force-network-mode", "bridge"),
            ("shm-size", "-1"),
            ("shm-size", "much"),
            ("cache-imports", "{"),
            ("context:a", "oci-layout:b"),
            ("context:a", "target:b"),
            ("build-arg:SOURCE_DATE_EPOCH", "today"),
        ] {
            let error = read(&[(key, value)]).unwrap_err();
            assert!(!error.message.is_empty(), "{key}={value}");
        }
    }
}
