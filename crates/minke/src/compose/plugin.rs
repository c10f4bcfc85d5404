//! The program as docker's plugin `docker-compose` (docker CLI, "CLI plugins"): what docker asks a plugin, and what it calls it with.
//!
//! docker runs `docker-compose docker-cli-plugin-metadata`, and for a command of the user `docker-compose [docker's flags] compose
//! …`. Called by a user as `docker-compose up`, the program takes all as Compose's.

use std::ffi::{OsStr, OsString};

use serde_json::json;

use crate::context::Globals;

/// The file's name as a plugin.
const NAME: &str = "docker-compose";
/// What docker asks for metadata with.
const METADATA: &str = "docker-cli-plugin-metadata";
/// What docker calls its own command line's words by.
const CALLER: &str = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND";
/// Where docker's engine listens when nobody says otherwise.
const DOCKERS_OWN: &str = "unix:///var/run/docker.sock";

/// How the program was called.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// By its own name: the words are minke's.
    Minke(Vec<OsString>),
    /// As the plugin, by docker or a user: the words are minke's, with `compose` among them.
    Plugin(Vec<OsString>),
    /// As the plugin, to say what it is.
    Metadata,
}

/// Reads the program's name and words.
pub(crate) fn called(name: Option<&OsStr>, words: Vec<OsString>) -> Called {
    let file = name.map(std::path::Path::new).and_then(|path| path.file_name());
    if file != Some(OsStr::new(NAME)) {
        return Called::Minke(words);
    }
    if words.first().is_some_and(|word| word == METADATA) {
        return Called::Metadata;
    }
    // A user's own words have no `compose` in front of the verb.
    let by_docker = std::env::var_os(CALLER).is_some() || words.iter().any(|word| word == "compose");
    if by_docker {
        return Called::Plugin(words);
    }
    Called::Plugin(std::iter::once(OsString::from("compose")).chain(words).collect())
}

/// What docker wants to know of a plugin.
pub(crate) fn metadata() -> String {
    let metadata = json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "minke",
        "Version": format!("v{}", env!("CARGO_PKG_VERSION")),
        "ShortDescription": "Docker Compose, by minke",
    });
    metadata.to_string()
}

/// As docker's plugin the engine is docker's, where nothing names another.
pub(crate) fn default_engine(globals: &mut Globals) {
    let named = globals.host.is_some() || globals.context.is_some();
    let by_variable = ["DOCKER_HOST", "DOCKER_CONTEXT"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if !named && !by_variable && std::path::Path::new("/var/run/docker.sock").exists() {
        globals.fallback_host = Some(DOCKERS_OWN.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_name_of_the_file_decides() {
        let of = |name: &str, line: &str| called(Some(OsStr::new(name)), words(line));
        assert_eq!(of("/usr/bin/minke", "ps"), Called::Minke(words("ps")));
        let plugin = "/usr/libexec/docker/cli-plugins/docker-compose";
        assert_eq!(of(plugin, "docker-cli-plugin-metadata"), Called::Metadata);
        assert_eq!(of(plugin, "-H tcp://x compose up -d"), Called::Plugin(words("-H tcp://x compose up -d")));
        assert_eq!(of("docker-compose", "-f x up"), Called::Plugin(words("compose -f x up")));
    }

    #[test]
    fn the_metadata_is_what_docker_checks() {
        let metadata: serde_json::Value = serde_json::from_str(&metadata()).unwrap();
        assert_eq!(metadata["SchemaVersion"], "0.1.0");
        assert!(!metadata["Vendor"].as_str().unwrap().is_empty());
    }
}
