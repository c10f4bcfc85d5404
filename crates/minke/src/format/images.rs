//! Rows of `minke images`: one per name of an image, as Docker shows them.

use minke_model::quantity;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Kind, Row, Shown,
    text::{or_default, short_id},
    time::{ago, stamp},
};

/// The listing of images.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("Containers", "CONTAINERS"),
        ("VirtualSize", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
    ],
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    quiet: "{{.ID}}",
};

/// The same with `--digests`.
pub(crate) static KIND_WITH_DIGESTS: Kind = Kind {
    titles: KIND.titles,
    table: "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    quiet: KIND.quiet,
};

/// What `GET /images/json` says of an image, as far as tables show it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Image {
    id: String,
    #[serde(deserialize_with = "or_default")]
    repo_tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    repo_digests: Vec<String>,
    created: i64,
    size: i64,
    #[serde(deserialize_with = "signed_or_unknown")]
    shared_size: i64,
    #[serde(deserialize_with = "signed_or_unknown")]
    containers: i64,
}

/// The API says -1 for what it did not count.
fn signed_or_unknown<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(-1))
}

const NONE: &str = "<none>";

impl Image {
    /// A row per name; with `digests` a row per name and digest. `full` is `--no-trunc`.
    pub(crate) fn rows(
        &self,
        digests: bool,
        full: bool,
        now: OffsetDateTime,
        shown: Shown<'_>,
    ) -> impl Iterator<Item = Row> {
        self.names(digests).into_iter().map(move |name| self.row(name, full, now, shown))
    }

    /// Repository, tag and digest of each row.
    fn names(&self, digests: bool) -> Vec<(&str, &str, &str)> {
        let tags = self.repo_tags.iter().filter(|name| *name != "<none>:<none>");
        let tags: Vec<_> = tags.filter_map(|name| name.rsplit_once(':')).collect();
        let named = self.repo_digests.iter().filter(|name| *name != "<none>@<none>");
        let named: Vec<_> = named.filter_map(|name| name.rsplit_once('@')).collect();
        if tags.is_empty() && named.is_empty() {
            return vec![(NONE, NONE, NONE)];
        }
        let mut rows = Vec::new();
        for (repository, tag) in &tags {
            let mut own = named.iter().filter(|(name, _)| name == repository).map(|(_, digest)| *digest);
            let first = own.next();
            rows.push((*repository, *tag, first.unwrap_or(NONE)));
            if digests {
                rows.extend(own.map(|digest| (*repository, *tag, digest)));
            }
        }
        let untagged = named.iter().filter(|(name, _)| !tags.iter().any(|(tagged, _)| tagged == name));
        rows.extend(untagged.map(|(repository, digest)| (*repository, NONE, *digest)));
        rows
    }

    fn row(
        &self,
        (repository, tag, digest): (&str, &str, &str),
        full: bool,
        now: OffsetDateTime,
        shown: Shown<'_>,
    ) -> Row {
        let size = |bytes: i64| quantity::decimal_size(bytes as f64, 3);
        let exact = |bytes: i64| quantity::decimal_size(bytes as f64, 4);
        let known = |number: i64, text: String| if number < 0 { "N/A".to_owned() } else { text };
        Row::of(
            shown,
            [
                ("ID", &|| if full { self.id.clone() } else { short_id(&self.id) }),
                ("Repository", &|| repository.to_owned()),
                ("Tag", &|| tag.to_owned()),
                ("Digest", &|| digest.to_owned()),
                ("CreatedSince", &|| {
                    if self.created <= 0 { "N/A".to_owned() } else { ago(self.created, now) }
                }),
                ("CreatedAt", &|| stamp(self.created)),
                ("Size", &|| size(self.size)),
                ("VirtualSize", &|| exact(self.size)),
                ("Containers", &|| known(self.containers, self.containers.to_string())),
                ("SharedSize", &|| known(self.shared_size, exact(self.shared_size))),
                ("UniqueSize", &|| known(self.shared_size, exact(self.size - self.shared_size.max(0)))),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(tags: serde_json::Value, digests: serde_json::Value, with_digests: bool) -> Vec<String> {
        let image: Image = serde_json::from_value(json!({"Id": "sha256:0123456789abcdef", "RepoTags": tags, "RepoDigests": digests, "Created": 1, "Size": 27_812_345, "SharedSize": -1}))
            .unwrap();
        image
            .names(with_digests)
            .into_iter()
            .map(|(repository, tag, digest)| format!("{repository} {tag} {digest}"))
            .collect()
    }

    #[test]
    fn an_image_has_a_row_for_each_of_its_names() {
        assert_eq!(
            names(json!(["a:1", "b:5000/c:2"]), json!([]), false),
            ["a 1 <none>", "b:5000/c 2 <none>"]
        );
        assert_eq!(names(json!(null), json!(null), false), ["<none> <none> <none>"]);
        assert_eq!(
            names(json!(["<none>:<none>"]), json!(["<none>@<none>"]), false),
            ["<none> <none> <none>"]
        );
        assert_eq!(names(json!([]), json!(["a@sha256:1"]), false), ["a <none> sha256:1"]);
        assert_eq!(
            names(json!(["a:1"]), json!(["a@sha256:1", "a@sha256:2"]), true),
            ["a 1 sha256:1", "a 1 sha256:2"]
        );
        assert_eq!(names(json!(["a:1"]), json!(["a@sha256:1"]), false), ["a 1 sha256:1"]);
    }

    #[test]
    fn sizes_that_were_not_counted_are_not_available() {
        let image: Image = serde_json::from_value(json!({"Id": "sha256:0123456789abcdef", "Size": 27_812_345, "SharedSize": -1, "Containers": null})).unwrap();
        let row = image.rows(false, false, OffsetDateTime::UNIX_EPOCH, Shown::All).next().unwrap();
        for (field, value) in [
            ("ID", "0123456789ab"),
            ("Size", "27.8MB"),
            ("SharedSize", "N/A"),
            ("UniqueSize", "N/A"),
            ("Containers", "N/A"),
            ("CreatedSince", "N/A"),
        ] {
            assert_eq!(row.fields[field], value, "{field}");
        }
    }
}
