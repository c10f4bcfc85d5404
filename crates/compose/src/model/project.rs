//! The project: what all files of one application say together.

use std::{collections::BTreeMap, path::PathBuf};

use super::{Config, Extensions, Mapping, Model, Network, Secret, Service, Volume};

/// One application. The keys of the maps are those of the files.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Project {
    /// Its name; containers, networks and volumes begin with it.
    pub name: String,
    /// The folder that relative paths begin at.
    pub working_dir: PathBuf,
    /// The files it was loaded from, in the order they were merged; `-` is the standard input.
    pub compose_files: Vec<String>,
    /// Services whose profiles are active.
    pub services: BTreeMap<String, Service>,
    /// Services whose profiles are not, or that were not asked for.
    pub disabled_services: BTreeMap<String, Service>,
    /// Its networks.
    pub networks: BTreeMap<String, Network>,
    /// Its volumes.
    pub volumes: BTreeMap<String, Volume>,
    /// Its secrets.
    pub secrets: BTreeMap<String, Secret>,
    /// Its configs.
    pub configs: BTreeMap<String, Config>,
    /// Its language models.
    pub models: BTreeMap<String, Model>,
    /// What stands under names that begin with `x-`.
    pub extensions: Extensions,
    /// What was interpolated from: the process's environment over the `.env` files.
    pub environment: Mapping,
    /// The profiles that are active.
    pub profiles: Vec<String>,
}
