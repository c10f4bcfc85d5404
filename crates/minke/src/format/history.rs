//! Rows of `minke history`.

use minke_model::quantity;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Kind, Row,
    text::{ellipsis, or_default, short_id},
    time::{ago, nano_stamp},
};

/// The listing of an image's layers.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
    table: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    quiet: "{{.ID}}",
};

/// The same with `--human=false`.
pub(crate) static KIND_PLAIN: Kind = Kind {
    titles: KIND.titles,
    table: "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    quiet: KIND.quiet,
};

/// 2000-01-01: images made reproducibly claim earlier times, which say nothing.
const EPOCH: i64 = 946_684_800;

/// What `GET /images/NAME/history` says of a layer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Layer {
    id: String,
    created: i64,
    #[serde(deserialize_with = "or_default")]
    created_by: String,
    size: i64,
    #[serde(deserialize_with = "or_default")]
    comment: String,
}

impl Layer {
    /// The layer's placeholders. `full` is `--no-trunc`.
    pub(crate) fn row(&self, human: bool, full: bool, now: OffsetDateTime) -> Row {
        let at = nano_stamp(i128::from(self.created) * 1_000_000_000).replace(".000000000", "");
        let by = self.created_by.replace(['\t', '\n'], " ");
        Row::new([
            ("ID", if full { self.id.clone() } else { short_id(&self.id) }),
            (
                "CreatedSince",
                match human {
                    false => at.clone(),
                    true if self.created <= EPOCH => "N/A".to_owned(),
                    true => ago(self.created, now),
                },
            ),
            ("CreatedAt", at),
            ("CreatedBy", if full { by } else { ellipsis(&by, 45) }),
            ("Size", if human { quantity::decimal_size(self.size as f64, 3) } else { self.size.to_string() }),
            ("Comment", self.comment.clone()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_reads_as_dockers() {
        let layer = Layer {
            id: "sha256:0123456789abcdef".into(),
            created: 1_700_000_000,
            created_by: "RUN a\tb".into(),
            size: 1234,
            comment: "c".into(),
        };
        let now = OffsetDateTime::from_unix_timestamp(1_700_003_600).unwrap();
        let row = layer.row(true, false, now);
        for (field, value) in [
            ("ID", "0123456789ab"),
            ("CreatedSince", "About an hour ago"),
            ("CreatedBy", "RUN a b"),
            ("Size", "1.23kB"),
            ("Comment", "c"),
        ] {
            assert_eq!(row.fields[field], value, "{field}");
        }
        let plain = layer.row(false, true, now);
        for (field, value) in [
            ("CreatedAt", "2023-11-14T22:13:20Z"),
            ("CreatedSince", "2023-11-14T22:13:20Z"),
            ("Size", "1234"),
        ] {
            assert_eq!(plain.fields[field], value, "{field}");
        }
    }
}
