//! The options of `--cache-to`, checked before anything is built: a cache that somebody wants to have and can't get is an error.

use std::collections::BTreeMap;

use minke_image::LayerForm;
use minke_model::Reference;

use crate::{BuildError, BuildRequest, CacheEndpoint, export::form::layer_form};

/// One `--cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExportTo {
    pub(crate) kind: Kind,
    /// `mode=max`: also steps of stages that the result is not built upon.
    pub(crate) all: bool,
    /// A manifest whose layers are the blobs, which every registry takes; else an index of blobs.
    pub(crate) is_manifest: bool,
    /// `false` names manifests and layers as Docker does.
    pub(crate) is_oci: bool,
    /// How layers are compressed.
    pub(crate) layers: LayerForm,
    /// Whether the build goes on when it fails.
    pub(crate) ignore_error: bool,
}

/// Where a cache goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Registry(Reference),
    /// A directory of the client's, by the name that it has there.
    Local(String),
    /// Into the image's configuration.
    Inline,
}

impl ExportTo {
    /// # Errors
    /// Which option is wrong.
    pub(crate) fn read(endpoint: &CacheEndpoint) -> Result<Self, BuildError> {
        let options = Options(endpoint);
        let kind = match endpoint.kind.as_str() {
            "registry" => Kind::Registry(options.reference()?),
            "local" => Kind::Local(options.required("dest")?.to_owned()),
            "inline" => Kind::Inline,
            other => {
                return Err(BuildError::Invalid(format!(
                    "--cache-to type={other}: there are the types registry, inline and local"
                )));
            }
        };
        let is_oci = options.flag("oci-mediatypes")?.unwrap_or(true);
        let is_manifest = options.flag("image-manifest")?.unwrap_or(is_oci);
        if is_manifest && !is_oci {
            return Err(options.wrong("image-manifest=true needs oci-mediatypes=true"));
        }
        Ok(Self {
            kind,
            all: match options.get("mode").unwrap_or("min") {
                "min" => false,
                "max" => true,
                other => return Err(options.wrong(&format!("mode={other} is neither min nor max"))),
            },
            is_manifest,
            is_oci,
            layers: layer_form(|name| options.get(name)).map_err(|error| options.wrong(&error))?,
            ignore_error: options.flag("ignore-error")?.unwrap_or(false),
        })
    }
}

/// The reference of a cache in a registry.
///
/// # Errors
/// When there is none, or a malformed one.
pub(super) fn reference(endpoint: &CacheEndpoint) -> Result<Reference, BuildError> {
    Options(endpoint).reference()
}

/// All that a request wants, but for what goes into the image.
///
/// # Errors
/// Which option is wrong.
pub(crate) fn check_exports(request: &BuildRequest) -> Result<Vec<ExportTo>, BuildError> {
    request.cache_to.iter().map(ExportTo::read).collect()
}

/// Whether the image is to hold its own cache: by the option, or the argument that it has been before.
pub(crate) fn inline_wanted(request: &BuildRequest) -> bool {
    let argument = request.args.get("BUILDKIT_INLINE_CACHE").and_then(Option::as_deref);
    request.cache_to.iter().any(|cache| cache.kind == "inline") || matches!(argument, Some("1" | "true"))
}

struct Options<'a>(&'a CacheEndpoint);

impl Options<'_> {
    fn attributes(&self) -> &BTreeMap<String, String> {
        &self.0.attributes
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.attributes().get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn required(&self, key: &str) -> Result<&str, BuildError> {
        self.get(key).ok_or_else(|| self.wrong(&format!("needs {key}=…")))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, BuildError> {
        match self.get(key) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(self.wrong(&format!("{key}={other} is neither true nor false"))),
        }
    }

    fn reference(&self) -> Result<Reference, BuildError> {
        let text = self.required("ref")?;
        let reference = text.parse::<Reference>().map_err(|error| self.wrong(&format!("ref: {error}")))?;
        Ok(reference.with_default_tag())
    }

    fn wrong(&self, what: &str) -> BuildError {
        BuildError::Invalid(format!("cache type={}: {what}", self.0.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, attributes: &[(&str, &str)]) -> Result<ExportTo, BuildError> {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ExportTo::read(&CacheEndpoint { kind: kind.to_owned(), attributes: attributes.collect() })
    }

    #[test]
    fn without_a_word_it_is_a_manifest_of_the_results_own_steps() {
        let to = read("registry", &[("ref", "127.0.0.1:5000/c")]).unwrap();
        assert!(
            !to.all && to.is_manifest && to.is_oci && to.layers == LayerForm::default() && !to.ignore_error
        );
        assert!(matches!(to.kind, Kind::Registry(name) if name.tag() == Some("latest")));
        let docker =
            read("registry", &[("ref", "a/b"), ("oci-mediatypes", "false"), ("mode", "max")]).unwrap();
        assert!(docker.all && !docker.is_manifest && !docker.is_oci);
    }

    #[test]
    fn what_can_not_be_is_said_before_anything_is_built() {
        for (kind, attributes) in [
            ("registry", &[][..]),
            ("registry", &[("ref", "A B")]),
            ("registry", &[("ref", "a"), ("mode", "some")]),
            ("registry", &[("ref", "a"), ("compression", "estargz")]),
            ("registry", &[("ref", "a"), ("image-manifest", "true"), ("oci-mediatypes", "false")]),
            ("registry", &[("ref", "a"), ("ignore-error", "perhaps")]),
            ("local", &[]),
            ("s3", &[]),
        ] {
            assert!(read(kind, attributes).is_err(), "{kind} {attributes:?}");
        }
    }
}
