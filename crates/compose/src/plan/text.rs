//! A project as an outline for a terminal: services in the order of their start, with what they use.

use std::fmt::Write as _;

use super::{PlanError, names, order};
use crate::model::{Project, Service};

/// The outline.
///
/// # Errors
/// When services wait for each other.
pub fn outline(project: &Project) -> Result<String, PlanError> {
    let mut text = format!("{}\n", project.name);
    for (at, services) in order::levels(project)?.iter().enumerate() {
        line(&mut text, format_args!("├─ start {}", at + 1));
        for service in services {
            let count = names::scale(service);
            let times = if count == 1 { String::new() } else { format!(" ×{count}") };
            line(
                &mut text,
                format_args!("│  ├─ {}{times}  {}", service.name, names::image(&project.name, service)),
            );
            for detail in details(project, service) {
                line(&mut text, format_args!("│  │    {detail}"));
            }
        }
    }
    for network in project.networks.values() {
        line(&mut text, format_args!("├─ network {}{}", network.name, external(network.external)));
    }
    for volume in project.volumes.values() {
        line(&mut text, format_args!("├─ volume {}{}", volume.name, external(volume.external)));
    }
    Ok(text)
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{arguments}");
}

fn external(external: bool) -> &'static str {
    if external { " (external)" } else { "" }
}

fn details(project: &Project, service: &Service) -> Vec<String> {
    let mut details = Vec::new();
    for name in order::dependencies(project, service) {
        let condition =
            service.depends_on.get(name).map_or("", |dependency| condition(&dependency.condition));
        details.push(format!("after {name}{condition}"));
    }
    let networks: Vec<_> = service.networks.keys().map(String::as_str).collect();
    if !networks.is_empty() {
        details.push(format!("in {}", networks.join(", ")));
    }
    for mount in service.volumes.iter().filter(|mount| mount.kind == "volume" && !mount.source.is_empty()) {
        details.push(format!("volume {} at {}", mount.source, mount.target));
    }
    for port in service.ports.iter().filter(|port| !port.published.is_empty()) {
        details.push(format!("port {} → {}", port.published, port.target));
    }
    details
}

/// What of a dependency is waited for, in words for a line or an arrow.
pub(super) fn condition(condition: &str) -> &'static str {
    match condition {
        "service_healthy" => " is healthy",
        "service_completed_successfully" => " has ended well",
        _ => "",
    }
}
