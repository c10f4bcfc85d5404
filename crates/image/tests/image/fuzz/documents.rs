//! Documents: whatever they say, what is read means the same to everybody, and messages about it are fit to be shown.

use minke_image::{
    ImageConfig, LoadError,
    manifest::{Document, Index, Manifest},
};
use minke_model::{
    Descriptor, Platform,
    media_type::{self, DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST},
};
use minke_testkit::fuzz::{REFUSED, Verdict, holds, one_line, reads_back, refused};

use super::quantity;

/// What a document may come as.
const TYPES: [&str; 6] = [UNSAID, MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX, "text/html"];
/// Nobody said: the document says it itself, or its shape does.
const UNSAID: &str = "";
/// How the outcome begins of what is one image.
const IMAGE: &str = "taken: an image";
/// How the outcome begins of what lists several.
const INDEX_OF: &str = "taken: an index of";
/// Most manifests in an index.
const MOST_MANIFESTS: usize = 10_000;

/// Reads a document as every type it may come as. Whatever it came as, it is an image to everybody, or an index.
pub(super) fn manifest(text: &[u8]) -> Verdict {
    let outcomes: Vec<String> =
        TYPES.into_iter().map(|media_type| document(media_type, text)).collect::<Result<_, _>>()?;
    let is = |kind: &str| outcomes.iter().any(|outcome| outcome.starts_with(kind));
    holds("a document is of one kind", &outcomes, !(is(IMAGE) && is(INDEX_OF)))?;
    let taken = outcomes.iter().find(|outcome| !outcome.starts_with(REFUSED));
    Ok(taken.unwrap_or(&outcomes[0]).clone())
}

fn document(media_type: &str, text: &[u8]) -> Verdict {
    let document = match Document::parse("a:1", media_type, text) {
        Ok(document) => document,
        Err(error) => return refused(&error),
    };
    let own = document.media_type();
    let is_index = matches!(document, Document::Index(_));
    holds("its type is that of its shape", own, media_type::is_index(own) == is_index)?;
    let said = Document::parse("a:1", own, text);
    let stays = said.as_ref().is_ok_and(|again| *again == document);
    holds("it is the same by the type that it says", (own, &said), stays)?;
    match &document {
        Document::Index(one) => index(one),
        Document::Manifest(one) => image(one),
    }
}

fn image(manifest: &Manifest) -> Verdict {
    reads_back(manifest, |bytes| match Document::parse("a:1", UNSAID, bytes)? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err(LoadError::Invalid("an index".to_owned())),
    })?;
    Ok(format!("{IMAGE}, config {}", manifest.config().is_config()))
}

fn index(index: &Index) -> Verdict {
    reads_back(index, |bytes| match Document::parse("a:1", UNSAID, bytes)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err(LoadError::Invalid("a manifest".to_owned())),
    })?;
    let manifests = index.manifests();
    holds("an index is short", manifests.len(), manifests.len() <= MOST_MANIFESTS)?;
    let offered = manifests.iter().filter_map(|one| one.platform.clone()).take(8);
    let known =
        ["linux/amd64", "linux/arm64", "linux/arm/v6", "windows/amd64"].map(|text| text.parse().unwrap());
    let mut found = 0;
    for platform in known.into_iter().chain(offered) {
        found += usize::from(best(index, &platform)?);
    }
    for about in manifests.iter().take(8) {
        let stray = index.attestations(about.digest).find(|one| !one.is_attestation() || one.is_index());
        holds("an attestation is no image", stray, stray.is_none_or(|one| !one.is_image()))?;
    }
    Ok(format!("{INDEX_OF} {} with something for {}", quantity(manifests.len()), quantity(found)))
}

/// Whether there is something for the platform. It is the best, or the message that there is none names what there is.
fn best(index: &Index, platform: &Platform) -> Result<bool, String> {
    let runs = |one: &Descriptor| match &one.platform {
        _ if !one.is_image() && !one.is_index() => 0,
        Some(offered) => platform.suitability(offered),
        None => 1,
    };
    match index.best(platform) {
        Some(best) => {
            let most = index.manifests().iter().map(runs).max();
            let first = index.manifests().iter().find(|one| Some(runs(one)) == most);
            let is_first = first.is_some_and(|first| std::ptr::eq(first, best));
            holds("what is chosen is the first that runs best", best, runs(best) > 0 && is_first)?;
            Ok(true)
        }
        None => {
            let better = index.manifests().iter().find(|one| runs(one) > 0);
            holds("nothing runs", (platform, better), better.is_none())?;
            let message = one_line(index.lacks("a:1", platform))?;
            holds("a message has the name", &message, message.contains("a:1"))?;
            Ok(false)
        }
    }
}

/// An image's configuration.
pub(super) fn config(text: &[u8]) -> Verdict {
    let config: ImageConfig = match serde_json::from_slice(text) {
        Ok(config) => config,
        Err(error) => return refused(&error),
    };
    reads_back(&config, |bytes| serde_json::from_slice(bytes))?;
    let platform = Platform::normalised(&config.os, &config.architecture, config.variant.as_deref());
    one_line(platform.to_string())?;
    let run = &config.config;
    Ok(format!(
        "taken: {} layers, {} steps, {} variables, {} ports, healthcheck {}, entrypoint {}, shell {}",
        quantity(config.rootfs.diff_ids.len()),
        quantity(config.history.len()),
        quantity(run.env.len()),
        quantity(run.exposed_ports.len()),
        run.healthcheck.is_some(),
        run.entrypoint.is_some(),
        run.shell.is_some()
    ))
}
