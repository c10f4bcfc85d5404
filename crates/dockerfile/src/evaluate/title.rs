//! How progress calls steps: `[builder 2/5] RUN make`, as BuildKit does, so that people find their step.

use std::collections::BTreeMap;

use minke_model::Platform;

use super::Base;
use crate::{
    ast::Kind,
    environment::Environment,
    expand::{Expander, Variables},
    plan::PlannedStage,
};

/// Numbers the steps of a stage.
pub(super) struct Titles {
    stage: String,
    platform: Option<Platform>,
    total: usize,
    next: usize,
}

impl Titles {
    /// For a stage; with a platform when several are built.
    pub(super) fn new(stage: &PlannedStage, base: Base<'_>, platform: Option<&Platform>) -> Self {
        let counts = |kind: &Kind, is_on_build: bool| {
            is_on_build || matches!(kind, Kind::Add(_) | Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_))
        };
        let steps = stage
            .instructions
            .iter()
            .filter(|planned| counts(&planned.instruction.kind, planned.is_on_build));
        let total = steps.count() + usize::from(matches!(base, Base::Image { .. }));
        Self { stage: stage.title.clone(), platform: platform.cloned(), total, next: 0 }
    }

    /// The next step.
    pub(super) fn next(&mut self, text: &str, environment: &Environment, is_on_build: bool) -> String {
        if self.total == 0 {
            return text.to_owned();
        }
        self.next += 1;
        let width = self.total.to_string().len();
        let platform = self.platform.as_ref().map(|base| format!("{base}{} ", crossed(base, environment)));
        let stage = if self.stage.is_empty() { String::new() } else { format!("{} ", self.stage) };
        format!(
            "[{}{stage}{:width$}/{}] {}{text}",
            platform.unwrap_or_default(),
            self.next,
            self.total,
            if is_on_build { "ONBUILD " } else { "" }
        )
    }

    /// An instruction with its variables, its name in capitals. What can't be expanded stays as it is.
    pub(super) fn expanded(
        &self,
        text: &str,
        quoting: &Expander,
        environment: &Environment,
        masked: &[String],
    ) -> String {
        let masks: BTreeMap<&str, &str> = masked.iter().map(|name| (name.as_str(), "****")).collect();
        let expanded = quoting.expand(text, &Masked { masks, environment });
        let text = expanded.map_or_else(|_| text.to_owned(), |found| found.text);
        match text.split_once(' ') {
            Some((name, rest)) => format!("{} {rest}", name.to_uppercase()),
            None => text.to_uppercase(),
        }
    }
}

/// Variables, some of which hold secrets.
struct Masked<'a> {
    masks: BTreeMap<&'a str, &'a str>,
    environment: &'a Environment,
}

impl Variables for Masked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.masks.get(name).copied().or_else(|| self.environment.get(name))
    }
}

/// `->arm64` in a stage that runs on one platform and builds for another.
fn crossed(base: &Platform, environment: &Environment) -> String {
    let value = |name| environment.get(name).filter(|value| !value.is_empty());
    let parts = || {
        let (os, architecture) = (value("TARGETOS"), value("TARGETARCH"));
        let variant = value("TARGETVARIANT");
        (os.is_some() || architecture.is_some() || variant.is_some()).then(|| {
            Platform::normalised(os.unwrap_or(&base.os), architecture.unwrap_or(&base.architecture), variant)
        })
    };
    let target = value("TARGETPLATFORM").and_then(|text| text.parse::<Platform>().ok()).or_else(parts);
    match target {
        Some(target) if target.os != base.os => format!("->{target}"),
        Some(target) if target.architecture != base.architecture => {
            let variant = target.variant.map(|variant| format!("/{variant}")).unwrap_or_default();
            format!("->{}{variant}", target.architecture)
        }
        _ => String::new(),
    }
}
