//! Rows of `minke ps`.

use std::collections::BTreeMap;

use minke_model::quantity;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Kind, Row, Shown,
    text::{Texts, ellipsis, or_default, quote, short_id},
    time::{ago, stamp},
};

/// The listing of containers.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("ID", "CONTAINER ID"),
        ("Names", "NAMES"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
    ],
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    quiet: "{{.ID}}",
};

/// The same with `--size`.
pub(crate) static KIND_WITH_SIZE: Kind = Kind {
    titles: KIND.titles,
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}",
    quiet: KIND.quiet,
};

/// What `GET /containers/json` says of a container, as far as tables show it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Container {
    pub(crate) id: String,
    #[serde(deserialize_with = "or_default")]
    names: Vec<String>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    command: String,
    created: i64,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<Port>,
    #[serde(deserialize_with = "or_default")]
    size_rw: i64,
    #[serde(deserialize_with = "or_default")]
    size_root_fs: i64,
    #[serde(deserialize_with = "or_default")]
    labels: Texts,
    state: String,
    pub(crate) status: String,
    #[serde(deserialize_with = "or_default")]
    mounts: Vec<Mount>,
    #[serde(deserialize_with = "or_default")]
    network_settings: Networks,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    private_port: u16,
    #[serde(rename = "IP", deserialize_with = "or_default")]
    ip: String,
    #[serde(deserialize_with = "or_default")]
    public_port: u16,
    #[serde(rename = "Type")]
    protocol: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mount {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(deserialize_with = "or_default")]
    source: String,
    #[serde(deserialize_with = "or_default")]
    driver: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Networks {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, serde::de::IgnoredAny>,
}

impl Container {
    /// The container's placeholders; `full` is `--no-trunc`.
    pub(crate) fn row(&self, full: bool, now: OffsetDateTime, shown: Shown<'_>) -> Row {
        let command = || if full { self.command.clone() } else { ellipsis(&self.command, 20) };
        let local = || self.mounts.iter().filter(|mount| mount.driver == "local").count().to_string();
        let networks = || self.network_settings.networks.keys().cloned().collect::<Vec<_>>().join(",");
        let mut row = Row::of(
            shown,
            [
                ("ID", &|| if full { self.id.clone() } else { short_id(&self.id) }),
                ("Names", &|| self.names(full)),
                ("Image", &|| self.image(full)),
                ("Command", &|| quote(&command())),
                ("CreatedAt", &|| stamp(self.created)),
                ("RunningFor", &|| ago(self.created, now)),
                ("Ports", &|| ports(&self.ports)),
                ("State", &|| self.state.clone()),
                ("Status", &|| self.status.clone()),
                ("Size", &|| self.size()),
                ("Mounts", &|| self.mounts(full)),
                ("LocalVolumes", &local),
                ("Networks", &networks),
            ],
        )
        .with_labels(self.labels.clone());
        // Docker knows it only with its containerd image store.
        row.fields.insert("Platform", serde_json::Value::Null);
        row
    }

    /// The same without the size of its image, which disk usage counts elsewhere.
    #[must_use]
    pub(crate) fn without_image_size(self) -> Self {
        Self { size_root_fs: 0, ..self }
    }

    /// Its own name, or with `full` also those that links give it.
    pub(crate) fn names(&self, full: bool) -> String {
        let mut names = self.names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
        if full {
            return names.collect::<Vec<_>>().join(",");
        }
        // A name with a slash is another container's link to this one.
        names.find(|name| !name.contains('/')).unwrap_or_default().to_owned()
    }

    /// The image as it was asked for, or its id.
    pub(crate) fn image(&self, full: bool) -> String {
        match self.image.as_str() {
            "" => "<no image>".to_owned(),
            image if full => image.to_owned(),
            image if short_id(image) == short_id(&self.image_id) => short_id(image),
            image => image.split('@').next().unwrap_or(image).to_owned(),
        }
    }

    fn size(&self) -> String {
        let own = quantity::decimal_size(self.size_rw as f64, 3);
        match self.size_root_fs {
            0 => own,
            all => format!("{own} (virtual {})", quantity::decimal_size(all as f64, 3)),
        }
    }

    fn mounts(&self, full: bool) -> String {
        let name = |mount: &Mount| {
            let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
            if full { name.clone() } else { ellipsis(name, 15) }
        };
        self.mounts.iter().map(name).collect::<Vec<_>>().join(",")
    }
}

