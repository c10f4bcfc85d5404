//! How an image is written, by the attributes of `--output`: BuildKit's image exporter's.

use std::collections::BTreeMap;

use minke_image::{Form, LayerForm, LayerFormat};
use minke_model::Platform;

use crate::{BuildError, Output, OutputKind};

/// What an output of an image asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageForm {
    pub(crate) form: Form,
    /// Its attestations are artifacts of OCI 1.1.
    pub(crate) is_artifact: bool,
    pub(crate) push: bool,
    /// Under no tag in the registry, nor in the store.
    pub(crate) by_digest: bool,
    /// The store is not to have it.
    pub(crate) unstored: bool,
    annotations: Vec<Annotation>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Annotation {
    of: Annotated,
    /// Only of this platform's image.
    platform: Option<Platform>,
    key: String,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Annotated {
    Manifest,
    ManifestDescriptor,
    Index,
    IndexDescriptor,
}

impl ImageForm {
    /// Reads the attributes.
    ///
    /// # Errors
    /// Names the one that can't be honoured.
    pub(crate) fn read(output: &Output) -> Result<Self, BuildError> {
        let attributes = &output.attributes;
        let flag = |name: &str, usual: bool| match attributes.get(name).map(|text| text.to_ascii_lowercase())
        {
            None => Ok(usual),
            Some(text) => match text.as_str() {
                "true" | "1" | "t" => Ok(true),
                "false" | "0" | "f" => Ok(false),
                _ => Err(wrong(&format!("{name}={text}: want true or false"))),
            },
        };
        let mut annotations = Vec::new();
        for (name, value) in attributes {
            annotations.extend(annotation(name, value)?);
        }
        let docker_types = !flag("oci-mediatypes", output.kind != OutputKind::Docker)?;
        let of_index = |wanted: Annotated| -> BTreeMap<String, String> {
            let those = annotations.iter().filter(|one| one.of == wanted);
            those.map(|one| (one.key.clone(), one.value.clone())).collect()
        };
        let form = Form {
            layers: layer_form(|name| attributes.get(name).map(String::as_str))
                .map_err(|error| wrong(&error))?,
            // Docker's documents have no place for them.
            docker_types: docker_types && annotations.is_empty(),
            index: false,
            index_annotations: of_index(Annotated::Index),
            index_descriptor_annotations: of_index(Annotated::IndexDescriptor),
        };
        Ok(Self {
            form,
            is_artifact: flag("oci-artifact", false)?,
            push: flag("push", false)?,
            by_digest: flag("push-by-digest", false)?,
            unstored: !flag("store", true)?,
            annotations,
        })
    }

    /// Whether what the store makes of an image by itself will do.
    pub(crate) fn is_usual(&self) -> bool {
        let usual = Self { push: self.push, is_artifact: self.is_artifact, ..Self::default() };
        *self == usual
    }

    /// What the manifest of a platform's image says, and what is said of it.
    pub(crate) fn annotations(&self, platform: &Platform) -> [BTreeMap<String, String>; 2] {
        [Annotated::Manifest, Annotated::ManifestDescriptor].map(|wanted| {
            let mut those: Vec<_> = self.annotations.iter().filter(|one| one.of == wanted).collect();
            // What is said of one platform is said after what is said of all.
            those.sort_by_key(|one| one.platform.is_some());
            let those = those.into_iter();
            let those = those.filter(|one| one.platform.as_ref().is_none_or(|wanted| wanted == platform));
            those.map(|one| (one.key.clone(), one.value.clone())).collect()
        })
    }

    /// Whether an index can say what it is to say.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn check_index(&self, is_index: bool) -> Result<(), BuildError> {
        let refused = |what: &str| {
            Err(BuildError::Invalid(format!("{what} annotations not supported for single platform export")))
        };
        match is_index {
            false if !self.form.index_annotations.is_empty() => refused("index"),
            false if !self.form.index_descriptor_annotations.is_empty() => refused("index-descriptor"),
            _ => Ok(()),
        }
    }
}

