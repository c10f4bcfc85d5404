//! Language models (`models`): docker's plugin `model` gets them, and says where they are asked.

use serde::Deserialize;

use super::{
    error::RunError,
    execute::Execution,
    program::{Program, ProgramError},
    report::{Event, Phase},
};
use crate::model::Model;

/// The name of the plugin, without docker's `docker-`.
const PLUGIN: &str = "model";

/// A model that is there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed {
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Status {
    endpoint: String,
}

impl Execution<'_> {
    /// Gets and configures the project's models; returns the address at which they are asked.
    ///
    /// # Errors
    /// When docker's plugin isn't there or fails.
    pub async fn prepare_models(&self) -> Result<String, RunError> {
        let failed = |source| RunError::Models { source };
        let plugin = Program::plugin(PLUGIN, &self.around().plugin_folders());
        let plugin = plugin.ok_or_else(|| failed(ProgramError::NoPlugin { name: PLUGIN.to_owned() }))?;
        let plugin = plugin.with_environment(&self.project.environment, &self.client.endpoint().to_string());
        let status: Status =
            parsed(&plugin.output(&["status", "--json"]).await.map_err(failed)?).map_err(failed)?;
        let listed: Vec<Listed> =
            parsed(&plugin.output(&["ls", "--json"]).await.map_err(failed)?).map_err(failed)?;
        for (name, model) in &self.project.models {
            if !is_there(&listed, &model.model) {
                let pull = ["pull".to_owned(), model.model.clone()];
                let pulling = async { plugin.run(&pull, |line| self.note(name, line)).await.map_err(failed) };
                self.shown(name.clone(), "Pulling", "Pulled", pulling).await?;
            }
            let configuring = async { plugin.run(&configuration(model), |_| Ok(())).await.map_err(failed) };
            self.shown(name.clone(), "Configuring", "Configured", configuring).await?;
        }
        Ok(status.endpoint)
    }

    fn note(&self, model: &str, line: &str) -> Result<(), ProgramError> {
        self.report(Event::new(model, line.trim(), Phase::Working));
        Ok(())
    }
}

fn parsed<'a, T: Deserialize<'a>>(said: &'a str) -> Result<T, ProgramError> {
    serde_json::from_str(said).map_err(|error| {
        let said = said.chars().take(200).collect();
        ProgramError::Malformed { said, problem: error.to_string() }
    })
}

/// A name without a tag is that of `latest`.
fn is_there(listed: &[Listed], model: &str) -> bool {
    let latest = format!("{model}:latest");
    listed.iter().flat_map(|listed| &listed.tags).any(|tag| *tag == model || *tag == latest)
}

/// `configure [--context-size N] MODEL [-- FLAGS]`
fn configuration(model: &Model) -> Vec<String> {
    let mut arguments = vec!["configure".to_owned()];
    if model.context_size > 0 {
        arguments.extend(["--context-size".to_owned(), model.context_size.to_string()]);
    }
    arguments.push(model.model.clone());
    if !model.runtime_flags.is_empty() {
        arguments.push("--".to_owned());
        arguments.extend(model.runtime_flags.iter().cloned());
    }
    arguments
}
