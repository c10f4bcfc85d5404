//! Named contexts: what `--build-context` puts in the place of stages and images.

use minke_model::{Platform, Reference};

use super::{NamedContext, Options};

/// Names that no context can replace.
const FIXED: [&str; 2] = ["scratch", "context"];

/// The context of this name: for the platform in particular, or for any.
pub(super) fn find(options: &Options, name: &str, platform: Option<&Platform>) -> Option<NamedContext> {
    if options.contexts.is_empty() || FIXED.iter().any(|fixed| fixed.eq_ignore_ascii_case(name)) {
        return None;
    }
    let platform = platform.unwrap_or(options.platform());
    let familiar = name.parse::<Reference>().ok().map(|reference| reference.familiar());
    let short = familiar.as_deref().map(|name| name.strip_suffix(":latest").unwrap_or(name));
    let names = short.into_iter().chain([name]);
    let found = names.flat_map(|name| [format!("{name}::{platform}"), name.to_owned()]);
    let (name, value) = found.into_iter().find_map(|name| options.contexts.get_key_value(&name))?;
    Some(NamedContext { name: name.clone(), value: value.clone(), platform: platform.clone() })
}