/// How layers are compressed, by `compression`, `compression-level` and `force-compression`.
///
/// # Errors
/// Names what can't be.
pub(crate) fn layer_form<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<LayerForm, String> {
    let format = match get("compression").unwrap_or("gzip") {
        "gzip" => LayerFormat::Gzip,
        "uncompressed" => LayerFormat::Tar,
        "zstd" => LayerFormat::Zstd,
        other => {
            return Err(format!("compression={other}: there are gzip, zstd and uncompressed"));
        }
    };
    let level = get("compression-level").map(|text| {
        let most = if format == LayerFormat::Zstd { 22 } else { 9 };
        let level = text.parse::<u32>().ok().filter(|level| *level <= most);
        level.ok_or_else(|| format!("compression-level={text}: want a number from 0 to {most}"))
    });
    let force = match get("force-compression") {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(text) => return Err(format!("force-compression={text}: want true or false")),
    };
    Ok(LayerForm { format, level: level.transpose()?, force })
}

/// `annotation-index[linux/amd64].key`; nothing if it is none.
fn annotation(name: &str, value: &str) -> Result<Option<Annotation>, BuildError> {
    let Some(rest) = name.strip_prefix("annotation") else { return Ok(None) };
    let Some((what, key)) = rest.split_once('.') else { return Ok(None) };
    let (of, platform) = match what.split_once('[') {
        None => (what, None),
        Some((of, platform)) => (of, Some(platform.strip_suffix(']').unwrap_or(platform))),
    };
    let of = match of {
        "" | "-manifest" => Annotated::Manifest,
        "-manifest-descriptor" => Annotated::ManifestDescriptor,
        "-index" => Annotated::Index,
        "-index-descriptor" => Annotated::IndexDescriptor,
        other => {
            let other = other.trim_start_matches('-');
            return Err(wrong(&format!(
                "{name}: {other:?} is not annotated: want manifest, manifest-descriptor, index or index-descriptor"
            )));
        }
    };
    let platform = platform.map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| wrong(&format!("{name}: {error}")))?;
    Ok(Some(Annotation { of, platform, key: key.to_owned(), value: value.to_owned() }))
}

fn wrong(what: &str) -> BuildError {
    BuildError::Invalid(format!("--output: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &[(&str, &str)]) -> Result<ImageForm, BuildError> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ImageForm::read(&Output {
            kind: OutputKind::Image,
            attributes: attributes.collect(),
            destination: None,
        })
    }

    #[test]
    fn what_is_usual_needs_no_form_of_its_own() {
        for usual in [&[][..], &[("push", "true"), ("name", "a"), ("compression", "gzip")]] {
            assert!(read(usual).unwrap().is_usual(), "{usual:?}");
        }
        for other in
            [("store", "false"), ("compression", "zstd"), ("annotation.a", "b"), ("oci-mediatypes", "0")]
        {
            assert!(!read(&[other]).unwrap().is_usual(), "{other:?}");
        }
    }

    #[test]
    fn annotations_are_of_what_they_say_and_for_whom() {
        let form = read(&[
            ("annotation.a.b", "all"),
            ("annotation-manifest[linux/arm64].a.b", "arm"),
            ("annotation-manifest-descriptor[linux/amd64].c", "d"),
            ("annotation-index.e", "f"),
        ])
        .unwrap();
        let of = |platform: &str| form.annotations(&platform.parse().unwrap());
        assert_eq!(of("linux/arm64")[0]["a.b"], "arm");
        assert_eq!((of("linux/amd64")[0]["a.b"].as_str(), of("linux/amd64")[1]["c"].as_str()), ("all", "d"));
        assert!(of("linux/arm64")[1].is_empty());
        assert_eq!(form.form.index_annotations["e"], "f");
        assert!(form.check_index(true).is_ok());
        let refused = form.check_index(false).unwrap_err().to_string();
        assert_eq!(refused, "index annotations not supported for single platform export");
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (name, value) in [
            ("compression", "estargz"),
            ("compression-level", "10"),
            ("push", "maybe"),
            ("force-compression", "x"),
            ("annotation-layer.a", "b"),
            ("annotation[x/y/z/w].a", "b"),
        ] {
            let refused = read(&[(name, value)]).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }
}
