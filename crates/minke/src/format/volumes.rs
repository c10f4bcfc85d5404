//! Rows of `minke volume ls`.

use minke_model::quantity;
use serde::Deserialize;

use super::{
    Kind, Row,
    text::{Texts, or_default},
};

/// The listing of volumes.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Group", "GROUP"),
        ("Availability", "AVAILABILITY"),
        ("Status", "STATUS"),
    ],
    table: "{{.Driver}}\t{{.Name}}",
    quiet: "{{.Name}}",
};

/// What the API says of a volume, as far as tables show it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Volume {
    name: String,
    driver: String,
    scope: String,
    mountpoint: String,
    #[serde(deserialize_with = "or_default")]
    labels: Texts,
    usage_data: Option<Usage>,
}

/// Counted only for `system df`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Usage {
    size: i64,
    ref_count: i64,
}

impl Volume {
    /// The volume's placeholders.
    pub(crate) fn row(&self) -> Row {
        let unknown = || "N/A".to_owned();
        let usage = self.usage_data.as_ref();
        Row::new([
            ("Name", self.name.clone()),
            ("Driver", self.driver.clone()),
            ("Scope", self.scope.clone()),
            ("Mountpoint", self.mountpoint.clone()),
            ("Links", usage.map_or_else(unknown, |usage| usage.ref_count.to_string())),
            ("Size", usage.map_or_else(unknown, |usage| quantity::decimal_size(usage.size as f64, 4))),
            ("Group", unknown()),
            ("Availability", unknown()),
            ("Status", unknown()),
        ])
        .with_labels(self.labels.clone())
    }

    /// The name, for sorting.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
