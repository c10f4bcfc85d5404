//! What is remembered about a volume, and about a container's mounts.

use std::collections::BTreeMap;

use minke_model::ImageId;
use serde::{Deserialize, Serialize};

/// A volume in engine.db.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeRecord {
    /// The record's version: 1.
    pub(crate) version: u32,
    pub(crate) name: String,
    /// RFC 3339.
    pub(crate) created: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) options: BTreeMap<String, String>,
    /// Nobody named it: it goes with its container under `rm -v` and `--rm`.
    pub(crate) anonymous: bool,
}

/// Kinds of mounts that users ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountKind {
    /// A path of the host's.
    #[default]
    Bind,
    /// A volume.
    Volume,
    /// A file system in memory.
    Tmpfs,
    /// An image's files.
    Image,
}

impl MountKind {
    /// Its files have a path of the host's.
    pub(crate) fn is_on_the_host(self) -> bool {
        matches!(self, Self::Bind | Self::Volume)
    }

    /// Docker's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Volume => "volume",
            Self::Tmpfs => "tmpfs",
            Self::Image => "image",
        }
    }
}

/// The image of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageMount {
    /// What was asked for.
    pub(crate) reference: String,
    /// What that meant when the container was created; `None` until then.
    pub(crate) id: Option<ImageId>,
}

/// One mount of a container, as settled when it was created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MountRecord {
    pub(crate) kind: MountKind,
    /// The volume's name; `None` until an anonymous volume has one.
    pub(crate) name: Option<String>,
    /// Whether somebody named the volume: then it stays when its container goes, even if it has no name but its id.
    pub(crate) is_named: bool,
    /// A bind's path on the host.
    pub(crate) source: String,
    /// Where it is in the container.
    pub(crate) destination: String,
    pub(crate) rw: bool,
    /// Mount propagation; empty for volumes and tmpfs.
    pub(crate) propagation: String,
    /// The options of `-v` as they were given.
    pub(crate) mode: String,
    /// Do not fill an empty volume with the image's content.
    pub(crate) no_copy: bool,
    /// The image whose files are mounted.
    pub(crate) image: Option<ImageMount>,
    /// Mount this directory of the volume or image instead of its top.
    pub(crate) subpath: Option<String>,
    /// Options of a tmpfs.
    pub(crate) tmpfs_options: Vec<String>,
    pub(crate) non_recursive: bool,
    pub(crate) read_only_non_recursive: bool,
    /// Make a bind's source directory if it is missing (`-v` does, `--mount` does not).
    pub(crate) create_source: bool,
    /// Docker does not list it among the mounts (`--tmpfs`).
    pub(crate) hidden: bool,
    /// Labels for a volume that is made with the container.
    pub(crate) labels: BTreeMap<String, String>,
    /// Driver options for a volume that is made with the container.
    pub(crate) driver_options: BTreeMap<String, String>,
}
