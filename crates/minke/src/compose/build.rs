//! Flags of builds, as `compose build` has them.

use minke_compose::run::BuildFlags;

use crate::failure::Failure;

/// From `--build-arg`, `--no-cache`, `--pull`, `--memory` and `--ssh`.
///
/// # Errors
/// When the memory is no size.
pub(super) fn flags_of(
    args: &[String],
    no_cache: bool,
    pull: bool,
    memory: Option<&str>,
    ssh: Vec<String>,
) -> Result<BuildFlags, Failure> {
    let memory = match memory {
        None => 0,
        Some(text) => minke_model::quantity::parse_bytes(text)
            .map_err(|error| Failure::doing(format!("--memory {text:?}"), error))?,
    };
    let argument = |text: &String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.clone(), None),
    };
    Ok(BuildFlags { no_cache, pull, args: args.iter().map(argument).collect(), memory, ssh })
}
