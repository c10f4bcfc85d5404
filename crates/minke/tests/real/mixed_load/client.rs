//! A client that works on objects of its own until the engine is gone, and knows afterwards what may have become of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use bollard::{
    Docker,
    errors::Error,
    models::VolumeCreateRequest,
    query_parameters::{CreateImageOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions},
};
use futures_util::TryStreamExt;

use super::{
    PATIENCE,
    containers::{Container, Kind},
    ledger::{Known, Said, State},
};
use crate::durability::Chance;

/// The connection ended before the answer came.
#[derive(Debug)]
pub(super) struct Cut;

/// A client and its ledger.
pub(super) struct Client {
    containers: Vec<Container>,
    volume: (String, Known),
    image: (String, Known),
    /// How many calls of each kind were answered.
    answered: BTreeMap<&'static str, usize>,
}

/// A client of bollard's.
pub(super) async fn connect(endpoint: &str) -> Docker {
    let docker = Docker::connect_with_unix(endpoint, PATIENCE.as_secs(), bollard::API_DEFAULT_VERSION);
    docker.expect("a socket").negotiate_version().await.expect("the engine answers")
}

/// Makes a call: what was answered, or that there was none.
pub(super) async fn call<T>(what: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Cut> {
    match tokio::time::timeout(PATIENCE, call).await {
        Err(_) => panic!("{what} hangs"),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error @ (Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. }))) => {
            panic!("{what}: {error}")
        }
        Ok(Err(_)) => Err(Cut),
    }
}

impl Client {
    pub(super) fn new(number: usize, image: String) -> Self {
        let kinds = [Kind::Counting, Kind::Counting, Kind::Brief];
        let containers = kinds.into_iter().enumerate();
        Self {
            containers: containers
                .map(|(index, kind)| Container::new(format!("c{number}x{index}"), kind, format!("v{number}")))
                .collect(),
            volume: (format!("data{number}"), Known::is(State::Absent)),
            image: (image, Known::is(State::Absent)),
            answered: BTreeMap::new(),
        }
    }

    pub(super) fn container_names(&self) -> impl Iterator<Item = String> {
        self.containers.iter().map(|container| container.name.clone())
    }

    pub(super) fn count_into(&self, calls: &mut BTreeMap<&'static str, usize>) {
        for (what, count) in &self.answered {
            *calls.entry(what).or_default() += count;
        }
    }

    /// Makes calls until one isn't answered.
    pub(super) async fn work(mut self, endpoint: String, mut chance: Chance) -> Self {
        let Ok(docker) =
            Docker::connect_with_unix(&endpoint, PATIENCE.as_secs(), bollard::API_DEFAULT_VERSION)
        else {
            return self;
        };
        let Ok(docker) = docker.negotiate_version().await else { return self };
        while let Ok(what) = self.step(&docker, &mut chance).await {
            *self.answered.entry(what).or_default() += 1;
        }
        self
    }

    async fn step(&mut self, docker: &Docker, chance: &mut Chance) -> Result<&'static str, Cut> {
        match chance.below(8) {
            0 => self.change_volume(docker).await,
            1 => self.change_image(docker).await,
            _ => {
                let number = self.containers.len() as u64;
                let chosen = usize::try_from(chance.below(number)).expect("a small number");
                self.containers[chosen].step(docker, chance).await
            }
        }
    }

    async fn change_volume(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        let (name, known) = &mut self.volume;
        if known.state() == Some(State::Created) {
            known.may_become(&[State::Absent]);
            call("remove a volume", docker.remove_volume(name, None::<RemoveVolumeOptions>)).await?;
            known.set(State::Absent);
            return Ok("remove a volume");
        }
        known.may_become(&[State::Created]);
        let request = VolumeCreateRequest { name: Some(name.clone()), ..VolumeCreateRequest::default() };
        call("create a volume", docker.create_volume(request)).await?;
        known.set(State::Created);
        Ok("create a volume")
    }

    async fn change_image(&mut self, docker: &Docker) -> Result<&'static str, Cut> {
        let (name, known) = &mut self.image;
        if known.state() == Some(State::Created) {
            known.may_become(&[State::Absent]);
            call("remove an image", docker.remove_image(name, None::<RemoveImageOptions>, None)).await?;
            known.set(State::Absent);
            return Ok("remove an image");
        }
        known.may_become(&[State::Created]);
        let options = CreateImageOptionsBuilder::new().from_image(name).build();
        let lines: Vec<_> =
            call("pull", docker.create_image(Some(options), None, None).try_collect()).await?;
        // A stream that is cut between two lines looks like one that ended.
        let last = lines.last().and_then(|line| line.status.clone()).unwrap_or_default();
        if !last.starts_with("Status: ") {
            return Err(Cut);
        }
        known.set(State::Created);
        Ok("pull")
    }

    /// What there is must be what may be.
    pub(super) async fn compare(&mut self, docker: &Docker, said: &Said, round: usize) {
        for container in &mut self.containers {
            container.compare(docker, said.state(&container.name), round).await;
        }
        for ((name, known), there) in [(&mut self.volume, &said.volumes), (&mut self.image, &said.images)] {
            settle(name, known, there, round);
        }
    }

    /// Removes all that it has.
    pub(super) async fn tidy(&mut self, endpoint: String) {
        let docker = connect(&endpoint).await;
        for container in &mut self.containers {
            container.discard(&docker).await;
        }
        if self.volume.1.state() == Some(State::Created) {
            self.change_volume(&docker).await.expect("an engine");
        }
        if self.image.1.state() == Some(State::Created) {
            self.change_image(&docker).await.expect("an engine");
        }
    }
}

fn settle(name: &str, known: &mut Known, there: &BTreeSet<String>, round: usize) {
    let state = if there.contains(name) { State::Created } else { State::Absent };
    assert!(known.allows(state), "round {round}: {name} is {state:?}, but {known:?} was acknowledged");
    known.set(state);
}
