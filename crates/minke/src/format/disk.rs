//! Rows of `minke system df`.

use minke_model::quantity;
use serde_json::Value;

use super::{Kind, Row};

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
