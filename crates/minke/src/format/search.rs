//! Rows of `minke search`.

use serde::Deserialize;

use super::{
    Kind, Row,
    text::{ellipsis, or_default},
};

/// The listing of what a registry has.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
        ("IsAutomated", "AUTOMATED"),
    ],
    table: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
    quiet: "{{.Name}}",
};

/// What `GET /images/search` says of an image.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Found {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    description: String,
    star_count: i64,
    is_official: bool,
    is_automated: bool,
}

impl Found {
    /// The placeholders; `full` is `--no-trunc`.
    pub(crate) fn row(&self, full: bool) -> Row {
        let description = self.description.replace(['\n', '\r'], " ");
        let mark = |on: bool| if on { "[OK]".to_owned() } else { String::new() };
        Row::new([
            ("Name", self.name.clone()),
            ("Description", if full { description } else { ellipsis(&description, 45) }),
            ("StarCount", self.star_count.to_string()),
            ("IsOfficial", mark(self.is_official)),
            ("IsAutomated", mark(self.is_automated)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_is_one_short_line() {
        let found: Found = serde_json::from_value(json!({
            "name": "redis", "description": "Redis is the world's fastest data platform for caching\nand more",
            "star_count": 13_000, "is_official": true, "is_automated": false
        }))
        .unwrap();
        let row = found.row(false);
        for (field, value) in [
            ("Name", "redis"),
            ("Description", "Redis is the world's fastest data platform f…"),
            ("StarCount", "13000"),
            ("IsOfficial", "[OK]"),
            ("IsAutomated", ""),
        ] {
            assert_eq!(row.fields[field], value, "{field}");
        }
        assert!(found.row(true).fields["Description"].as_str().unwrap().ends_with("caching and more"));
    }
}
