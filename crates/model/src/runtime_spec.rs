//! The OCI runtime specification's types for Linux (`config.json`, version 1.3).
//!
//! The engine builds these, the runtime reads them. Written here rather than taken from `oci-spec`
//! because that crate brings a regular expression engine into the supervisor, which runs once per
//! container. Fields are named as in the specification (camelCase in JSON), a JSON `null` means
//! the same as a missing field (as Go programs write it), unknown fields are ignored (as the
//! specification's "Extensibility" demands), and what is empty is left out when writing. Presence of required fields
//! is the runtime's to check, since its message can say what the field is for.

mod linux;
mod process;
mod resources;
mod seccomp;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::{
    linux::{
        Device, DeviceType, IdMapping, IntelRdt, Linux, MemoryPolicy, Namespace, NamespaceType, NetDevice,
        Personality, TimeOffset,
    },
    process::{Capabilities, ConsoleSize, ExecCpuAffinity, IoPriority, Process, Rlimit, Scheduler, User},
    resources::{
        BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, NetworkResources, Pids, Rdma,
        Resources, ThrottleDevice, WeightDevice,
    },
    seccomp::{Seccomp, SeccompAction, SeccompArg, SeccompOperator, SeccompSyscall},
    state::{ContainerProcessState, State, Status},
};

/// The version of the specification that these types describe.
pub const VERSION: &str = "1.3.0";

/// A container's whole configuration: `config.json` (specification, "Configuration").
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The version of the specification that the bundle follows, for example `1.3.0`.
    pub oci_version: String,
    /// The root file system; required on Linux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Mounts beyond the root, made in this order.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub mounts: Vec<Mount>,
    /// The container's process; needed when the container is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The container's host name; needs a uts namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The container's NIS domain name; needs a uts namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Programs to run at points of the container's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Free-form metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The container's root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: String,
    /// Whether the root is mounted read-only.
    #[serde(skip_serializing_if = "is_false")]
    pub readonly: bool,
}

/// One mount of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mount {
    /// An absolute path inside the container.
    pub destination: String,
    /// The file system's type, as in /proc/filesystems; `bind` or nothing for a bind mount.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The device, or the path that is bound: absolute, or relative to the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Options as in fstab(5).
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub options: Vec<String>,
    /// User ids of an id-mapped mount.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of an id-mapped mount.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub gid_mappings: Vec<IdMapping>,
}

/// Programs to run at points of the container's life (specification, "POSIX-platform Hooks").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Hooks {
    /// Old name of the stage before `create_runtime`, in the runtime's namespace.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub prestart: Vec<Hook>,
    /// In the runtime's namespace, after the namespaces exist and before pivot_root.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces with the host's paths, before pivot_root.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub create_container: Vec<Hook>,
    /// In the container, on start, before the user's process.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub start_container: Vec<Hook>,
    /// In the runtime's namespace, after the user's process was started.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub poststart: Vec<Hook>,
    /// In the runtime's namespace, after the container was deleted.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub poststop: Vec<Hook>,
}

/// One program of [`Hooks`]; it gets the container's [`State`] on its standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// An absolute path.
    pub path: String,
    /// The whole argument vector, with the program's name first.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub args: Vec<String>,
    /// The whole environment, `KEY=value`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// Seconds after which the hook is killed and counts as failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// Reads `null` as the type's empty value, since Go programs write empty lists as `null`.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_configuration_writes_only_its_version() {
        let spec = Spec { oci_version: VERSION.into(), ..Spec::default() };
        assert_eq!(serde_json::to_string(&spec).unwrap(), r#"{"ociVersion":"1.3.0"}"#);
    }

    #[test]
    fn null_means_missing_and_unknown_fields_are_ignored() {
        let text = r#"{"ociVersion":"1.0.2","mounts":null,"process":{"args":null,"capabilities":null},
            "linux":{"resources":null,"namespaces":null,"futureThing":{"a":1}},"hooks":null,"windows":{}}"#;
        let spec: Spec = serde_json::from_str(text).unwrap();
        assert!(spec.mounts.is_empty() && spec.hooks.is_none());
        assert!(spec.process.unwrap().args.is_empty());
    }

    #[test]
    fn the_specifications_spelling_survives_a_round_trip() {
        let text = r#"{"ociVersion":"1.3.0","process":{"user":{"uid":1,"gid":2,"umask":18,"additionalGids":[5]},"args":["sh"],"cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","soft":1,"hard":2}],"noNewPrivileges":true,"oomScoreAdj":-5,"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":4},"execCPUAffinity":{"initial":"0","final":"1"}},"linux":{"uidMappings":[{"containerID":0,"hostID":1000,"size":10}],"resources":{"memory":{"limit":1048576,"kernelTCP":3,"disableOOMKiller":true},"blockIO":{"weight":100,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}]},"hugepageLimits":[{"pageSize":"2MB","limit":1}],"network":{"classID":7},"rdma":{"mlx5_1":{"hcaHandles":3}}},"cgroupsPath":"/x","namespaces":[{"type":"network","path":"/proc/1/ns/net"}],"devices":[{"type":"c","path":"/dev/fuse","major":10,"minor":229,"fileMode":438}],"intelRdt":{"closID":"g","l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=20"},"timeOffsets":{"boottime":{"secs":5,"nanosecs":6}},"netDevices":{"eth0":{"name":"in0"}},"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_STATIC_NODES"]}}}"#;
        let spec: Spec = serde_json::from_str(text).unwrap();
        let written: serde_json::Value = serde_json::to_value(&spec).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
