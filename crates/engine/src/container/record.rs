//! What the engine remembers about a container: the durable record in engine.db, and the volatile note
//! about its last run.
//!
//! Starting and ending a container costs no disk sync: the record does not change then. Where a container
//! stands is derived when an
//! engine opens: from [`RunNote`], the supervisor's exit record, the supervisor's socket and the boot id.

use std::{collections::BTreeMap, fs, io, path::Path};

use bollard_stubs::models::{ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig};
use minke_model::{ContainerId, ImageId};
use minke_network::Attachment;
use serde::{Deserialize, Serialize};

use crate::{time_text, volumes::MountRecord};

/// The version that this engine writes.
pub(crate) const VERSION: u32 = 2;
/// The first one knew one network, that of the network mode.
const ONE_NETWORK: u32 = 1;

/// A container in engine.db.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`VERSION`]; a newer one is refused.
    pub(crate) version: u32,
    pub(crate) id: ContainerId,
    /// Without Docker's slash.
    pub(crate) name: String,
    /// RFC 3339.
    pub(crate) created: String,
    /// The image's id at creation.
    pub(crate) image: ImageId,
    /// Merged with the image's.
    pub(crate) config: ContainerConfig,
    pub(crate) host: HostConfig,
    /// What it asks of each of its networks, by their names. One that was not there yet when it was asked for may stand
    /// under the beginning of its id.
    #[serde(default)]
    pub(crate) networks: BTreeMap<String, EndpointSettings>,
    /// The same in the first version.
    #[serde(default, skip_serializing)]
    networking: NetworkingConfig,
    pub(crate) mounts: Vec<MountRecord>,
    /// Somebody stopped it, and its restart policy must respect that after a reboot.
    #[serde(default)]
    pub(crate) stopped_by_hand: bool,
}

/// What a new container is.
pub(crate) struct NewRecord {
    pub(crate) id: ContainerId,
    pub(crate) name: String,
    pub(crate) image: ImageId,
    pub(crate) config: ContainerConfig,
    pub(crate) host: HostConfig,
    pub(crate) networks: BTreeMap<String, EndpointSettings>,
    pub(crate) mounts: Vec<MountRecord>,
}

impl From<NewRecord> for Record {
    fn from(new: NewRecord) -> Self {
        let NewRecord { id, name, image, config, host, networks, mounts } = new;
        Self {
            version: VERSION,
            id,
            name,
            created: time_text::now(),
            image,
            config,
            host,
            networks,
            networking: NetworkingConfig::default(),
            mounts,
            stopped_by_hand: false,
        }
    }
}

impl Record {
    /// A record of any version in the form of this one.
    pub(crate) fn in_this_version(mut self) -> Self {
        if self.version == ONE_NETWORK {
            let asked = self.networking.endpoints_config.take().unwrap_or_default();
            let settings = asked.into_iter().next().map(|(_, settings)| settings).unwrap_or_default();
            let mode = self.host.network_mode.as_deref().filter(|mode| !mode.is_empty()).unwrap_or("bridge");
            if !mode.starts_with("container:") {
                self.networks = BTreeMap::from([(mode.to_owned(), settings)]);
            }
            self.version = VERSION;
        }
        self
    }

    /// The host name it sees, unless it has the host's or another container's.
    pub(crate) fn hostname(&self) -> &str {
        self.config.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or_else(|| self.id.short())
    }

    /// Whether it leaves IPv6 on: without the loopback's, Docker gives a container no address of IPv6 at all.
    pub(crate) fn has_ipv6(&self) -> bool {
        let turned_off = |interface: &str| {
            let sysctls = self.host.sysctls.iter().flatten();
            let name = format!("net.ipv6.conf.{interface}.disable_ipv6");
            sysctls.filter(|(key, _)| **key == name).any(|(_, value)| value.trim() != "0")
        };
        !turned_off("all") && !turned_off("lo")
    }

