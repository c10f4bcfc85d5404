//! What containers have that don't say otherwise: dockerd's settings of that kind, written into a container as it is made.
//!
//! A container keeps what it was made with, whatever the settings become later.

use std::{collections::HashMap, path::PathBuf};

use bollard_stubs::models::{HostConfig, HostConfigCgroupnsModeEnum, ResourcesUlimits};

use crate::{Error, container::log_options, spec};

/// Docker's size of /dev/shm.
const SHM_SIZE: i64 = 64 << 20;
/// Where files that name devices are by their specification, those of vendors' packages before those of running programs.
const CDI_DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// Docker's log driver.
const LOG_DRIVER: &str = "json-file";

/// Defaults for containers. `None` and what is empty is Docker's own default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerDefaults {
    /// `--cgroup-parent`: below which cgroup theirs are made.
    pub cgroup_parent: Option<String>,
    /// `--cdi-spec-dir`: where the files are that name devices (Container Device Interface), later ones win; an empty path is none.
    pub cdi_directories: Option<Vec<PathBuf>>,
    /// `--default-cgroupns-mode`: `private` or `host`.
    pub cgroup_namespace: Option<String>,
    /// `--init`: a program that reaps comes first.
    pub init: bool,
    /// `--default-ipc-mode`: `private` or `shareable`.
    pub ipc: Option<String>,
    /// `--log-driver`
    pub log_driver: Option<String>,
    /// `--log-opt`: of containers with the default log driver.
    pub log_options: HashMap<String, String>,
    /// `--no-new-privileges`: no program gains privileges by its set-user-ID bit or file capabilities.
    pub no_new_privileges: bool,
    /// `--seccomp-profile`: `builtin`, `unconfined`, or a profile's JSON.
    pub seccomp_profile: Option<String>,
    /// `--default-shm-size`, in bytes.
    pub shm_size: Option<i64>,
    /// `--default-ulimit`, each name once.
    pub ulimits: Vec<ResourcesUlimits>,
}

impl ContainerDefaults {
    /// The log driver of containers that name none.
    pub(crate) fn log_driver(&self) -> &str {
        self.log_driver.as_deref().filter(|driver| !driver.is_empty()).unwrap_or(LOG_DRIVER)
    }

    /// Where devices are named.
    pub(crate) fn cdi_directories(&self) -> Vec<PathBuf> {
        match &self.cdi_directories {
            None => CDI_DIRECTORIES.map(PathBuf::from).into(),
            Some(said) => said.iter().filter(|path| !path.as_os_str().is_empty()).cloned().collect(),
        }
    }

