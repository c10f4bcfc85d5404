//! Asking the engine for an image that it doesn't have, as `run` and `create` do.

use futures_util::StreamExt;
use minke_docker_client::{Body, Client, HeaderMap, Method, json_lines};
use serde_json::Value;

use crate::{failure::Failure, output};

/// Lets the engine pull `image` and shows its progress on standard error unless `quiet`.
///
/// # Errors
/// The engine's own, among them that it can't pull.
pub(crate) async fn pull(
    client: &Client,
    image: &str,
    platform: Option<&str>,
    quiet: bool,
) -> Result<(), Failure> {
    let mut query = vec![("fromImage", image.to_owned())];
    // A tag of its own keeps old engines from pulling every tag.
    if lacks_tag(image) {
        query.push(("tag", "latest".to_owned()));
    }
    query.extend(platform.map(|platform| ("platform", platform.to_owned())));
    let response =
        client.stream(Method::POST, "/images/create", &query, Body::Empty, HeaderMap::new()).await?;
    let mut lines = json_lines::<Value>(response.body);
    while let Some(line) = lines.next().await {
        let line = line?;
        if let Some(error) = line["error"].as_str() {
            return Err(Failure::new(error));
        }
        // Lines with progress come many times a second; their end is a line without.
        let has_progress = line["progressDetail"].as_object().is_some_and(|detail| !detail.is_empty());
        if let (false, false, Some(status)) = (quiet, has_progress, line["status"].as_str()) {
            match line["id"].as_str() {
                Some(id) => output::note(&format!("{id}: {status}")),
                None => output::note(status),
            }
        }
    }
    Ok(())
}

/// The image's name as Docker shows it: with the tag that is meant where none is given.
pub(crate) fn with_tag(image: &str) -> String {
    if lacks_tag(image) { format!("{image}:latest") } else { image.to_owned() }
}

fn lacks_tag(image: &str) -> bool {
    !image.contains('@') && !image.rsplit('/').next().unwrap_or(image).contains(':')
}
