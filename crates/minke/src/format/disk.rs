//! Rows of `minke system df`.

use minke_model::quantity;
use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Kind, Row,
    text::{or_default, short_id},
    time::{ago, restamp},
};

/// The summary.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    quiet: "{{.Type}}",
};

/// Images in `system df --verbose`.
pub(crate) static IMAGES: Kind = Kind {
    titles: super::images::KIND.titles,
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
    quiet: "{{.ID}}",
};

/// Containers in `system df --verbose`.
pub(crate) static CONTAINERS: Kind = Kind {
    titles: super::containers::KIND.titles,
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
    quiet: "{{.ID}}",
};

/// Volumes in `system df --verbose`.
pub(crate) static VOLUMES: Kind = Kind {
    titles: super::volumes::KIND.titles,
    table: "{{.Name}}\t{{.Links}}\t{{.Size}}",
    quiet: "{{.Name}}",
};

/// Build cache in `system df --verbose`.
pub(crate) static BUILD_CACHE: Kind = Kind {
    titles: &[
        ("ID", "CACHE ID"),
        ("CacheType", "CACHE TYPE"),
        ("Size", "SIZE"),
        ("CreatedSince", "CREATED"),
        ("LastUsedSince", "LAST USED"),
        ("UsageCount", "USAGE"),
        ("Shared", "SHARED"),
    ],
    table: "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
    quiet: "{{.ID}}",
};

/// What `GET /system/df` says of a piece of build cache.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CacheRecord {
    #[serde(rename = "ID")]
    id: String,
    #[serde(deserialize_with = "or_default")]
    parent: String,
    #[serde(rename = "Type")]
    kind: String,
    description: String,
    in_use: bool,
    shared: bool,
    size: i64,
    #[serde(deserialize_with = "or_default")]
    created_at: String,
    #[serde(deserialize_with = "or_default")]
    last_used_at: String,
    usage_count: i64,
}

impl CacheRecord {
    /// The placeholders; what is in use has a star. `full` is the whole id.
    pub(crate) fn row(&self, full: bool, now: OffsetDateTime) -> Row {
        let id = if full { self.id.clone() } else { short_id(&self.id) };
        let since = |text: &str| {
            OffsetDateTime::parse(text, &Rfc3339).map_or(String::new(), |at| ago(at.unix_timestamp(), now))
        };
        Row::new([
            ("ID", if self.in_use { format!("{id}*") } else { id }),
            ("Parent", self.parent.clone()),
            ("CacheType", self.kind.clone()),
            ("Description", self.description.clone()),
            ("Size", quantity::decimal_size(self.size as f64, 4)),
            ("CreatedAt", restamp(&self.created_at)),
            ("CreatedSince", since(&self.created_at)),
            ("LastUsedAt", restamp(&self.last_used_at)),
            ("LastUsedSince", since(&self.last_used_at)),
            ("UsageCount", self.usage_count.to_string()),
            ("InUse", self.in_use.to_string()),
            ("Shared", self.shared.to_string()),
        ])
    }
}

/// The bytes of the build cache that nothing else shares.
pub(crate) fn cache_size(usage: &Value) -> String {
    let own = usage["BuildCache"].as_array().into_iter().flatten().filter(|record| record["Shared"] != true);
    let bytes: i64 = own.filter_map(|record| record["Size"].as_i64()).sum();
    quantity::decimal_size(bytes as f64, 4)
}

/// The four lines of the summary from `GET /system/df`.
pub(crate) fn rows(usage: &Value) -> Vec<Row> {
    let list = |name: &str| usage[name].as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let images = list("Images");
    // What the images of containers need is their own size; shared layers count as reclaimable, as with docker.
    let used_images: i64 = images
        .iter()
        .filter(|image| number(&image["Containers"]) > 0)
        .filter(|image| number(&image["Size"]) >= 0 && number(&image["SharedSize"]) >= 0)
        .map(|image| number(&image["Size"]) - number(&image["SharedSize"]))
        .sum();
    let layers = number(&usage["LayersSize"]);
    let containers = list("Containers");
    let running =
        |container: &&Value| matches!(container["State"].as_str(), Some("running" | "paused" | "restarting"));
    let stopped: i64 = containers.iter().filter(|c| !running(c)).map(|c| number(&c["SizeRw"])).sum();
    let volumes = list("Volumes");
    let references = |volume: &Value| number(&volume["UsageData"]["RefCount"]);
    let volume_size = |volume: &Value| number(&volume["UsageData"]["Size"]).max(0);
    let cache = list("BuildCache");
    let cache_unused = cache.iter().filter(|entry| entry["InUse"] != true && entry["Shared"] != true);
    vec![
        row(
            "Images",
            images.len(),
            images.iter().filter(|image| number(&image["Containers"]) > 0).count(),
            layers,
            layers - used_images,
            true,
        ),
        row(
            "Containers",
            containers.len(),
            containers.iter().filter(running).count(),
            containers.iter().map(|container| number(&container["SizeRw"])).sum(),
            stopped,
            true,
        ),
        row(
            "Local Volumes",
            volumes.len(),
            volumes.iter().filter(|volume| references(volume) > 0).count(),
            volumes.iter().map(volume_size).sum(),
            volumes.iter().filter(|volume| references(volume) == 0).map(volume_size).sum(),
            true,
        ),
        row(
            "Build Cache",
            cache.len(),
            cache.iter().filter(|entry| entry["InUse"] == true).count(),
            cache.iter().map(|entry| number(&entry["Size"])).sum(),
            cache_unused.map(|entry| number(&entry["Size"])).sum(),
            false,
        ),
    ]
}

fn row(kind: &str, total: usize, active: usize, size: i64, reclaimable: i64, percent: bool) -> Row {
    let text = |bytes: i64| quantity::decimal_size(bytes as f64, 4);
    let reclaimable = match size {
        size if percent && size > 0 => {
            format!("{} ({}%)", text(reclaimable), reclaimable.saturating_mul(100) / size)
        }
        _ => text(reclaimable),
    };
    Row::new([
        ("Type", kind.to_owned()),
        ("TotalCount", total.to_string()),
        ("Active", active.to_string()),
        ("Size", text(size)),
        ("Reclaimable", reclaimable),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nothing_uses_is_reclaimable() {
        let rows = rows(&json!({
            "LayersSize": 1000,
            "Images": [{"Size": 600, "SharedSize": 100, "Containers": 1}, {"Size": 500, "SharedSize": 100, "Containers": 0}],
            "Containers": [{"SizeRw": 10, "State": "running"}, {"SizeRw": 30, "State": "exited"}],
            "Volumes": [{"UsageData": {"RefCount": 0, "Size": 5}}, {"UsageData": {"RefCount": 2, "Size": 15}}],
            "BuildCache": null
        }));
        let line = |row: &Row| {
            ["Type", "TotalCount", "Active", "Size", "Reclaimable"]
                .map(|field| row.fields[field].as_str().unwrap().to_owned())
                .join(" ")
        };
        let lines: Vec<_> = rows.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "Images 2 1 1kB 500B (50%)",
                "Containers 2 1 40B 30B (75%)",
                "Local Volumes 2 1 20B 5B (25%)",
                "Build Cache 0 0 0B 0B"
            ]
        );
    }
}
