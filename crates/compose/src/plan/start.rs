//! The order in which containers start: each after what its service depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    Command, Condition, Container, Observed, Plan, PlanError, StepId, Wait, names, order,
    request::{self, Origin},
};
use crate::model::{Project, Service};

/// The containers that a project has once the steps so far are done.
#[derive(Debug, Default)]
pub(super) struct Starting {
    services: BTreeMap<String, Vec<Started>>,
}

#[derive(Debug)]
struct Started {
    name: String,
    /// `None` where it was just made.
    id: Option<String>,
    /// The steps after which it is there.
    after: Vec<StepId>,
    runs: bool,
}

impl Starting {
    /// A container that is there.
    pub(super) fn existing(&mut self, service: &Service, container: &Container) {
        let (name, id) = (container.name().to_owned(), Some(container.id.clone()));
        let started = Started { name, id, after: Vec::new(), runs: container.is_running() };
        self.services.entry(service.name.clone()).or_default().push(started);
    }

    /// A container that is there after some steps.
    pub(super) fn made(&mut self, service: &Service, name: String, after: Vec<StepId>) {
        let started = Started { name, id: None, after, runs: false };
        self.services.entry(service.name.clone()).or_default().push(started);
    }

    /// The steps that make a service's containers.
    pub(super) fn steps_of(&self, service: &str) -> Vec<StepId> {
        let containers = self.services.get(service).into_iter().flatten();
        containers.flat_map(|container| container.after.iter().copied()).collect()
    }

    /// Starts all that don't run or were stopped by a step, in the order of `services`.
    ///
    /// # Errors
    /// `Attribute` for what can't be asked of an engine.
    pub(super) fn plan(
        &self,
        origin: Origin<'_>,
        services: &[&Service],
        stopped: &BTreeMap<String, StepId>,
        wait: bool,
        plan: &mut Plan,
    ) -> Result<(), PlanError> {
        let mut starts: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
        let mut waits: BTreeMap<(&str, &str, bool), StepId> = BTreeMap::new();
        for service in services {
            let mut before_all = None;
            for container in self.services.get(&service.name).into_iter().flatten() {
                let stop = container.id.as_ref().and_then(|id| stopped.get(id));
                if container.runs && stop.is_none() {
                    continue;
                }
                let mut after = container.after.clone();
                after.extend(stop);
                after.extend(self.dependencies(origin.project, service, &starts, &mut waits, plan));
                after.extend(before(origin, service, &container.name, &mut before_all, &after, plan)?);
                let start =
                    Command::StartContainer { service: service.name.clone(), name: container.name.clone() };
                let step = plan.push(start, after);
                starts.entry(&service.name).or_default().push(step);
            }
        }
        if wait {
            for service in services {
                let after = starts.get(service.name.as_str()).cloned().unwrap_or_default();
                self.wait(&service.name, Condition::RunningOrHealthy, true, after, plan);
            }
        }
        Ok(())
    }

    /// The steps after which a service may start.
    fn dependencies<'a>(
        &self,
        project: &'a Project,
        service: &'a Service,
        starts: &BTreeMap<&str, Vec<StepId>>,
        waits: &mut BTreeMap<(&'a str, &'a str, bool), StepId>,
        plan: &mut Plan,
    ) -> Vec<StepId> {
        let mut steps = Vec::new();
        for name in order::dependencies(project, service) {
            let started = starts.get(name).cloned().unwrap_or_default();
            let dependency = service.depends_on.get(name);
            let condition = dependency.map_or("", |dependency| dependency.condition.as_str());
            let awaited = match condition {
                "service_healthy" => Condition::Healthy,
                "service_completed_successfully" => Condition::Completed,
                _ => {
                    steps.extend(started);
                    continue;
                }
            };
            let required = dependency.is_none_or(|dependency| dependency.required);
            let known = waits.get(&(name, condition, required)).copied();
            let step = known.or_else(|| self.wait(name, awaited, required, started, plan));
            if let Some(step) = step {
                waits.insert((name, condition, required), step);
                steps.push(step);
            }
        }
        steps
    }

    /// A wait for a service, unless it has no container.
    fn wait(
        &self,
        service: &str,
        condition: Condition,
        required: bool,
        after: Vec<StepId>,
        plan: &mut Plan,
    ) -> Option<StepId> {
        let containers: Vec<_> =
            self.services.get(service)?.iter().map(|container| container.name.clone()).collect();
        let wait = Wait { service: service.to_owned(), containers, condition, required };
        Some(plan.push(Command::Wait(wait), after))
    }
}

