//! What clients know of their objects, and how that compares with what there is.

use std::collections::{BTreeMap, BTreeSet};

use bollard::{
    Docker,
    models::ContainerSummaryStateEnum,
    query_parameters::{ListContainersOptionsBuilder, ListImagesOptions, ListVolumesOptions},
};
use minke_testkit::Host;
use tokio::runtime::Runtime;

use super::client::{Client, connect};

/// Where an object is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Absent,
    Created,
    Running,
    Ended,
}

/// In which states an object may be: one, unless the answer to a call is missing.
#[derive(Clone, Debug)]
pub(super) struct Known(BTreeSet<State>);

impl Known {
    pub(super) fn is(state: State) -> Self {
        Self([state].into())
    }

    /// A call begins that leads to one of these.
    pub(super) fn may_become(&mut self, states: &[State]) {
        self.0.extend(states);
    }

    /// It is so.
    pub(super) fn set(&mut self, state: State) {
        self.0 = [state].into();
    }

    /// The one state, if there is no doubt.
    pub(super) fn state(&self) -> Option<State> {
        self.0.first().copied().filter(|_| self.0.len() == 1)
    }

    pub(super) fn allows(&self, state: State) -> bool {
        self.0.contains(&state)
    }
}

/// What the engine says it has.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Names with their states, ids, and whether ports are published.
    pub(super) containers: BTreeMap<String, (State, String)>,
    pub(super) volumes: BTreeSet<String>,
    pub(super) images: BTreeSet<String>,
}

impl Said {
    pub(super) fn state(&self, container: &str) -> State {
        self.containers.get(container).map_or(State::Absent, |(state, _)| *state)
    }

    async fn ask(docker: &Docker) -> Self {
        let all = ListContainersOptionsBuilder::new().all(true).build();
        let containers = docker.list_containers(Some(all)).await.expect("a list of containers");
        let containers = containers.into_iter().map(|container| {
            let state = match container.state {
                Some(ContainerSummaryStateEnum::CREATED) => State::Created,
                Some(ContainerSummaryStateEnum::RUNNING) => State::Running,
                Some(ContainerSummaryStateEnum::EXITED) => State::Ended,
                other => panic!("{:?} is {other:?}", container.names),
            };
            let name = container.names.unwrap_or_default().concat().trim_start_matches('/').to_owned();
            (name, (state, container.id.unwrap_or_default()))
        });
        let volumes = docker.list_volumes(None::<ListVolumesOptions>).await.expect("a list of volumes");
        let images = docker.list_images(None::<ListImagesOptions>).await.expect("a list of images");
        Self {
            containers: containers.collect(),
            volumes: volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect(),
            images: images.into_iter().flat_map(|image| image.repo_tags).collect(),
        }
    }
}

/// Every acknowledged object is there in an acknowledged state, and there is nothing else.
pub(super) fn compare(host: &Host, runtime: &Runtime, clients: &mut [Client], round: usize) {
    let docker = runtime.block_on(connect(&host.endpoint()));
    let mut said = runtime.block_on(Said::ask(&docker));
    let known: BTreeSet<String> = clients.iter().flat_map(Client::container_names).collect();
    for name in said.containers.keys() {
        assert!(known.contains(name), "round {round}: nobody made {name}");
    }
    for client in clients.iter_mut() {
        runtime.block_on(client.compare(&docker, &said, round));
    }
    // What ends by itself may do so meanwhile.
    host.until("the kernel and the disk have what the engine says, and nothing else", || {
        said = runtime.block_on(Said::ask(&docker));
        runtime.block_on(differences(&docker, host, &said)).is_empty()
    });
}

/// What the kernel and the disk have more or less than the engine says. Shown when that doesn't end.
async fn differences(docker: &Docker, host: &Host, said: &Said) -> Vec<String> {
    let holdings = host.holdings();
    let ids = |wanted: Option<State>| -> BTreeSet<String> {
        let chosen =
            said.containers.values().filter(|(state, _)| wanted.is_none_or(|wanted| *state == wanted));
        chosen.map(|(_, id)| id.clone()).collect()
    };
    let (all, running) = (ids(None), ids(Some(State::Running)));
    let sockets: BTreeSet<String> = running.iter().map(|id| id[..24].to_owned()).collect();
    let mut ports = 0;
    for id in &running {
        let inspected = docker.inspect_container(id, None).await;
        let networks = inspected.ok().and_then(|container| container.network_settings);
        ports +=
            networks.and_then(|networks| networks.ports).map_or(0, |ports| ports.values().flatten().count());
    }
    let compared = [
        ("containers", format!("{:?}", holdings.containers), format!("{all:?}")),
        ("control groups", format!("{:?}", holdings.cgroups), format!("{running:?}")),
        ("supervisors", holdings.supervisors.to_string(), running.len().to_string()),
        ("sockets", format!("{:?}", holdings.sockets), format!("{sockets:?}")),
        ("links", holdings.links.to_string(), running.len().to_string()),
        ("published ports", holdings.ports.to_string(), ports.to_string()),
        ("volumes", format!("{:?}", holdings.volumes), format!("{:?}", said.volumes)),
        ("mounts", format!("{:?}", holdings.mounts), "[]".to_owned()),
    ];
    let different = compared.into_iter().filter(|(_, found, wanted)| found != wanted);
    let different: Vec<_> =
        different.map(|(what, found, wanted)| format!("{what}: {found} instead of {wanted}")).collect();
    for line in &different {
        eprintln!("{line}");
    }
    different
}
