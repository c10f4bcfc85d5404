//! How one engine of this host differs from another: its folders, its names, its programs.

use std::{collections::BTreeMap, path::PathBuf};

use minke_distribution::RegistrySettings;

use crate::Error;

/// The name of the own runtime.
pub(crate) const OWN_RUNTIME: &str = "minke-oci";
/// What Docker calls its own; whoever asks for it gets ours.
const DOCKERS_RUNTIMES: [&str; 2] = ["runc", "io.containerd.runc.v2"];

/// An OCI runtime with runc's command line (runc, crun, youki).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeProgram {
    /// The program; a name without a slash is looked for in `PATH`.
    pub path: PathBuf,
    /// What it is given before everything else.
    pub args: Vec<String>,
}

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
    /// `--add-runtime`: further OCI runtimes, by the names that `--runtime` of a container may have. `minke-oci` is not to be
    /// among them; `runc` and `io.containerd.runc.v2` mean it unless they are.
    pub runtimes: BTreeMap<String, RuntimeProgram>,
    /// `--bip`: the default bridge's subnet; `None` takes a free one.
    pub bridge_subnet: Option<String>,
    /// How registries are reached.
    pub registries: RegistrySettings,
    /// How many layers are pulled at the same time; `None` is the engine's own choice.
    pub downloads_at_once: Option<usize>,
    /// The product's version, as `version` and `info` report it.
    pub version: &'static str,
}

impl EngineConfig {
    /// The name of the runtime that a container asks for.
    ///
    /// # Errors
    /// `InvalidParameter` for one that there is not, in Docker's words.
    pub(crate) fn runtime_name<'a>(&self, asked: Option<&'a str>) -> Result<&'a str, Error> {
        match asked.filter(|name| !name.is_empty()) {
            None | Some(OWN_RUNTIME) => Ok(OWN_RUNTIME),
            Some(name) if self.runtimes.contains_key(name) => Ok(name),
            Some(name) if DOCKERS_RUNTIMES.contains(&name) => Ok(OWN_RUNTIME),
            Some(name) => Err(Error::invalid(format!("unknown or invalid runtime name: {name}"))),
        }
    }

    /// The program behind the name of a foreign runtime.
    pub(crate) fn foreign_runtime(&self, name: Option<&str>) -> Option<&RuntimeProgram> {
        self.runtimes.get(name.filter(|name| *name != OWN_RUNTIME)?)
    }
}
