//! Images in the Docker API's shape.

use std::{collections::HashMap, sync::Arc};

use bollard_stubs::models::{
    DriverData, ImageConfig, ImageInspect, ImageInspectMetadata, ImageInspectRootFs, ImageManifestSummary,
    ImageManifestSummaryAttestationData, ImageManifestSummaryImageData, ImageManifestSummaryImageDataSize,
    ImageManifestSummaryKindEnum, ImageManifestSummarySize, ImageSummary,
};
use minke_image::{Image, KnownManifest, ManifestKind};
use minke_model::{ImageId, Reference};
use time::OffsetDateTime;

use crate::{
    Error, Filters, ImageListOptions,
    container::{Container, merge::health_config},
    engine::Inner,
    system::STORAGE_DRIVER,
    time_text,
};

/// `images`.
pub(super) fn list(inner: &Inner, options: &ImageListOptions) -> Result<Vec<ImageSummary>, Error> {
    let filters = &options.filters;
    filters.expect(&["before", "dangling", "label", "label!", "reference", "since", "until"])?;
    let dangling = filters.boolean("dangling")?;
    let until = filters.get("until").into_iter().flatten().map(|text| time_text::until(text));
    let until = until.collect::<Result<Vec<_>, _>>()?.into_iter().min();
    let created = |name: &str| -> Result<Option<OffsetDateTime>, Error> {
        filters.single(name)?.map(|name| Ok(created_at(&inner.find_image(name)?))).transpose()
    };
    let (before, since) = (created("before")?, created("since")?);
    let images = inner.images.list().map_err(|error| Error::internal("list images", &error))?;
    let mut users: HashMap<ImageId, i64> = HashMap::new();
    for container in inner.containers() {
        *users.entry(container.record().image).or_default() += 1;
    }
    let mut summaries = Vec::new();
    for image in &images {
        let labels = &image.config.config.labels;
        let when = created_at(image);
        let matches = dangling.is_none_or(|dangling| dangling == image.names.is_empty())
            && filters.labels(|key| labels.get(key).map(String::as_str))
            && before.is_none_or(|before| when < before)
            && since.is_none_or(|since| when > since)
            && until.is_none_or(|until| when < until);
        let (names, digests) = (meant(&image.names, filters), meant(&image.digests, filters));
        let is_meant = filters.get("reference").is_none() || !names.is_empty() || !digests.is_empty();
        if !matches || !is_meant {
            continue;
        }
        summaries.push(ImageSummary {
            id: image.id.to_string(),
            parent_id: image.parent.map(|parent| parent.to_string()).unwrap_or_default(),
            repo_tags: names,
            repo_digests: digests,
            created: when.unix_timestamp(),
            size: bytes(image.size),
            shared_size: if options.shared_size { bytes(inner.images.shared_size(image)) } else { -1 },
            labels: labels.clone().into_iter().collect(),
            containers: users.get(&image.id).copied().unwrap_or(0),
            manifests: options.manifests.then(|| manifests(inner, image)).transpose()?,
            descriptor: None,
        });
    }
    Ok(summaries)
}

/// An image's names or digests, only those that match `reference` if that is asked for.
fn meant(names: &[String], filters: &Filters) -> Vec<String> {
    let matches = |name: &&String| filters.any("reference", |pattern| reference_matches(pattern, name));
    names.iter().filter(matches).cloned().collect()
}

/// Go's `path.Match` of the pattern on the name, with and without its tag or digest.
fn reference_matches(pattern: &str, name: &str) -> bool {
    let full: Option<Reference> = name.parse().ok();
    let repository = full.as_ref().map_or_else(|| name.to_owned(), Reference::familiar_name);
    wildcard(pattern.as_bytes(), name.as_bytes()) || wildcard(pattern.as_bytes(), repository.as_bytes())
}

/// `*` and `?` stand for anything but a slash.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|skip| wildcard(rest, &text[skip..]))
        }
        (Some((b'?', rest)), Some((byte, text))) => *byte != b'/' && wildcard(rest, text),
        (Some((wanted, rest)), Some((byte, text))) => wanted == byte && wildcard(rest, text),
        _ => false,
    }
}

