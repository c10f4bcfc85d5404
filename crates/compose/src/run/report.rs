//! What an execution tells to, and needs from, the program that started it.

use std::{path::PathBuf, sync::Arc};

use minke_build_client::Logins;
use minke_docker_client::HeaderMap;
use serde_json::Value;

/// How far a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Something goes on.
    Working,
    /// It is as it should be.
    Done,
    /// It isn't, and that is no failure.
    Warning,
    /// It failed.
    Failed,
}

/// News of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `Container p-web-1`, `Network p_default`, `Volume p_data`, `web` for its image
    pub resource: String,
    /// `Creating`, `Created`, …
    pub text: String,
    /// How far it is.
    pub phase: Phase,
}

impl Event {
    /// News.
    pub fn new(resource: impl Into<String>, text: impl Into<String>, phase: Phase) -> Self {
        Self { resource: resource.into(), text: text.into(), phase }
    }
}

/// The program around an execution.
pub trait Surroundings {
    /// Shows news of a resource.
    fn report(&self, event: Event);
    /// Shows a message of a pull, a push or a build, as the engine sent it.
    fn message(&self, resource: &str, message: &Value);
    /// Who the user is at registries, for builds over BuildKit's API.
    fn logins(&self) -> Arc<dyn Logins>;
    /// Who the user is at the registry of an image, for pulls and pushes.
    fn registry_headers(&self, image: &str) -> HeaderMap;
    /// Who the user is at all registries, for builds.
    fn build_headers(&self) -> HeaderMap;
    /// The variables by which the user's programs find proxies, for builds and containers.
    fn proxies(&self) -> Vec<(String, String)>;
    /// The folders that docker looks for its plugins in.
    fn plugin_folders(&self) -> Vec<PathBuf>;
}
