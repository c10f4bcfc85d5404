//! What a plan is made of: commands for an engine, and which of them must come after which.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// Where a step stands in its plan.
pub type StepId = usize;

/// Commands in an order that works; those that don't wait for each other may run at the same time.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Plan {
    /// Each step comes after those that it waits for.
    pub steps: Vec<Step>,
    /// What the user should know before anything is done.
    pub warnings: Vec<String>,
}

/// A command, and which steps must have succeeded before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What to do.
    pub command: Command,
    /// Smaller than this step's own place.
    pub after: Vec<StepId>,
}

/// One change of an engine's state, or a wait for one.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Get an image from its registry.
    PullImage {
        /// The service that is named in messages.
        service: String,
        /// The image's name.
        image: String,
        /// `os/architecture`, where the service asks for one.
        platform: Option<String>,
        /// A failed pull doesn't matter: the service can build the image.
        may_fail: bool,
    },
    /// Build a service's image.
    BuildImage {
        /// The service.
        service: String,
        /// The name that the image gets.
        image: String,
    },
    /// Make a network.
    CreateNetwork {
        /// Its name.
        name: String,
        /// The body of the request.
        request: Value,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Its name.
        name: String,
        /// Its id.
        id: String,
    },
    /// Make a volume.
    CreateVolume {
        /// Its name.
        name: String,
        /// The body of the request.
        request: Value,
    },
    /// Remove a volume with what is in it.
    RemoveVolume {
        /// Its name.
        name: String,
    },
    /// Remove an image.
    RemoveImage {
        /// Its name.
        name: String,
    },
    /// Make a container.
    CreateContainer(Box<CreateContainer>),
    /// Start a container.
    StartContainer {
        /// Its service, for hooks and secrets.
        service: String,
        /// Its name.
        name: String,
    },
    /// Run a service's `pre_stop` hooks in a container, and stop it.
    StopContainer {
        /// Its service.
        service: String,
        /// Its name.
        name: String,
        /// How long it may take before it is killed; the container's own time without.
        timeout: Option<Duration>,
    },
    /// Stop a container and start it again.
    RestartContainer {
        /// Its service.
        service: String,
        /// Its name.
        name: String,
        /// How long the stop may take before it is killed.
        timeout: Option<Duration>,
    },
    /// Remove a container.
    RemoveContainer {
        /// Its name.
        name: String,
        /// Also its anonymous volumes.
        volumes: bool,
    },
    /// Give a container its proper name.
    RenameContainer {
        /// The name that it has.
        from: String,
        /// The one that it gets.
        to: String,
    },
    /// Wait until a service is as its dependants want it.
    Wait(Wait),
    /// Have the program that provides a service do something.
    CallProvider {
        /// The service.
        service: String,
        /// What it does.
        call: Call,
    },
    /// Run the containers that come before a service's own (`pre_start`).
    RunBefore {
        /// The service.
        service: String,
        /// The container of the service whose volumes they see.
        name: String,
        /// Their places in `pre_start` and the bodies of the requests that make them, in the order in which they run.
        requests: Vec<(usize, Value)>,
    },
}

/// What the provider of a service is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It makes what the service needs, and tells how to get at it.
    Up,
    /// It lets that rest, where it says that it can.
    Stop,
    /// It removes that.
    Down,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Stop => "stop",
            Self::Down => "down",
        })
    }
}

/// The making of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateContainer {
    /// Its service.
    pub service: String,
    /// The name that it gets.
    pub name: String,
    /// The name that messages have for it: where it replaces another, that one's.
    pub shown: String,
    /// The body of the request. `container:NAME` and `volumes_from` name containers of the project, of which the executor knows
    /// the ids.
    pub request: Value,
    /// `os/architecture`
    pub platform: Option<String>,
    /// Why.
    pub cause: Cause,
}

/// Why a container is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is none yet.
    Missing,
    /// What the file says of it has changed.
    Changed,
    /// Its image is another now.
    Image,
    /// A container whose namespaces or volumes it shares is made anew.
    Shared,
    /// A network that it is in is made anew, or it isn't in it.
    Network,
    /// A volume that it uses is made anew, or it doesn't use it.
    Volume,
    /// The user asked for it.
    Forced,
}

impl Cause {
    fn text(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "configuration changed",
            Self::Image => "image changed",
            Self::Shared => "what it shares is made anew",
            Self::Network => "network changed",
            Self::Volume => "volume changed",
            Self::Forced => "forced",
        }
    }
}

/// A wait for a service's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The service that is waited for.
    pub service: String,
    /// Its containers.
    pub containers: Vec<String>,
    /// For what.
    pub condition: Condition,
    /// Whether it is a failure when that never happens.
    pub required: bool,
}

/// What of a container is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its health check succeeds.
    Healthy,
    /// It has ended with code 0.
    Completed,
    /// It runs, and where it has a health check, that succeeds (`--wait`).
    RunningOrHealthy,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Completed => "completed",
            Self::RunningOrHealthy => "running or healthy",
        })
    }
}

impl Plan {
    /// Adds a command that waits for others.
    pub fn push(&mut self, command: Command, after: impl IntoIterator<Item = StepId>) -> StepId {
        let mut after: Vec<_> = after.into_iter().collect();
        after.sort_unstable();
        after.dedup();
        debug_assert!(after.iter().all(|step| *step < self.steps.len()), "a step waits for a later one");
        self.steps.push(Step { command, after });
        self.steps.len() - 1
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The commands without their order, for tests and `--dry-run`.
    pub fn lines(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.command.to_string()).collect()
    }
}

impl fmt::Display for Plan {
    /// A command a line, with the numbers of those that it waits for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            write!(f, "{}. {}", at + 1, step.command)?;
            let after: Vec<_> = step.after.iter().map(|step| (step + 1).to_string()).collect();
            if !after.is_empty() {
                write!(f, " after {}", after.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullImage { image, .. } => write!(f, "pull image {image}"),
            Self::BuildImage { service, image } => write!(f, "build image {image} of {service}"),
            Self::CreateNetwork { name, .. } => write!(f, "create network {name}"),
            Self::RemoveNetwork { name, .. } => write!(f, "remove network {name}"),
            Self::CreateVolume { name, .. } => write!(f, "create volume {name}"),
            Self::RemoveVolume { name } => write!(f, "remove volume {name}"),
            Self::RemoveImage { name } => write!(f, "remove image {name}"),
            Self::CreateContainer(create) => {
                write!(f, "create container {} ({})", create.name, create.cause.text())
            }
            Self::StartContainer { name, .. } => write!(f, "start container {name}"),
            Self::StopContainer { name, .. } => write!(f, "stop container {name}"),
            Self::RestartContainer { name, .. } => write!(f, "restart container {name}"),
            Self::RemoveContainer { name, .. } => write!(f, "remove container {name}"),
            Self::RenameContainer { from, to } => write!(f, "rename container {from} to {to}"),
            Self::Wait(wait) => write!(f, "wait until {} is {}", wait.service, wait.condition),
            Self::CallProvider { service, call } => write!(f, "call provider of {service}: {call}"),
            Self::RunBefore { service, requests, .. } => {
                write!(f, "run {} containers before {service}", requests.len())
            }
        }
    }
}
