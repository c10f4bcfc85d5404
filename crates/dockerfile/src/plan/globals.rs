//! The global scope: predefined arguments and the `ARG` before the first `FROM`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ast::Dockerfile,
    diagnostic::Diagnostic,
    environment::Environment,
    expand::{Expander, Variables},
    plan::Options,
};

/// `BUILDPLATFORM`, `TARGETARCH` and their like. A build argument of the same name replaces each.
pub(super) fn predefined(options: &Options, target: &str) -> Environment {
    let (build, wanted) = (&options.build_platform, options.platform());
    let variant = |platform: &minke_model::Platform| platform.variant.clone().unwrap_or_default();
    let target = if target.is_empty() { "default" } else { target };
    let mut globals = Environment::default();
    for (name, value) in [
        ("BUILDPLATFORM", build.to_string()),
        ("BUILDOS", build.os.clone()),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", build.architecture.clone()),
        ("BUILDVARIANT", variant(build)),
        ("TARGETPLATFORM", wanted.to_string()),
        ("TARGETOS", wanted.os.clone()),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", wanted.architecture.clone()),
        ("TARGETVARIANT", variant(wanted)),
        ("TARGETSTAGE", target.to_owned()),
    ] {
        globals.set(name, options.arguments.get(name).unwrap_or(&value));
    }
    globals
}

/// Adds what the file declares, with the values that the build was given or else the defaults.
pub(super) fn declared(
    file: &Dockerfile,
    mut globals: Environment,
    given: &BTreeMap<String, String>,
    expander: &Expander,
) -> Result<Environment, Diagnostic> {
    for global in &file.arguments {
        for argument in &global.arguments {
            let value = match (given.get(&argument.name), &argument.default) {
                (Some(value), _) => value.clone(),
                (None, None) => continue,
                (None, Some(default)) => {
                    let expanded = expander.expand(default, &globals);
                    let wrong = |error: crate::expand::ExpandError| {
                        Diagnostic::new(&file.source, global.lines, error.to_string())
                    };
                    expanded.map_err(wrong)?.text
                }
            };
            globals.set(&argument.name, &value);
        }
    }
    Ok(globals)
}

/// The names that a `FROM` may use without a warning.
pub(super) fn known_names(file: &Dockerfile, globals: &Environment) -> BTreeSet<String> {
    let declared = file.arguments.iter().flat_map(|global| &global.arguments);
    let declared = declared.map(|argument| argument.name.clone());
    declared.chain(globals.names().into_iter().map(str::to_owned)).collect()
}

/// The value that is what a platform of `FROM` is compared with.
pub(super) fn target_platform(globals: &Environment) -> &str {
    globals.get("TARGETPLATFORM").unwrap_or_default()
}
