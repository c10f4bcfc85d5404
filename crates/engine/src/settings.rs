//! What of an engine's configuration may change while it runs, and changing it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use minke_distribution::RegistrySettings;

use crate::{
    ContainerDefaults, Engine, Error,
    engine::Inner,
    events::About,
    images::{DOWNLOADS_AT_ONCE, Registries, UPLOADS_AT_ONCE},
};

/// The name of the own runtime.
pub(crate) const OWN_RUNTIME: &str = "minke-oci";
/// What Docker calls its own; whoever asks for it gets ours.
const DOCKERS_RUNTIMES: [&str; 2] = ["runc", "io.containerd.runc.v2"];

/// An OCI runtime with runc's command line (runc, crun, youki).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeProgram {
    /// The program; a name without a slash is looked for in `PATH`.
    pub path: PathBuf,
    /// What it is given before everything else.
    pub args: Vec<String>,
}

/// What builds may be allowed, and how much their cache holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSettings {
    /// Steps may have the host's network, where their client allows it (`network.host`).
    pub host_network: bool,
    /// Steps may be privileged, where their client allows it (`security.insecure`).
    pub insecure: bool,
    /// The bytes that the cache is trimmed to after a build; `None` lets it grow.
    pub keep_bytes: Option<u64>,
}

impl Default for BuildSettings {
    fn default() -> Self {
        Self { host_network: true, insecure: false, keep_bytes: Some(20 << 30) }
    }
}

impl BuildSettings {
    /// The entitlements that a build may be given, by BuildKit's names.
    pub fn entitlements(&self) -> Vec<&'static str> {
        let all = [(self.host_network, "network.host"), (self.insecure, "security.insecure")];
        all.into_iter().filter(|(granted, _)| *granted).map(|(_, name)| name).collect()
    }
}

/// The settings that [`Engine::reload`] may replace.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `--add-runtime`: further OCI runtimes, by the names that `--runtime` of a container may have. `minke-oci` is not to be
    /// among them; `runc` and `io.containerd.runc.v2` mean it unless they are.
    pub runtimes: BTreeMap<String, RuntimeProgram>,
    /// `--default-runtime`: the runtime of containers that ask for none; `None` is `minke-oci`.
    pub default_runtime: Option<String>,
    /// `--label`: what `info` says about this engine, `key=value`.
    pub labels: Vec<String>,
    /// `--debug`, as `info` tells it.
    pub debug: bool,
    /// What builds may do.
    pub builds: BuildSettings,
    /// What containers have that don't say otherwise.
    pub containers: ContainerDefaults,
    /// How registries are reached.
    pub registries: RegistrySettings,
    /// How many layers are pulled at the same time; `None` is the engine's own choice.
    pub downloads_at_once: Option<usize>,
    /// How many layers a push sends at the same time; `None` is Docker's five.
    pub uploads_at_once: Option<usize>,
}

