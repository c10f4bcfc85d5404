//! Attributes that no request to an engine has: each is refused in words that say what to do instead.

use crate::{
    model::{Project, Service},
    plan::PlanError,
};

/// Refuses what can't be.
pub(super) fn refuse(project: &Project, service: &Service) -> Result<(), PlanError> {
    let no = |attribute: &str, problem: &str| Err(PlanError::attribute(&service.name, attribute, problem));
    if let Some(provider) = &service.provider {
        return no("provider", &format!("it has no containers: the program {:?} provides it", provider.kind));
    }
    if service.credential_spec.is_some() {
        return no("credential_spec", "managed accounts are Windows' own");
    }
    refuse_secrets(project, service)?;
    refuse_configs(project, service)
}

fn refuse_secrets(project: &Project, service: &Service) -> Result<(), PlanError> {
    for mount in &service.secrets {
        let at = format!("secrets.{}", mount.source);
        let no = |problem: String| Err(PlanError::attribute(&service.name, &at, problem));
        let Some(secret) = project.secrets.get(&mount.source) else {
            return no("the project has no such secret".to_owned());
        };
        if secret.external {
            return no(format!(
                "unsupported external secret {}; give it by `file` or `environment`",
                secret.name
            ));
        }
        if !secret.driver.is_empty() || !secret.template_driver.is_empty() {
            return no("drivers of secrets need a swarm; give it by `file` or `environment`".to_owned());
        }
        if secret.file.is_empty() && secret.content.is_none() {
            return no(format!("environment variable {:?} is not set", secret.environment));
        }
        if secret.file.is_empty() && service.read_only {
            return no(
                "can't be put into a read-only service: `file` is the sole supported option".to_owned()
            );
        }
    }
    Ok(())
}

fn refuse_configs(project: &Project, service: &Service) -> Result<(), PlanError> {
    for mount in &service.configs {
        let at = format!("configs.{}", mount.source);
        let no = |problem: String| Err(PlanError::attribute(&service.name, &at, problem));
        let Some(config) = project.configs.get(&mount.source) else {
            return no("the project has no such config".to_owned());
        };
        if config.external {
            return no(format!(
                "unsupported external config {}; give it by `file` or `content`",
                config.name
            ));
        }
        if !config.driver.is_empty() || !config.template_driver.is_empty() {
            return no("drivers of configs need a swarm; give it by `file` or `content`".to_owned());
        }
        if config.file.is_empty() && service.read_only {
            return no(
                "can't be put into a read-only service: `file` is the sole supported option".to_owned()
            );
        }
    }
    Ok(())
}
