//! `up` and `create`: what is missing is made, what differs is made anew, all else is left alone.
//!
//! ```text
//!   networks, volumes ──▶ containers (all at once) ──▶ start: after what it depends on has started, is healthy or has ended
//! ```
//! A container that is made anew: the new one is made beside it under another name, then the old one is stopped and removed, then
//! the new one gets the name. Interrupted at any point, the next `up` finds by the label of the new one how far that was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Cause, Command, Container, CreateContainer, Observed, PlanError, StepId, labels, names, order,
    request::{self, Origin, Place},
    resources,
    start::Starting,
};
use crate::{
    model::{Project, Service},
    plan::Plan,
    render,
};

/// When containers that are as they should be are made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recreate {
    /// Never; only those that differ are.
    #[default]
    Changed,
    /// Always (`--force-recreate`).
    Force,
    /// Not even those that differ are (`--no-recreate`).
    Never,
}

/// The flags of `up` that matter for a plan.
#[derive(Debug, Clone, Default)]
pub struct Up {
    /// The services that the user named; the others are there because these depend on them. None is all.
    pub services: Vec<String>,
    /// For those.
    pub recreate: Recreate,
    /// For the services that they depend on.
    pub recreate_dependencies: Recreate,
    /// Anonymous volumes are not taken over (`-V`).
    pub renew_volumes: bool,
    /// How long a stop may take.
    pub timeout: Option<Duration>,
    /// Containers of services that the project has no more are removed.
    pub remove_orphans: bool,
    /// Volumes whose configuration differs are made anew, with the loss of what is in them.
    pub replace_volumes: bool,
    /// Containers are started.
    pub start: bool,
    /// And are waited for (`--wait`).
    pub wait: bool,
}

/// Plans `up`.
///
/// # Errors
/// When the project can't be brought about.
pub fn up(origin: Origin<'_>, options: &Up) -> Result<Plan, PlanError> {
    let mut planner = Planner {
        origin,
        options,
        containers: origin.observed.by_service(),
        plan: Plan::default(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        removed: BTreeMap::new(),
        stopped: BTreeMap::new(),
        remade: BTreeSet::new(),
        starting: Starting::default(),
    };
    let services = order::sorted(origin.project)?;
    unique_names(origin.project)?;
    planner.networks()?;
    planner.volumes()?;
    for service in &services {
        planner.service(service)?;
    }
    planner.orphans();
    let Planner { mut plan, starting, stopped, .. } = planner;
    if options.start {
        starting.plan(origin, &services, &stopped, options.wait, &mut plan)?;
    }
    Ok(plan)
}

/// Volumes of the project that were made from another configuration; making them anew loses what is in them.
pub fn diverged_volumes(project: &Project, observed: &Observed) -> Vec<String> {
    let owned = project.volumes.values().filter(|volume| !volume.external);
    let diverged = owned.filter(|volume| {
        let existing = observed.volume(&volume.name).filter(|existing| existing.project() == project.name);
        existing.is_some_and(|existing| differs(existing.config_hash(), &render::volume_hash(volume)))
    });
    diverged.map(|volume| volume.name.clone()).collect()
}

/// Containers of services that the project doesn't have.
pub fn orphans<'a>(project: &Project, observed: &'a Observed) -> Vec<&'a Container> {
    let known =
        |name: &str| project.services.contains_key(name) || project.disabled_services.contains_key(name);
    observed
        .containers
        .iter()
        .filter(|container| !container.is_oneoff() && !known(container.service()))
        .collect()
}

/// Older engines' networks and volumes have no hash.
fn differs(existing: &str, wanted: &str) -> bool {
    !existing.is_empty() && existing != wanted
}

fn unique_names(project: &Project) -> Result<(), PlanError> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for service in project.services.values().filter(|service| !service.container_name.is_empty()) {
        let name = service.container_name.as_str();
        if let Some(first) = seen.insert(name, &service.name) {
            let (first, second, name) = (first.to_owned(), service.name.clone(), name.to_owned());
            return Err(PlanError::SameName { first, second, name });
        }
    }
    Ok(())
}

