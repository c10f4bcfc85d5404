//! `skip=A,B;error=true;experimental=all`: which rules count, from `# check=` or a build argument.

use std::{collections::BTreeSet, str::FromStr};

use super::Rule;
use crate::{csv::boolean, quote::quoted};

/// Which rules count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckConfig {
    skip: Names,
    experimental: Names,
    /// Whether a warning ends the build.
    pub is_error: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    all: bool,
    some: BTreeSet<String>,
}

/// A text that is no configuration of checks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckConfigError {
    /// Not `key=value`, or an unknown key.
    #[error("invalid check option {}", quoted(.0))]
    Option(String),
    /// Neither yes nor no.
    #[error("failed to parse check option {}", quoted(.0))]
    Bool(String),
}

impl FromStr for CheckConfig {
    type Err = CheckConfigError;

    fn from_str(text: &str) -> Result<Self, CheckConfigError> {
        let mut config = Self::default();
        if text.trim().is_empty() {
            return Ok(config);
        }
        for part in text.trim().splitn(3, ';') {
            let unknown = |part: &str| CheckConfigError::Option(part.to_owned());
            let (key, value) = part.split_once('=').ok_or_else(|| unknown(part))?;
            let value = value.trim();
            match key.trim() {
                "skip" => config.skip = Names::new(value),
                "experimental" => config.experimental = Names::new(value),
                "error" => {
                    config.is_error =
                        boolean(value).ok_or_else(|| CheckConfigError::Bool(part.to_owned()))?;
                }
                key => return Err(unknown(key)),
            }
        }
        Ok(config)
    }
}

impl Names {
    fn new(value: &str) -> Self {
        match value {
            "all" => Self { all: true, some: BTreeSet::new() },
            _ => Self { all: false, some: value.split(',').map(|name| name.trim().to_owned()).collect() },
        }
    }

    fn has(&self, rule: Rule) -> bool {
        self.all || self.some.contains(rule.name())
    }
}

impl CheckConfig {
    /// Whether a rule counts, here and for an instruction with a configuration of its own.
    pub(super) fn allows(&self, rule: Rule, own: Option<&Self>) -> bool {
        let any = |of: fn(&Self) -> &Names| of(self).has(rule) || own.is_some_and(|own| of(own).has(rule));
        if rule.is_experimental() { any(|config| &config.experimental) } else { !any(|config| &config.skip) }
    }
}
