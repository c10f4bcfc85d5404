//! The sandbox of a container: namespaces and network attachment, its own or shared with other containers
//! (`--network container:x`, `--pid container:x`, `--ipc container:x`).

use std::os::fd::{AsRawFd, OwnedFd};

use minke_kernel::namespace;
use minke_model::runtime_spec::NamespaceType;
use minke_network::{AttachRequest, Attached, Attachment, EndpointRequest, Mac, loopback_only};

use super::{Container, Record, ports};
use crate::{
    Error,
    engine::Inner,
    spec::{
        Joined,
        modes::{IpcMode, Modes, NetworkMode, SharedMode},
    },
};

/// A container's network, made and ready to be handed to its supervisor.
#[derive(Debug, Default)]
pub(super) struct SandboxNetwork {
    /// The namespace; `None` is the host's.
    pub(super) netns: Option<OwnedFd>,
    /// Sockets that reserve the published ports.
    pub(super) held: Vec<OwnedFd>,
    /// The place on the bridge.
    pub(super) attachment: Option<Attachment>,
}

/// Makes or joins the network namespace. Blocking.
///
/// # Errors
/// `Conflict` when the other container does not run; `NotFound` for a network that is not there; what the network says.
pub(super) fn network(inner: &Inner, record: &Record, modes: &Modes) -> Result<SandboxNetwork, Error> {
    match &modes.network {
        NetworkMode::Host => Ok(SandboxNetwork::default()),
        NetworkMode::None => {
            let netns =
                loopback_only().map_err(|error| Error::internal("make a network namespace", &error))?;
            Ok(SandboxNetwork { netns: Some(netns), ..SandboxNetwork::default() })
        }
        NetworkMode::Container(name) => {
            let donor = inner.find(name).map_err(|error| joining(&error))?;
            let netns = namespace_of(&donor, NamespaceType::Network).map_err(|error| joining(&error))?;
            Ok(SandboxNetwork { netns: Some(netns), ..SandboxNetwork::default() })
        }
        NetworkMode::Named(name) => {
            Err(Error::not_found(format!("failed to set up container networking: network {name} not found")))
        }
        NetworkMode::Bridge => {
            let network = inner.default_network().ok_or_else(|| Error::not_found("network bridge not found"))?;
            let request = AttachRequest {
                id: record.id.clone(),
                endpoints: vec![EndpointRequest { mac: mac(record)?, ..EndpointRequest::new(network, "bridge") }],
                ports: ports::requests(&record.config, &record.host)?,
                dns: false,
            };
            let Attached { netns, held, attachment, dns: _ } = inner
                .networks
                .attach(request)
                .map_err(|error| Error::internal("failed to set up container networking", &error))?;
            Ok(SandboxNetwork { netns: Some(netns), held, attachment: Some(attachment) })
        }
    }
}

/// What is wrong with the other container is this one's failure, not a missing object.
fn joining(error: &Error) -> Error {
    Error::conflict(format!("joining network namespace of container: {error}"))
}

/// The address that `--mac-address` asks for.
///
/// # Errors
/// `InvalidParameter`.
pub(super) fn mac(record: &Record) -> Result<Option<Mac>, Error> {
    let endpoints = record.networking.endpoints_config.iter().flatten();
    let asked =
        endpoints.filter_map(|(_, endpoint)| endpoint.mac_address.as_deref()).find(|mac| !mac.is_empty());
    asked
        .map(|text| text.parse().map_err(|error: minke_network::MacError| Error::invalid(error.to_string())))
        .transpose()
}

/// Namespaces of other containers, by paths that stay good as long as the descriptors in `held` are open.
///
/// # Errors
/// `Conflict` when the other container does not run.
pub(super) fn join(inner: &Inner, modes: &Modes, held: &mut Vec<OwnedFd>) -> Result<Joined, Error> {
    let mut path = |name: &str, kind| -> Result<String, Error> {
        let namespace = namespace_of(&*inner.find(name)?, kind)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
        held.push(namespace);
        Ok(path)
    };
    Ok(Joined {
        network: None,
        pid: match &modes.pid {
            SharedMode::Container(name) => Some(path(name, NamespaceType::Pid)?),
            _ => None,
        },
        ipc: match &modes.ipc {
            IpcMode::Container(name) => Some(path(name, NamespaceType::Ipc)?),
            _ => None,
        },
    })
}

/// A namespace of a running container. The pid is checked after the namespace was opened, so it can't be
/// that of
/// another process which got the number meanwhile.
fn namespace_of(container: &Container, kind: NamespaceType) -> Result<OwnedFd, Error> {
    let not_running =
        || Error::conflict(format!("cannot join namespace of a non running container: {}", container.id));
    let (pid, start_time) = container.run().process.ok_or_else(not_running)?;
    let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
    let namespace = namespace::open(path.as_ref(), kind).map_err(|error| {
        Error::internal(format!("open the {kind} namespace of {}", container.id.short()), &error)
    })?;
    match minke_kernel::process::stat(pid) {
        Ok(Some(stat)) if stat.start_time == start_time => Ok(namespace),
        _ => Err(not_running()),
    }
}
