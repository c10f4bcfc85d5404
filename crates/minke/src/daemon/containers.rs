//! `minke daemon`'s flags about what containers have that don't say otherwise: dockerd's.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
};

use bollard_stubs::models::ResourcesUlimits;
use clap::{ArgAction, Args};
use minke_engine::ContainerDefaults;
use minke_model::quantity;

use crate::{failure::Failure, run::limits};

/// Flags about containers.
#[derive(Debug, Clone, Args)]
pub(super) struct ContainerArgs {
    /// Cgroup below which those of containers are made, where they name none
    #[arg(long, value_name = "string")]
    pub(super) cgroup_parent: Option<String>,
    /// Folder of files that name devices (default /etc/cdi and /var/run/cdi; "" is none); may be given several times
    #[arg(long, value_name = "list", value_parser = directory)]
    pub(super) cdi_spec_dir: Vec<PathBuf>,
    /// Cgroup namespace of containers that name none: private or host
    #[arg(long, value_name = "string")]
    pub(super) default_cgroupns_mode: Option<String>,
    /// IPC namespace of containers that name none: private or shareable
    #[arg(long, value_name = "string")]
    pub(super) default_ipc_mode: Option<String>,
    /// Size of /dev/shm of containers that name none, e.g. 256m
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    pub(super) default_shm_size: Option<i64>,
    /// Limit of containers that don't set it, name=soft:hard; may be given several times
    #[arg(long, value_name = "ulimit", value_parser = limits::ulimit)]
    pub(super) default_ulimit: Vec<ResourcesUlimits>,
    /// Run an init in containers that don't say whether they want one
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub(super) init: bool,
    /// Log driver of containers that name none
    #[arg(long, value_name = "string")]
    pub(super) log_driver: Option<String>,
    /// Option of containers with that log driver, name=value; may be given several times
    #[arg(long, value_name = "map", value_parser = pair)]
    pub(super) log_opt: Vec<(String, String)>,
    /// Let no program of a container gain privileges
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub(super) no_new_privileges: bool,
    /// Seccomp profile of containers that name none: a file, builtin or unconfined
    #[arg(long, value_name = "string")]
    pub(super) seccomp_profile: Option<String>,
}

/// Also "", which clap takes for no path.
fn directory(text: &str) -> Result<PathBuf, Infallible> {
    Ok(text.into())
}

/// `64m`
pub(super) fn bytes(text: &str) -> Result<i64, String> {
    quantity::parse_bytes(text).map_err(|error| error.to_string())
}

/// `name=value`
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("want name=value".to_owned()),
    }
}

impl ContainerArgs {
    /// What the engine is told.
    ///
    /// # Errors
    /// When the seccomp profile can't be read.
    pub(super) fn defaults(&self) -> Result<ContainerDefaults, Failure> {
        let seccomp_profile = match self.seccomp_profile.as_deref() {
            None | Some("" | "builtin") => None,
            Some("unconfined") => Some("unconfined".to_owned()),
            Some(path) => Some(fs::read_to_string(Path::new(path)).map_err(|error| {
                Failure::doing(format!("minke daemon: read the seccomp profile {path}"), error)
            })?),
        };
        // Of a limit that is given twice, the later counts, as in Docker.
        let ulimits: BTreeMap<_, _> =
            self.default_ulimit.iter().map(|limit| (limit.name.clone(), limit.clone())).collect();
        Ok(ContainerDefaults {
            cgroup_parent: self.cgroup_parent.clone(),
            cdi_directories: (!self.cdi_spec_dir.is_empty()).then(|| self.cdi_spec_dir.clone()),
            cgroup_namespace: self.default_cgroupns_mode.clone(),
            init: self.init,
            ipc: self.default_ipc_mode.clone(),
            log_driver: self.log_driver.clone(),
            log_options: self.log_opt.iter().cloned().collect(),
            no_new_privileges: self.no_new_privileges,
            seccomp_profile,
            shm_size: self.default_shm_size,
            ulimits: ulimits.into_values().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::daemon::Daemon;

    fn defaults(flags: &[&str]) -> Result<ContainerDefaults, String> {
        let args =
            Daemon::try_parse_from(["daemon"].iter().chain(flags)).map_err(|error| error.to_string())?;
        args.containers.defaults().map_err(|failure| failure.message)
    }

    #[test]
    fn dockers_flags_are_read() {
        let read = defaults(&[
            "--log-driver=local",
            "--log-opt=max-size=1m",
            "--default-shm-size=256M",
            "--default-ulimit=nofile=64:128",
            "--default-ulimit=nofile=32:64",
            "--init",
            "--default-ipc-mode=shareable",
        ])
        .unwrap();
        assert_eq!((read.log_driver.as_deref(), &*read.log_options["max-size"]), (Some("local"), "1m"));
        assert_eq!(
            (read.shm_size, read.init, read.ipc.as_deref()),
            (Some(256 << 20), true, Some("shareable"))
        );
        assert_eq!((read.ulimits.len(), read.ulimits[0].soft), (1, Some(32)));
        assert_eq!(defaults(&[]).unwrap(), ContainerDefaults::default());
        assert_eq!(defaults(&["--cdi-spec-dir="]).unwrap().cdi_directories, Some(vec![PathBuf::new()]));
    }

    #[test]
    fn a_profile_is_a_file_that_is_there() {
        assert_eq!(defaults(&["--seccomp-profile=builtin"]).unwrap().seccomp_profile, None);
        let unconfined = defaults(&["--seccomp-profile=unconfined"]).unwrap();
        assert_eq!(unconfined.seccomp_profile.as_deref(), Some("unconfined"));
        let told = defaults(&["--seccomp-profile=/nonexistent/p.json"]).unwrap_err();
        assert!(told.contains("read the seccomp profile /nonexistent/p.json"), "{told}");
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (flag, words) in
            [("--log-opt=x", "want name=value"), ("--default-ulimit=x=1", "invalid ulimit type: x")]
        {
            let told = defaults(&[flag]).unwrap_err();
            assert!(told.contains(words), "{told}");
        }
    }
}
