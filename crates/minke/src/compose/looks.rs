//! How containers and tables of Compose look.

use minke_compose::plan::{Container, Port};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    format::{
        self, Kind, Layout, Row,
        text::{ellipsis, quote, short_id},
        time::{ago, now, stamp},
    },
    output,
};

/// A container's name without its project's, as logs show it.
pub(super) fn short_name(project: &str, name: &str) -> String {
    name.strip_prefix(project).and_then(|rest| rest.strip_prefix('-')).unwrap_or(name).to_owned()
}

/// The listing of `compose ps`.
pub(super) static CONTAINERS: Kind = Kind {
    titles: &[
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("Names", "NAMES"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("Project", "PROJECT"),
        ("Service", "SERVICE"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Health", "STATUS"),
        ("ExitCode", "EXIT CODE"),
        ("Ports", "PORTS"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
    ],
    table: "{{.Name}}\\t{{.Image}}\\t{{.Command}}\\t{{.Service}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}",
    quiet: "{{.ID}}",
};

/// A container's line.
pub(super) fn container(container: &Container, full: bool) -> Row {
    let command = if full { container.command.clone() } else { ellipsis(&container.command, 20) };
    let mounts =
        container.mounts.iter().map(|mount| if mount.name.is_empty() { &mount.source } else { &mount.name });
    let locals = container.mounts.iter().filter(|mount| mount.kind == "volume").count();
    let networks: Vec<_> = container.network_settings.networks.keys().cloned().collect();
    let mut row = Row::new([
        ("ID", if full { container.id.clone() } else { short_id(&container.id) }),
        ("Name", container.name().to_owned()),
        ("Names", container.name().to_owned()),
        ("Image", container.image.clone()),
        ("Command", quote(&command)),
        ("Project", container.project().to_owned()),
        ("Service", container.service().to_owned()),
        ("CreatedAt", stamp(container.created)),
        ("RunningFor", ago(container.created, now())),
        ("State", container.state.clone()),
        ("Status", container.status.clone()),
        ("Health", container.health().to_owned()),
        ("Ports", ports(&container.ports)),
        ("Mounts", mounts.cloned().collect::<Vec<_>>().join(",")),
        ("LocalVolumes", locals.to_string()),
        ("Networks", networks.join(",")),
    ])
    .with_labels(container.labels.clone());
    row.fields.insert("ExitCode", container.exit_code());
    let publishers = container.ports.iter().map(|port| {
        json!({"URL": port.ip, "TargetPort": port.private_port, "PublishedPort": port.public_port, "Protocol": port.protocol})
    });
    row.fields.insert("Publishers", publishers.collect::<Vec<_>>());
    row
}

/// `0.0.0.0:8080->80/tcp, 443/tcp`
pub(super) fn ports(ports: &[Port]) -> String {
    let mut ports = ports.to_vec();
    ports.sort();
    let one = |port: &Port| {
        let own = format!("{}/{}", port.private_port, port.protocol);
        match (port.public_port, port.ip.contains(':')) {
            (0, _) => own,
            (public, true) => format!("[{}]:{public}->{own}", port.ip),
            (public, false) => format!("{}:{public}->{own}", port.ip),
        }
    };
    ports.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Prints rows as `--format` and `--quiet` ask.
///
/// # Errors
/// When the template can't be read or asks for something that rows don't have.
pub(super) fn print(kind: &Kind, rows: Vec<Row>, format: Option<&str>, quiet: bool) -> Result<(), Failure> {
    let layout = Layout::choose(format, "", quiet, kind)?;
    output::print(&layout.render(kind, rows, format::terminal_width())?)
}

/// Prints a table or, with `json`, one list of objects: the listings of Compose that have no templates.
///
/// # Errors
/// For another format.
pub(super) fn table_or_json(
    format: &str,
    titles: &[&str],
    rows: &[Vec<String>],
    values: Vec<Value>,
) -> Result<(), Failure> {
    match format {
        "json" => output::line(&Value::from(values).to_string()),
        "" | "table" | "pretty" => {
            let lines = std::iter::once(titles.join("\t")).chain(rows.iter().map(|row| row.join("\t")));
            output::print(&format::aligned(&lines.map(|line| line + "\n").collect::<String>()))
        }
        other => Err(Failure::new(format!("format value {other:?} could not be parsed: want table or json"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_project_and_only_that() {
        assert_eq!(short_name("p", "p-web-1"), "web-1");
        assert_eq!(short_name("p", "mine"), "mine");
        assert_eq!(short_name("p", "pp-web-1"), "pp-web-1");
    }

    #[test]
    fn ports_are_shown_with_their_addresses() {
        let port = |ip: &str, public_port| Port {
            private_port: 80,
            ip: ip.into(),
            public_port,
            protocol: "tcp".into(),
        };
        let shown = ports(&[port("0.0.0.0", 8080), port("::", 8080), port("", 0)]);
        assert_eq!(shown, "80/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    }
}
