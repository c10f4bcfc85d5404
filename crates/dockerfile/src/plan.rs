//! Which stages a target needs, from where each takes files, and what their variables are: known before any image is.
//!
//! ```text
//!  FROM golang AS build ◀── COPY --from=build ── FROM alpine        Plan::new: names, global arguments, platforms
//!        │ image                                    │ image         executor: asks for the images' configurations
//!        ▼                                          ▼               Plan::on_build: triggers, which may need more
//!   evaluate(config) ─────── files ───────▶ evaluate(config)        Plan::evaluate: steps, one stage at a time
//! ```

mod build;
mod contexts;
mod globals;
mod needed;
mod origins;

use std::collections::BTreeMap;

use minke_model::{Platform, Reference};

use crate::{
    ast::{Instruction, Lines, Source},
    environment::Environment,
};

/// The number of a stage in a [`Plan`], which is its number in the Dockerfile.
pub type StageId = usize;

/// What a build was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--target`, by name or number; the last stage without it.
    pub target: Option<String>,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    /// Where the build runs.
    pub build_platform: Platform,
    /// `--platform`; the build's own without it.
    pub target_platform: Option<Platform>,
    /// Whether several platforms are built at once: names of steps then say which is meant.
    pub is_multi_platform: bool,
    /// `--build-context`, by name as written: `docker-image://…`, `local:NAME`, `https://…`, …
    pub contexts: BTreeMap<String, String>,
    /// Whether every stage is wanted, as `--check` without a target does.
    pub all_stages: bool,
}

impl Options {
    /// For a build of the last stage for the platform that it runs on.
    pub fn on(build_platform: Platform) -> Self {
        Self {
            target: None,
            arguments: BTreeMap::new(),
            build_platform,
            target_platform: None,
            is_multi_platform: false,
            contexts: BTreeMap::new(),
            all_stages: false,
        }
    }

    /// The platform that is built for.
    pub fn platform(&self) -> &Platform {
        self.target_platform.as_ref().unwrap_or(&self.build_platform)
    }
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The build context.
    Context,
    /// Nothing: `scratch`.
    Scratch,
    /// Another stage of the plan.
    Stage(StageId),
    /// An image.
    Image(ImageOrigin),
    /// A named context (`--build-context`).
    Named(NamedContext),
}

/// An image to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOrigin {
    /// Its name as written, variables expanded.
    pub written: String,
    /// Its name, with `latest` where there is no tag.
    pub reference: Reference,
    /// For which platform.
    pub platform: Platform,
    /// Whether the user named the platform; without that, what there is for another alone is taken too.
    pub is_platform_asked_for: bool,
}

/// A named context that stands for a stage or an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedContext {
    /// Its name in [`Options::contexts`].
    pub name: String,
    /// Its value there.
    pub value: String,
    /// For which platform, where it is an image.
    pub platform: Platform,
}

/// A stage with its names resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStage {
    /// Its number.
    pub id: StageId,
    /// `AS name`, in lower case.
    pub name: Option<String>,
    /// How progress calls it: its name, `stage-N`, or nothing when it is the only one.
    pub title: String,
    /// What it builds on. A named context replaces the whole stage: then it has no instructions.
    pub base: Origin,
    /// `--platform`, expanded.
    pub platform: Option<Platform>,
    /// What it does, triggers of its base first.
    pub instructions: Vec<PlannedInstruction>,
    /// The `FROM` on one line.
    pub code: String,
    /// Where the `FROM` is.
    pub lines: Lines,
    /// The comments directly above it.
    pub comments: Vec<String>,
}

/// An instruction with the names in it resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedInstruction {
    /// What it says.
    pub instruction: Instruction,
    /// From where `COPY` and `ADD` copy: one; where the mounts of `RUN` come from: one each.
    pub origins: Vec<Origin>,
    /// Whether a base's `ONBUILD` triggered it.
    pub is_on_build: bool,
}

/// The stages of a Dockerfile, ready to be evaluated one after the other.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) source: Source,
    pub(crate) escape: char,
    pub(crate) options: Options,
    /// Global arguments and the predefined ones.
    pub(crate) globals: Environment,
    stages: Vec<PlannedStage>,
    names: BTreeMap<String, StageId>,
    target: StageId,
}

impl Plan {
    /// The stage that is wanted.
    pub fn target(&self) -> StageId {
        self.target
    }

    /// A stage by its number.
    ///
    /// # Panics
    /// On a number that isn't one of this plan's.
    pub fn stage(&self, id: StageId) -> &PlannedStage {
        &self.stages[id]
    }

    /// All stages, in the order of the file.
    pub fn stages(&self) -> &[PlannedStage] {
        &self.stages
    }

    /// What the build was asked for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

#[cfg(test)]
mod tests;
