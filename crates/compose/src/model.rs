//! What a Compose project is once it is loaded: every attribute of the specification, in its long form.
//!
//! Short forms, several files, `extends`, `include` and interpolation are gone; paths are absolute, names of networks
//! and volumes are final. Attributes have the names of the specification. An attribute's absence is `None`, or what
//! is empty: a type tells the two apart only where the specification does.

pub(crate) mod attribute;
mod build;
mod deploy;
mod develop;
mod mount;
mod network;
mod port;
mod project;
mod quantity;
mod resource;
mod select;
mod service;
mod special;

use std::collections::BTreeMap;

pub use build::{Build, SshKey};
pub use deploy::{
    Deploy, DeviceRequest, DiscreteResource, GenericResource, Placement, PlacementPreference, Resource,
    Resources, RestartPolicy, UpdateConfig,
};
pub use develop::{Develop, Trigger};
pub use mount::{BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeOptions};
pub use network::{Ipam, IpamPool, Network, ServiceNetwork};
pub use port::Port;
pub use project::Project;
pub use quantity::{Bytes, DeviceCount, Duration, FileMode};
pub use resource::{Config, ConfigMount, Model, Secret, SecretMount, Volume};
pub use service::{
    Blkio, CredentialSpec, Dependency, Device, EnvFile, Extends, Healthcheck, Hook, Logging, MultiOptions,
    Provider, Service, ServiceModel, ThrottleDevice, Ulimit, WeightDevice,
};

pub use select::{NoSuchService, Select};

use crate::value::Value;

/// Names and texts, in the order of the names.
pub type Mapping = BTreeMap<String, String>;
/// Names and texts; a name without a text takes its value from the environment, or is not set.
pub type Environment = BTreeMap<String, Option<String>>;
/// Host names and their addresses.
pub type Hosts = BTreeMap<String, Vec<String>>;
/// What stands under names that begin with `x-`.
pub type Extensions = BTreeMap<String, Value>;
