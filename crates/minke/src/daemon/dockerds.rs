//! dockerd's settings that the engine has no use for: what means the same here is taken, and told where it has no effect;
//! what would mean something else is refused.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Where the engine's own programs are named that it has built in.
const PROGRAMS: &str = "the engine has it built in";

/// Flags that dockerd has and this engine does otherwise.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct DockerdArgs {
    /// No effect: images and containers are the engine's own
    #[arg(long, value_name = "string", hide = true)]
    pub(super) containerd: Option<String>,
    /// No effect
    #[arg(long, value_name = "string", hide = true)]
    pub(super) containerd_namespace: Option<String>,
    /// No effect
    #[arg(long, value_name = "string", hide = true)]
    pub(super) containerd_plugins_namespace: Option<String>,
    /// Say that experimental features are on; there are none
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub(super) experimental: bool,
    /// native.cgroupdriver=cgroupfs, which is so
    #[arg(long, value_name = "list", hide = true)]
    pub(super) exec_opt: Vec<String>,
    /// No effect
    #[arg(long, value_name = "map", hide = true)]
    pub(super) feature: Vec<String>,
    /// No effect: init is built in
    #[arg(long, value_name = "string", hide = true)]
    pub(super) init_path: Option<PathBuf>,
    /// Containers always outlive the engine
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) live_restore: Option<bool>,
    /// No effect
    #[arg(long, value_name = "int", hide = true)]
    pub(super) network_control_plane_mtu: Option<u32>,
    /// No effect
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub(super) raw_logs: bool,
    /// No effect: SELinux labels are not set
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub(super) selinux_enabled: bool,
    /// No effect: containers outlive the engine
    #[arg(long, value_name = "int", hide = true)]
    pub(super) shutdown_timeout: Option<i64>,
    /// overlay2, which is so
    #[arg(short, long, value_name = "string", hide = true)]
    pub(super) storage_driver: Option<String>,
    /// Options of the storage driver; it has none
    #[arg(long, value_name = "list", hide = true)]
    pub(super) storage_opt: Vec<String>,
    /// User namespaces for all containers: not here
    #[arg(long, value_name = "string", hide = true)]
    pub(super) userns_remap: Option<String>,
}

impl DockerdArgs {
    /// What the engine can't do as it is asked to.
    ///
    /// # Errors
    /// Names the setting, and what may be said.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.live_restore == Some(false) {
            return Err(
                "live-restore: containers always outlive the engine: leave it away, or say true".to_owned()
            );
        }
        if let Some(driver) =
            self.storage_driver.as_deref().filter(|driver| !matches!(*driver, "" | "overlay2" | "overlayfs"))
        {
            return Err(format!(
                "storage-driver {driver:?}: layers are kept for overlayfs alone: leave it away, or say overlay2"
            ));
        }
        if let Some(option) = self.storage_opt.iter().find(|option| !is_default(option)) {
            return Err(format!("storage-opts: {option:?} can't be honoured by this engine: leave it away"));
        }
        for option in &self.exec_opt {
            match option.split_once('=') {
                Some(("native.cgroupdriver", "cgroupfs" | "")) => {}
                Some(("native.cgroupdriver", "systemd")) => {
                    return Err(
                        "exec-opts: the engine makes the cgroups of its containers itself: leave native.cgroupdriver away, or say cgroupfs"
                            .to_owned(),
                    );
                }
                _ => {
                    return Err(format!(
                        "exec-opts: {option:?} is unknown: want native.cgroupdriver=cgroupfs"
                    ));
                }
            }
        }
        if let Some(user) = self.userns_remap.as_deref().filter(|user| !user.is_empty()) {
            return Err(format!(
                "userns-remap {user:?}: containers of this engine have the host's user namespace: leave it away, and look at minke-oci for rootless containers"
            ));
        }
        if self.selinux_enabled {
            return Err("selinux-enabled: the engine sets no SELinux labels: leave it away".to_owned());
        }
        Ok(())
    }

    /// What is said that has no effect and harms nobody.
    pub(super) fn without_effect(&self) -> Vec<(&'static str, &'static str)> {
        let said = [
            (self.containerd.is_some(), "containerd", PROGRAMS),
            (self.containerd_namespace.is_some(), "containerd-namespace", PROGRAMS),
            (self.containerd_plugins_namespace.is_some(), "containerd-plugins-namespace", PROGRAMS),
            (self.experimental, "experimental", "there is nothing experimental to turn on"),
            (!self.feature.is_empty(), "features", "none of Docker's can be turned on or off"),
            (self.init_path.is_some(), "init-path", PROGRAMS),
            (
                self.network_control_plane_mtu.is_some(),
                "network-control-plane-mtu",
                "there are no networks across hosts",
            ),
            (self.raw_logs, "raw-logs", "the log has colours on terminals alone"),
            (self.shutdown_timeout.is_some(), "shutdown-timeout", "containers outlive the engine"),
        ];
        said.into_iter().filter(|(said, ..)| *said).map(|(_, key, why)| (key, why)).collect()
    }
}

/// An option of Docker's that asks for what is so.
fn is_default(option: &str) -> bool {
    // Docker's check of the kernel's version, which it has given up itself.
    option.starts_with("overlay2.override_kernel_check=") || option == "overlay2.size=0"
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::daemon::Daemon;

    fn args(flags: &[&str]) -> DockerdArgs {
        Daemon::parse_from(["daemon"].iter().chain(flags)).dockerds
    }

    #[test]
    fn what_is_so_already_is_taken() {
        let args = args(&[
            "-s=overlay2",
            "--live-restore",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            "--storage-opt=overlay2.override_kernel_check=true",
            "--userns-remap=",
        ]);
        args.check().unwrap();
        assert!(args.without_effect().is_empty());
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let args =
            args(&["--experimental", "--shutdown-timeout=3", "--feature=buildkit=true", "--init-path=/x"]);
        args.check().unwrap();
        let keys: Vec<_> = args.without_effect().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["experimental", "features", "init-path", "shutdown-timeout"]);
    }

    #[test]
    fn what_would_mean_something_else_is_refused_by_name() {
        for (flag, words) in [
            ("--live-restore=false", "live-restore"),
            ("--storage-driver=btrfs", "storage-driver \"btrfs\""),
            ("--storage-opt=overlay2.size=1G", "storage-opts: \"overlay2.size=1G\""),
            ("--exec-opt=native.cgroupdriver=systemd", "exec-opts"),
            ("--exec-opt=x=y", "\"x=y\" is unknown"),
            ("--userns-remap=default", "userns-remap \"default\""),
            ("--selinux-enabled", "selinux-enabled"),
        ] {
            let told = args(&[flag]).check().unwrap_err();
            assert!(told.contains(words), "{told}");
        }
    }
}
