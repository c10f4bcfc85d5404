//! How one engine of this host differs from another: its folders, its names, its programs.

use std::path::PathBuf;

use crate::Settings;

/// What [`Engine::open`](crate::Engine::open) must know. Engines with different `root`, `state` and
/// `name_prefix` run side by side on one host.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// `--root`: everything that survives a reboot (images, containers, volumes, engine.db).
    pub root: PathBuf,
    /// `--state`: sockets and whatever dies with the boot.
    pub state: PathBuf,
    /// `--name-prefix`: what the names of the bridge, the nftables table and the cgroup parent begin with.
    pub name_prefix: String,
    /// The `minke-oci` program.
    pub runtime: PathBuf,
    /// `--bip`: the default bridge's subnet; `None` takes a free one.
    pub bridge_subnet: Option<String>,
    /// What may change while the engine runs.
    pub settings: Settings,
    /// The product's version, as `version` and `info` report it.
    pub version: &'static str,
}
