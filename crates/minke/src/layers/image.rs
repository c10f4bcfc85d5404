//! Which files of a saved image's archive are its layers, and which steps of the build made them: from its JSON files. Docker's
//! archives have a `manifest.json`; those of one platform of an image have an OCI index alone.

use std::collections::BTreeMap;

use minke_model::Platform;
use serde::Deserialize;
use serde_json::Value;

use super::{Step, archive::ArchiveError};
use crate::format::text::or_default;

/// So deep indexes may be nested; two are in use.
const DEEPEST: usize = 4;

/// JSON files of an archive by name.
pub(super) type Texts = BTreeMap<String, Vec<u8>>;

/// One layer: the name of its file in the archive, and its step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LayerFile {
    pub(super) name: String,
    pub(super) step: Step,
}

/// An entry of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(deserialize_with = "or_default")]
    layers: Vec<String>,
}

/// What a configuration says of the build (OCI image specification, "Image Configuration").
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    #[serde(deserialize_with = "or_default")]
    history: Vec<History>,
    #[serde(deserialize_with = "or_default")]
    rootfs: RootFs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct History {
    #[serde(deserialize_with = "or_default")]
    created_by: String,
    #[serde(deserialize_with = "or_default")]
    comment: String,
    empty_layer: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RootFs {
    #[serde(deserialize_with = "or_default")]
    diff_ids: Vec<String>,
}

/// The layers of the image, lowest first. Of several platforms `wanted` is taken, else the first.
///
/// # Errors
/// When no file says which they are, or one is not understood.
pub(super) fn layer_files(texts: &Texts, wanted: &Platform) -> Result<Vec<LayerFile>, ArchiveError> {
    let (config, names) = match texts.get("manifest.json") {
        Some(_) => {
            let listed: Vec<Listed> = json(texts, "manifest.json")?;
            let first = listed.into_iter().next().ok_or(ArchiveError::NoImage)?;
            (first.config, first.layers)
        }
        None => from_index(texts, wanted)?,
    };
    let steps = steps(&json(texts, &config)?);
    let step = |at: usize| steps.get(at).cloned().unwrap_or_default();
    Ok(names.into_iter().enumerate().map(|(at, name)| LayerFile { name, step: step(at) }).collect())
}

fn json<T: serde::de::DeserializeOwned>(texts: &Texts, name: &str) -> Result<T, ArchiveError> {
    let text = texts.get(name).ok_or_else(|| ArchiveError::Missing { name: name.to_owned() })?;
    serde_json::from_slice(text).map_err(|source| ArchiveError::Json { name: name.to_owned(), source })
}

/// The configuration's and the layers' files by way of `index.json`.
fn from_index(texts: &Texts, wanted: &Platform) -> Result<(String, Vec<String>), ArchiveError> {
    let mut document: Value = match texts.contains_key("index.json") {
        true => json(texts, "index.json")?,
        false => return Err(ArchiveError::NoImage),
    };
    for _ in 0..DEEPEST {
        let Some(manifests) = document["manifests"].as_array() else { break };
        let chosen = choose(manifests, wanted).ok_or(ArchiveError::NoImage)?;
        document = json(texts, &file_of(chosen))?;
    }
    let layers = document["layers"].as_array().ok_or(ArchiveError::NoImage)?;
    Ok((file_of(&document["config"]), layers.iter().map(file_of).collect()))
}

/// The manifest of the platform, else the first that is an image at all.
fn choose<'a>(manifests: &'a [Value], wanted: &Platform) -> Option<&'a Value> {
    let is_attestation = |manifest: &&Value| {
        manifest["annotations"]["vnd.docker.reference.type"].is_string()
            || manifest["platform"]["os"] == "unknown"
    };
    let images = || manifests.iter().filter(|manifest| !is_attestation(manifest));
    let suits = |manifest: &&Value| {
        let offered: Option<Platform> = serde_json::from_value(manifest["platform"].clone()).ok();
        offered.is_some_and(|offered| wanted.suitability(&offered) > 0)
    };
    images().find(suits).or_else(|| images().next())
}

