//! What the engine remembers about a container: the durable record in engine.db, and the volatile note
//! about its last run.
//!
//! Starting and ending a container costs no disk sync: the record does not change then. Where a container
//! stands is derived when an
//! engine opens: from [`RunNote`], the supervisor's exit record, the supervisor's socket and the boot id.

use std::{fs, io, path::Path};

use bollard_stubs::models::{ContainerConfig, HostConfig, NetworkingConfig};
use minke_model::{ContainerId, ImageId};
use minke_network::Attachment;
use serde::{Deserialize, Serialize};

use crate::volumes::MountRecord;

/// The version that this engine writes.
pub(crate) const VERSION: u32 = 1;

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
    pub(crate) networking: NetworkingConfig,
    pub(crate) mounts: Vec<MountRecord>,
    /// Somebody stopped it, and its restart policy must respect that after a reboot.
    #[serde(default)]
    pub(crate) stopped_by_hand: bool,
}

impl Record {
    /// The host name it sees, unless it has the host's or another container's.
    pub(crate) fn hostname(&self) -> &str {
        self.config.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or_else(|| self.id.short())
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
    /// Its place on the bridge.
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