/// The step that runs what comes before a container starts; what comes before all of its service has run then, too.
fn before(
    origin: Origin<'_>,
    service: &Service,
    container: &str,
    before_all: &mut Option<StepId>,
    after: &[StepId],
    plan: &mut Plan,
) -> Result<Option<StepId>, PlanError> {
    let requests = |per_replica: bool| -> Result<Vec<_>, PlanError> {
        let hooks = service.pre_start.iter().enumerate().filter(|(_, hook)| hook.per_replica == per_replica);
        let request = |(at, hook)| {
            let name = names::before(container, at);
            Ok((at, request::before(origin, service, hook, container, &name)?))
        };
        hooks.map(request).collect()
    };
    let run =
        |requests| Command::RunBefore { service: service.name.clone(), name: container.to_owned(), requests };
    if before_all.is_none() {
        let requests = requests(false)?;
        if !requests.is_empty() {
            *before_all = Some(plan.push(run(requests), after.iter().copied()));
        }
    }
    let requests = requests(true)?;
    if requests.is_empty() {
        return Ok(*before_all);
    }
    Ok(Some(plan.push(run(requests), after.iter().copied().chain(*before_all))))
}

/// Plans `start`: the containers that are there.
///
/// # Errors
/// When services wait for each other, or a service that the user named has no container.
pub fn start(origin: Origin<'_>, named: &[String], wait: bool) -> Result<Plan, PlanError> {
    let services = order::sorted(origin.project)?;
    let observed = origin.observed.by_service();
    let mut starting = Starting::default();
    for service in &services {
        let mut containers = observed.get(service.name.as_str()).cloned().unwrap_or_default();
        containers.sort_by_key(|container| container.number());
        if containers.is_empty() && named.contains(&service.name) {
            return Err(PlanError::NoContainer(service.name.clone()));
        }
        for container in containers {
            starting.existing(service, container);
        }
    }
    let mut plan = Plan::default();
    starting.plan(origin, &services, &BTreeMap::new(), wait, &mut plan)?;
    Ok(plan)
}

/// Plans `restart` of some services (all where none is named), and of those that want to be restarted with them.
///
/// # Errors
/// When services wait for each other.
pub fn restart(
    project: &Project,
    observed: &Observed,
    named: &[String],
    dependants: bool,
    timeout: Option<Duration>,
) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    let containers = observed.by_service();
    let mut done: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for service in order::sorted(project)? {
        let follows = service
            .depends_on
            .iter()
            .any(|(name, dependency)| dependants && dependency.restart && taken.contains(name.as_str()));
        if !(named.is_empty() || named.contains(&service.name) || follows) {
            continue;
        }
        taken.insert(&service.name);
        let waits = order::dependencies(project, service);
        let after: Vec<_> = waits.iter().filter_map(|name| done.get(name)).flatten().copied().collect();
        for container in containers.get(service.name.as_str()).into_iter().flatten() {
            let (service, name) = (service.name.clone(), container.name().to_owned());
            let step = plan.push(Command::RestartContainer { service, name, timeout }, after.clone());
            done.entry(container.service()).or_default().push(step);
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dependency;

    #[test]
    fn a_restart_goes_along_dependencies_that_ask_for_it() {
        let mut project = Project { name: "p".into(), ..Project::default() };
        for (name, on, restart) in
            [("db", None, false), ("app", Some("db"), true), ("web", Some("app"), false)]
        {
            let dependency = Dependency {
                condition: "service_started".into(),
                restart,
                required: true,
                ..Dependency::default()
            };
            let depends_on = on.map(|on: &str| (on.to_owned(), dependency)).into_iter().collect();
            let service = Service { name: name.into(), depends_on, ..Service::default() };
            project.services.insert(name.to_owned(), service);
        }
        let containers =
            project.services.values().map(|service| super::super::tests::running(&project, service, 1));
        let observed = Observed { containers: containers.collect(), ..Observed::default() };
        let plan = restart(&project, &observed, &["db".to_owned()], true, None).unwrap();
        assert_eq!(plan.to_string(), "1. restart container p-db-1\n2. restart container p-app-1 after 1\n");
        let alone = restart(&project, &observed, &["db".to_owned()], false, None).unwrap();
        assert_eq!(alone.lines(), ["restart container p-db-1"]);
    }
}