struct Planner<'a> {
    origin: Origin<'a>,
    options: &'a Up,
    /// What there is of each service.
    containers: BTreeMap<&'a str, Vec<&'a Container>>,
    plan: Plan,
    /// The steps that make networks and volumes, by their keys.
    networks: BTreeMap<String, StepId>,
    volumes: BTreeMap<String, StepId>,
    /// The steps that remove containers for the sake of a network or volume, by ids.
    removed: BTreeMap<String, (StepId, Cause)>,
    /// The steps that stop containers, by ids.
    stopped: BTreeMap<String, StepId>,
    /// Services of which a container is made anew.
    remade: BTreeSet<String>,
    starting: Starting,
}

impl<'a> Planner<'a> {
    fn networks(&mut self) -> Result<(), PlanError> {
        let Origin { project, observed, .. } = self.origin;
        for (key, network) in &project.networks {
            let existing = observed.network(&network.name);
            if network.external {
                if existing.is_none() {
                    return Err(PlanError::NoExternalNetwork(network.name.clone()));
                }
                continue;
            }
            let mut after = Vec::new();
            if let Some(existing) = existing {
                if existing.project() != project.name {
                    self.plan.warnings.push(format!(
                        "a network with name {} exists but was not created for project {:?}. Set `external: true` to use an \
                         existing network",
                        network.name, project.name
                    ));
                    continue;
                }
                if !differs(existing.config_hash(), &render::network_hash(network)) {
                    continue;
                }
                let uses =
                    |container: &Container| container.network_settings.networks.contains_key(&network.name);
                let removed = self.clear(uses, Cause::Network);
                let remove = Command::RemoveNetwork { name: network.name.clone(), id: existing.id.clone() };
                after.push(self.plan.push(remove, removed));
            }
            let request = resources::network(&project.name, key, network);
            let create = Command::CreateNetwork { name: network.name.clone(), request };
            self.networks.insert(key.clone(), self.plan.push(create, after));
        }
        Ok(())
    }

    fn volumes(&mut self) -> Result<(), PlanError> {
        let Origin { project, observed, .. } = self.origin;
        let diverged = diverged_volumes(project, observed);
        for (key, volume) in &project.volumes {
            let existing = observed.volume(&volume.name);
            if volume.external {
                if existing.is_none() {
                    return Err(PlanError::NoExternalVolume(volume.name.clone()));
                }
                continue;
            }
            let mut after = Vec::new();
            if let Some(existing) = existing {
                if existing.project() != project.name {
                    self.plan.warnings.push(format!(
                        "volume {:?} already exists but was not created for project {:?}. Use `external: true` to use an existing \
                         volume",
                        volume.name, project.name
                    ));
                    continue;
                }
                if !self.options.replace_volumes || !diverged.contains(&volume.name) {
                    continue;
                }
                let uses =
                    |container: &Container| container.mounts.iter().any(|mount| mount.name == volume.name);
                let removed = self.clear(uses, Cause::Volume);
                after.push(self.plan.push(Command::RemoveVolume { name: volume.name.clone() }, removed));
            }
            let request = resources::volume(&project.name, key, volume);
            let create = Command::CreateVolume { name: volume.name.clone(), request };
            self.volumes.insert(key.clone(), self.plan.push(create, after));
        }
        Ok(())
    }

    /// Removes the containers that use something that is made anew; they are made again after it.
    fn clear(&mut self, uses: impl Fn(&Container) -> bool, cause: Cause) -> Vec<StepId> {
        let mut steps = Vec::new();
        for container in self.origin.observed.containers.iter().filter(|container| uses(container)) {
            let step = match self.removed.get(&container.id) {
                Some((step, _)) => *step,
                None => {
                    let step = self.remove(container, vec![]);
                    self.removed.insert(container.id.clone(), (step, cause));
                    step
                }
            };
            steps.push(step);
        }
        steps
    }

    fn stop(&mut self, container: &Container, after: Vec<StepId>) -> Vec<StepId> {
        if let Some(step) = self.stopped.get(&container.id) {
            return vec![*step];
        }
        if !container.is_running() {
            return after;
        }
        let command = Command::StopContainer {
            service: container.service().to_owned(),
            name: container.name().to_owned(),
            timeout: self.options.timeout,
        };
        let step = self.plan.push(command, after);
        self.stopped.insert(container.id.clone(), step);
        vec![step]
    }

    fn remove(&mut self, container: &Container, mut after: Vec<StepId>) -> StepId {
        after.extend(self.stop(container, after.clone()));
        let command = Command::RemoveContainer { name: container.name().to_owned(), volumes: false };
        self.plan.push(command, after)
    }

