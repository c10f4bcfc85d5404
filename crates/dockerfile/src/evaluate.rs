//! What the instructions of a stage do once its base's configuration is known: steps to carry out, all variables
//! expanded, and the configuration of the image that results.

mod chmod;
mod copy;
mod git;
mod health;
mod metadata;
mod mount;
mod ports;
mod run;
mod signals;
mod stage;
mod step;
mod title;

use minke_model::{Platform, image_config::ImageConfig};

use crate::environment::Environment;

pub use git::git_context;
pub use run::PROXIES;
pub use step::{
    Action, Chmod, CopySource, CopyStep, GitSource, HttpSource, InlineScript, MakeDirectory, Mount,
    MountKind, Owner, PathSource, RunStep, Sharing, Step,
};

/// What a stage builds on, as far as it was learned.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// `scratch`, or a named context that is no image.
    Scratch,
    /// An image.
    Image {
        /// Its configuration.
        config: &'a ImageConfig,
        /// Its name for progress, with its digest.
        title: &'a str,
    },
    /// A stage before this one.
    Stage(&'a Evaluated),
}

/// A stage, evaluated.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// `[stage 1/5] FROM image`, where the base is an image.
    pub from: Option<String>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// The image's configuration with its history; `rootfs` is the base's.
    pub image: ImageConfig,
    /// For which platform its files are.
    pub platform: Platform,
    /// What stages that build on this one inherit beside the image.
    inherited: Inherited,
    /// About how many bytes it holds, with what it has of the stage that it is built on.
    pub bytes: usize,
}

/// What a stage leaves to those that build on it, beside its image.
#[derive(Debug, Clone, Default)]
struct Inherited {
    /// The environment of its steps, arguments included.
    environment: Environment,
    /// The arguments that were declared, in order.
    arguments: Vec<(String, Option<String>)>,
    /// Whether there was a `WORKDIR`.
    has_workdir: bool,
}

#[cfg(test)]
mod tests;
