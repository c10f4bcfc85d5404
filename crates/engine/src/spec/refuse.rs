//! Fields of a container's configuration that this engine can't honour: refused by name, never ignored.

use bollard_stubs::models::{ContainerConfig, HostConfig, HostConfigIsolationEnum};

use crate::Error;

/// Checks every field that has a meaning on Linux and no implementation here, and those of other systems.
///
/// # Errors
/// `InvalidParameter` or `NotImplemented` that names the field.
pub(crate) fn check(config: &ContainerConfig, host: &HostConfig) -> Result<(), Error> {
    let unsupported: [(&str, bool, &str); 9] = [
        (
            "StorageOpt",
            host.storage_opt.as_ref().is_some_and(|map| !map.is_empty()),
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option, which this engine does not use",
        ),
        ("CpuCount", nonzero(host.cpu_count), "it exists on Windows only"),
        ("CpuPercent", nonzero(host.cpu_percent), "it exists on Windows only"),
        ("IOMaximumIOps", nonzero(host.io_maximum_iops), "it exists on Windows only"),
        ("IOMaximumBandwidth", nonzero(host.io_maximum_bandwidth), "it exists on Windows only"),
        (
            "Isolation",
            matches!(
                host.isolation,
                Some(HostConfigIsolationEnum::PROCESS | HostConfigIsolationEnum::HYPERV)
            ),
            "it exists on Windows only",
        ),
        (
            "CgroupParent",
            text(&host.cgroup_parent).is_some_and(|parent| parent.ends_with(".slice")),
            "slices need the systemd cgroup driver",
        ),
        ("Cgroup", text(&host.cgroup).is_some(), "a container's cgroup can't be another's"),
        ("ArgsEscaped", config.args_escaped == Some(true), "it exists on Windows only"),
    ];
    match unsupported.iter().find(|(_, asked, _)| *asked) {
        Some((field, _, reason)) => {
            Err(Error::not_implemented(format!("{field} can't be honoured: {reason}")))
        }
        None => Ok(()),
    }
}

fn text(field: &Option<String>) -> Option<&str> {
    field.as_deref().filter(|text| !text.is_empty())
}

fn nonzero(value: Option<i64>) -> bool {
    value.is_some_and(|value| value != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_configuration_passes() {
        assert!(check(&ContainerConfig::default(), &HostConfig::default()).is_ok());
    }

    #[test]
    fn a_field_without_effect_is_refused_by_name() {
        let host = HostConfig { cpu_count: Some(2), ..HostConfig::default() };
        assert!(
            check(&ContainerConfig::default(), &host)
                .unwrap_err()
                .to_string()
                .starts_with("CpuCount can't be honoured")
        );
    }
}
