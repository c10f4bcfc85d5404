//! `minke-oci` under the programs that people run it with: Docker, podman and containerd of the host's own release.
//!
//! What runs a container through runc has to run it through this, and notice nothing. The managers come from
//! `scripts/setup test` and are not installed: see [`minke_testkit::Machine`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod containerd;
mod docker;
mod podman;

/// The runtime under test.
fn runtime() -> String {
    minke_testkit::program("minke-oci").display().to_string()
}
