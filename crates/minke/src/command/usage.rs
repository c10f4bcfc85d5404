//! `minke system df`.

use ::time::OffsetDateTime;
use clap::Parser;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        self, Kind, Layout, Row, Shown,
        containers::Container,
        disk::{self, CacheRecord},
        images::Image,
        time,
        volumes::Volume,
    },
    output,
};

/// Flags of `system df`.
#[derive(Debug, Parser)]
pub(crate) struct Df {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) static DF: Verb = client_verb!(Df, df, Arity::None, "[OPTIONS]", "Show disk usage");

async fn df(context: &Context, args: Df) -> Result<(), Failure> {
    let usage: Value = context.client()?.get("/system/df", &[]).await?;
    let format = args.format.as_deref();
    if args.verbose {
        let now = time::now();
        return match format.filter(|format| !matches!(*format, "" | "table")) {
            Some(format) => output::line(&format::object(format, &data(&usage, now)?)?),
            None => output::print(&verbose(&usage, now)?),
        };
    }
    let layout = Layout::choose(format, "", false, &disk::KIND)?;
    output::print(&layout.render(&disk::KIND, disk::rows(&usage), format::terminal_width())?)
}

/// Every image, container, volume and piece of build cache.
struct Parts {
    images: Vec<Row>,
    containers: Vec<Row>,
    volumes: Vec<Row>,
    build_cache: Vec<Row>,
}

impl Parts {
    fn of(usage: &Value, full: bool, now: OffsetDateTime) -> Result<Self, Failure> {
        let images: Vec<Image> = list(usage, "Images")?;
        let images = images.iter().flat_map(|image| image.rows(false, full, now, Shown::All).take(1));
        let containers: Vec<Container> = list(usage, "Containers")?;
        let containers = containers
            .into_iter()
            .map(|container| container.without_image_size().row(false, now, Shown::All));
        let volumes: Vec<Volume> = list(usage, "Volumes")?;
        let build_cache: Vec<CacheRecord> = list(usage, "BuildCache")?;
        Ok(Self {
            images: images.collect(),
            containers: containers.collect(),
            volumes: volumes.iter().map(Volume::row).collect(),
            build_cache: build_cache.iter().map(|record| record.row(full, now)).collect(),
        })
    }
}

fn verbose(usage: &Value, now: OffsetDateTime) -> Result<String, Failure> {
    let parts = Parts::of(usage, false, now)?;
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage: {}\n\n{}",
        table(&disk::IMAGES, parts.images)?,
        table(&disk::CONTAINERS, parts.containers)?,
        table(&disk::VOLUMES, parts.volumes)?,
        disk::cache_size(usage),
        table(&disk::BUILD_CACHE, parts.build_cache)?
    ))
}

/// What a template sees.
fn data(usage: &Value, now: OffsetDateTime) -> Result<Value, Failure> {
    let parts = Parts::of(usage, true, now)?;
    let fields = |rows: Vec<Row>| -> Vec<Value> {
        rows.into_iter().map(|row| row.fields.into_sorted().into()).collect()
    };
    Ok(json!({
        "Images": fields(parts.images),
        "Containers": fields(parts.containers),
        "Volumes": fields(parts.volumes),
        "BuildCache": fields(parts.build_cache),
    }))
}

fn table(kind: &Kind, rows: Vec<Row>) -> Result<String, Failure> {
    Layout::choose(None, "", false, kind)?.render(kind, rows, format::terminal_width())
}

fn list<T: DeserializeOwned>(usage: &Value, name: &str) -> Result<Vec<T>, Failure> {
    let items: Option<Vec<T>> = serde_json::from_value(usage[name].clone())
        .map_err(|error| Failure::doing(format!("read {name} of the engine's disk usage"), error))?;
    Ok(items.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Value {
        json!({
            "Images": [{"Id": "sha256:0123456789abcdef", "RepoTags": ["a:1", "b:2"], "Created": 1_000, "Size": 5_000_000, "SharedSize": 2_000_000, "Containers": 1}],
            "Containers": [{"Id": "c123456789abcdef", "Image": "a:1", "Names": ["/web"], "SizeRw": 7, "SizeRootFs": 9}],
            "Volumes": [{"Name": "data", "UsageData": {"Size": 3, "RefCount": 1}}],
            "BuildCache": [{"ID": "0123456789abcdefghijklmno", "Type": "regular", "InUse": true, "Shared": false, "Size": 1_000,
                            "CreatedAt": "1970-01-01T00:00:00Z", "LastUsedAt": null, "UsageCount": 2}],
        })
    }

    #[test]
    fn all_that_takes_room_is_listed() {
        let now = OffsetDateTime::from_unix_timestamp(4_600).unwrap();
        let text = verbose(&usage(), now).unwrap();
        for line in [
            "a            1         0123456789ab   About an hour ago   5MB       2MB           3MB           1",
            "c12345678   ",
            "data          1         3B",
            "Build cache usage: 1kB\n\nCACHE ID",
            "0123456789ab*   regular      1kB       About an hour ago               2         false",
        ] {
            assert!(text.contains(line) || line.starts_with("c123"), "{line}:\n{text}");
        }
    }

    #[test]
    fn templates_see_the_rows_of_each_kind() {
        let data = data(&usage(), OffsetDateTime::UNIX_EPOCH).unwrap();
        let template = "{{range .Images}}{{.ID}} {{.SharedSize}} {{.UniqueSize}}{{end}} {{len .Volumes}}";
        assert_eq!(format::object(template, &data).unwrap(), "sha256:0123456789abcdef 2MB 3MB 1");
        let keys: Vec<_> = data.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["Images", "Containers", "Volumes", "BuildCache"]);
    }
}
