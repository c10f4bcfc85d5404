//! A build over BuildKit's API: all that a Compose file can say of one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use minke_build_client::{
    BuildEvent, BuildOptions, Destination, Dockerfile, Files, NamedContext, Output, Prepared, Secret, Vertex,
    run, words,
};
use minke_docker_client::{Client, HeaderMap};
use minke_model::chain;
use serde_json::{Value, json};

use super::{BuildFlags, args};
use crate::model::{Build, Project, Service, Ulimit};
use crate::plan::names::image as image_name;
use crate::run::error::RunError;
use crate::run::report::Surroundings;

/// Events that may wait to be shown.
const WAITING: usize = 256;

/// Builds the image of a service.
///
/// # Errors
/// When files of the build aren't there, and the engine's own.
pub(super) async fn build(
    client: &Client,
    service: &str,
    options: BuildOptions,
    around: &dyn Surroundings,
) -> Result<(), RunError> {
    let failed = |message: String| RunError::Told { what: format!("build the image of {service}"), message };
    let prepared = Prepared::new(options, Some(around.logins()));
    let prepared = prepared.map_err(|error| failed(chain(&error)))?;
    let (empty, headers) = (HeaderMap::new(), prepared.headers());
    let (control, session) = tokio::try_join!(
        client.upgrade("h2c", "/grpc", &empty),
        client.upgrade("h2c", "/session", &headers)
    )?;
    let (events, mut told) = tokio::sync::mpsc::channel(WAITING);
    let telling = async {
        let mut names = HashMap::new();
        while let Some(event) = told.recv().await {
            if let Some(message) = message(event, &mut names) {
                around.message(service, &message);
            }
        }
    };
    let (outcome, ()) = tokio::join!(run(prepared, control, session, events), telling);
    outcome.map(drop).map_err(|error| failed(chain(&error)))
}

/// An event in the words of the classic builder, which is what surroundings show.
fn message(event: BuildEvent, names: &mut HashMap<String, String>) -> Option<Value> {
    let stream = |text: String| Some(json!({ "stream": text }));
    match event {
        BuildEvent::Vertex(Vertex { digest, name, started, completed, cached, error, .. }) => {
            let is_new = started.is_some() && names.insert(digest, name.clone()).is_none();
            match (is_new, completed) {
                (_, Some(_)) if !error.is_empty() => stream(format!("{name}: ERROR: {error}\n")),
                (_, Some(_)) if cached => stream(format!("{name}: CACHED\n")),
                (true, _) => stream(format!("{name}\n")),
                _ => None,
            }
        }
        BuildEvent::Log(log) => stream(String::from_utf8_lossy(&log.data).into_owned()),
        BuildEvent::Warning(warning) => stream(format!("WARNING: {}\n", warning.short)),
        BuildEvent::Status(_) => None,
    }
}

/// What the file and the flags say, as options.
///
/// # Errors
/// For words that mean nothing.
pub(super) fn options(
    project: &Project,
    service: &Service,
    build: &Build,
    image: &str,
    flags: &BuildFlags,
) -> Result<BuildOptions, RunError> {
    let at = |attribute: &str| format!("services.{}.build.{attribute}", service.name);
    let wrong =
        |error: words::WordError| RunError::Unsupported(format!("services.{}.build: {error}", service.name));
    let entries = |list: &[String], what| -> Result<Vec<_>, RunError> {
        list.iter().map(|text| words::cache_entry(what, text).map_err(wrong)).collect()
    };
    let platforms = match build.platforms.is_empty() {
        false => build.platforms.clone(),
        true => Some(service.platform.clone()).filter(|name| !name.is_empty()).into_iter().collect(),
    };
    let mut entitlements = build.entitlements.clone();
    if build.network == "host" {
        entitlements.push("network.host".to_owned());
    }
    if build.privileged {
        entitlements.push("security.insecure".to_owned());
    }
    let names: Vec<_> = std::iter::once(image.to_owned()).chain(build.tags.iter().cloned()).collect();
    let hosts = build.extra_hosts.iter();
    let hosts =
        hosts.flat_map(|(name, addresses)| addresses.iter().map(move |address| format!("{name}={address}")));
    let agents = build.ssh.iter().map(|key| match &*key.path {
        "" => words::agent(&key.id),
        path => words::agent(&format!("{}={path}", key.id)),
    });
    let agents = agents.chain(flags.ssh.iter().map(|word| words::agent(word)));
    let args = args(project, build, flags).into_iter();
    Ok(BuildOptions {
        context: context(build),
        dockerfile: dockerfile(build),
        named_contexts: named_contexts(project, build),
        args: args.map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned())).collect(),
        labels: build.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        target: build.target.clone(),
        platforms,
        no_cache: build.no_cache || flags.no_cache,
        no_cache_filter: build.no_cache_filter.clone(),
        pull: build.pull || flags.pull,
        network: build.network.clone(),
        extra_hosts: hosts.collect(),
        shm_size: build.shm_size.0,
        ulimits: build.ulimits.iter().map(ulimit).collect(),
        cache_from: entries(&build.cache_from, "cache_from")?,
        cache_to: entries(&build.cache_to, "cache_to")?,
        entitlements,
        attestations: attestations(build),
        outputs: vec![Output {
            kind: "moby".to_owned(),
            attributes: [("name".to_owned(), names.join(","))].into(),
            destination: Destination::Engine,
        }],
        secrets: secrets(project, build, &at)?,
        agents: agents.collect::<Result<_, _>>().map_err(wrong)?,
        ..BuildOptions::default()
    })
}

