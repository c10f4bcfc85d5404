//! The checks of `docker build --check`: what works and still shouldn't be written so.
//!
//! Rules, messages and addresses are BuildKit's, for people silence them by name and editors match them. A [`Linter`] is
//! handed from [`crate::plan::Plan::new`] to every [`crate::plan::Plan::evaluate`] and collects what they find.

mod config;
mod file;
mod rule;
mod secrets;
mod warning;

pub use config::{CheckConfig, CheckConfigError};
pub use rule::Rule;
pub use warning::Warning;

pub(crate) use secrets::sounds_secret;

use std::collections::BTreeSet;

use crate::{
    ast::{Dockerfile, Lines, Source},
    diagnostic::{Diagnostic, one_line},
    ignore::Matcher,
    parse::check_in_comments,
};

/// Collects warnings.
#[derive(Debug, Clone)]
pub struct Linter {
    source: Source,
    config: CheckConfig,
    ignored: Option<Matcher>,
    warnings: Vec<Warning>,
}

impl Linter {
    /// For one file. `config` replaces what its `# check=` says (the argument `BUILDKIT_DOCKERFILE_CHECK`).
    ///
    /// # Errors
    /// That `# check=` can't be read.
    pub fn new(file: &Dockerfile, config: Option<CheckConfig>) -> Result<Self, Diagnostic> {
        let config = match (config, &file.directives.check) {
            (Some(config), _) => config,
            (None, None) => CheckConfig::default(),
            (None, Some(directive)) => {
                let value = directive.value.split(' ').next().unwrap_or_default();
                value.parse().map_err(|error| {
                    let message = format!("failed to parse check options: {error}");
                    Diagnostic::new(&file.source, Lines::one(directive.line), message)
                })?
            }
        };
        Ok(Self { source: file.source.clone(), config, ignored: None, warnings: Vec::new() })
    }

    /// The context's `.dockerignore`, which [`Rule::CopyIgnoredFile`] needs.
    pub fn set_ignored(&mut self, ignored: Matcher) {
        self.ignored = Some(ignored);
    }

    /// The rules that need nothing but the file. [`crate::plan::Plan::new`] does this; without a plan, for a file that
    /// couldn't be read to its end, it is done alone.
    pub fn read(&mut self, file: &Dockerfile) {
        file::check(file, self);
    }

    /// What was found, by line.
    pub fn warnings(&self) -> Vec<&Warning> {
        let mut warnings: Vec<&Warning> = self.warnings.iter().collect();
        warnings.sort_by_key(|warning| warning.lines);
        warnings
    }

    /// That something was found, where the configuration says that this ends the build.
    ///
    /// # Errors
    /// Names the rules.
    pub fn verdict(&self) -> Result<(), Diagnostic> {
        let names: BTreeSet<&str> = self.warnings.iter().map(|warning| warning.rule.name()).collect();
        if !self.config.is_error || names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.into_iter().collect();
        let message = format!("lint violation found for rules: {}", names.join(", "));
        let lines = self.warnings.iter().map(|warning| warning.lines).collect();
        Err(Diagnostic { message, help: None, source_file: self.source.clone(), lines })
    }

    pub(crate) fn ignored(&self) -> Option<&Matcher> {
        self.ignored.as_ref()
    }

    /// Adds a warning, unless the file or the comments above the instruction silence it. The same is said once: stages
    /// are evaluated for each platform.
    pub(crate) fn report(&mut self, rule: Rule, lines: Lines, comments: &[String], message: String) {
        let own = check_in_comments(comments).and_then(|value| value.parse::<CheckConfig>().ok());
        if !self.config.allows(rule, own.as_ref()) {
            return;
        }
        let warning = Warning { rule, message: one_line(&message), lines };
        if !self.warnings.contains(&warning) && self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(warning);
        }
    }
}

/// Nobody reads more.
const MOST_WARNINGS: usize = 1000;

#[cfg(test)]
mod tests;
