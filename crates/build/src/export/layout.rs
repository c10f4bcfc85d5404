//! An image as an OCI layout in a directory of the client's: `--output type=oci,tar=false`. The blobs are written here; its index
//! the client writes, by what it is told in the end.

use base64::Engine as _;
use minke_image::HeldImage;
use minke_model::{Descriptor, Digest, chain};

use crate::{
    BuildError, BuildResult,
    build::Build,
    cache::failed,
    exchange::{Content, Local, Place as _},
    progress::Node,
};

/// The directory's name at clients, of which a build has one (as in BuildKit).
const STORE: &str = "export";

/// Writes what was composed.
pub(super) async fn write(
    build: &Build,
    root: Digest,
    result: &mut BuildResult,
    node: &Node,
) -> Result<(), BuildError> {
    let place = Local::open(&build.client, STORE)?;
    let store = build.engine.image_store().clone();
    let held = tokio::task::spawn_blocking(move || store.hold_image(&root)).await;
    let held: HeldImage = held.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    for (digest, size, path) in held.blobs() {
        let transfer = node.transfer(&format!("writing {digest}"), "", size);
        let written = place.put(&Descriptor::new("", digest, size), &Content::File(path)).await;
        written.map_err(|error| BuildError::Failed(format!("write the image: {}", chain(&error))))?;
        transfer.done();
    }
    let root = serde_json::to_vec(held.root()).map_err(|error| failed(&error))?;
    let root = base64::engine::general_purpose::STANDARD.encode(root);
    result.exporter_response.insert("containerimage.descriptor".to_owned(), root);
    Ok(())
}