/// `0.0.0.0:80->9090/tcp, 5000-5010/tcp`: neighbouring ports are one range where they map to themselves or to nothing.
fn ports(ports: &[Port]) -> String {
    let mut sorted = ports.to_vec();
    sorted.sort_by(|a, b| {
        (a.private_port, &a.ip, a.public_port, &a.protocol).cmp(&(
            b.private_port,
            &b.ip,
            b.public_port,
            &b.protocol,
        ))
    });
    // A range's address (none: only exposed), protocol, first and last port.
    let mut ranges: Vec<(String, String, u16, u16)> = Vec::new();
    let mut mapped = Vec::new();
    for port in sorted {
        let address = if port.ip.contains(':') { format!("[{}]", port.ip) } else { port.ip.clone() };
        if !address.is_empty() && port.public_port != port.private_port {
            mapped.push(format!("{address}:{}->{}/{}", port.public_port, port.private_port, port.protocol));
            continue;
        }
        let open = ranges.iter_mut().rev().find(|range| range.0 == address && range.1 == port.protocol);
        match open {
            Some(range)
                if range.3 == port.private_port || range.3.checked_add(1) == Some(port.private_port) =>
            {
                range.3 = port.private_port;
            }
            _ => ranges.push((address, port.protocol, port.private_port, port.private_port)),
        }
    }
    let shown = ranges.into_iter().map(|(address, protocol, first, last)| {
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        if address.is_empty() {
            format!("{range}/{protocol}")
        } else {
            format!("{address}:{range}->{range}/{protocol}")
        }
    });
    shown.chain(mapped).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown_ports(list: serde_json::Value) -> String {
        ports(&serde_json::from_value::<Vec<Port>>(list).unwrap())
    }

    #[test]
    fn ports_read_as_dockers() {
        let published = |ip: &str, host: u16, own: u16| json!({"IP": ip, "PrivatePort": own, "PublicPort": host, "Type": "tcp"});
        assert_eq!(shown_ports(json!([])), "");
        assert_eq!(shown_ports(json!([{"PrivatePort": 80, "Type": "tcp"}])), "80/tcp");
        assert_eq!(
            shown_ports(json!([published("0.0.0.0", 8080, 80), published("::", 8080, 80)])),
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        assert_eq!(
            shown_ports(json!([published("0.0.0.0", 80, 80), published("0.0.0.0", 81, 81)])),
            "0.0.0.0:80-81->80-81/tcp"
        );
        assert_eq!(
            shown_ports(
                json!([{"PrivatePort": 82, "Type": "udp"}, {"PrivatePort": 80, "Type": "tcp"}, {"PrivatePort": 81, "Type": "tcp"}, {"PrivatePort": 90, "Type": "tcp"}])
            ),
            "80-81/tcp, 82/udp, 90/tcp"
        );
    }

    #[test]
    fn a_container_becomes_the_placeholders_of_its_row() {
        let container: Container = serde_json::from_value(json!({
            "Id": "0123456789abcdef", "Names": ["/other/link", "/web"], "Image": "nginx:1@sha256:aa", "ImageID": "sha256:ff", "Command": "docker-entrypoint.sh nginx -g",
            "Created": 1_700_000_000, "Ports": null, "Labels": {"a": "1"}, "State": "running", "Status": "Up 2 minutes", "SizeRw": 2, "SizeRootFs": 21_500_000,
            "Mounts": [{"Type": "volume", "Name": "a-volume-with-a-long-name", "Driver": "local"}, {"Type": "bind", "Source": "/src"}],
            "NetworkSettings": {"Networks": {"bridge": {}, "a": null}}, "Unknown": 1
        }))
        .unwrap();
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_130).unwrap();
        let row = container.row(false, now, Shown::All);
        let expected = [
            ("ID", "0123456789ab"),
            ("Names", "web"),
            ("Image", "nginx:1"),
            ("Command", "\"docker-entrypoint.s…\""),
            ("RunningFor", "2 minutes ago"),
            ("Size", "2B (virtual 21.5MB)"),
            ("Mounts", "a-volume-with-…,/src"),
            ("LocalVolumes", "1"),
            ("Networks", "a,bridge"),
            ("Labels", "a=1"),
            ("Ports", ""),
        ];
        for (field, value) in expected {
            assert_eq!(row.fields[field], value, "{field}");
        }
        let full = container.row(true, now, Shown::All);
        assert_eq!(full.fields["ID"], "0123456789abcdef");
        assert_eq!(full.fields["Names"], "other/link,web");
    }
}
