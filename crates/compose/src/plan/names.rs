//! What containers and images of a project are called.

use crate::model::{Hook, Project, Service};

/// The name of a service's container.
pub fn container(project: &str, service: &Service, number: u32) -> String {
    match service.container_name.as_str() {
        "" => format!("{project}-{}-{number}", service.name),
        name => name.to_owned(),
    }
}

/// The name of a container that comes before another one (`pre_start`), by its place there.
pub fn before(container: &str, at: usize) -> String {
    format!("{container}_pre_start_{at}")
}

/// The image of a container that comes before a service's own: its own, or the service's.
pub fn image_before(project: &str, service: &Service, hook: &Hook) -> String {
    match hook.image.as_str() {
        "" => image(project, service),
        image => image.to_owned(),
    }
}

/// The name of a service's image: its own, or the one that its build gets.
pub fn image(project: &str, service: &Service) -> String {
    match service.image.as_str() {
        "" => format!("{project}-{}", service.name),
        image => image.to_owned(),
    }
}

/// How many containers a service has.
pub fn scale(service: &Service) -> u32 {
    let replicas = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
    u32::try_from(service.scale.or(replicas).unwrap_or(1)).unwrap_or(0)
}

/// The names of all containers that a service should have, numbered from 1.
pub fn containers(project: &Project, service: &Service) -> Vec<String> {
    (1..=scale(service)).map(|number| container(&project.name, service, number)).collect()
}

/// The service in `service:NAME`.
pub fn shared_service(mode: &str) -> Option<&str> {
    mode.strip_prefix("service:").filter(|name| !name.is_empty())
}

/// The services whose containers must exist before this one's can be made: those whose namespaces or volumes it shares, and
/// those that it links to.
pub fn shared_services(service: &Service) -> Vec<&str> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let modes = modes.into_iter().filter_map(|mode| shared_service(mode));
    let volumes = service.volumes_from.iter().filter(|from| !from.starts_with("container:"));
    let before_colon = |text: &'_ String| -> usize { text.find(':').unwrap_or(text.len()) };
    let volumes = volumes.map(|from| &from[..before_colon(from)]);
    let links = service.links.iter().map(|link| &link[..before_colon(link)]);
    modes.chain(volumes).chain(links).collect()
}
