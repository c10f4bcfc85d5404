//! Rows of `minke network ls`.

use serde::Deserialize;

use super::{
    Kind, Row,
    text::{Texts, or_default, short_id},
    time::restamp,
};

/// The listing of networks.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    quiet: "{{.ID}}",
};

/// What `GET /networks` says of a network, as far as tables show it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Network {
    name: String,
    id: String,
    driver: String,
    scope: String,
    created: String,
    #[serde(rename = "EnableIPv4", deserialize_with = "or_default")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6", deserialize_with = "or_default")]
    enable_ipv6: bool,
    internal: bool,
    #[serde(deserialize_with = "or_default")]
    labels: Texts,
}

impl Network {
    /// The network's placeholders; `full` is `--no-trunc`.
    pub(crate) fn row(&self, full: bool) -> Row {
        Row::new([
            ("ID", if full { self.id.clone() } else { short_id(&self.id) }),
            ("Name", self.name.clone()),
            ("Driver", self.driver.clone()),
            ("Scope", self.scope.clone()),
            ("IPv4", self.enable_ipv4.to_string()),
            ("IPv6", self.enable_ipv6.to_string()),
            ("Internal", self.internal.to_string()),
            ("CreatedAt", restamp(&self.created)),
        ])
        .with_labels(self.labels.clone())
    }

    /// The name, for sorting.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
