//! `minke images --tree`: each image with the platforms that it is there for.

use std::fmt::Write;

use minke_model::quantity;
use serde::Deserialize;

use super::text::{or_default, short_id};

/// What marks an image that a container was made from.
const IN_USE: &str = "U";

/// What `GET /images/json?manifests=1` says of an image, as far as the tree shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Image {
    id: String,
    #[serde(deserialize_with = "or_default")]
    repo_tags: Vec<String>,
    size: i64,
    #[serde(deserialize_with = "or_default")]
    containers: i64,
    #[serde(deserialize_with = "or_default")]
    manifests: Vec<Manifest>,
}

/// One manifest of an image: a platform, or what is said about one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Manifest {
    #[serde(rename = "ID")]
    id: String,
    kind: String,
    size: Size,
    #[serde(deserialize_with = "or_default")]
    image_data: ImageData,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Size {
    total: i64,
    content: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageData {
    #[serde(deserialize_with = "or_default")]
    platform: Platform,
    #[serde(deserialize_with = "or_default")]
    containers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    os: String,
    architecture: String,
    #[serde(deserialize_with = "or_default")]
    variant: String,
}

impl Platform {
    fn text(&self) -> String {
        [&self.os, &self.architecture, &self.variant]
            .into_iter()
            .filter(|part| !part.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join("/")
    }
}

/// One line of the tree; a name of several that an image has stands alone.
struct Line {
    name: String,
    /// Id, disk usage, content size, and whether it is in use.
    details: Option<[String; 4]>,
}

impl Line {
    fn name(name: &str) -> Self {
        Self { name: name.to_owned(), details: None }
    }
}

impl Image {
    fn lines(&self) -> Vec<Line> {
        let platforms: Vec<_> = self.manifests.iter().filter(|manifest| manifest.kind == "image").collect();
        let in_use = self.containers > 0
            || platforms.iter().any(|platform| !platform.image_data.containers.is_empty());
        let content: i64 = platforms.iter().map(|platform| platform.size.content).sum();
        let content = (!platforms.is_empty()).then_some(content);
        let mut names = self.repo_tags.clone();
        names.sort();
        let last = names.pop().unwrap_or_else(|| "<untagged>".to_owned());
        let mut lines: Vec<_> = names.iter().map(|name| Line::name(name)).collect();
        lines.push(Line { name: last, details: Some(details(&self.id, self.size, content, in_use)) });
        for (at, platform) in platforms.iter().enumerate() {
            let branch = if at + 1 == platforms.len() { "└─" } else { "├─" };
            let in_use = !platform.image_data.containers.is_empty();
            lines.push(Line {
                name: format!("{branch} {}", platform.image_data.platform.text()),
                details: Some(details(
                    &platform.id,
                    platform.size.total,
                    Some(platform.size.content),
                    in_use,
                )),
            });
        }
        lines
    }
}

fn details(id: &str, usage: i64, content: Option<i64>, in_use: bool) -> [String; 4] {
    let size = |bytes: i64| quantity::decimal_size(bytes as f64, 3);
    let content = content.map_or_else(|| "N/A".to_owned(), size);
    [short_id(id), size(usage), content, if in_use { IN_USE.to_owned() } else { String::new() }]
}

/// The tree of all images, in the engine's order. `bold` are titles on a terminal.
pub(crate) fn text(images: &[Image], bold: bool) -> String {
    let all: Vec<_> = images.iter().map(Image::lines).collect();
    let width =
        all.iter().flatten().map(|line| line.name.chars().count()).max().unwrap_or(0).max("IMAGE".len());
    let row = |name: &str, [id, usage, content, extra]: &[String; 4]| {
        format!("{name:<width$}   {id:<12}   {usage:>10}   {content:>12}   {extra}").trim_end().to_owned()
    };
    let titles = row("IMAGE", &["ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"].map(str::to_owned));
    let legend = format!("{IN_USE}: in use");
    let right = titles.chars().count();
    // Writing to a String can't fail.
    let mut text = String::new();
    let _ = writeln!(text, "{legend:>right$}");
    let _ = match bold {
        true => writeln!(text, "\x1b[1m{titles}\x1b[0m"),
        false => writeln!(text, "{titles}"),
    };
    let has_platforms = images.iter().any(|image| !image.manifests.is_empty());
    for (at, lines) in all.iter().enumerate() {
        if at > 0 && has_platforms {
            text.push('\n');
        }
        for line in lines {
            let _ = match &line.details {
                Some(details) => writeln!(text, "{}", row(&line.name, details)),
                None => writeln!(text, "{}", line.name),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image(value: serde_json::Value) -> Image {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_image_has_its_platforms_below_its_names() {
        let platform = |id: &str, architecture: &str, variant: Option<&str>, total: i64, used: bool| {
            json!({"ID": id, "Kind": "image", "Available": true, "Size": {"Total": total, "Content": total / 2},
                   "ImageData": {"Platform": {"os": "linux", "architecture": architecture, "variant": variant},
                                 "Containers": used.then_some(["c"])}})
        };
        let images = [
            image(
                json!({"Id": "sha256:0123456789abcdef", "RepoTags": ["b:1", "a:1"], "Size": 3_000_000, "Containers": 0,
                         "Manifests": [platform("sha256:aaaaaaaaaaaaaa", "amd64", None, 2_000_000, true),
                                       platform("sha256:bbbbbbbbbbbbbb", "arm64", Some("v8"), 1_000_000, false),
                                       {"ID": "sha256:c", "Kind": "attestation", "Size": {"Total": 1, "Content": 1}}]}),
            ),
            image(
                json!({"Id": "sha256:fedcba9876543210", "RepoTags": null, "Size": 1000, "Manifests": null}),
            ),
        ];
        let expected = concat!(
            "                                                           U: in use\n",
            "IMAGE               ID             DISK USAGE   CONTENT SIZE   EXTRA\n",
            "a:1\n",
            "b:1                 0123456789ab          3MB          1.5MB   U\n",
            "├─ linux/amd64      aaaaaaaaaaaa          2MB            1MB   U\n",
            "└─ linux/arm64/v8   bbbbbbbbbbbb          1MB          500kB\n",
            "\n",
            "<untagged>          fedcba987654          1kB            N/A\n",
        );
        assert_eq!(text(&images, false), expected);
    }

    #[test]
    fn without_images_there_are_titles_alone() {
        assert!(
            text(&[], true)
                .ends_with("\x1b[1mIMAGE   ID             DISK USAGE   CONTENT SIZE   EXTRA\x1b[0m\n")
        );
    }
}
