//! A container as one line of `ps`, and its parts that `inspect` shows too.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerSummary, ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, ContainerSummaryStateEnum,
    EndpointSettings, MountPoint, PortBinding, PortMap, PortSummary, PortSummaryTypeEnum,
};
use minke_network::{Attachment, Protocol};
use time::OffsetDateTime;

use super::{Container, Phase, Record, RunView, ports, status_text};
use crate::{engine::Inner, spec, time_text, volumes::MountKind};

/// The line of `ps`; `image` is the name to show.
pub(super) fn summary(
    inner: &Inner,
    container: &Container,
    record: &Record,
    run: &RunView,
    image: String,
) -> ContainerSummary {
    let created = time_text::parse(&record.created).map_or(0, OffsetDateTime::unix_timestamp);
    ContainerSummary {
        id: Some(container.id.to_string()),
        names: Some(vec![format!("/{}", record.name)]),
        image: Some(image),
        image_id: Some(record.image.to_string()),
        command: Some(command(&spec::arguments(&record.config))),
        created: Some(created),
        ports: Some(port_list(record, run.attachment.as_ref())),
        labels: Some(record.config.labels.clone().unwrap_or_default()),
        state: Some(state(run.phase)),
        status: Some(status_text::status(run, OffsetDateTime::now_utc())),
        host_config: Some(ContainerSummaryHostConfig {
            network_mode: record.host.network_mode.clone(),
            annotations: record.host.annotations.clone().filter(|map| !map.is_empty()),
        }),
        network_settings: Some(ContainerSummaryNetworkSettings {
            networks: Some(endpoints(inner, record, run)),
        }),
        mounts: Some(mount_points(inner, record)),
        ..ContainerSummary::default()
    }
}

/// A command line, quoted where a shell would need it.
fn command(arguments: &[String]) -> String {
    let quote = |word: &String| match word.chars().any(|c| c.is_whitespace() || c == '\'') {
        true => format!("'{}'", word.replace('\'', "'\\''")),
        false => word.clone(),
    };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn state(phase: Phase) -> ContainerSummaryStateEnum {
    match phase {
        Phase::Created => ContainerSummaryStateEnum::CREATED,
        Phase::Running => ContainerSummaryStateEnum::RUNNING,
        Phase::Paused => ContainerSummaryStateEnum::PAUSED,
        Phase::Restarting => ContainerSummaryStateEnum::RESTARTING,
        Phase::Removing => ContainerSummaryStateEnum::REMOVING,
        Phase::Exited => ContainerSummaryStateEnum::EXITED,
        Phase::Dead => ContainerSummaryStateEnum::DEAD,
    }
}

/// The ports of a running container: published ones with their host's side, exposed ones without.
fn port_list(record: &Record, attachment: Option<&Attachment>) -> Vec<PortSummary> {
    let Some(attachment) = attachment else { return Vec::new() };
    let kind = |protocol| match protocol {
        Protocol::Tcp => PortSummaryTypeEnum::TCP,
        Protocol::Udp => PortSummaryTypeEnum::UDP,
        Protocol::Sctp => PortSummaryTypeEnum::SCTP,
    };
    let mut list: Vec<PortSummary> = attachment
        .ports
        .iter()
        .map(|port| PortSummary {
            ip: Some(port.host_address.to_string()),
            private_port: port.container_port,
            public_port: Some(port.host_port),
            typ: Some(kind(port.protocol)),
        })
        .collect();
    for (port, protocol) in
        record.config.exposed_ports.iter().flatten().filter_map(|key| ports::parse(key).ok())
    {
        let published =
            attachment.ports.iter().any(|known| known.container_port == port && known.protocol == protocol);
        if !published {
            list.push(PortSummary {
                ip: None,
                private_port: port,
                public_port: None,
                typ: Some(kind(protocol)),
            });
        }
    }
    list
}

/// The ports as `inspect` shows them: exposed ones with `null`.
pub(super) fn port_map(record: &Record, attachment: &Attachment) -> PortMap {
    let mut map: PortMap =
        record.config.exposed_ports.iter().flatten().map(|port| (port.clone(), None)).collect();
    for port in &attachment.ports {
        let bindings = map.entry(format!("{}/{}", port.container_port, port.protocol)).or_default();
        bindings.get_or_insert_default().push(PortBinding {
            host_ip: Some(port.host_address.to_string()),
            host_port: Some(port.host_port.to_string()),
        });
    }
    map
}

/// The container's network with its addresses, while it has them.
pub(super) fn endpoints(inner: &Inner, record: &Record, run: &RunView) -> HashMap<String, EndpointSettings> {
    let name = record.host.network_mode.as_deref().unwrap_or("bridge");
    if name.starts_with("container:") {
        return HashMap::new();
    }
    let asked = record.networking.endpoints_config.iter().flatten().next().map(|(_, endpoint)| endpoint);
    let text = String::new;
    let mut endpoint = EndpointSettings {
        network_id: Some(if run.phase == Phase::Created { text() } else { inner.network_id(name) }),
        endpoint_id: Some(text()),
        gateway: Some(text()),
        ip_address: Some(text()),
        mac_address: Some(asked.and_then(|endpoint| endpoint.mac_address.clone()).unwrap_or_default()),
        ip_prefix_len: Some(0),
        ipv6_gateway: Some(text()),
        global_ipv6_address: Some(text()),
        global_ipv6_prefix_len: Some(0),
        gw_priority: Some(0),
        ..EndpointSettings::default()
    };
    if run.phase.is_alive() && matches!(name, "host" | "none") {
        // There is no endpoint; clients take an empty id for "not connected".
        endpoint.endpoint_id = Some(record.id.to_string());
    }
    if let Some(place) = run.attachment.as_ref().and_then(|attachment| attachment.endpoints.first()) {
        endpoint.endpoint_id = Some(place.endpoint_id.clone());
        endpoint.gateway = Some(place.gateway_ipv4.map(|address| address.to_string()).unwrap_or_default());
        endpoint.ip_address = Some(place.address_ipv4().map(|address| address.to_string()).unwrap_or_default());
        endpoint.ip_prefix_len = Some(place.ipv4.map_or(0, |net| net.prefix_len().into()));
        endpoint.mac_address = Some(place.mac.to_string());
    }
    HashMap::from([(name.to_owned(), endpoint)])
}

/// The mounts that Docker lists.
pub(super) fn mount_points(inner: &Inner, record: &Record) -> Vec<MountPoint> {
    let point = |mount: &crate::volumes::MountRecord| MountPoint {
        typ: Some(mount.kind.as_str().to_owned()),
        name: mount.name.clone().or_else(|| mount.image.as_ref().map(|image| image.reference.clone())),
        source: Some(match (&mount.name, &mount.image) {
            (Some(name), _) => inner.volumes.data(name).to_string_lossy().into_owned(),
            (_, Some(image)) => image.id.map(|id| id.to_string()).unwrap_or_default(),
            _ => mount.source.clone(),
        }),
        destination: Some(mount.destination.clone()),
        driver: (mount.kind == MountKind::Volume).then(|| "local".to_owned()),
        mode: Some(mount.mode.clone()),
        rw: Some(mount.rw),
        propagation: Some(mount.propagation.clone()),
    };
    record.mounts.iter().filter(|mount| !mount.hidden).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_quoted_like_in_a_shell() {
        let words: Vec<String> = ["sh", "-c", "it's on"].iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(command(&words), "sh -c 'it'\\''s on'");
    }
}