/// `image inspect`.
pub(super) fn inspect(inner: &Inner, image: &Image) -> ImageInspect {
    let config = &image.config;
    let lower = inner.images.lower_dirs(image).unwrap_or_default();
    let lower: Vec<_> = lower.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let tagged = image.last_tagged.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    ImageInspect {
        id: Some(image.id.to_string()),
        repo_tags: Some(image.names.clone()),
        repo_digests: Some(image.digests.clone()),
        comment: Some(config.comment.clone().unwrap_or_default()),
        created: image.created.clone(),
        author: Some(config.author.clone().unwrap_or_default()),
        config: Some(run_config(&config.config)),
        architecture: Some(config.architecture.clone()),
        variant: config.variant.clone(),
        os: Some(config.os.clone()),
        os_version: config.os_version.clone(),
        size: Some(bytes(image.size)),
        graph_driver: Some(DriverData {
            name: STORAGE_DRIVER.to_owned(),
            data: HashMap::from([("LowerDir".to_owned(), lower.join(":"))]),
        }),
        root_fs: Some(ImageInspectRootFs {
            typ: "layers".to_owned(),
            layers: Some(image.diff_ids.iter().map(ToString::to_string).collect()),
        }),
        metadata: Some(ImageInspectMetadata {
            last_tag_time: Some(tagged.map_or_else(|| time_text::NEVER.to_owned(), time_text::format)),
        }),
        ..ImageInspect::default()
    }
}

/// What the image's name stands for (`manifests=true` of API 1.47).
pub(super) fn manifests(inner: &Inner, image: &Image) -> Result<Vec<ImageManifestSummary>, Error> {
    let known = inner
        .images
        .manifests(image)
        .map_err(|error| Error::internal("read the image's manifests", &error))?;
    Ok(known.iter().map(|manifest| manifest_summary(inner, image, manifest)).collect())
}

fn manifest_summary(inner: &Inner, image: &Image, manifest: &KnownManifest) -> ImageManifestSummary {
    let (mut kind, mut image_data, mut attestation_data) =
        (ImageManifestSummaryKindEnum::UNKNOWN, None, None);
    let mut unpacked = 0;
    match &manifest.kind {
        ManifestKind::Image(platform, config) => {
            let here = config.and_then(|id| inner.images.find(&id.to_string()).ok());
            unpacked = here.map_or(0, |here| bytes(here.size));
            let runs = |container: &Arc<Container>| {
                container.record().image == image.id && *config == Some(image.id)
            };
            let containers =
                inner.containers().iter().filter(|one| runs(one)).map(|one| one.id.to_string()).collect();
            kind = ImageManifestSummaryKindEnum::IMAGE;
            image_data = Some(ImageManifestSummaryImageData {
                platform: super::registries::platform(platform),
                containers,
                size: ImageManifestSummaryImageDataSize { unpacked },
            });
        }
        ManifestKind::Attestation(about) => {
            kind = ImageManifestSummaryKindEnum::ATTESTATION;
            let _for = about.map(|about| about.to_string()).unwrap_or_default();
            attestation_data = Some(ImageManifestSummaryAttestationData { _for });
        }
        ManifestKind::Unknown => {}
    }
    let content = bytes(manifest.content);
    ImageManifestSummary {
        id: manifest.descriptor.digest.to_string(),
        descriptor: super::registries::described(&manifest.descriptor),
        available: manifest.available,
        size: ImageManifestSummarySize { total: content.saturating_add(unpacked), content },
        kind: Some(kind),
        image_data,
        attestation_data,
    }
}

fn run_config(config: &minke_image::RunConfig) -> ImageConfig {
    let listed = |keys: Vec<String>| Some(keys).filter(|keys| !keys.is_empty());
    ImageConfig {
        user: Some(config.user.clone()),
        exposed_ports: listed(config.exposed_ports.keys().cloned().collect()),
        env: Some(config.env.clone()),
        cmd: config.cmd.clone(),
        healthcheck: config.healthcheck.as_ref().map(health_config),
        args_escaped: Some(config.args_escaped).filter(|escaped| *escaped),
        volumes: listed(config.volumes.keys().cloned().collect()),
        working_dir: Some(config.working_dir.clone()),
        entrypoint: config.entrypoint.clone(),
        on_build: Some(config.on_build.clone()).filter(|list| !list.is_empty()),
        labels: Some(config.labels.clone().into_iter().collect())
            .filter(|labels: &HashMap<_, _>| !labels.is_empty()),
        stop_signal: config.stop_signal.clone(),
        shell: config.shell.clone(),
    }
}

fn created_at(image: &Image) -> OffsetDateTime {
    image.created.as_deref().and_then(time_text::parse).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_match_with_wildcards_that_stop_at_a_slash() {
        for pattern in ["redis", "redis:7", "red*", "redis:*", "r?dis"] {
            assert!(reference_matches(pattern, "redis:7"), "{pattern}");
        }
        for pattern in ["redis:8", "*/redis", "edis", ""] {
            assert!(!reference_matches(pattern, "redis:7"), "{pattern}");
        }
        assert!(reference_matches("team/*", "team/app:1"));
        assert!(!reference_matches("*", "team/app:1"));
    }
}