    fn service(&mut self, service: &'a Service) -> Result<(), PlanError> {
        if service.provider.is_some() {
            return Ok(());
        }
        let project = self.origin.project;
        let wanted = names::scale(service) as usize;
        if wanted > 1 && !service.container_name.is_empty() {
            let (service, name) = (service.name.clone(), service.container_name.clone());
            return Err(PlanError::NameTaken { service, name });
        }
        let there = self.containers.get(service.name.as_str()).cloned().unwrap_or_default();
        let next = there.iter().map(|container| container.number()).max().unwrap_or(0) + 1;
        let (leftovers, mut existing): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|container| is_leftover(project, service, container));
        // Those that are fine come first, then by number: what is too many is at the end.
        existing.sort_by_key(|container| (self.cause(service, container).is_some(), container.number()));
        let adopted = self.leftovers(service, &leftovers, &existing);
        let count = existing.len() + adopted;
        for surplus in existing.iter().skip(wanted) {
            self.remove(surplus, vec![]);
        }
        for container in existing.iter().take(wanted) {
            match self.cause(service, container) {
                None => self.starting.existing(service, container),
                Some(cause) => self.remake(service, container, cause)?,
            }
        }
        for at in 0..wanted.saturating_sub(count) {
            self.make(service, next + u32::try_from(at).unwrap_or(0))?;
        }
        Ok(())
    }

    /// What an interrupted `up` left: a new container under its temporary name. Where the old one is gone it takes its place, else
    /// it goes, and the work begins anew. Returns how many took a place.
    fn leftovers(
        &mut self,
        service: &Service,
        leftovers: &[&'a Container],
        existing: &[&Container],
    ) -> usize {
        let mut adopted = 0;
        for leftover in leftovers {
            let name = names::container(&self.origin.project.name, service, leftover.number());
            let fine = self.cause(service, leftover).is_none();
            if fine && !existing.iter().any(|container| container.name() == name) {
                let from = leftover.name().to_owned();
                let step = self.plan.push(Command::RenameContainer { from, to: name.clone() }, []);
                self.starting.made(service, name, vec![step]);
                adopted += 1;
            } else {
                self.remove(leftover, vec![]);
            }
        }
        adopted
    }

    /// Why a container is not as it should be.
    fn cause(&self, service: &Service, container: &Container) -> Option<Cause> {
        let Origin { project, observed, .. } = self.origin;
        if let Some((_, cause)) = self.removed.get(&container.id) {
            return Some(*cause);
        }
        let named = self.options.services.is_empty() || self.options.services.contains(&service.name);
        match if named { self.options.recreate } else { self.options.recreate_dependencies } {
            Recreate::Never => return None,
            Recreate::Force => return Some(Cause::Forced),
            Recreate::Changed => {}
        }
        if self.shares_remade(service) {
            return Some(Cause::Shared);
        }
        if container.config_hash() != request::config_hash(project, observed, service) {
            return Some(Cause::Changed);
        }
        let image = observed.images.get(&names::image(&project.name, service));
        let is_of = |id: &str| id == container.noted_image() || id == container.image_id;
        if image.is_some_and(|image| !is_of(&image.id)) {
            return Some(Cause::Image);
        }
        if container.state == "running" && self.misses_network(service, container) {
            return Some(Cause::Network);
        }
        self.misses_volume(service, container).then_some(Cause::Volume)
    }

    fn shares_remade(&self, service: &Service) -> bool {
        let linked: BTreeSet<_> =
            service.links.iter().map(|link| link.split(':').next().unwrap_or_default()).collect();
        names::shared_services(service)
            .into_iter()
            .any(|name| self.remade.contains(name) && !linked.contains(name))
    }

    fn misses_network(&self, service: &Service, container: &Container) -> bool {
        let attached = &container.network_settings.networks;
        service.networks.keys().filter_map(|key| self.origin.project.networks.get(key)).any(|network| {
            let there = self.origin.observed.network(&network.name);
            let wanted = there.map_or("", |there| there.id.as_str());
            match attached.get(&network.name) {
                None => true,
                Some(endpoint) => !endpoint.network_id.is_empty() && endpoint.network_id != wanted,
            }
        })
    }

    fn misses_volume(&self, service: &Service, container: &Container) -> bool {
        let named = service.volumes.iter().filter(|mount| mount.kind == "volume" && !mount.source.is_empty());
        named.filter_map(|mount| self.origin.project.volumes.get(&mount.source)).any(|volume| {
            !container.mounts.iter().any(|mount| mount.kind == "volume" && mount.name == volume.name)
        })
    }

    /// What must be there before a container of the service can be made.
    fn ground(&self, service: &Service) -> Vec<StepId> {
        let networks = service.networks.keys().filter_map(|key| self.networks.get(key));
        let volumes = service.volumes.iter().filter_map(|mount| self.volumes.get(&mount.source));
        let shared = names::shared_services(service);
        let shared = shared.into_iter().flat_map(|name| self.starting.steps_of(name));
        networks.chain(volumes).copied().chain(shared).collect()
    }

    fn make(&mut self, service: &Service, number: u32) -> Result<(), PlanError> {
        let name = names::container(&self.origin.project.name, service, number);
        let place = Place { number, ..Place::default() };
        let step = self.create(service, name.clone(), name.clone(), place, Cause::Missing, vec![])?;
        self.starting.made(service, name, vec![step]);
        Ok(())
    }

    fn create(
        &mut self,
        service: &Service,
        name: String,
        shown: String,
        place: Place<'_>,
        cause: Cause,
        mut after: Vec<StepId>,
    ) -> Result<StepId, PlanError> {
        after.extend(self.ground(service));
        let request = request::container(self.origin, service, place)?;
        let platform = (!service.platform.is_empty()).then(|| service.platform.clone());
        let service = service.name.clone();
        let create = CreateContainer { service, name, shown, request, platform, cause };
        Ok(self.plan.push(Command::CreateContainer(Box::new(create)), after))
    }

    fn remake(&mut self, service: &Service, old: &'a Container, cause: Cause) -> Result<(), PlanError> {
        self.remade.insert(service.name.clone());
        let number = old.number();
        let name = names::container(&self.origin.project.name, service, number);
        let inherits = if self.options.renew_volumes { &[][..] } else { &old.mounts[..] };
        let mut place = Place { number, inherits, replaces: None };
        if let Some((removed, _)) = self.removed.get(&old.id) {
            let after = vec![*removed];
            let step = self.create(service, name.clone(), name.clone(), place, cause, after)?;
            self.starting.made(service, name, vec![step]);
            return Ok(());
        }
        place.replaces = Some(old.name());
        let temporary = format!("{}_{name}", old.id.get(..12).unwrap_or(&old.id));
        let created = self.create(service, temporary.clone(), name.clone(), place, cause, vec![])?;
        let mut after = self.stop_dependants(service, created);
        after.push(created);
        let removed = self.remove(old, after);
        let renamed =
            self.plan.push(Command::RenameContainer { from: temporary, to: name.clone() }, [removed]);
        self.starting.made(service, name, vec![renamed]);
        Ok(())
    }

    /// Containers of services that want to be restarted with this one stop before it does.
    fn stop_dependants(&mut self, service: &Service, created: StepId) -> Vec<StepId> {
        let dependants = self.origin.project.services.values().filter(|dependant| {
            dependant.depends_on.get(&service.name).is_some_and(|dependency| dependency.restart)
        });
        let containers: Vec<&Container> = dependants
            .filter_map(|dependant| self.containers.get(dependant.name.as_str()))
            .flatten()
            .copied()
            .collect();
        containers.into_iter().flat_map(|container| self.stop(container, vec![created])).collect()
    }

    fn orphans(&mut self) {
        let Origin { project, observed, .. } = self.origin;
        let orphans = orphans(project, observed);
        if orphans.is_empty() {
            return;
        }
        if self.options.remove_orphans {
            for orphan in orphans {
                if !self.removed.contains_key(&orphan.id) {
                    self.remove(orphan, vec![]);
                }
            }
            return;
        }
        let names: Vec<_> = orphans.iter().map(|orphan| orphan.name()).collect();
        self.plan.warnings.push(format!(
            "Found orphan containers ([{}]) for this project. If you removed or renamed this service in your compose file, you \
             can run this command with the --remove-orphans flag to clean it up.",
            names.join(" ")
        ));
    }
}

/// Whether a container still has the temporary name of one that takes another's place.
fn is_leftover(project: &Project, service: &Service, container: &Container) -> bool {
    container.labels.contains_key(labels::REPLACE)
        && container.name() != names::container(&project.name, service, container.number())
        && container
            .name()
            .ends_with(&format!("_{}", names::container(&project.name, service, container.number())))
}