    pub(crate) fn tty(&self) -> bool {
        self.config.tty.unwrap_or(false)
    }

    /// What was asked for as its image.
    pub(crate) fn image_name(&self) -> &str {
        self.config.image.as_deref().unwrap_or("")
    }

    /// Every image whose files it needs.
    pub(crate) fn images(&self) -> impl Iterator<Item = ImageId> + '_ {
        let mounted = self.mounts.iter().filter_map(|mount| mount.image.as_ref()?.id);
        std::iter::once(self.image).chain(mounted)
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(key).map(String::as_str)
    }
}

/// `run.json` in a container's directory: written before every start, without a sync; lost by a power cut,
/// when it has no meaning any more.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RunNote {
    /// /proc/sys/kernel/random/boot_id at the start.
    pub(crate) boot: String,
    /// RFC 3339.
    pub(crate) started_at: String,
    /// Its places on its networks.
    pub(crate) attachment: Option<Attachment>,
    /// How often the policy has started it again.
    pub(crate) restart_count: u32,
    /// Why the start failed, where it did.
    pub(crate) error: Option<String>,
    /// The exit code of a failed start.
    pub(crate) exit_code: i64,
    /// It was started for real at least once.
    pub(crate) has_run: bool,
}

impl RunNote {
    /// The note of the container in `directory`; a missing or damaged one is none.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(directory.join("run.json")).ok()?).ok()
    }

    /// Replaces the note as a whole, so that an engine killed meanwhile leaves the old or the new one.
    ///
    /// # Errors
    /// Those of writing a file.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let temporary = directory.join("run.json.new");
        fs::write(&temporary, serde_json::to_vec(self)?)?;
        fs::rename(temporary, directory.join("run.json"))
    }
}

#[cfg(test)]
impl Record {
    /// A container `web` of an image `box:latest`, with a label `a` and a variable `B`.
    pub(crate) fn for_tests() -> Self {
        let config =
            r#"{"Image":"box:latest","Cmd":["sh","-c","true"],"Labels":{"a":"label"},"Env":["A=1","B=2"]}"#;
        let config = serde_json::from_str(config).expect("it is a configuration");
        Self {
            version: VERSION,
            id: ContainerId::from_random([7; 32]),
            name: "web".to_owned(),
            created: "2026-01-02T03:04:05Z".to_owned(),
            image: format!("sha256:{}", "5".repeat(64)).parse().expect("it is an id"),
            config,
            host: HostConfig::default(),
            networks: BTreeMap::new(),
            networking: NetworkingConfig::default(),
            mounts: Vec::new(),
            stopped_by_hand: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_of_the_first_version_is_on_the_network_of_its_mode() {
        let mut old = serde_json::to_value(Record::for_tests()).unwrap();
        old["version"] = 1.into();
        old["networking"] =
            serde_json::json!({"EndpointsConfig": {"default": {"MacAddress": "02:42:ac:11:00:09"}}});
        let read = |old: &serde_json::Value| {
            serde_json::from_value::<Record>(old.clone()).unwrap().in_this_version()
        };
        let record = read(&old);
        assert_eq!(record.networks["bridge"].mac_address.as_deref(), Some("02:42:ac:11:00:09"));
        old["host"]["NetworkMode"] = "container:abc".into();
        assert!(read(&old).networks.is_empty());
        let new = serde_json::to_value(record).unwrap();
        assert!(new.get("networking").is_none() && new["version"] == 2);
    }

    #[test]
    fn a_note_survives_and_damage_is_no_note() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunNote::read(dir.path()).is_none());
        let note = RunNote { boot: "b".into(), restart_count: 2, ..RunNote::default() };
        note.write(dir.path()).unwrap();
        assert_eq!(RunNote::read(dir.path()).unwrap().restart_count, 2);
        fs::write(dir.path().join("run.json"), "{").unwrap();
        assert!(RunNote::read(dir.path()).is_none());
    }
}
