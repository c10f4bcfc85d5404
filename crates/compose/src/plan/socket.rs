//! Services that talk to the engine themselves (`use_api_socket`): its socket, and what the user is known by at registries.

use crate::model::{Config, ConfigMount, Mount, Project};

/// Where programs expect the engine.
const SOCKET: &str = "/var/run/docker.sock";
/// Where the credentials are, and the variable that says so.
const FOLDER: &str = "/run/secrets/docker";
const VARIABLE: &str = "DOCKER_CONFIG";
/// The key of the config with them; no file can have one of that name.
const KEY: &str = "#apisocket";

/// Whether a service talks to the engine.
pub fn wants_socket(project: &Project) -> bool {
    project.services.values().any(|service| service.use_api_socket)
}

/// Gives those services the engine's `socket` (its path on the engine's host) and a `config.json` of this text.
pub fn share_socket(project: &mut Project, socket: &str, config: &str) {
    for service in project.services.values_mut().filter(|service| service.use_api_socket) {
        service.volumes.push(Mount {
            kind: "bind".to_owned(),
            source: socket.to_owned(),
            target: SOCKET.to_owned(),
            ..Mount::default()
        });
        // Who sets the variable has credentials of their own.
        service.environment.entry(VARIABLE.to_owned()).or_insert_with(|| Some(FOLDER.to_owned()));
        let target = format!("{FOLDER}/config.json");
        service.configs.push(ConfigMount { source: KEY.to_owned(), target, ..ConfigMount::default() });
    }
    project.configs.insert(KEY.to_owned(), Config { content: config.to_owned(), ..Config::default() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests;

    #[test]
    fn only_those_that_ask_for_it_get_the_socket() {
        let mut project = tests::project(&[("ci", &[]), ("web", &[])]);
        assert!(!wants_socket(&project));
        project.services.get_mut("ci").unwrap().use_api_socket = true;
        assert!(wants_socket(&project));
        share_socket(&mut project, "/run/minke/docker.sock", "{}");
        let ci = &project.services["ci"];
        assert_eq!(
            (ci.volumes[0].source.as_str(), ci.volumes[0].target.as_str()),
            ("/run/minke/docker.sock", SOCKET)
        );
        assert_eq!(ci.environment[VARIABLE].as_deref(), Some(FOLDER));
        assert_eq!(ci.configs[0].target, "/run/secrets/docker/config.json");
        assert!(project.services["web"].volumes.is_empty());
    }
}
