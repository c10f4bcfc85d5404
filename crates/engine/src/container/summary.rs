//! A container as one line of `ps`, and its parts that `inspect` shows too.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerSummary, ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, ContainerSummaryStateEnum,
    EndpointSettings, MountPoint, PortBinding, PortMap, PortSummary, PortSummaryTypeEnum,
};
use minke_network::{Attachment, Endpoint, Protocol, PublishedPort};
use time::OffsetDateTime;

use super::{Container, Phase, Record, RunView, links, ports, status_text};
use crate::{engine::Inner, networks::endpoint::dns_names, spec, time_text, volumes::MountKind};

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
        names: Some(links::names(inner, record)),
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
    let published = published(attachment);
    let kind = |protocol| match protocol {
        Protocol::Tcp => PortSummaryTypeEnum::TCP,
        Protocol::Udp => PortSummaryTypeEnum::UDP,
        Protocol::Sctp => PortSummaryTypeEnum::SCTP,
    };
    let mut list: Vec<PortSummary> = published
        .iter()
        .map(|port| PortSummary {
            ip: Some(port.host_address.to_string()),
            private_port: port.container_port,
            public_port: Some(port.host_port),
            typ: Some(kind(port.protocol)),
        })
        .collect();
    for (port, protocol) in exposed(record) {
        let is_published =
            published.iter().any(|known| known.container_port == port && known.protocol == protocol);
        if !is_published {
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

/// What is published of a container that has a way out: without one nobody gets in.
fn published(attachment: &Attachment) -> &[PublishedPort] {
    let has_gateway = [true, false].into_iter().any(|ipv4| attachment.gateway(ipv4).is_some());
    if has_gateway { &attachment.ports } else { &[] }
}

/// The exposed ports, each once: `80` is `80/tcp`.
fn exposed(record: &Record) -> Vec<(u16, Protocol)> {
    let mut found: Vec<(u16, Protocol)> = Vec::new();
    for port in record.config.exposed_ports.iter().flatten().filter_map(|key| ports::parse(key).ok()) {
        if !found.contains(&port) {
            found.push(port);
        }
    }
    found
}

/// The ports as `inspect` shows them: exposed ones with `null`.
pub(super) fn port_map(record: &Record, attachment: &Attachment) -> PortMap {
    let mut map: PortMap =
        exposed(record).into_iter().map(|(port, protocol)| (format!("{port}/{protocol}"), None)).collect();
    for port in published(attachment) {
        let bindings = map.entry(format!("{}/{}", port.container_port, port.protocol)).or_default();
        bindings.get_or_insert_default().push(PortBinding {
            host_ip: Some(port.host_address.to_string()),
            // A routed port is none of the host's.
            host_port: Some(if port.host_port == 0 { String::new() } else { port.host_port.to_string() }),
        });
    }
    map
}

/// The container's networks with what was asked of them, and its addresses while it has them.
pub(super) fn endpoints(inner: &Inner, record: &Record, run: &RunView) -> HashMap<String, EndpointSettings> {
    let shown = |(name, asked): (&String, &EndpointSettings)| {
        let network = inner.network_table.find(name).ok();
        let endpoint = network.as_ref().and_then(|network| {
            run.attachment.as_ref().and_then(|attachment| attachment.endpoint(&network.id))
        });
        let id = network.as_ref().map(|network| network.id.to_string()).unwrap_or_default();
        let mut settings = shown_endpoint(asked, endpoint);
        settings.network_id = Some(if run.phase == Phase::Created { String::new() } else { id });
        if run.phase.is_alive() && network.as_ref().is_some_and(|network| network.spec().is_none()) {
            // There is no endpoint; clients take an empty id for "not connected".
            settings.endpoint_id = Some(record.id.to_string());
        }
        if network.is_some_and(|network| network.is_user_defined()) {
            settings.dns_names = Some(dns_names(record, asked));
        }
        (name.clone(), settings)
    };
    record.networks.iter().map(shown).collect()
}

fn shown_endpoint(asked: &EndpointSettings, endpoint: Option<&Endpoint>) -> EndpointSettings {
    let text = |value: Option<String>| Some(value.unwrap_or_default());
    let (ipv4, ipv6) = (endpoint.and_then(|e| e.ipv4), endpoint.and_then(|e| e.ipv6));
    let length = |net: Option<minke_network::IpNet>| Some(net.map_or(0, |net| net.prefix_len().into()));
    let gateway = endpoint.and_then(|endpoint| endpoint.gateway_ipv4);
    let gateway_ipv6 = endpoint.and_then(|endpoint| endpoint.gateway_ipv6);
    let mac = endpoint.map(|endpoint| endpoint.mac.to_string()).or_else(|| asked.mac_address.clone());
    EndpointSettings {
        ipam_config: asked.ipam_config.clone(),
        links: asked.links.clone().filter(|links| !links.is_empty()),
        mac_address: text(mac),
        aliases: asked.aliases.clone().filter(|aliases| !aliases.is_empty()),
        driver_opts: asked.driver_opts.clone().filter(|options| !options.is_empty()),
        gw_priority: Some(asked.gw_priority.unwrap_or(0)),
        network_id: None,
        endpoint_id: text(endpoint.map(|endpoint| endpoint.endpoint_id.clone())),
        gateway: text(gateway.map(|gateway| gateway.to_string())),
        ip_address: text(ipv4.map(|net| net.address().to_string())),
        ip_prefix_len: length(ipv4),
        ipv6_gateway: text(gateway_ipv6.map(|gateway| gateway.to_string())),
        global_ipv6_address: text(ipv6.map(|net| net.address().to_string())),
        global_ipv6_prefix_len: length(ipv6),
        dns_names: None,
    }
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
