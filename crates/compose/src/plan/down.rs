//! `down`, `stop` and `rm`: each service after those that depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Command, Container, Observed, Plan, PlanError, StepId, command::Call, names, order, up};
use crate::model::{Project, Service};

/// Which images `down` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RemovedImages {
    /// None.
    #[default]
    None,
    /// Those that were built without a name of their own.
    Local,
    /// All that the services use.
    All,
}

/// The flags of `down`.
#[derive(Debug, Clone, Default)]
pub struct Down {
    /// The services that the user named; none is the whole project.
    pub services: Vec<String>,
    /// Also the project's volumes, and anonymous ones.
    pub volumes: bool,
    /// Also images.
    pub images: RemovedImages,
    /// Also containers of services that the project has no more, and of `compose run`.
    pub remove_orphans: bool,
    /// How long a stop may take.
    pub timeout: Option<Duration>,
}

/// Plans `down`.
///
/// # Errors
/// When services wait for each other.
pub fn down(project: &Project, observed: &Observed, options: &Down) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    let chosen =
        |name: &str| options.services.is_empty() || options.services.iter().any(|wanted| wanted == name);
    let (containers, dependants) = (observed.by_service(), order::dependants(project));
    let mut gone: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    let mut all = Vec::new();
    for service in order::sorted(project)?.into_iter().rev() {
        if !chosen(&service.name) {
            continue;
        }
        let after = dependants_steps(&dependants, &service.name, &gone);
        if service.provider.is_some() {
            let step = plan.push(call(service, Call::Down), after);
            gone.insert(&service.name, vec![step]);
            all.push(step);
            continue;
        }
        for container in containers.get(service.name.as_str()).into_iter().flatten() {
            let step = remove(&mut plan, container, &after, options);
            gone.entry(&service.name).or_default().push(step);
            all.push(step);
        }
    }
    // Those that failed were kept.
    let before = observed.containers.iter().filter(|container| container.is_before());
    for container in before.filter(|container| chosen(container.service())) {
        all.push(remove(&mut plan, container, &[], options));
    }
    if options.remove_orphans {
        let oneoff =
            observed.containers.iter().filter(|container| container.is_oneoff() && !container.is_before());
        for orphan in up::orphans(project, observed).into_iter().chain(oneoff) {
            all.push(remove(&mut plan, orphan, &[], options));
        }
    }
    if options.services.is_empty() {
        resources(project, observed, options, &all, &mut plan);
    }
    Ok(plan)
}

/// The steps of those that depend on a service.
fn dependants_steps(
    dependants: &BTreeMap<&str, Vec<&str>>,
    service: &str,
    steps: &BTreeMap<&str, Vec<StepId>>,
) -> Vec<StepId> {
    let dependants = dependants.get(service).into_iter().flatten();
    dependants.filter_map(|other| steps.get(other)).flatten().copied().collect()
}

fn remove(plan: &mut Plan, container: &Container, after: &[StepId], options: &Down) -> StepId {
    let mut after = after.to_vec();
    if container.is_running() {
        after = vec![plan.push(stop_command(container, options.timeout), after)];
    }
    let name = container.name().to_owned();
    plan.push(Command::RemoveContainer { name, volumes: options.volumes }, after)
}

fn call(service: &Service, call: Call) -> Command {
    Command::CallProvider { service: service.name.clone(), call }
}

fn stop_command(container: &Container, timeout: Option<Duration>) -> Command {
    Command::StopContainer {
        service: container.service().to_owned(),
        name: container.name().to_owned(),
        timeout,
    }
}

/// Networks, volumes and images, once no container uses them.
fn resources(project: &Project, observed: &Observed, options: &Down, after: &[StepId], plan: &mut Plan) {
    for network in project.networks.values().filter(|network| !network.external) {
        let named = observed.networks.iter().filter(|existing| existing.name == network.name);
        for existing in named.filter(|existing| existing.project() == project.name) {
            let (name, id) = (existing.name.clone(), existing.id.clone());
            plan.push(Command::RemoveNetwork { name, id }, after.iter().copied());
        }
    }
    if options.volumes {
        for volume in project.volumes.values().filter(|volume| !volume.external) {
            if observed.volume(&volume.name).is_some() {
                plan.push(Command::RemoveVolume { name: volume.name.clone() }, after.iter().copied());
            }
        }
    }
    let services = project.services.values().chain(project.disabled_services.values());
    let images =
        services.filter(|service| service.provider.is_none()).filter(|service| match options.images {
            RemovedImages::None => false,
            RemovedImages::Local => service.image.is_empty(),
            RemovedImages::All => true,
        });
    let images: BTreeSet<_> = images.map(|service| names::image(&project.name, service)).collect();
    for name in images {
        plan.push(Command::RemoveImage { name }, after.iter().copied());
    }
}

/// Plans `stop` of some services, or of all.
///
/// # Errors
/// When services wait for each other.
pub fn stop(
    project: &Project,
    observed: &Observed,
    named: &[String],
    timeout: Option<Duration>,
) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    let (containers, dependants) = (observed.by_service(), order::dependants(project));
    let mut stopped: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    for service in order::sorted(project)?.into_iter().rev() {
        if !named.is_empty() && !named.contains(&service.name) {
            continue;
        }
        let after = dependants_steps(&dependants, &service.name, &stopped);
        if service.provider.is_some() {
            stopped.insert(&service.name, vec![plan.push(call(service, Call::Stop), after)]);
            continue;
        }
        let containers = containers.get(service.name.as_str()).into_iter().flatten();
        for container in containers.filter(|container| container.is_running()) {
            let step = plan.push(stop_command(container, timeout), after.clone());
            stopped.entry(&service.name).or_default().push(step);
        }
    }
    Ok(plan)
}

/// Plans `rm` of these containers; those that run are left alone unless `stop`.
pub fn rm(containers: &[&Container], stop: bool, volumes: bool) -> Plan {
    let mut plan = Plan::default();
    for container in containers {
        let mut after = Vec::new();
        if container.is_running() {
            if !stop {
                continue;
            }
            after.push(plan.push(stop_command(container, None), []));
        }
        plan.push(Command::RemoveContainer { name: container.name().to_owned(), volumes }, after);
    }
    plan
}
