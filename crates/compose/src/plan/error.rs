//! Why there is no plan.

/// A project that can't be brought about, whatever the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A service is named that the project doesn't have.
    #[error("no such service: {0}")]
    NoSuchService(String),
    /// A service has no container.
    #[error("service {0:?} has no container to start")]
    NoContainer(String),
    /// Services wait for each other.
    #[error("dependency cycle detected: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// A service waits for one that the project doesn't have.
    #[error("service {service:?} depends on undefined service {dependency:?}: invalid compose project")]
    MissingDependency {
        /// Who waits.
        service: String,
        /// For whom.
        dependency: String,
    },
    /// Several containers can't have one name.
    #[error(
        "the {service:?} service is using the custom container name {name:?}. Docker requires each container to have a unique \
         name. Remove the custom name to scale the service"
    )]
    NameTaken {
        /// The service.
        service: String,
        /// Its `container_name`.
        name: String,
    },
    /// Another service's container has the name.
    #[error("services {first:?} and {second:?} both have the container name {name:?}")]
    SameName {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// Their `container_name`.
        name: String,
    },
    /// An external network is not there.
    #[error("network {0} declared as external, but could not be found")]
    NoExternalNetwork(String),
    /// An external volume is not there.
    #[error("external volume {0:?} not found")]
    NoExternalVolume(String),
    /// An attribute that no container request has, or not with this value.
    #[error("services.{service}.{attribute}: {problem}")]
    Attribute {
        /// The service.
        service: String,
        /// Which.
        attribute: String,
        /// What is wrong, and what to do instead.
        problem: String,
    },
}

impl PlanError {
    /// An attribute's mistake.
    pub(crate) fn attribute(service: &str, attribute: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Attribute { service: service.to_owned(), attribute: attribute.into(), problem: problem.into() }
    }
}
