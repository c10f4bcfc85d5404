//! Services of a provider: a program that is called with `compose up`, `stop` or `down` and answers with a message a line (Docker
//! Compose, "extension").

use std::collections::BTreeSet;

use minke_docker_client::Client;
use serde::Deserialize;

use super::{
    error::RunError,
    execute::Execution,
    program::{Program, ProgramError},
    report::{Event, Phase},
};
use crate::{
    model::{Project, Provider, Service},
    plan::{Call, Told},
};

/// What a provider says.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

/// What it says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    description: String,
    up: Known,
    down: Known,
    stop: Option<Known>,
}

/// The options that it knows for a call.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Known {
    parameters: Option<Vec<Parameter>>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    #[serde(default)]
    required: bool,
}

impl Metadata {
    fn is_empty(&self) -> bool {
        self.description.is_empty() && self.up.parameters.is_none() && self.down.parameters.is_none()
    }

    /// The options for a call; `None` where there is no such call.
    fn known(&self, call: Call) -> Option<&Known> {
        match call {
            Call::Up => Some(&self.up),
            Call::Down => Some(&self.down),
            Call::Stop => self.stop.as_ref(),
        }
    }
}

impl Execution<'_> {
    /// Calls the provider of a service.
    pub(super) async fn call_provider(&self, service: &str, call: Call) -> Result<(), RunError> {
        let Some(service) = self.project.services.get(service) else { return Ok(()) };
        let Some(provider) = &service.provider else { return Ok(()) };
        let (before, after) = match call {
            Call::Up => ("Creating", "Created"),
            Call::Stop => ("Stopping", "Stopped"),
            Call::Down => ("Removing", "Removed"),
        };
        let failed = |source| RunError::Provider { service: service.name.clone(), source };
        let program =
            program(self.client, self.project, provider, &self.around().plugin_folders()).map_err(failed)?;
        let metadata = metadata(&program).await;
        let Some(known) = metadata.known(call) else { return Ok(()) };
        let known = (!metadata.is_empty()).then_some(known);
        let arguments = arguments(self.project, service, provider, call, known).map_err(failed)?;
        let calling = async {
            let mut told = Told::default();
            let heard = |line: &str| self.hear(&service.name, line, &mut told);
            program.run(&arguments, heard).await.map_err(failed)?;
            Ok::<_, RunError>(told)
        };
        let told = self.shown(service.name.clone(), before, after, calling).await?;
        if call == Call::Up {
            self.told.borrow_mut().insert(service.name.clone(), told);
        }
        Ok(())
    }

    fn hear(&self, service: &str, line: &str, told: &mut Told) -> Result<(), ProgramError> {
        let malformed = |problem: String| {
            let said = line.chars().take(200).collect();
            Err(ProgramError::Malformed { said, problem })
        };
        let Message { kind, message } = match serde_json::from_str(line) {
            Ok(message) => message,
            Err(error) => return malformed(error.to_string()),
        };
        let first = message.lines().next().unwrap_or_default();
        match kind.as_str() {
            "info" => self.report(Event::new(service, first, Phase::Working)),
            "error" => return Err(ProgramError::Said(message)),
            "debug" => tracing::debug!(service, message, "provider"),
            "setenv" | "rawsetenv" => {
                let variable = message.split_once('=').filter(|(name, _)| !name.is_empty());
                let Some((name, value)) = variable.filter(|_| !message.contains('\0')) else {
                    return malformed("a variable is NAME=VALUE".to_owned());
                };
                let variables = if kind == "setenv" { &mut told.prefixed } else { &mut told.raw };
                variables.insert(name.to_owned(), value.to_owned());
            }
            _ => return malformed(format!("unknown type {kind:?}")),
        }
        Ok(())
    }
}

fn program(
    client: &Client,
    project: &Project,
    provider: &Provider,
    plugins: &[std::path::PathBuf],
) -> Result<Program, ProgramError> {
    if provider.kind == "compose" {
        return Err(ProgramError::Itself);
    }
    let found = Program::plugin(&provider.kind, plugins);
    let found = found.or_else(|| Program::on_path(&provider.kind, &project.environment));
    let found = found.ok_or_else(|| ProgramError::NotThere { name: provider.kind.clone() })?;
    Ok(found.with_environment(&project.environment, &client.endpoint().to_string()))
}

/// What it says of itself; nothing where it doesn't.
async fn metadata(program: &Program) -> Metadata {
    match program.output(&["compose", "metadata"]).await {
        Ok(said) => serde_json::from_str(&said).unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, "a provider without metadata");
            Metadata::default()
        }
    }
}

fn arguments(
    project: &Project,
    service: &Service,
    provider: &Provider,
    call: Call,
    known: Option<&Known>,
) -> Result<Vec<String>, ProgramError> {
    let parameters = known.map(|known| known.parameters.as_deref().unwrap_or_default());
    let options = &provider.options.0;
    let missing = parameters
        .into_iter()
        .flatten()
        .find(|parameter| parameter.required && !options.contains_key(&parameter.name));
    if let Some(missing) = missing {
        return Err(ProgramError::MissingOption { option: missing.name.clone() });
    }
    let names: Option<BTreeSet<&str>> =
        parameters.map(|parameters| parameters.iter().map(|parameter| parameter.name.as_str()).collect());
    let mut arguments =
        vec!["compose".to_owned(), format!("--project-name={}", project.name), call.to_string()];
    for (name, values) in options {
        if names.as_ref().is_none_or(|names| names.contains(name.as_str())) {
            arguments.extend(values.iter().map(|value| format!("--{name}={value}")));
        }
    }
    arguments.push(service.name.clone());
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MultiOptions;

    #[test]
    fn a_provider_gets_the_options_that_it_knows() {
        let project = Project { name: "p".into(), ..Project::default() };
        let service = Service { name: "db".into(), ..Service::default() };
        let options = [("size", vec!["1", "2"]), ("type", vec!["x"])]
            .map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()));
        let provider =
            Provider { kind: "cloud".into(), options: MultiOptions(options.into()), ..Provider::default() };
        let of = |call, known: Option<&Known>| arguments(&project, &service, &provider, call, known);
        let all = ["compose", "--project-name=p", "up", "--size=1", "--size=2", "--type=x", "db"];
        assert_eq!(of(Call::Up, None).unwrap(), all);
        let said = r#"{"description": "d", "up": {"parameters": [{"name": "type", "required": true}]},
            "down": {"parameters": [{"name": "key", "required": true}]}}"#;
        let metadata: Metadata = serde_json::from_str(said).unwrap();
        assert_eq!(
            of(Call::Up, metadata.known(Call::Up)).unwrap(),
            ["compose", "--project-name=p", "up", "--type=x", "db"]
        );
        let error = of(Call::Down, metadata.known(Call::Down)).unwrap_err();
        assert!(error.to_string().contains("\"key\""), "{error}");
        assert!(metadata.known(Call::Stop).is_none());
    }
}