fn context(build: &Build) -> Files {
    match words::is_remote(&build.context) {
        true => Files::Remote(build.context.clone()),
        false => Files::Folder(PathBuf::from(&build.context)),
    }
}

fn dockerfile(build: &Build) -> Dockerfile {
    if !build.dockerfile_inline.is_empty() {
        return Dockerfile::Text(build.dockerfile_inline.clone().into_bytes().into());
    }
    match words::is_remote(&build.context) {
        true => Dockerfile::Within(build.dockerfile.clone()),
        false => {
            let name = if build.dockerfile.is_empty() { "Dockerfile" } else { &build.dockerfile };
            Dockerfile::File(Path::new(&build.context).join(name))
        }
    }
}

/// Of another service, its image is meant, which was built before.
fn named_contexts(project: &Project, build: &Build) -> BTreeMap<String, NamedContext> {
    let source = |source: &str| match source.strip_prefix("service:").map(|name| project.services.get(name)) {
        Some(Some(other)) => {
            NamedContext::Elsewhere(format!("docker-image://{}", image_name(&project.name, other)))
        }
        _ => words::source(source),
    };
    build.additional_contexts.iter().map(|(name, value)| (name.clone(), source(value))).collect()
}

fn attestations(build: &Build) -> BTreeMap<String, String> {
    let asked = [("provenance", &build.provenance), ("sbom", &build.sbom)];
    let asked = asked.into_iter().filter(|(_, value)| !matches!(value.as_str(), "" | "false"));
    let options = |value: &str| if value == "true" { String::new() } else { value.to_owned() };
    asked.map(|(kind, value)| (kind.to_owned(), options(value))).collect()
}

fn secrets(project: &Project, build: &Build, at: &dyn Fn(&str) -> String) -> Result<Vec<Secret>, RunError> {
    let secret = |mount: &crate::model::SecretMount| {
        let id = if mount.target.is_empty() { &mount.source } else { &mount.target };
        let missing = |why: &str| RunError::Unsupported(format!("{}.{}: {why}", at("secrets"), mount.source));
        let secret = project.secrets.get(&mount.source);
        let secret = secret.ok_or_else(|| missing("the project has no such secret"))?;
        let value = match (&secret.content, secret.file.is_empty()) {
            (Some(content), _) => content.clone().into_bytes(),
            (None, false) => std::fs::read(&secret.file).map_err(|source| RunError::File {
                what: "read the secret".to_owned(),
                path: secret.file.clone().into(),
                source,
            })?,
            (None, true) => return Err(missing("it is neither a file nor a variable that is set")),
        };
        Ok(Secret { id: id.clone(), value: value.into() })
    };
    build.secrets.iter().map(secret).collect()
}

fn ulimit((name, limit): (&String, &Ulimit)) -> String {
    match limit.single {
        0 => format!("{name}={}:{}", limit.soft, limit.hard),
        single => format!("{name}={single}:{single}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn what_a_file_says_of_a_build_is_asked_for() {
        let mut project = Project { name: "p".into(), ..Project::default() };
        let other = Service { name: "base".into(), ..Service::default() };
        project.services.insert("base".into(), other);
        project
            .secrets
            .insert("key".into(), model::Secret { content: Some("x".into()), ..Default::default() });
        let pairs = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into_iter().collect();
        let build = Build {
            context: "/src".into(),
            dockerfile: "x.Dockerfile".into(),
            additional_contexts: pairs("b", "service:base"),
            secrets: vec![model::SecretMount { source: "key".into(), ..Default::default() }],
            tags: vec!["t:1".into()],
            privileged: true,
            network: "host".into(),
            cache_to: vec!["type=inline".into()],
            ..Build::default()
        };
        let service = Service { name: "web".into(), platform: "linux/arm64".into(), ..Service::default() };
        let asked = options(&project, &service, &build, "p-web", &BuildFlags::default()).unwrap();
        assert_eq!(asked.dockerfile, Dockerfile::File("/src/x.Dockerfile".into()));
        assert_eq!(asked.named_contexts["b"], NamedContext::Elsewhere("docker-image://p-base".into()));
        assert_eq!((&*asked.secrets[0].id, &asked.secrets[0].value[..]), ("key", &b"x"[..]));
        assert_eq!(asked.outputs[0].attributes["name"], "p-web,t:1");
        assert_eq!(asked.entitlements, ["network.host", "security.insecure"]);
        assert_eq!(
            (&asked.platforms[..], &*asked.cache_to[0].kind),
            (&["linux/arm64".to_owned()][..], "inline")
        );
        let unknown = Build {
            secrets: vec![model::SecretMount { source: "none".into(), ..Default::default() }],
            ..build
        };
        let refused = options(&project, &service, &unknown, "i", &BuildFlags::default()).unwrap_err();
        assert!(refused.to_string().contains("services.web.build.secrets.none"), "{refused}");
        let keyless = Build {
            ssh: vec![model::SshKey { id: "k".into(), path: "/etc/passwd".into() }],
            ..Build::default()
        };
        let refused = options(&project, &service, &keyless, "i", &BuildFlags::default()).unwrap_err();
        let expected = "services.web.build: ssh \"k=/etc/passwd\": ssh key /etc/passwd: it is no private key";
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}
