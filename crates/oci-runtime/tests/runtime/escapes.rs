//! Escapes of the past, each of which must fail here, and each with a control that shows that the test would notice.

mod capabilities;
mod cgroups;
mod descriptors;
mod mounts;
mod own_program;
mod procfs;
mod races;

use crate::bundle::Bundle;

/// Root in the container with every capability that there is.
fn all_capabilities(bundle: &mut Bundle) {
    let all: Vec<String> = minke_kernel::caps::names().iter().map(|name| (*name).to_owned()).collect();
    bundle.process().capabilities = Some(minke_model::runtime_spec::Capabilities {
        bounding: all.clone(),
        effective: all.clone(),
        permitted: all,
        ..Default::default()
    });
}
