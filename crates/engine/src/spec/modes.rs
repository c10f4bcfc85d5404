//! The namespace modes of HostConfig (`host`, `private`, `container:NAME`, …) as types.

use bollard_stubs::models::{HostConfig, HostConfigCgroupnsModeEnum};

use crate::Error;

/// Which network a container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetworkMode {
    /// An interface on the default bridge.
    Bridge,
    /// The host's.
    Host,
    /// Only loopback.
    None,
    /// Another container's.
    Container(String),
    /// A user-defined network's. Whether it exists is found out at the start, as in Docker: its clients take a 404 at
    /// the creation for a missing image.
    Named(String),
}

/// Which process ids, or which IPC objects, a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SharedMode {
    /// Its own.
    Private,
    /// The host's.
    Host,
    /// Another container's.
    Container(String),
}

/// `--ipc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IpcMode {
    /// Its own, with /dev/shm.
    Private,
    /// Its own, without /dev/shm.
    None,
    /// Its own, which others may join.
    Shareable,
    /// The host's.
    Host,
    /// A shareable container's.
    Container(String),
}

/// All of a container's modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Modes {
    pub(crate) network: NetworkMode,
    pub(crate) pid: SharedMode,
    pub(crate) ipc: IpcMode,
    pub(crate) host_uts: bool,
    pub(crate) host_cgroup: bool,
}

impl Modes {
    /// Reads them.
    ///
    /// # Errors
    /// `InvalidParameter` for an unknown mode; `NotImplemented` for user namespace remapping.
    pub(crate) fn parse(host: &HostConfig, unified: bool) -> Result<Self, Error> {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        match text(&host.userns_mode).as_str() {
            "" | "host" => {}
            mode => {
                return Err(Error::not_implemented(format!(
                    "UsernsMode {mode:?} can't be honoured: this engine does not remap users"
                )));
            }
        }
        Ok(Self {
            network: network(&text(&host.network_mode))?,
            pid: shared("PID", &text(&host.pid_mode))?,
            ipc: ipc(&text(&host.ipc_mode))?,
            host_uts: match text(&host.uts_mode).as_str() {
                "" => false,
                "host" => true,
                mode => return Err(Error::invalid(format!("invalid UTS mode: {mode}"))),
            },
            host_cgroup: match host.cgroupns_mode {
                Some(HostConfigCgroupnsModeEnum::HOST) => true,
                Some(HostConfigCgroupnsModeEnum::PRIVATE) => false,
                // As Docker: private on v2.
                _ => !unified,
            },
        })
    }

    /// The other containers that this one's namespaces come from.
    pub(crate) fn donors(&self) -> impl Iterator<Item = &str> {
        let network = match &self.network {
            NetworkMode::Container(name) => Some(name.as_str()),
            _ => None,
        };
        network.into_iter().chain(self.namespace_donors())
    }

    /// The same without the network's.
    pub(crate) fn namespace_donors(&self) -> impl Iterator<Item = &str> {
        let pid = match &self.pid {
            SharedMode::Container(name) => Some(name.as_str()),
            _ => None,
        };
        let ipc = match &self.ipc {
            IpcMode::Container(name) => Some(name.as_str()),
            _ => None,
        };
        [pid, ipc].into_iter().flatten()
    }
}

fn network(mode: &str) -> Result<NetworkMode, Error> {
    Ok(match mode {
        "" | "default" | "bridge" => NetworkMode::Bridge,
        "host" => NetworkMode::Host,
        "none" => NetworkMode::None,
        "container" => return Err(no_container()),
        _ => match mode.split_once(':') {
            Some(("container", "")) => return Err(no_container()),
            Some(("container", name)) => NetworkMode::Container(name.to_owned()),
            _ => NetworkMode::Named(mode.to_owned()),
        },
    })
}

fn no_container() -> Error {
    Error::invalid("invalid container format container:<name|id>")
}

fn shared(which: &str, mode: &str) -> Result<SharedMode, Error> {
    Ok(match mode {
        "" | "private" => SharedMode::Private,
        "host" => SharedMode::Host,
        _ => match mode.split_once(':') {
            Some(("container", name)) if !name.is_empty() => SharedMode::Container(name.to_owned()),
            _ => return Err(Error::invalid(format!("invalid {which} mode: {mode}"))),
        },
    })
}

fn ipc(mode: &str) -> Result<IpcMode, Error> {
    Ok(match mode {
        "none" => IpcMode::None,
        "shareable" => IpcMode::Shareable,
        _ => match shared("IPC", mode)? {
            SharedMode::Private => IpcMode::Private,
            SharedMode::Host => IpcMode::Host,
            SharedMode::Container(name) => IpcMode::Container(name),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(edit: fn(&mut HostConfig)) -> Result<Modes, Error> {
        let mut host = HostConfig::default();
        edit(&mut host);
        Modes::parse(&host, false)
    }

    #[test]
    fn everything_is_private_by_default_but_the_cgroup_namespace_on_v1() {
        let modes = modes(|_| {}).unwrap();
        assert_eq!(
            (modes.network, modes.pid, modes.ipc),
            (NetworkMode::Bridge, SharedMode::Private, IpcMode::Private)
        );
        assert!(!modes.host_uts && modes.host_cgroup);
        assert!(!Modes::parse(&HostConfig::default(), true).unwrap().host_cgroup);
    }

    #[test]
    fn other_containers_namespaces_are_named() {
        let modes = modes(|host| {
            host.network_mode = Some("container:a".into());
            host.pid_mode = Some("container:b".into());
            host.ipc_mode = Some("container:c".into());
        });
        assert_eq!(modes.unwrap().donors().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_network_of_any_other_name_is_left_to_the_start() {
        let modes = modes(|host| host.network_mode = Some("blue".into())).unwrap();
        assert_eq!(modes.network, NetworkMode::Named("blue".into()));
    }

    #[test]
    fn unknown_modes_are_refused() {
        assert!(modes(|h| h.pid_mode = Some("blue".into())).is_err());
        assert!(modes(|h| h.uts_mode = Some("blue".into())).is_err());
        assert!(
            modes(|h| h.userns_mode = Some("1000".into())).unwrap_err().to_string().contains("UsernsMode")
        );
        assert!(modes(|h| h.network_mode = Some("container:".into())).is_err());
    }
}
