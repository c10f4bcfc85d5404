//! What an engine has of a project, read from its listings. The labels say what belongs where; nothing is kept elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Deserializer};

use super::labels;

/// All that there is of a project.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Observed {
    /// Containers of services and of `compose run`.
    pub containers: Vec<Container>,
    /// Networks with the project's label, and those that its file names.
    pub networks: Vec<Network>,
    /// Volumes with the project's label, and those that its file names.
    pub volumes: Vec<Volume>,
    /// Images by the names that services have for them; those that are missing are not here.
    pub images: BTreeMap<String, Image>,
}

/// A container, as `GET /containers/json` lists it.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its names, each with a slash before it; a link gives it more of them.
    #[serde(deserialize_with = "or_default")]
    pub names: Vec<String>,
    /// The image's name.
    pub image: String,
    /// The image's id.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// What it runs.
    pub command: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Its published ports.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<Port>,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`
    pub state: String,
    /// The same in words, with the health and the exit code.
    pub status: String,
    /// What is mounted in it.
    #[serde(deserialize_with = "or_default")]
    pub mounts: Vec<Mount>,
    /// Its networks.
    #[serde(deserialize_with = "or_default")]
    pub network_settings: Networks,
}

/// A published or exposed port.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// The container's.
    pub private_port: u16,
    /// The host's address.
    #[serde(rename = "IP", deserialize_with = "or_default")]
    pub ip: String,
    /// The host's; 0 where it is only exposed.
    #[serde(deserialize_with = "or_default")]
    pub public_port: u16,
    /// `tcp`, `udp` or `sctp`
    #[serde(rename = "Type")]
    pub protocol: String,
}

/// A mount.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs` or `image`
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub kind: String,
    /// The volume's name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Where it comes from on the host.
    #[serde(deserialize_with = "or_default")]
    pub source: String,
    /// Where it is in the container.
    #[serde(deserialize_with = "or_default")]
    pub destination: String,
    /// Whether it can be written to.
    #[serde(rename = "RW", deserialize_with = "or_default")]
    pub writable: bool,
}

/// The networks of a container.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Networks {
    /// By name.
    #[serde(deserialize_with = "or_default")]
    pub networks: BTreeMap<String, Endpoint>,
}

/// A container's place in a network.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Endpoint {
    /// Of the network.
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub network_id: String,
}

/// A network, as `GET /networks` lists it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Network {
    /// Its name, which others may have too.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// A volume, as `GET /volumes` lists it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its driver.
    #[serde(deserialize_with = "or_default")]
    pub driver: String,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// What matters of an image.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Where its configuration wants volumes.
    pub volumes: BTreeSet<String>,
    /// How long ago it got a name, which a pull gives it; `None` where the engine doesn't note that.
    pub age: Option<Duration>,
}

