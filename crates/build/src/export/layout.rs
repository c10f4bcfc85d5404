//! An image as an OCI layout in a directory of the client's: `--output type=oci,tar=false`. The blobs are written here; its index
//! the client writes, by what it is told in the end.

use minke_image::Composed;
use minke_model::{Descriptor, chain};

use crate::{
    BuildError,
    build::Build,
    exchange::{Content, Local, Place as _},
    progress::Node,
};

/// The directory's name at clients, of which a build has one (as in BuildKit).
const STORE: &str = "export";

/// Writes what was composed.
pub(super) async fn write(build: &Build, composed: &Composed, node: &Node) -> Result<(), BuildError> {
    let place = Local::open(&build.client, STORE)?;
    let blobs: Vec<_> = composed.blobs().collect();
    for (digest, size, path) in blobs {
        let transfer = node.transfer(&format!("writing {digest}"), "", size);
        let written = place.put(&Descriptor::new("", digest, size), &Content::File(path)).await;
        written.map_err(|error| BuildError::Failed(format!("write the image: {}", chain(&error))))?;
        transfer.done();
    }
    Ok(())
}
