//! `volumes` of a service: what is mounted in its containers.

use super::{Bytes, Mapping, attribute::attributes};

attributes! {
    /// One mount of a service's containers.
    pub struct Mount {
        /// `volume`, `bind`, `tmpfs`, `image`, `npipe` or `cluster`.
        kind as "type": String,
        /// The volume's key in the project, the host's path, the image; empty for an anonymous volume.
        source: String,
        /// Where in the container.
        target: String,
        /// Nothing can be written there.
        read_only: bool,
        /// A hint for other platforms.
        consistency: String,
        /// Options of a bind mount.
        bind: Option<BindOptions>,
        /// Options of a volume.
        volume: Option<VolumeOptions>,
        /// Options of a tmpfs.
        tmpfs: Option<TmpfsOptions>,
        /// Options of an image.
        image: Option<ImageOptions>,
    }
}

attributes! {
    /// Options of a bind mount.
    pub struct BindOptions {
        /// SELinux's relabelling: `z` (shared) or `Z` (private).
        selinux: String,
        /// `rprivate`, `private`, `rshared`, `shared`, `rslave` or `slave`.
        propagation: String,
        /// The host's path is made where it is missing.
        create_host_path: bool,
        /// Mounts below it: `enabled`, `disabled`, `writable` or `readonly`.
        recursive: String,
    }
}

attributes! {
    /// Options of a volume in one service.
    pub struct VolumeOptions {
        /// Labels of an anonymous volume.
        labels: Mapping,
        /// The image's files are not copied into an empty volume.
        nocopy: bool,
        /// Only this folder of the volume.
        subpath: String,
    }
}

attributes! {
    /// Options of a tmpfs.
    pub struct TmpfsOptions {
        /// Its size.
        size: Bytes,
        /// Its mode.
        mode: u32,
    }
}

attributes! {
    /// Options of an image that is mounted.
    pub struct ImageOptions {
        /// Only this folder of it.
        subpath: String,
    }
}
