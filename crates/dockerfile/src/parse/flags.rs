//! Flags of instructions: each has a table of those it knows.

use crate::suggest;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// `--link` or `--link=true`.
    Bool,
    /// One value.
    Value,
    /// A value each time it is given.
    Values,
}

/// The flags of one instruction.
#[derive(Debug, Default)]
pub(super) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    /// Reads flags by the table of those that are known.
    pub(super) fn read(given: &[String], known: &[(&'static str, Takes)]) -> Result<Self, String> {
        let mut flags = Self::default();
        for flag in given {
            let (shown, value) = match flag.split_once('=') {
                Some((shown, value)) => (shown, Some(value)),
                None => (flag.as_str(), None),
            };
            let written = shown.trim_start_matches("--");
            let Some((name, takes)) = known.iter().find(|(name, _)| *name == written) else {
                let hint = suggest::hint(written, known.iter().map(|(name, _)| *name));
                return Err(format!("unknown flag: {shown}{hint}"));
            };
            if *takes != Takes::Values && flags.0.iter().any(|(used, _)| used == name) {
                return Err(format!("duplicate flag specified: {shown}"));
            }
            flags.0.push((name, checked(shown, value, *takes)?));
        }
        Ok(flags)
    }

    /// That there are none.
    pub(super) fn none(given: &[String]) -> Result<(), String> {
        Self::read(given, &[]).map(|_| ())
    }

    /// The value of a flag that takes one.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(used, _)| *used == name).map(|(_, value)| value.as_str())
    }

    /// The same, where an empty value is none.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// The values of a flag that takes several.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(used, _)| *used == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a flag is on, as far as it was given.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.0.iter().find(|(used, _)| *used == name).map(|(_, value)| value == "true")
    }
}

/// The value as it is kept.
fn checked(shown: &str, value: Option<&str>, takes: Takes) -> Result<String, String> {
    let missing = || format!("missing a value on flag: {shown}");
    match (takes, value) {
        (Takes::Bool, None) => Ok("true".to_owned()),
        (Takes::Bool, Some("")) => Err(missing()),
        (Takes::Bool, Some(value)) => match value.to_ascii_lowercase() {
            known if known == "true" || known == "false" => Ok(known),
            _ => Err(format!("expecting boolean value for flag {shown}, not: {value}")),
        },
        (_, None) => Err(missing()),
        (_, Some(value)) => Ok(value.to_owned()),
    }
}
