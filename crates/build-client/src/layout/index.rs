//! `index.json`: what in a layout has which name. What others wrote into it stays.

use minke_model::descriptor::{IMAGE_NAME, REF_NAME};
use minke_model::{Descriptor, Digest, Reference, media_type};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Its file.
pub(super) const INDEX: &str = "index.json";

/// A name in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// An image's whole name, where it is one's.
    image: Option<String>,
    /// A tag, for readers that know nothing else.
    tag: String,
}

impl Name {
    /// A tag alone.
    pub(crate) fn tag(tag: &str) -> Self {
        Self { image: None, tag: tag.to_owned() }
    }

    /// An image's name, `docker.io/library/app:1`.
    pub(crate) fn image(name: &str) -> Self {
        let tag = name.parse::<Reference>().ok().and_then(|name| name.tag().map(str::to_owned));
        Self { image: Some(name.to_owned()), tag: tag.unwrap_or_else(|| name.to_owned()) }
    }

    fn is_of(&self, entry: &Value) -> bool {
        annotation(entry, REF_NAME) == Some(&*self.tag)
            && annotation(entry, IMAGE_NAME) == self.image.as_deref()
    }
}

/// An index, whose entries are read as far as they matter.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    #[serde(default = "media_type_of_index")]
    media_type: String,
    #[serde(default)]
    manifests: Vec<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

fn media_type_of_index() -> String {
    media_type::INDEX.to_owned()
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: media_type_of_index(),
            manifests: Vec::new(),
            others: Map::new(),
        }
    }
}

impl Index {
    pub(super) fn read(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and maps with string keys always serialise")
    }

    /// What has a name, be it an image's or a tag.
    pub(super) fn find(&self, name: &str) -> Option<Digest> {
        let of = |key: &str| self.manifests.iter().find(|entry| annotation(entry, key) == Some(name));
        of(IMAGE_NAME).or_else(|| of(REF_NAME))?["digest"].as_str()?.parse().ok()
    }

    /// The names of all, for an error.
    pub(super) fn names(&self) -> String {
        let name = |entry| annotation(entry, IMAGE_NAME).or_else(|| annotation(entry, REF_NAME));
        let names: Vec<_> = self.manifests.iter().filter_map(name).collect();
        if names.is_empty() { "no names at all".to_owned() } else { names.join(", ") }
    }

    /// Takes the names off whatever has them, and gives them to this.
    pub(super) fn put(&mut self, what: &Descriptor, names: &[Name]) {
        self.manifests.retain(|entry| !names.iter().any(|name| name.is_of(entry)));
        for name in names {
            let mut annotations = what.annotations.clone().unwrap_or_default();
            annotations.insert(REF_NAME.to_owned(), name.tag.clone());
            annotations.extend(name.image.iter().map(|image| (IMAGE_NAME.to_owned(), image.clone())));
            let entry = Descriptor { annotations: Some(annotations), ..what.clone() };
            self.manifests.extend(serde_json::to_value(entry).ok());
        }
    }
}

fn annotation<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry["annotations"][key].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays() {
        let json = br#"{"schemaVersion":2,"x":1,"manifests":[{"digest":"sha512:a","data":"y"}]}"#;
        let mut index = Index::read(json).unwrap();
        let what = Descriptor::new(media_type::MANIFEST, Digest::from_bytes([7; 32]), 1);
        let names = [Name::image("docker.io/library/app:1"), Name::tag("latest")];
        index.put(&what, &names);
        index.put(&what, &names);
        let written: Value = serde_json::from_slice(&index.to_json()).unwrap();
        assert_eq!((&written["x"], &written["manifests"][0]["data"]), (&1.into(), &"y".into()));
        assert_eq!(written["manifests"].as_array().unwrap().len(), 3);
        assert_eq!(annotation(&written["manifests"][1], REF_NAME), Some("1"));
        for name in ["docker.io/library/app:1", "1", "latest"] {
            assert_eq!(index.find(name), Some(what.digest), "{name}");
        }
        assert_eq!((index.find("other"), &*index.names()), (None, "docker.io/library/app:1, latest"));
    }
}
