//! A project as its containers remember it, for commands that are given a name and no file.

use super::{Observed, labels};
use crate::model::{Dependency, Network, Project, Service, Volume};

/// The project of that name, as far as labels tell.
pub fn recall(name: &str, observed: &Observed) -> Project {
    let mut project = Project { name: name.to_owned(), ..Project::default() };
    for container in observed.containers.iter().filter(|container| !container.is_oneoff()) {
        if project.compose_files.is_empty() && !container.config_files().is_empty() {
            project.compose_files = container.config_files().split(',').map(str::to_owned).collect();
            project.working_dir =
                container.labels.get(labels::WORKING_DIR).cloned().unwrap_or_default().into();
        }
        let service = project.services.entry(container.service().to_owned()).or_insert_with(|| Service {
            name: container.service().to_owned(),
            image: container.image.clone(),
            scale: Some(0),
            ..Service::default()
        });
        service.scale = service.scale.map(|count| count + 1);
        for (dependency, condition, restart) in container.depends_on() {
            let known = Dependency { condition: condition.to_owned(), restart, ..Dependency::default() };
            service.depends_on.insert(dependency.to_owned(), known);
        }
    }
    for network in observed.networks.iter().filter(|network| network.project() == name) {
        let key = network.labels.get(labels::NETWORK).unwrap_or(&network.name);
        project.networks.insert(key.clone(), Network { name: network.name.clone(), ..Network::default() });
    }
    for volume in observed.volumes.iter().filter(|volume| volume.project() == name) {
        let key = volume.labels.get(labels::VOLUME).unwrap_or(&volume.name);
        project.volumes.insert(key.clone(), Volume { name: volume.name.clone(), ..Volume::default() });
    }
    project
}
