//! The names after `FROM` and `from=`, looked up: a stage, an image, a named context, or nothing.

use std::collections::BTreeMap;

use minke_model::{Platform, Reference};

use super::{ImageOrigin, Options, Origin, StageId, contexts};
use crate::{
    ast::{Kind, Run},
    expand::{Expander, NoVariables},
    quote::quoted,
};

const NOTHING: &str = "scratch";

/// What names mean in one plan.
pub(super) struct Names<'a> {
    pub(super) options: &'a Options,
    pub(super) stages: &'a BTreeMap<String, StageId>,
    /// How many stages the file has.
    pub(super) count: usize,
    pub(super) escape: char,
}

impl Names<'_> {
    /// The base of a stage, where `stages` are those before it.
    pub(super) fn base(&self, base: &str, platform: Option<&Platform>) -> Result<Origin, String> {
        if let Some(id) = self.stages.get(base) {
            return Ok(Origin::Stage(*id));
        }
        self.outside(base, platform)
    }

    /// Where an instruction takes files from.
    pub(super) fn of(&self, kind: &Kind) -> Result<Vec<Origin>, String> {
        match kind {
            Kind::Add(_) => Ok(vec![Origin::Context]),
            Kind::Copy(copy) => Ok(vec![match &copy.from {
                None => Origin::Context,
                Some(from) => self.copied(from)?,
            }]),
            Kind::Run(run) => self.mounted(run),
            _ => Ok(Vec::new()),
        }
    }

    /// `COPY --from`: by number or name.
    fn copied(&self, from: &str) -> Result<Origin, String> {
        let expanded =
            Expander::new(self.escape).expand(from, &NoVariables).map_err(|error| error.to_string())?;
        if expanded.text != from {
            return Err(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG \
                        from global scope as a workaround"
                    .to_owned(),
            );
        }
        match from.parse::<i64>() {
            Ok(number) => match usize::try_from(number).ok().filter(|number| *number < self.count) {
                Some(id) => Ok(Origin::Stage(id)),
                None => Err(format!("invalid stage index {number}")),
            },
            Err(_) => self.named(from),
        }
    }

    /// `RUN --mount=from=`: by name. What has none is the context or nothing, which its type says later.
    fn mounted(&self, run: &Run) -> Result<Vec<Origin>, String> {
        let origin =
            |from: &Option<String>| from.as_deref().map_or(Ok(Origin::Context), |from| self.named(from));
        run.mounts.iter().map(|mount| origin(&mount.from)).collect()
    }

    fn named(&self, name: &str) -> Result<Origin, String> {
        match self.stages.get(&name.to_lowercase()) {
            Some(id) => Ok(Origin::Stage(*id)),
            None => self.outside(name, None),
        }
    }

    /// What is no stage.
    fn outside(&self, name: &str, platform: Option<&Platform>) -> Result<Origin, String> {
        if name == NOTHING {
            return Ok(Origin::Scratch);
        }
        let reference: Reference =
            name.parse().map_err(|error| format!("failed to parse stage name {}: {error}", quoted(name)))?;
        let reference = reference.with_default_tag();
        if let Some(context) = contexts::find(self.options, &reference.to_string(), platform) {
            return Ok(Origin::Named(context));
        }
        Ok(Origin::Image(ImageOrigin {
            written: name.to_owned(),
            reference,
            platform: platform.unwrap_or(self.options.platform()).clone(),
            is_platform_asked_for: platform.is_some() || self.options.target_platform.is_some(),
        }))
    }
}
