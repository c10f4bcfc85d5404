//! In which order services come: each after those that it depends on.

use std::collections::{BTreeMap, BTreeSet};

use super::{PlanError, names};
use crate::model::{Project, Service};

/// The services that a service waits for, of those that take part.
pub(crate) fn dependencies<'a>(project: &'a Project, service: &'a Service) -> BTreeSet<&'a str> {
    let named = service.depends_on.keys().map(String::as_str).chain(names::shared_services(service));
    named.filter(|name| project.services.contains_key(*name)).collect()
}

/// All services, each after those that it depends on; those that don't depend on each other by name.
///
/// # Errors
/// `Cycle` when there is no such order, `MissingDependency` for one that must be there and isn't.
pub(crate) fn sorted(project: &Project) -> Result<Vec<&Service>, PlanError> {
    let mut order = Vec::new();
    for services in levels(project)? {
        order.extend(services);
    }
    Ok(order)
}

/// The services that wait for each service, by its name.
pub(crate) fn dependants(project: &Project) -> BTreeMap<&str, Vec<&str>> {
    let mut dependants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for service in project.services.values() {
        for name in dependencies(project, service) {
            dependants.entry(name).or_default().push(&service.name);
        }
    }
    dependants
}

/// The services in groups: each group waits only for those before it.
///
/// # Errors
/// As for the order of services.
pub fn levels(project: &Project) -> Result<Vec<Vec<&Service>>, PlanError> {
    check(project)?;
    let mut left: BTreeMap<&str, BTreeSet<&str>> = project
        .services
        .iter()
        .map(|(name, service)| (name.as_str(), dependencies(project, service)))
        .collect();
    let dependants = dependants(project);
    let mut ready: Vec<&str> =
        left.iter().filter(|(_, waits)| waits.is_empty()).map(|(name, _)| *name).collect();
    let mut levels = Vec::new();
    while !ready.is_empty() {
        let mut next = BTreeSet::new();
        for name in &ready {
            left.remove(name);
            for dependant in dependants.get(name).into_iter().flatten() {
                let Some(waits) = left.get_mut(dependant) else { continue };
                waits.remove(name);
                if waits.is_empty() {
                    next.insert(*dependant);
                }
            }
        }
        levels.push(ready.into_iter().filter_map(|name| project.services.get(name)).collect());
        ready = next.into_iter().collect();
    }
    if left.is_empty() { Ok(levels) } else { Err(PlanError::Cycle(cycle(&left))) }
}

fn check(project: &Project) -> Result<(), PlanError> {
    for service in project.services.values() {
        let known =
            |name: &str| project.services.contains_key(name) || project.disabled_services.contains_key(name);
        let mut required = service.depends_on.iter().filter(|(_, dependency)| dependency.required);
        if let Some((dependency, _)) = required.find(|(name, _)| !known(name)) {
            let (service, dependency) = (service.name.clone(), dependency.clone());
            return Err(PlanError::MissingDependency { service, dependency });
        }
    }
    Ok(())
}

/// One cycle among services that all wait.
fn cycle(left: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut at = left.keys().next().copied().unwrap_or_default();
    while !path.contains(&at) {
        path.push(at);
        at = left.get(at).and_then(|waits| waits.iter().next()).copied().unwrap_or_default();
    }
    let begin = path.iter().position(|name| *name == at).unwrap_or(0);
    path[begin..].iter().chain([&at]).map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dependency;

    fn project(edges: &[(&str, &[&str])]) -> Project {
        let service = |(name, waits): &(&str, &[&str])| {
            let dependency =
                Dependency { condition: "service_started".into(), required: true, ..Dependency::default() };
            let depends_on = waits.iter().map(|name| ((*name).to_owned(), dependency.clone())).collect();
            ((*name).to_owned(), Service { name: (*name).to_owned(), depends_on, ..Service::default() })
        };
        Project { name: "p".into(), services: edges.iter().map(service).collect(), ..Project::default() }
    }

    #[test]
    fn each_service_comes_after_those_it_depends_on() {
        let project = project(&[("web", &["app", "cache"]), ("app", &["db"]), ("db", &[]), ("cache", &[])]);
        let names: Vec<Vec<_>> = levels(&project)
            .unwrap()
            .iter()
            .map(|level| level.iter().map(|service| service.name.as_str()).collect())
            .collect();
        assert_eq!(names, [vec!["cache", "db"], vec!["app"], vec!["web"]]);
    }

    #[test]
    fn a_cycle_is_named_with_its_services() {
        let project = project(&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]);
        let error = levels(&project).unwrap_err();
        assert_eq!(error.to_string(), "dependency cycle detected: a -> b -> c -> a");
    }

    #[test]
    fn a_dependency_that_is_not_there_is_an_error_unless_it_may_be_missing() {
        let mut project = project(&[("a", &["b"])]);
        assert!(levels(&project).is_err());
        project.services.get_mut("a").unwrap().depends_on.get_mut("b").unwrap().required = false;
        assert_eq!(levels(&project).unwrap().len(), 1);
    }
}