impl Container {
    /// Its own name, without the slash.
    pub fn name(&self) -> &str {
        let own =
            self.names.iter().find_map(|name| name.strip_prefix('/').filter(|name| !name.contains('/')));
        own.unwrap_or_else(|| self.names.first().map_or("", |name| name.trim_start_matches('/')))
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// Its project.
    pub fn project(&self) -> &str {
        self.label(labels::PROJECT)
    }

    /// Its service.
    pub fn service(&self) -> &str {
        self.label(labels::SERVICE)
    }

    /// Which of its service's containers it is.
    pub fn number(&self) -> u32 {
        self.label(labels::NUMBER).parse().unwrap_or(0)
    }

    /// Whether it is none of its service's own: `compose run` made it, or it runs before them.
    pub fn is_oneoff(&self) -> bool {
        self.label(labels::ONEOFF).eq_ignore_ascii_case("true") || self.is_before()
    }

    /// Whether it runs before its service's own (`pre_start`).
    pub fn is_before(&self) -> bool {
        self.label(labels::HOOK) == "pre_start"
    }

    /// The hash of what it was made from.
    pub fn config_hash(&self) -> &str {
        self.label(labels::CONFIG_HASH)
    }

    /// The id of the image that it was made from, as Compose noted it.
    pub fn noted_image(&self) -> &str {
        self.label(labels::IMAGE)
    }

    /// The container that it takes the place of.
    pub fn replaces(&self) -> Option<&str> {
        self.labels.get(labels::REPLACE).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The files of its project.
    pub fn config_files(&self) -> &str {
        self.label(labels::CONFIG_FILES)
    }

    /// What it depends on: the services, their conditions, and whether it is restarted with them.
    pub fn depends_on(&self) -> Vec<(&str, &str, bool)> {
        let entry = |entry| {
            let mut parts = str::split(entry, ':');
            let name = parts.next().filter(|name| !name.is_empty())?;
            Some((name, parts.next().unwrap_or("service_started"), parts.next() == Some("true")))
        };
        self.label(labels::DEPENDS_ON).split(',').filter_map(entry).collect()
    }

    /// Whether its process runs, paused or not.
    pub fn is_running(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "restarting")
    }

    /// `healthy`, `unhealthy`, `starting`, or empty without a health check.
    pub fn health(&self) -> &str {
        let Some((_, inside)) = self.status.rsplit_once('(') else { return "" };
        match inside.trim_end_matches(')') {
            "healthy" => "healthy",
            "unhealthy" => "unhealthy",
            "health: starting" => "starting",
            _ => "",
        }
    }

    /// The code that it ended with, from its status `Exited (3) 5 minutes ago`.
    pub fn exit_code(&self) -> i64 {
        let inside = self.status.split_once('(').and_then(|(_, after)| after.split_once(')'));
        match self.state.as_str() {
            "exited" | "dead" => inside.and_then(|(code, _)| code.parse().ok()).unwrap_or(0),
            _ => 0,
        }
    }
}

impl Network {
    /// The project that made it; empty for others.
    pub fn project(&self) -> &str {
        self.labels.get(labels::PROJECT).map_or("", String::as_str)
    }

    /// The hash of what it was made from.
    pub fn config_hash(&self) -> &str {
        self.labels.get(labels::CONFIG_HASH).map_or("", String::as_str)
    }
}

impl Volume {
    /// The project that made it; empty for others.
    pub fn project(&self) -> &str {
        self.labels.get(labels::PROJECT).map_or("", String::as_str)
    }

    /// The hash of what it was made from.
    pub fn config_hash(&self) -> &str {
        self.labels.get(labels::CONFIG_HASH).map_or("", String::as_str)
    }
}

impl Observed {
    /// A service's containers, without those of `compose run`.
    pub fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers
            .iter()
            .filter(move |container| container.service() == service && !container.is_oneoff())
    }

    /// The containers of each service, without those of `compose run`: what a plan for all services asks for.
    pub fn by_service(&self) -> BTreeMap<&str, Vec<&Container>> {
        let mut services: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
        for container in self.containers.iter().filter(|container| !container.is_oneoff()) {
            services.entry(container.service()).or_default().push(container);
        }
        services
    }

    /// The network of that name.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.name == name)
    }

    /// The volume of that name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }
}

/// Go writes what is empty as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(value: serde_json::Value) -> Container {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_listing_says_all_that_a_plan_needs() {
        let container = container(json!({
            "Id": "0123", "Names": ["/web/db", "/p-db-2"], "State": "running", "Status": "Up 2 minutes (healthy)", "Ports": null,
            "Labels": {"com.docker.compose.project": "p", "com.docker.compose.service": "db", "com.docker.compose.container-number": "2",
                "com.docker.compose.oneoff": "False", "com.docker.compose.depends_on": "a:service_healthy:true,b:service_started:false"},
            "NetworkSettings": {"Networks": {"p_default": {"NetworkID": "9"}}}
        }));
        assert_eq!((container.name(), container.service(), container.number()), ("p-db-2", "db", 2));
        assert_eq!(
            (container.health(), container.is_running(), container.is_oneoff()),
            ("healthy", true, false)
        );
        assert_eq!(container.depends_on(), [("a", "service_healthy", true), ("b", "service_started", false)]);
        assert_eq!(container.network_settings.networks["p_default"].network_id, "9");
    }

    #[test]
    fn an_exit_code_is_read_from_the_status() {
        let ended = container(json!({"State": "exited", "Status": "Exited (137) 3 seconds ago"}));
        assert_eq!((ended.exit_code(), ended.health(), ended.is_running()), (137, "", false));
        let starting = container(json!({"State": "running", "Status": "Up 1 second (health: starting)"}));
        assert_eq!((starting.exit_code(), starting.health()), (0, "starting"));
    }
}
