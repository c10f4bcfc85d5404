//! The sandbox of a container: namespaces and network attachment, its own or shared with other containers
//! (`--network container:x`, `--pid container:x`, `--ipc container:x`).

use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};

use minke_kernel::namespace;
use minke_model::runtime_spec::NamespaceType;
use minke_network::{AttachRequest, Attached, Attachment, DnsSockets, EndpointRequest, loopback_only};

use super::{Container, Record, links, ports};
use crate::{
    DefaultBridge, Error, ErrorKind,
    engine::Inner,
    networks::{self, Kind, endpoint},
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
    /// The places on its networks.
    pub(super) attachment: Option<Attachment>,
    /// Where it asks for names, on user-defined networks.
    pub(super) dns: Option<DnsSockets>,
}

/// What a failed start says first.
const ACTION: &str = "failed to set up container networking";

/// Makes or joins the network namespace. Blocking.
///
/// # Errors
/// `Conflict` when the other container does not run; `NotFound` for a network that is not there; what the network says.
pub(super) fn network(inner: &Inner, record: &Record, modes: &Modes) -> Result<SandboxNetwork, Error> {
    match &modes.network {
        NetworkMode::Host => Ok(SandboxNetwork::default()),
        NetworkMode::Container(name) => {
            let donor = inner.find(name).map_err(|error| joining(&error))?;
            if donor.id == record.id {
                return Err(joining(&Error::conflict("cannot join own network namespace")));
            }
            let netns = namespace_of(&donor, NamespaceType::Network).map_err(|error| joining(&error))?;
            Ok(SandboxNetwork { netns: Some(netns), ..SandboxNetwork::default() })
        }
        _ => own_network(inner, record, modes),
    }
}

fn own_network(inner: &Inner, record: &Record, modes: &Modes) -> Result<SandboxNetwork, Error> {
    let told = |error: Error| Error::new(error.kind(), format!("{ACTION}: {error}"));
    let (mut others, mut endpoints): (Vec<std::sync::Arc<networks::NetworkRecord>>, Vec<EndpointRequest>) =
        (Vec::new(), Vec::new());
    let no_default = inner.config.networks.bridge == DefaultBridge::None;
    for (name, settings) in &record.networks {
        if no_default && name == "bridge" {
            continue;
        }
        let network = inner.network_table.find(name).map_err(told)?;
        networks::check_together(&modes.network, others.iter().map(AsRef::as_ref), &network).map_err(told)?;
        if matches!(network.kind, Kind::Made(_)) {
            endpoints.push(endpoint::request(&network, settings, record.has_ipv6()).map_err(told)?);
        }
        others.push(network);
    }
    if endpoints.is_empty() {
        let netns = loopback_only().map_err(|error| Error::internal("make a network namespace", &error))?;
        return Ok(SandboxNetwork { netns: Some(netns), ..SandboxNetwork::default() });
    }
    let request = AttachRequest {
        id: record.id.clone(),
        endpoints,
        ports: ports::requests(&record.config, &record.host)?,
        dns: others.iter().any(|network| network.is_user_defined()),
    };
    let Attached { netns, held, attachment, dns } =
        inner.networks.attach(request).map_err(|error| networks::errors::attach(ACTION, &error))?;
    if let Err(error) = links::open(inner, record, netns.as_fd(), &attachment) {
        if let Err(error) = inner.networks.detach(&attachment) {
            tracing::warn!(%error, container = record.id.short(), "detach a container");
        }
        return Err(told(error));
    }
    Ok(SandboxNetwork { netns: Some(netns), held, attachment: Some(attachment), dns })
}

/// What is wrong with the other container is this one's failure, not a missing object.
fn joining(error: &Error) -> Error {
    Error::conflict(format!("joining network namespace of container: {error}"))
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
            IpcMode::Container(name) => {
                check_shareable(&inner.find(name)?.record())?;
                Some(path(name, NamespaceType::Ipc)?)
            }
            _ => None,
        },
    })
}

/// At each start, as Docker does: a container may be created for one that isn't there yet.
fn check_shareable(donor: &Record) -> Result<(), Error> {
    if donor.host.ipc_mode.as_deref() == Some("shareable") {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "can't join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
        donor.id
    )))
}

/// A namespace of a running container. The pid is checked after the namespace was opened, so it can't be
/// that of
/// another process which got the number meanwhile.
pub(crate) fn namespace_of(container: &Container, kind: NamespaceType) -> Result<OwnedFd, Error> {
    let not_running = || {
        let kind = kind.as_str().to_uppercase();
        // As Docker has it no 409, since what is wrong is not in the request.
        let told = format!("failed to join {kind} namespace: container {} is not running", container.id);
        Error::new(ErrorKind::Internal, told)
    };
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
