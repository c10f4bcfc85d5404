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

use super::{Daemon, LEVELS};
use crate::failure::Failure;

/// The file that is read when it is there.
pub(super) const DEFAULT_FILE: &str = "/etc/minke/daemon.json";

/// What the file may set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FileSettings {
    bip: Option<String>,
    data_root: Option<String>,
    debug: Option<bool>,
    default_runtime: Option<String>,
    exec_root: Option<String>,
    group: Option<String>,
    hosts: Option<Vec<String>>,
    insecure_registries: Option<Vec<String>>,
    labels: Option<Vec<String>>,
    live_restore: Option<bool>,
    log_level: Option<String>,
    max_concurrent_downloads: Option<usize>,
    max_concurrent_uploads: Option<usize>,
    metrics_addr: Option<String>,
    registry_mirrors: Option<Vec<String>>,
    runtimes: Option<BTreeMap<String, Runtime>>,
    tls: Option<bool>,
    tlscacert: Option<PathBuf>,
    tlscert: Option<PathBuf>,
    tlskey: Option<PathBuf>,
    tlsverify: Option<bool>,
}

/// A further OCI runtime, in Docker's shape.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    let settings: FileSettings = serde_json::from_str(text).map_err(|error| error.to_string())?;
    settings.check()?;
    Ok(settings)
}

impl FileSettings {
    /// Values that are well-formed and mean nothing here.
    fn check(&self) -> Result<(), String> {
        if self.live_restore == Some(false) {
            return Err(
                "live-restore: containers always outlive the engine: leave it away, or say true".to_owned()
            );
        }
        if let Some(level) = self.log_level.as_deref().filter(|level| !LEVELS.contains(level)) {
            return Err(format!("log-level: {level:?} is none of {}", LEVELS.join(", ")));
        }
        match self.labels.iter().flatten().find(|label| !label.contains('=')) {
            Some(label) => Err(format!("labels: {label:?} is no label: want key=value")),
            None => Ok(()),
        }
    }

    /// Fills in what the command line does not say. `given` tells whether it says something about a flag.
    ///
    /// # Errors
    /// When both say something, with the name of the setting.
    pub(super) fn apply(self, args: &mut Daemon, given: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
        let mut merge = Merge { given, both: Vec::new() };
        merge.set("bip", "bip", self.bip.map(Some), &mut args.bip);
        merge.set("data-root", "root", self.data_root.map(PathBuf::from), &mut args.root);
        merge.set("debug", "debug", self.debug, &mut args.debug);
        merge.set(
            "default-runtime",
            "default_runtime",
            self.default_runtime.map(Some),
            &mut args.default_runtime,
        );
        merge.set("exec-root", "state", self.exec_root.map(PathBuf::from), &mut args.state);
        merge.set("group", "group", self.group.map(Some), &mut args.group);
        merge.set("hosts", "host", self.hosts, &mut args.host);
        merge.set(
            "insecure-registries",
            "insecure_registry",
            self.insecure_registries,
            &mut args.insecure_registry,
        );
        merge.set("labels", "label", self.labels, &mut args.label);
        merge.set("log-level", "log_level", self.log_level.map(Some), &mut args.log_level);
        let (downloads, uploads) = (self.max_concurrent_downloads, self.max_concurrent_uploads);
        merge.set(
            "max-concurrent-downloads",
            "max_concurrent_downloads",
            downloads.map(Some),
            &mut args.max_concurrent_downloads,
        );
        merge.set(
            "max-concurrent-uploads",
            "max_concurrent_uploads",
            uploads.map(Some),
            &mut args.max_concurrent_uploads,
        );
        merge.set("metrics-addr", "metrics_addr", self.metrics_addr.map(Some), &mut args.metrics_addr);
        merge.set("registry-mirrors", "registry_mirror", self.registry_mirrors, &mut args.registry_mirror);
        merge.set("tls", "tls", self.tls.map(Some), &mut args.tls);
        merge.set("tlscacert", "tlscacert", self.tlscacert.map(Some), &mut args.tlscacert);
        merge.set("tlscert", "tlscert", self.tlscert.map(Some), &mut args.tlscert);
        merge.set("tlskey", "tlskey", self.tlskey.map(Some), &mut args.tlskey);
        merge.set("tlsverify", "tlsverify", self.tlsverify.map(Some), &mut args.tlsverify);
        for (name, runtime) in self.runtimes.into_iter().flatten() {
            if args.add_runtime.iter().any(|(known, _)| *known == name) {
                merge.both.push("runtimes");
            }
            args.add_runtime.push((name, RuntimeProgram { path: runtime.path, args: runtime.runtime_args }));
        }
        match merge.both.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "minke daemon: {} set both as a flag and in the configuration file: say it in one place",
                merge.both.join(", ")
            ))),
        }
    }

    /// The keys that differ in `new` and are only read at the start.
    pub(super) fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("bip", self.bip != new.bip),
            ("data-root", self.data_root != new.data_root),
            ("exec-root", self.exec_root != new.exec_root),
            ("group", self.group != new.group),
            ("hosts", self.hosts != new.hosts),
            ("tls", self.tls != new.tls),
            ("tlscacert", self.tlscacert != new.tlscacert),
            ("tlscert", self.tlscert != new.tlscert),
            ("tlskey", self.tlskey != new.tlskey),
            ("tlsverify", self.tlsverify != new.tlsverify),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// Puts the file's settings where no flag stands in the way.
struct Merge<'a> {
    given: &'a dyn Fn(&str) -> bool,
    both: Vec<&'static str>,
}

impl Merge<'_> {
    fn set<T>(&mut self, key: &'static str, flag: &str, value: Option<T>, target: &mut T) {
        match value {
            Some(_) if (self.given)(flag) => self.both.push(key),
            Some(value) => *target = value,
            None => {}
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
    fn values_that_mean_nothing_here_are_refused_by_name() {
        for (text, part) in [
            (r#"{"live-restore": false}"#, "live-restore"),
            (r#"{"log-level": "loud"}"#, "log-level"),
            (r#"{"labels": ["x"]}"#, "labels: \"x\""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(part), "{error}");
        }
        assert!(parse(r#"{"live-restore": true, "labels": ["a=b"], "tlsverify": true}"#).is_ok());
    }

    #[test]
    fn what_only_a_restart_changes_is_named() {
        let (old, new) = (r#"{"debug": true, "hosts": ["fd://"]}"#, r#"{"bip": "10.9.0.1/16"}"#);
        assert_eq!(parse(old).unwrap().needs_restart(&parse(new).unwrap()), ["bip", "hosts"]);
    }

    #[test]
    fn a_missing_file_matters_only_when_it_was_named() {
        let missing = Path::new("/nonexistent/daemon.json");
        assert_eq!(read(missing, false).unwrap(), FileSettings::default());
        assert!(read(missing, true).unwrap_err().message.contains("/nonexistent/daemon.json"));
    }
}