impl Settings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// `InvalidParameter` names what does not.
    pub fn check(&self) -> Result<(), Error> {
        Live::new(self.clone()).map(drop)
    }

    /// The name of the runtime that a container asks for.
    ///
    /// # Errors
    /// `InvalidParameter` for one that there is not, in Docker's words.
    pub(crate) fn runtime_name<'a>(&'a self, asked: Option<&'a str>) -> Result<&'a str, Error> {
        match asked.filter(|name| !name.is_empty()).or(self.default_runtime.as_deref()) {
            None | Some(OWN_RUNTIME) => Ok(OWN_RUNTIME),
            Some(name) if self.runtimes.contains_key(name) => Ok(name),
            Some(name) if DOCKERS_RUNTIMES.contains(&name) => Ok(name),
            Some(name) => Err(unknown_runtime(name)),
        }
    }

    /// The program behind the name that [`Settings::runtime_name`] once gave; `None` is our own.
    ///
    /// # Errors
    /// `InvalidParameter` when it is configured no more.
    pub(crate) fn foreign_runtime(&self, name: Option<&str>) -> Result<Option<&RuntimeProgram>, Error> {
        match name.filter(|name| *name != OWN_RUNTIME) {
            None => Ok(None),
            Some(name) => match self.runtimes.get(name) {
                None if DOCKERS_RUNTIMES.contains(&name) => Ok(None),
                found => found.map(Some).ok_or_else(|| unknown_runtime(name)),
            },
        }
    }

    pub(crate) fn downloads(&self) -> usize {
        self.downloads_at_once.unwrap_or(DOWNLOADS_AT_ONCE).max(1)
    }

    pub(crate) fn uploads(&self) -> usize {
        self.uploads_at_once.unwrap_or(UPLOADS_AT_ONCE).max(1)
    }

    /// What Docker's `reload` event tells about them.
    fn attributes(&self) -> Vec<(String, String)> {
        let list = |items: &[String]| serde_json::Value::from(items).to_string();
        let runtimes =
            self.runtimes.iter().map(|(name, program)| format!("{name}:{}", program.path.display()));
        let pairs = [
            ("debug", self.debug.to_string()),
            ("default-runtime", self.default_runtime.clone().unwrap_or_else(|| OWN_RUNTIME.to_owned())),
            ("insecure-registries", list(&self.registries.insecure_registries)),
            ("labels", list(&self.labels)),
            ("live-restore", "true".to_owned()),
            ("max-concurrent-downloads", self.downloads().to_string()),
            ("max-concurrent-uploads", self.uploads().to_string()),
            ("registry-mirrors", list(&self.registries.mirrors)),
            ("runtimes", runtimes.collect::<Vec<_>>().join(" ")),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

fn unknown_runtime(name: &str) -> Error {
    Error::invalid(format!("unknown or invalid runtime name: {name}"))
}

/// The settings as they are now, with what was made of them.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) settings: Settings,
    pub(crate) registries: Registries,
}

impl Live {
    /// # Errors
    /// `InvalidParameter` when the settings make no sense.
    pub(crate) fn new(settings: Settings) -> Result<Self, Error> {
        settings.runtime_name(None)?;
        settings.containers.check()?;
        let registries = Registries::new(settings.registries.clone());
        registries.check()?;
        Ok(Self { settings, registries })
    }
}

impl Inner {
    /// The settings as they are now.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Engine {
    /// What builds may do as it is set now.
    pub fn build_settings(&self) -> BuildSettings {
        self.inner().live().settings.builds.clone()
    }

    /// Replaces the settings and says so in an event `reload`. What goes on already, goes on as it began.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] when the settings make no sense; then the old ones stay.
    pub fn reload(&self, settings: Settings) -> Result<(), Error> {
        let inner = self.inner();
        let (attributes, downloads) = (settings.attributes(), settings.downloads());
        let live = Arc::new(Live::new(settings)?);
        *inner.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        inner.downloads.limit(downloads);
        let name = [("name".to_owned(), inner.host.name.clone())];
        inner.events.emit(About::Daemon, "reload", &inner.id, attributes.into_iter().chain(name));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_crun(default: Option<&str>) -> Settings {
        let crun = RuntimeProgram { path: "/usr/bin/crun".into(), args: Vec::new() };
        Settings {
            runtimes: [("crun".to_owned(), crun)].into(),
            default_runtime: default.map(str::to_owned),
            ..Settings::default()
        }
    }

    #[test]
    fn a_container_gets_the_runtime_it_asks_for_or_the_default() {
        let settings = with_crun(Some("crun"));
        assert_eq!(settings.runtime_name(None).unwrap(), "crun");
        assert_eq!(settings.runtime_name(Some("")).unwrap(), "crun");
        assert_eq!(settings.runtime_name(Some("runc")).unwrap(), "runc");
        assert_eq!(settings.foreign_runtime(Some("runc")).unwrap(), None, "it means ours");
        assert_eq!(with_crun(None).runtime_name(None).unwrap(), OWN_RUNTIME);
        assert!(settings.runtime_name(Some("kata")).unwrap_err().to_string().contains("kata"));
    }

    #[test]
    fn a_runtime_that_is_configured_no_more_is_not_replaced_by_another() {
        assert!(Settings::default().foreign_runtime(Some("crun")).is_err());
        assert_eq!(Settings::default().foreign_runtime(Some(OWN_RUNTIME)).unwrap(), None);
        assert!(with_crun(None).foreign_runtime(Some("crun")).unwrap().is_some());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let told = |settings| Live::new(settings).unwrap_err().to_string();
        assert!(told(with_crun(Some("kata"))).contains("kata"));
        let registries =
            RegistrySettings { mirrors: vec!["mirror".to_owned()], ..RegistrySettings::default() };
        assert!(told(Settings { registries, ..Settings::default() }).contains("mirror"));
    }
}