/// Where an archive in OCI layout has what a descriptor names.
fn file_of(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap_or_default().replace(':', "/"))
}

/// The steps that made layers, in their order.
fn steps(config: &Config) -> Vec<Step> {
    let mut made = config.history.iter().filter(|step| !step.empty_layer);
    let step = |diff_id: &String| {
        // Builders that say nothing of commands leave a comment at best.
        let created_by = made.next().map_or("", |step| match step.created_by.as_str() {
            "" => &step.comment,
            command => command,
        });
        Step { created_by: created_by.to_owned(), diff_id: diff_id.clone() }
    };
    config.rootfs.diff_ids.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(files: &[(&str, Value)]) -> Texts {
        files.iter().map(|(name, value)| ((*name).to_owned(), value.to_string().into_bytes())).collect()
    }

    fn config() -> Value {
        json!({
            "history": [{"created_by": "ADD x"}, {"created_by": "ENV a", "empty_layer": true}, {"comment": "by hand"}],
            "rootfs": {"diff_ids": ["sha256:1", "sha256:2", "sha256:3"]}
        })
    }

    fn shown(files: &[(&str, Value)], platform: &str) -> Result<Vec<String>, String> {
        let layers =
            layer_files(&texts(files), &platform.parse().unwrap()).map_err(|error| error.to_string())?;
        let word = |layer: &LayerFile| {
            format!("{} {} {}", layer.name, layer.step.diff_id, layer.step.created_by).trim_end().to_owned()
        };
        Ok(layers.iter().map(word).collect())
    }

    #[test]
    fn dockers_list_names_the_layers_and_the_history_their_steps() {
        let list = json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]}]);
        let files = [("manifest.json", list), ("c.json", config())];
        assert_eq!(
            shown(&files, "linux/amd64").unwrap(),
            ["a/layer.tar sha256:1 ADD x", "b/layer.tar sha256:2 by hand", "c/layer.tar sha256:3"]
        );
    }

    #[test]
    fn an_index_leads_to_the_platform_and_past_attestations() {
        let descriptor = |digest: &str, os: &str, architecture: &str| json!({"digest": format!("sha256:{digest}"), "platform": {"os": os, "architecture": architecture}});
        let manifest = |layer: &str| json!({"config": {"digest": "sha256:c"}, "layers": [{"digest": format!("sha256:{layer}")}]});
        let files = [
            ("index.json", json!({"manifests": [{"digest": "sha256:inner"}]})),
            (
                "blobs/sha256/inner",
                json!({"manifests": [descriptor("att", "unknown", "unknown"), descriptor("arm", "linux", "arm64"), descriptor("amd", "linux", "amd64")]}),
            ),
            ("blobs/sha256/arm", manifest("l1")),
            ("blobs/sha256/amd", manifest("l2")),
            ("blobs/sha256/c", config()),
        ];
        let layer = |platform: &str| shown(&files, platform).unwrap()[0].clone();
        assert_eq!(layer("linux/amd64"), "blobs/sha256/l2 sha256:1 ADD x");
        assert_eq!(layer("linux/arm64/v8"), "blobs/sha256/l1 sha256:1 ADD x");
        assert_eq!(layer("linux/s390x"), "blobs/sha256/l1 sha256:1 ADD x", "the first, where none suits");
    }

    #[test]
    fn an_archive_without_an_image_says_so() {
        let circle = json!({"manifests": [{"digest": "sha256:x"}]});
        for (files, said) in [
            (vec![], "no image"),
            (vec![("manifest.json", json!([]))], "no image"),
            (vec![("manifest.json", json!([{"Config": "gone", "Layers": []}]))], "gone"),
            (vec![("manifest.json", json!("x"))], "manifest.json"),
            (vec![("index.json", circle.clone()), ("blobs/sha256/x", circle)], "no image"),
        ] {
            let problem = shown(&files, "linux/amd64").unwrap_err();
            assert!(problem.contains(said), "{said}: {problem}");
        }
    }
}