    /// # Errors
    /// `InvalidParameter` names the setting that makes no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(mode) = self.ipc.as_deref().filter(|mode| !matches!(*mode, "private" | "shareable")) {
            return Err(Error::invalid(format!(
                "IPC can only be set to private or shareable by default, not {mode:?}"
            )));
        }
        cgroup_namespace(self.cgroup_namespace.as_deref())?;
        if self.cgroup_parent.as_deref().is_some_and(|parent| parent.ends_with(".slice")) {
            return Err(Error::invalid(
                "cgroup-parent: slices need the systemd cgroup driver: name a cgroup, e.g. /containers",
            ));
        }
        spec::security::parse(&self.security_options(false))?;
        self.ulimits.iter().try_for_each(spec::limits::check)?;
        log_options::check(self.log_driver(), &self.log_options)
    }

    /// What containers get of `--security-opt`.
    fn security_options(&self, privileged: bool) -> Vec<String> {
        let profile = self.seccomp_profile.as_deref().filter(|profile| !profile.is_empty() && !privileged);
        let nothing_new = self.no_new_privileges.then(|| "no-new-privileges".to_owned());
        nothing_new.into_iter().chain(profile.map(|profile| format!("seccomp={profile}"))).collect()
    }

    /// Writes them where a container says nothing, on a host with cgroup v2 (`unified`) or without.
    ///
    /// # Errors
    /// `InvalidParameter` for a container's own options that make no sense.
    pub(crate) fn fill(&self, host: &mut HostConfig, unified: bool) -> Result<(), Error> {
        let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        if empty(&host.cgroup_parent) {
            host.cgroup_parent.clone_from(&self.cgroup_parent);
        }
        if let Some(mode) = cgroup_namespace(self.cgroup_namespace.as_deref())?
            && host.cgroupns_mode.is_none_or(|mode| mode == HostConfigCgroupnsModeEnum::EMPTY)
            && (unified || host.privileged != Some(true))
        {
            host.cgroupns_mode = Some(mode);
        }
        if host.init.is_none() && self.init {
            host.init = Some(true);
        }
        if empty(&host.ipc_mode) {
            host.ipc_mode = Some(self.ipc.clone().unwrap_or_else(|| "private".to_owned()));
        }
        if host.shm_size.unwrap_or(0) == 0 {
            // A /dev/shm that is shared is a directory, and has no size.
            let own = host.ipc_mode.as_deref() != Some("shareable");
            host.shm_size = Some(self.shm_size.filter(|_| own).unwrap_or(SHM_SIZE));
        }
        self.fill_log(host);
        self.fill_ulimits(host);
        self.fill_security(host);
        Ok(())
    }

    fn fill_log(&self, host: &mut HostConfig) {
        let log = host.log_config.get_or_insert_default();
        if log.typ.as_deref().is_none_or(str::is_empty) {
            log.typ = Some(self.log_driver().to_owned());
        }
        let options = log.config.get_or_insert_default();
        if log.typ.as_deref() == Some(self.log_driver()) {
            for (name, value) in &self.log_options {
                options.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    fn fill_ulimits(&self, host: &mut HostConfig) {
        let asked = host.ulimits.as_deref().unwrap_or(&[]);
        let more = self.ulimits.iter().filter(|limit| asked.iter().all(|asked| asked.name != limit.name));
        let more: Vec<_> = more.cloned().collect();
        if !more.is_empty() {
            host.ulimits.get_or_insert_default().extend(more);
        }
    }

    fn fill_security(&self, host: &mut HostConfig) {
        let key = |option: &str| option.split(['=', ':']).next().unwrap_or_default().to_owned();
        let asked: Vec<_> = host.security_opt.iter().flatten().map(|option| key(option)).collect();
        let mut more = self.security_options(host.privileged == Some(true));
        more.retain(|option| !asked.contains(&key(option)));
        if !more.is_empty() {
            host.security_opt.get_or_insert_default().extend(more);
        }
    }
}

fn cgroup_namespace(mode: Option<&str>) -> Result<Option<HostConfigCgroupnsModeEnum>, Error> {
    match mode {
        None | Some("") => Ok(None),
        Some("private") => Ok(Some(HostConfigCgroupnsModeEnum::PRIVATE)),
        Some("host") => Ok(Some(HostConfigCgroupnsModeEnum::HOST)),
        Some(other) => Err(Error::invalid(format!(
            "default cgroup namespace mode {other:?} is invalid: use \"host\" or \"private\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> ContainerDefaults {
        let nofile = ResourcesUlimits { name: Some("nofile".into()), soft: Some(64), hard: Some(128) };
        ContainerDefaults {
            cgroup_parent: Some("/jobs".into()),
            cgroup_namespace: Some("private".into()),
            init: true,
            log_driver: Some("local".into()),
            log_options: [("max-size".to_owned(), "3m".to_owned())].into(),
            no_new_privileges: true,
            seccomp_profile: Some("unconfined".into()),
            shm_size: Some(8 << 20),
            ulimits: vec![nofile],
            ..ContainerDefaults::default()
        }
    }

    fn filled(json: &str) -> HostConfig {
        let mut host = serde_json::from_str(json).unwrap();
        defaults().fill(&mut host, false).unwrap();
        host
    }

    #[test]
    fn they_are_filled_in_where_a_container_says_nothing() {
        let host = filled("{}");
        let log = host.log_config.unwrap();
        assert_eq!((log.typ.as_deref(), &*log.config.unwrap()["max-size"]), (Some("local"), "3m"));
        assert_eq!(
            (host.init, host.shm_size, host.ipc_mode.as_deref()),
            (Some(true), Some(8 << 20), Some("private"))
        );
        assert_eq!(host.cgroup_parent.as_deref(), Some("/jobs"));
        assert_eq!(host.cgroupns_mode, Some(HostConfigCgroupnsModeEnum::PRIVATE));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges", "seccomp=unconfined"]);
        assert_eq!(host.ulimits.unwrap().len(), 1);
    }

    #[test]
    fn what_a_container_says_counts() {
        let host = filled(
            r#"{"LogConfig": {"Type": "json-file"}, "Init": false, "ShmSize": 4096, "IpcMode": "shareable", "CgroupParent": "/x",
                "CgroupnsMode": "host", "SecurityOpt": ["no-new-privileges:false", "seccomp=builtin"],
                "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]}"#,
        );
        assert!(host.log_config.unwrap().config.unwrap().is_empty(), "options are the default driver's");
        assert_eq!(
            (host.init, host.shm_size, host.ipc_mode.as_deref()),
            (Some(false), Some(4096), Some("shareable"))
        );
        assert_eq!(host.cgroupns_mode, Some(HostConfigCgroupnsModeEnum::HOST));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges:false", "seccomp=builtin"]);
        let limits = host.ulimits.unwrap();
        assert_eq!((limits.len(), limits[0].soft), (1, Some(1)));
    }

    #[test]
    fn a_privileged_container_has_no_seccomp_profile_and_a_shared_dev_shm_no_size() {
        let host = filled(r#"{"Privileged": true, "IpcMode": "shareable"}"#);
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!((host.shm_size, host.cgroupns_mode), (Some(64 << 20), None));
    }

    #[test]
    fn defaults_that_make_no_sense_are_refused() {
        defaults().check().unwrap();
        let told = |change: fn(&mut ContainerDefaults)| {
            let mut defaults = defaults();
            change(&mut defaults);
            defaults.check().unwrap_err().to_string()
        };
        assert!(told(|defaults| defaults.ipc = Some("host".into())).contains("\"host\""));
        assert!(told(|defaults| defaults.cgroup_namespace = Some("none".into())).contains("\"none\""));
        assert!(told(|defaults| defaults.cgroup_parent = Some("a.slice".into())).contains("cgroup-parent"));
        assert!(told(|defaults| defaults.log_driver = Some("paper".into())).contains("paper"));
        let unknown =
            told(|defaults| defaults.log_options = [("colour".to_owned(), "red".to_owned())].into());
        assert!(unknown.contains("unknown log opt 'colour'"), "{unknown}");
    }
}
