//! The engine's configuration file: JSON with dockerd's names (`daemon.json`), as far as the engine has the setting.
//!
//! Like dockerd, it refuses what it doesn't know, and what both the file and the command line set: neither is
//! silently without effect.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use minke_engine::RuntimeProgram;
use serde::Deserialize;

use super::Daemon;
use crate::failure::Failure;

/// The file that is read when it is there.
pub(super) const DEFAULT_FILE: &str = "/etc/minke/daemon.json";

/// What the file may set.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FileSettings {
    bip: Option<String>,
    data_root: Option<String>,
    exec_root: Option<String>,
    group: Option<String>,
    hosts: Option<Vec<String>>,
    insecure_registries: Option<Vec<String>>,
    log_level: Option<String>,
    max_concurrent_downloads: Option<usize>,
    registry_mirrors: Option<Vec<String>>,
    runtimes: Option<BTreeMap<String, Runtime>>,
}

/// A further OCI runtime, in Docker's shape.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Runtime {
    path: PathBuf,
    #[serde(default)]
    runtime_args: Vec<String>,
}

/// Reads `name=path` of `--add-runtime`.
pub(super) fn runtime(text: &str) -> Result<(String, RuntimeProgram), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), RuntimeProgram { path: path.into(), args: Vec::new() }))
        }
        _ => Err("want name=path".to_owned()),
    }
}

/// Reads the file. One that is missing is as good as an empty one, unless it was `named` on the command line.
///
/// # Errors
/// When it can't be read, or says what the engine can't do; with line, column and what it may say.
pub(super) fn read(path: &Path, named: bool) -> Result<FileSettings, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && !named => return Ok(FileSettings::default()),
        Err(error) => return Err(Failure::doing(format!("minke daemon: read {}", path.display()), error)),
    };
    parse(&text).map_err(|problem| Failure::new(format!("minke daemon: {}: {problem}", path.display())))
}

fn parse(text: &str) -> Result<FileSettings, String> {
    if text.trim().is_empty() {
        return Ok(FileSettings::default());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl FileSettings {
    /// Fills in what the command line does not say. `given` tells whether it says something about a flag.
    ///
    /// # Errors
    /// When both say something, with the name of the setting.
    pub(super) fn apply(self, args: &mut Daemon, given: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
        let mut both = Vec::new();
        let mut free = |name: &'static str, flag: &str| {
            let is_free = !given(flag);
            if !is_free {
                both.push(name);
            }
            is_free
        };
        if let Some(value) = self.bip.filter(|_| free("bip", "bip")) {
            args.bip = Some(value);
        }
        if let Some(value) = self.data_root.filter(|_| free("data-root", "root")) {
            args.root = value.into();
        }
        if let Some(value) = self.exec_root.filter(|_| free("exec-root", "state")) {
            args.state = value.into();
        }
        if let Some(value) = self.group.filter(|_| free("group", "group")) {
            args.group = Some(value);
        }
        if let Some(value) = self.hosts.filter(|_| free("hosts", "host")) {
            args.host = value;
        }
        if let Some(value) =
            self.insecure_registries.filter(|_| free("insecure-registries", "insecure_registry"))
        {
            args.insecure_registry = value;
        }
        if let Some(value) = self.log_level.filter(|_| free("log-level", "log_level")) {
            args.log_level = Some(value);
        }
        if let Some(value) = self
            .max_concurrent_downloads
            .filter(|_| free("max-concurrent-downloads", "max_concurrent_downloads"))
        {
            args.max_concurrent_downloads = Some(value);
        }
        if let Some(value) = self.registry_mirrors.filter(|_| free("registry-mirrors", "registry_mirror")) {
            args.registry_mirror = value;
        }
        for (name, runtime) in self.runtimes.into_iter().flatten() {
            if args.add_runtime.iter().any(|(known, _)| *known == name) {
                both.push("runtimes");
            }
            args.add_runtime.push((name, RuntimeProgram { path: runtime.path, args: runtime.runtime_args }));
        }
        match both.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "minke daemon: {} set both as a flag and in the configuration file: say it in one place",
                both.join(", ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn args() -> Daemon {
        Daemon::parse_from(["daemon"])
    }

    #[test]
    fn dockers_names_are_known_and_fill_in_what_no_flag_says() {
        let text = r#"{"registry-mirrors": ["https://mirror.example"], "insecure-registries": ["10.0.0.0/8"], "max-concurrent-downloads": 2,
            "runtimes": {"crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--debug"]}}, "data-root": "/srv/x", "bip": "10.9.0.1/16", "hosts": ["unix:///tmp/s"]}"#;
        let mut args = args();
        parse(text).unwrap().apply(&mut args, &|_| false).unwrap();
        assert_eq!(args.registry_mirror, ["https://mirror.example"]);
        assert_eq!(args.insecure_registry, ["10.0.0.0/8"]);
        assert_eq!(args.max_concurrent_downloads, Some(2));
        let crun = RuntimeProgram { path: "/usr/bin/crun".into(), args: vec!["--debug".to_owned()] };
        assert_eq!(args.add_runtime, [("crun".to_owned(), crun)]);
        assert_eq!(args.root, Path::new("/srv/x"));
        assert_eq!(args.host, ["unix:///tmp/s"]);
    }

    #[test]
    fn what_is_unknown_or_ill_typed_is_refused_with_its_place() {
        let error = parse("{\n  \"registry-mirror\": []\n}").unwrap_err();
        assert!(error.contains("registry-mirror") && error.contains("line 2"), "{error}");
        let error = parse(r#"{"hosts": "unix:///x"}"#).unwrap_err();
        assert!(error.contains("line 1"), "{error}");
        assert_eq!(parse(" \n").unwrap(), FileSettings::default());
    }

    #[test]
    fn what_is_said_twice_is_refused_by_name() {
        let settings = parse(r#"{"bip": "10.9.0.1/16", "group": "docker"}"#).unwrap();
        let error = settings.apply(&mut args(), &|flag| flag == "bip").unwrap_err();
        assert!(error.message.contains("bip set both"), "{}", error.message);
    }

    #[test]
    fn a_missing_file_matters_only_when_it_was_named() {
        let missing = Path::new("/nonexistent/daemon.json");
        assert_eq!(read(missing, false).unwrap(), FileSettings::default());
        assert!(read(missing, true).unwrap_err().message.contains("/nonexistent/daemon.json"));
    }
}
