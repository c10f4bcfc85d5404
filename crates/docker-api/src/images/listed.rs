//! An image in a list. Written without a detour by JSON values: there may be thousands.

use std::collections::BTreeMap;

use bollard_stubs::models::ImageSummary;
use serde::Serialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::respond;
use crate::version::ApiVersion;

/// The fields in the order of their names, as of every answer here.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedImage<'a> {
    containers: i64,
    created: i64,
    id: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<Value>,
    parent_id: &'a str,
    repo_digests: &'a [String],
    repo_tags: &'a [String],
    shared_size: i64,
    size: i64,
    /// Before API 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<i64>,
}

impl<'a> ListedImage<'a> {
    /// For clients of a version.
    pub(super) fn of(version: ApiVersion, image: &'a ImageSummary) -> Result<Self, ApiError> {
        Ok(Self {
            containers: image.containers,
            created: image.created,
            id: &image.id,
            labels: image.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            manifests: image.manifests.as_ref().map(respond::to_value).transpose()?,
            parent_id: &image.parent_id,
            repo_digests: &image.repo_digests,
            repo_tags: &image.repo_tags,
            shared_size: image.shared_size,
            size: image.size,
            virtual_size: (version < ApiVersion(1, 44)).then_some(image.size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy;

    #[test]
    fn it_has_the_fields_of_dockers_type_in_their_order() {
        let mut image = ImageSummary {
            id: "sha256:1".to_owned(),
            repo_tags: vec!["a:1".to_owned()],
            labels: [("b", "2"), ("a", "1")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            created: 3,
            size: 4,
            shared_size: -1,
            ..ImageSummary::default()
        };
        for manifests in [None, Some(Vec::new())] {
            image.manifests = manifests;
            for version in [ApiVersion(1, 43), ApiVersion(1, 51)] {
                let mut expected = respond::to_value(&image).unwrap();
                legacy::image(version, &mut expected);
                expected.sort_all_objects();
                let listed = ListedImage::of(version, &image).unwrap();
                assert_eq!(serde_json::to_string(&listed).unwrap(), expected.to_string());
            }
        }
    }
}
