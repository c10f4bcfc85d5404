//! Landlock rules that an annotation asks for (landlock(7)): what is not listed is denied to the container's processes, whoever
//! they are, on top of all else.
//!
//! `{"read": ["/etc"], "execute": ["/usr"], "write": ["/tmp"], "bindTcp": [8080], "connectTcp": []}`: paths are the container's own and
//! stand for all that is below them; a kind of port that isn't mentioned is not restricted.

use std::collections::BTreeMap;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use serde::Deserialize;

use crate::{
    container::{CreateError, InitError, validate::config},
    step::failed,
};

/// The annotation that holds the rules, as JSON.
pub const LANDLOCK_ANNOTATION: &str = "dev.minke.landlock";

/// The newest kind of access to files that is told apart; older kernels restrict what they know of it.
const FILES: ABI = ABI::V3;

/// The rules.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Rules {
    read: Vec<String>,
    execute: Vec<String>,
    write: Vec<String>,
    bind_tcp: Option<Vec<u16>>,
    connect_tcp: Option<Vec<u16>>,
}

impl Rules {
    /// The rules among a container's annotations.
    ///
    /// # Errors
    /// When the annotation isn't what the head of this module says.
    pub(crate) fn find(annotations: &BTreeMap<String, String>) -> Result<Option<Self>, CreateError> {
        let Some(text) = annotations.get(LANDLOCK_ANNOTATION) else { return Ok(None) };
        let wrong = |reason: String| config(format!("annotations[{LANDLOCK_ANNOTATION:?}]"), reason);
        let rules: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let mut paths = rules.read.iter().chain(&rules.execute).chain(&rules.write);
        match paths.find(|path| !path.starts_with('/')) {
            Some(path) => Err(wrong(format!("{path:?} is not an absolute path"))),
            None => Ok(Some(rules)),
        }
    }

    /// Restricts the calling process and its descendants, in the container's root. Wants `CAP_SYS_ADMIN` or no_new_privs.
    ///
    /// # Errors
    /// A path that isn't there, or a kernel without Landlock: protection that was asked for is never left out.
    pub(crate) fn apply(&self) -> Result<(), InitError> {
        let refused = |error: RulesetError| failed(field(), error.to_string());
        let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(FILES)).map_err(refused)?;
        for (ports, access) in self.ports() {
            if ports.is_some() {
                // Not of every kernel that has the rest: never left out in silence.
                ruleset = ruleset.set_compatibility(CompatLevel::HardRequirement);
                ruleset = ruleset.handle_access(access).map_err(refused)?;
            }
        }
        let mut ruleset = ruleset.create().map_err(refused)?.set_compatibility(CompatLevel::BestEffort);
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let kinds = [
            (&self.read, read),
            (&self.execute, read | AccessFs::Execute),
            (&self.write, AccessFs::from_write(FILES)),
        ];
        for (paths, access) in kinds {
            ruleset = allow_paths(ruleset, paths, access)?;
        }
        for (ports, access) in self.ports() {
            for port in ports.into_iter().flatten() {
                ruleset = ruleset.add_rule(NetPort::new(*port, access)).map_err(refused)?;
            }
        }
        let status = ruleset.no_new_privs(false).restrict_self().map_err(refused)?;
        match status.ruleset {
            RulesetStatus::NotEnforced => Err(failed(field(), "this kernel has no Landlock, or it is off")),
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        }
    }

    fn ports(&self) -> [(Option<&Vec<u16>>, AccessNet); 2] {
        [(self.bind_tcp.as_ref(), AccessNet::BindTcp), (self.connect_tcp.as_ref(), AccessNet::ConnectTcp)]
    }
}

fn allow_paths(
    mut ruleset: RulesetCreated,
    paths: &[String],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, InitError> {
    for path in paths {
        let place = PathFd::new(path).map_err(|error| failed(field(), error.to_string()))?;
        let rule = PathBeneath::new(place, access);
        ruleset = ruleset.add_rule(rule).map_err(|error| failed(field(), format!("{path}: {error}")))?;
    }
    Ok(ruleset)
}

fn field() -> String {
    format!("annotations[{LANDLOCK_ANNOTATION:?}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Result<Option<Rules>, String> {
        let annotations = BTreeMap::from([(LANDLOCK_ANNOTATION.to_owned(), text.to_owned())]);
        Rules::find(&annotations).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_and_mistakes_are_named() {
        assert_eq!(Rules::find(&BTreeMap::new()).unwrap(), None);
        let rules = find(r#"{"read": ["/etc"], "bindTcp": [80], "connectTcp": []}"#).unwrap().unwrap();
        assert_eq!((rules.bind_tcp, rules.connect_tcp), (Some(vec![80]), Some(Vec::new())));
        for (text, part) in [
            ("", "EOF"),
            (r#"{"read": "x"}"#, "expected a sequence"),
            (r#"{"reed": []}"#, "unknown field `reed`"),
            (r#"{"write": ["tmp"]}"#, "\"tmp\" is not an absolute path"),
            (r#"{"bindTcp": [70000]}"#, "70000"),
        ] {
            let error = find(text).unwrap_err();
            assert!(error.contains(part) && error.contains("dev.minke.landlock"), "{error}");
        }
    }
}
