//! Pulls and pushes: the request that names the image, who the user is at its registry, and the progress that the engine
//! tells. `pull` and `push` call it, and `run` and `create` for an image that is missing.

use minke_docker_client::{ApiVersion, Body, Client, HeaderMap, Method};
use minke_model::Reference;
use serde_json::Value;

use crate::{
    config_file::ConfigFile,
    context::Context,
    credentials::{self, Credentials, server},
    failure::{Failure, chain},
    output,
    progress::{Progress, Screen},
};

/// The first version with `platform` for pushes.
const PLATFORM_PUSHES: ApiVersion = ApiVersion::new(1, 46);

/// What to pull or push of a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) image: &'a Reference,
    /// All tags of the repository, not one.
    pub(crate) all_tags: bool,
    /// `os/architecture` or with a variant, as the user wrote it.
    pub(crate) platform: Option<&'a str>,
}

/// Lets the engine pull.
///
/// # Errors
/// The engine's own.
pub(crate) async fn pull(context: &Context, wanted: Wanted<'_>, screen: Screen) -> Result<(), Failure> {
    let headers = authentication(context.config(), wanted.image)?;
    let query = pull_query(wanted);
    let response =
        context.client()?.stream(Method::POST, "/images/create", &query, Body::Empty, headers).await?;
    Progress::new(screen).follow(response, |_| {}).await
}

/// The name, and apart from it the tag or digest: without one, engines pull every tag.
fn pull_query(Wanted { image, all_tags, platform }: Wanted<'_>) -> Vec<(&'static str, String)> {
    let mut query = vec![("fromImage", image.familiar_name())];
    if !all_tags {
        query.push(("tag", tag_or_digest(image)));
    }
    query.extend(platform.map(|platform| ("platform", platform.to_lowercase())));
    query
}

fn tag_or_digest(image: &Reference) -> String {
    match image.digest() {
        Some(digest) => digest.to_string(),
        None => image.clone().with_default_tag().tag().unwrap_or_default().to_owned(),
    }
}

/// Lets the engine push.
///
/// # Errors
/// The engine's own, or when it is too old for a platform.
pub(crate) async fn push(
    context: &Context,
    wanted: Wanted<'_>,
    platform: Option<(&'static str, String)>,
    screen: Screen,
) -> Result<(), Failure> {
    let client = context.client()?;
    if platform.is_some() {
        require_version(client, "--platform", PLATFORM_PUSHES).await?;
    }
    let headers = authentication(context.config(), wanted.image)?;
    let mut query = Vec::new();
    if !wanted.all_tags {
        query.push(("tag", tag_or_digest(wanted.image)));
    }
    query.extend(platform);
    let path = format!("/images/{}/push", wanted.image.familiar_name());
    let response = client.stream(Method::POST, &path, &query, Body::Empty, headers).await?;
    let mut notes = Vec::new();
    let pushed = Progress::new(screen).follow(response, |aux| notes.extend(note(aux))).await;
    for note in notes {
        output::note(&format!("\n{note}"));
    }
    pushed
}

/// What an engine has to say about a push of which only a part went out.
fn note(aux: &Value) -> Option<String> {
    if aux["manifestPushedInsteadOfIndex"] == true {
        let digest = |field: &str| aux[field]["digest"].as_str().unwrap_or_default().to_owned();
        return Some(format!(
            "Not all platforms of this image are here: only the one that is was pushed\n{} -> {}",
            digest("originalIndex"),
            digest("selectedManifest")
        ));
    }
    (aux["contentMissing"] == true).then(|| {
        "This image's index names platforms of which the content is neither here nor at the registry.\n\
         Pull them first, or push one platform with --platform."
            .to_owned()
    })
}

/// Who the user is at the registry of `image`, as the engine wants to be told. An engine is asked all the same where that
/// can't be read: many images are for everybody.
fn authentication(config: &ConfigFile, image: &Reference) -> Result<HeaderMap, Failure> {
    Ok(credentials::auth_header(&known_at(config, server::of_image(image)))?)
}

/// The credentials for a registry; none, with a warning, where they can't be read.
pub(crate) fn known_at(config: &ConfigFile, server: &str) -> Credentials {
    config.credentials(server).unwrap_or_else(|error| {
        output::note(&format!("WARNING: no credentials for {server}: {}", chain(&error)));
        Credentials::default()
    })
}

/// Refuses a flag that the engine is too old for, in docker's words.
///
/// # Errors
/// When it is, or doesn't answer.
pub(crate) async fn require_version(client: &Client, flag: &str, least: ApiVersion) -> Result<(), Failure> {
    if client.version().is_none() {
        client.ping().await?;
    }
    match client.version() {
        Some(version) if version < least => Err(Failure::new(format!(
            "\"{flag}\" requires API version {least}, but the Docker daemon API version is {version}"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(image: &str, all_tags: bool, platform: Option<&str>) -> String {
        let wanted = Wanted { image: &image.parse().unwrap(), all_tags, platform };
        let pairs = pull_query(wanted);
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_pull_names_one_tag_or_digest_unless_all_are_wanted() {
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(query("redis", false, None), "fromImage=redis tag=latest");
        assert_eq!(
            query("docker.io/library/redis:7", false, Some("Linux/ARM64")),
            "fromImage=redis tag=7 platform=linux/arm64"
        );
        assert_eq!(query("r:5000/a/b", true, None), "fromImage=r:5000/a/b");
        assert_eq!(query(&format!("a/b:1@{digest}"), false, None), format!("fromImage=a/b tag={digest}"));
    }

    #[test]
    fn a_push_of_a_part_is_told() {
        let aux = json!({"manifestPushedInsteadOfIndex": true, "originalIndex": {"digest": "sha256:1"}, "selectedManifest": {"digest": "sha256:2"}});
        assert!(note(&aux).unwrap().ends_with("\nsha256:1 -> sha256:2"));
        assert!(note(&json!({"contentMissing": true})).unwrap().contains("--platform"));
        assert_eq!(note(&json!({"Tag": "1", "Digest": "sha256:1", "Size": 1})), None);
    }
}
