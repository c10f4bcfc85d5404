//! The root of a container whose runtime knows nothing of our annotation: the overlay, mounted for that runtime.
//!
//! The supervisor takes a mount namespace of its own for it, so that the host gets no mount from this either. The runtime
//! copies that namespace when it makes the container's; then the mount has done its work here.

use std::{fs, io, path::Path};

use minke_kernel::{
    mount::{self, Overlay, Propagation},
    namespace::{self, Kinds},
};
use minke_model::runtime_spec::{NamespaceType, Spec};
use serde::Deserialize;

use crate::{
    container::OVERLAY_ANNOTATION,
    supervise::{
        driver::{failure, foreign::internal},
        protocol::{Failure, FailureKind},
    },
};

/// The annotation's value; the runtime of this program reads the same.
#[derive(Deserialize)]
struct Layers {
    lower: Vec<std::path::PathBuf>,
    upper: std::path::PathBuf,
    work: std::path::PathBuf,
}

/// The overlay on the bundle's root directory, seen by this process and its children alone. Taken away when dropped.
pub(super) struct Rootfs(std::path::PathBuf);

impl Rootfs {
    /// Mounts it; `None` when the configuration has its files in the root's directory.
    ///
    /// # Errors
    /// For an annotation that can't be read, and what the kernel says.
    pub(super) fn mount(bundle: &Path, spec: &Spec) -> Result<Option<Self>, Failure> {
        let Some(text) = spec.annotations.get(OVERLAY_ANNOTATION) else { return Ok(None) };
        let layers: Layers = serde_json::from_str(text).map_err(|error| {
            failure(FailureKind::Invalid, format!("annotations[{OVERLAY_ANNOTATION:?}]"), &error)
        })?;
        let root = spec.root.as_ref().map_or("rootfs", |root| root.path.as_str());
        let place = bundle.join(root);
        let mounted = mount_overlay(layers, &place);
        mounted.map_err(|error| internal(&format!("mount the root on {}", place.display()), &error))?;
        Ok(Some(Self(place)))
    }
}

fn mount_overlay(layers: Layers, place: &Path) -> io::Result<()> {
    namespace::unshare(Kinds::of(NamespaceType::Mount))?;
    let host: std::os::fd::OwnedFd = fs::File::open("/")?.into();
    mount::set_propagation(&host, Propagation::Slave, true)?;
    let overlay = Overlay {
        lower: layers.lower,
        upper: Some(layers.upper),
        work: Some(layers.work),
        options: Vec::new(),
    };
    mount::attach_at(mount::overlay(&overlay)?, place)
}

impl Drop for Rootfs {
    fn drop(&mut self) {
        if let Err(error) = mount::detach(&self.0) {
            eprintln!("unmount {}: {error}", self.0.display());
        }
    }
}
