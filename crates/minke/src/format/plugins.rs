//! Rows of `minke plugin ls`.

use serde::Deserialize;

use super::{
    Kind, Row,
    text::{ellipsis, or_default, short_id},
};

/// The listing of plugins.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("ID", "ID"),
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("Enabled", "ENABLED"),
        ("PluginReference", "PLUGIN REFERENCE"),
    ],
    table: "{{.ID}}\t{{.Name}}\t{{.Description}}\t{{.Enabled}}",
    quiet: "{{.ID}}",
};

/// What `GET /plugins` says of a plugin, as far as tables show it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Plugin {
    id: String,
    name: String,
    enabled: bool,
    #[serde(deserialize_with = "or_default")]
    plugin_reference: String,
    #[serde(deserialize_with = "or_default")]
    config: Config,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    description: String,
}

impl Plugin {
    /// The plugin's placeholders; `full` is `--no-trunc`.
    pub(crate) fn row(&self, full: bool) -> Row {
        let description = self.config.description.replace(['\n', '\r'], "");
        let mut row = Row::new([
            ("ID", if full { self.id.clone() } else { short_id(&self.id) }),
            ("Name", self.name.clone()),
            ("Description", if full { description } else { ellipsis(&description, 45) }),
            ("PluginReference", self.plugin_reference.clone()),
        ]);
        row.fields.insert("Enabled", self.enabled);
        row
    }

    /// The name, for sorting.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plugin_has_a_short_id_and_one_line() {
        let plugin: Plugin = serde_json::from_value(json!({
            "Id": "69553ca1d456fcc0ed4a1e3f25d12c9f", "Name": "tiborvass/sample:latest", "Enabled": true,
            "Config": {"Description": "A test plugin\nfor tests, with a very long description of it"}
        }))
        .unwrap();
        let row = plugin.row(false);
        assert_eq!(row.fields["ID"], "69553ca1d456");
        assert_eq!(row.fields["Description"], "A test pluginfor tests, with a very long des…");
        assert_eq!(row.fields["Enabled"], true);
    }
}
