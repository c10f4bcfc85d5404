//! Services that a program of the user's provides (`provider`) instead of containers: when it is called, and who learns of what
//! it says.
//!
//! Providers come before all containers: what they tell goes into the environment, and so into the hashes, of those that depend
//! on them.

use std::collections::BTreeMap;

use super::{Command, Plan, PlanError, StepId, command::Call, order};
use crate::model::{Mapping, Project};

/// The variables that a provider tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Those that get the service's name in front (`setenv`).
    pub prefixed: Mapping,
    /// Those that are taken as they are (`rawsetenv`).
    pub raw: Mapping,
}

/// Plans the calls of all providers; each after those that its service depends on.
///
/// # Errors
/// When services wait for each other.
pub fn providers(project: &Project) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    let mut steps: BTreeMap<&str, StepId> = BTreeMap::new();
    for service in order::sorted(project)?.into_iter().filter(|service| service.provider.is_some()) {
        let dependencies = order::dependencies(project, service);
        let after: Vec<_> = dependencies.iter().filter_map(|name| steps.get(name)).copied().collect();
        let call = Command::CallProvider { service: service.name.clone(), call: Call::Up };
        steps.insert(&service.name, plan.push(call, after));
    }
    Ok(plan)
}

/// Puts what a provider told into the environment of the services that depend on it. Returns what the user should know.
pub fn inform(project: &mut Project, provider: &str, told: &Told) -> Vec<String> {
    let mut warnings = Vec::new();
    let prefix = provider.to_uppercase();
    let dependants =
        project.services.values_mut().filter(|service| service.depends_on.contains_key(provider));
    for service in dependants {
        for (name, value) in &told.prefixed {
            service.environment.insert(format!("{prefix}_{name}"), Some(value.clone()));
        }
        for (name, value) in &told.raw {
            let before = service.environment.insert(name.clone(), Some(value.clone()));
            if before.is_some_and(|before| before.as_ref() != Some(value)) {
                warnings.push(format!(
                    "the provider {provider:?} overrides the variable {name:?} of service {:?}",
                    service.name
                ));
            }
        }
    }
    warnings
}

/// Tells services where the language models are that they ask, and what they are called.
pub fn inform_of_models(project: &mut Project, endpoint: &str) {
    for service in project.services.values_mut() {
        for (key, wanted) in &service.models {
            let Some(model) = project.models.get(key) else { continue };
            let prefix = key.to_uppercase().replace('-', "_");
            let wanted = wanted.clone().unwrap_or_default();
            let variable = |named: String, suffix: &str| match named.is_empty() {
                true => format!("{prefix}_{suffix}"),
                false => named,
            };
            let (name, url) = (variable(wanted.model_var, "MODEL"), variable(wanted.endpoint_var, "URL"));
            service.environment.insert(name, Some(model.model.clone()));
            service.environment.insert(url, Some(endpoint.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Model, Provider, ServiceModel},
        plan::{Down, Observed, down, stop, tests},
    };

    /// `app` needs `db` of a provider, which needs `net` of another.
    fn project() -> Project {
        let mut project =
            tests::project(&[("app", &[("db", "started")]), ("db", &[("net", "started")]), ("net", &[])]);
        project.networks.clear();
        for name in ["db", "net"] {
            project.services.get_mut(name).unwrap().provider =
                Some(Provider { kind: "cloud".into(), ..Provider::default() });
        }
        project
    }

    #[test]
    fn providers_are_called_in_the_order_of_dependencies_and_back() {
        let project = project();
        assert_eq!(
            providers(&project).unwrap().to_string(),
            "1. call provider of net: up\n2. call provider of db: up after 1\n"
        );
        let nothing = Observed::default();
        assert_eq!(
            down(&project, &nothing, &Down::default()).unwrap().to_string(),
            "1. call provider of db: down\n2. call provider of net: down after 1\n"
        );
        assert_eq!(
            stop(&project, &nothing, &["db".to_owned()], None).unwrap().to_string(),
            "1. call provider of db: stop\n"
        );
    }

    #[test]
    fn those_that_depend_on_a_provider_learn_what_it_tells() {
        let mut project = project();
        let app = project.services.get_mut("app").unwrap();
        app.environment.insert("REGION".into(), Some("here".into()));
        let told = Told {
            prefixed: [("URL".to_owned(), "x://y".to_owned())].into(),
            raw: [("REGION".to_owned(), "there".to_owned())].into(),
        };
        let warnings = inform(&mut project, "db", &told);
        let environment = &project.services["app"].environment;
        assert_eq!(environment["DB_URL"].as_deref(), Some("x://y"));
        assert_eq!(environment["REGION"].as_deref(), Some("there"));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(project.services["net"].environment.is_empty());
        assert!(inform(&mut project, "db", &told).is_empty(), "it says the same again");
    }

    #[test]
    fn services_learn_of_their_models_by_variables_of_their_choice() {
        let mut project = tests::project(&[("app", &[])]);
        let model = Model { model: "ai/small".into(), ..Model::default() };
        project.models.insert("the-model".into(), model);
        let app = project.services.get_mut("app").unwrap();
        app.models.insert("the-model".into(), None);
        inform_of_models(&mut project, "http://here/");
        let named = ServiceModel { endpoint_var: "WHERE".into(), ..ServiceModel::default() };
        project.services.get_mut("app").unwrap().models.insert("the-model".into(), Some(named));
        inform_of_models(&mut project, "http://there/");
        let environment = &project.services["app"].environment;
        assert_eq!(environment["THE_MODEL_MODEL"].as_deref(), Some("ai/small"));
        assert_eq!(environment["THE_MODEL_URL"].as_deref(), Some("http://here/"));
        assert_eq!(environment["WHERE"].as_deref(), Some("http://there/"));
    }
}
