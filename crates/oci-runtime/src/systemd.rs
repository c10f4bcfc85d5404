//! The systemd cgroup driver: a container's cgroup is that of a transient scope, which systemd makes and
//! knows.
//!
//! systemd makes a scope only around a process, and a container's first process is born in its cgroup. So a
//! holder, a child that does nothing, is the scope's first process; limits are set and the container's
//! process made while it keeps the scope alive, and then it goes:
//!
//! ```text
//!   creator ──clone──▶ holder
//!      │ StartTransientUnit(PIDs=[holder], Delegate, limits) ──▶ systemd makes the cgroup, moves the holder in
//!      │ limits that no property has ──▶ the cgroup's files
//!      └─clone3(CLONE_INTO_CGROUP)──▶ init          the holder is killed
//! ```
//!
//! A user's own manager owns its cgroups, but a process outside of them can't be born there; then systemd
//! is asked to move the first process in ([`Scope::attach`]), as it is for each process that `exec` adds.

mod annotation;
mod bus;
mod manager;
mod name;
mod properties;
mod wire;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use minke_kernel::{
    cgroup::{Layout, Mode},
    process::{self, Child, CloneOptions},
};
use minke_model::runtime_spec::Resources;

pub(crate) use self::name::Unit;
use self::{
    manager::Manager,
    properties::Host,
    wire::{Property, Value},
};

/// Why systemd didn't do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemdError {
    /// The host was booted otherwise.
    #[error("--systemd-cgroup: systemd is not running on this host (there is no /run/systemd/system)")]
    NotRunning,
    /// A user without a session.
    #[error(
        "--systemd-cgroup: no user session of systemd: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set"
    )]
    NoSession,
    /// Rootless on v1, where nothing is delegated.
    #[error("--systemd-cgroup: an ordinary user needs cgroup v2")]
    NeedsUnified,
    /// Nobody answers there.
    #[error("--systemd-cgroup: connect to systemd at {address}")]
    Connect {
        /// The address.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The connection broke, or nothing came.
    #[error("call {method} of systemd")]
    Io {
        /// The method.
        method: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// systemd refused.
    #[error("call {method} of systemd: {message} ({name})")]
    Refused {
        /// The method.
        method: &'static str,
        /// The error's name.
        name: String,
        /// systemd's words.
        message: String,
    },
    /// The scope didn't come up.
    #[error("start {unit}: systemd says {result:?}")]
    Job {
        /// The unit.
        unit: String,
        /// `failed`, `canceled`, `timeout` and so on.
        result: String,
    },
    /// The configuration.
    #[error("{0}")]
    Config(String),
    /// The holder.
    #[error("make the scope's first process")]
    Holder(#[source] io::Error),
}

impl SystemdError {
    /// Whether it is systemd's error of this name.
    fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name.ends_with(wanted))
    }
}

/// A scope that is being filled.
#[derive(Debug)]
pub(crate) struct Scope {
    manager: Manager,
    unit: Unit,
    holder: Option<Child>,
    path: PathBuf,
}

/// What a scope is made from.
pub(crate) struct ScopeRequest<'a> {
    pub(crate) id: &'a str,
    pub(crate) cgroups_path: &'a str,
    pub(crate) annotations: &'a BTreeMap<String, String>,
    pub(crate) layout: &'a Layout,
}

impl Scope {
    /// Starts the scope of a new container with these limits, which are rounded to what systemd can hold.
    /// The number of tasks is left out: it would keep the container's process from being made beside the
    /// holder.
    pub(crate) fn start(request: &ScopeRequest<'_>, resources: &mut Resources) -> Result<Self, SystemdError> {
        manager::check_running()?;
        // Whoever isn't the host's root has a manager of its own.
        let user = crate::container::is_rootless();
        if user && request.layout.mode() != Mode::Unified {
            return Err(SystemdError::NeedsUnified);
        }
        let unit = Unit::parse(request.cgroups_path, request.id, user)
            .map_err(|reason| SystemdError::Config(format!("linux.cgroupsPath: {reason}")))?;
        let annotated = annotation::properties(request.annotations).map_err(SystemdError::Config)?;
        let mut manager = Manager::connect(user)?;
        let top = if user { manager.property("ControlGroup")? } else { String::new() };
        let path = PathBuf::from("/").join(top.trim_start_matches('/')).join(unit.path());
        let host = Host { mode: request.layout.mode(), version: version(&mut manager)? };
        properties::round_quota(resources);
        let holder = hold().map_err(SystemdError::Holder)?;
        let mut scope = Self { manager, unit, holder: Some(holder), path };
        let limits = Resources { pids: None, ..resources.clone() };
        let mut wanted = scope.fixed_properties(request.id, host.mode);
        wanted.extend(properties::of(&limits, host));
        // Last, so that what the bundle's author says wins.
        wanted.extend(annotated);
        scope.manager.start(&scope.unit.name, &wanted)?;
        Ok(scope)
    }

    fn fixed_properties(&self, id: &str, mode: Mode) -> Vec<Property> {
        let pids = self.holder.iter().map(|holder| holder.pid as u32).collect();
        let io = if mode == Mode::Unified { "IOAccounting" } else { "BlockIOAccounting" };
        let text = |text: &str| Value::Text(text.to_owned());
        let properties = [
            ("Description", text(&format!("minke container {id}"))),
            ("Slice", text(&self.unit.slice)),
            ("Delegate", Value::Bool(true)),
            ("PIDs", Value::Numbers(pids)),
            ("MemoryAccounting", Value::Bool(true)),
            ("CPUAccounting", Value::Bool(true)),
            (io, Value::Bool(true)),
            ("TasksAccounting", Value::Bool(true)),
            ("DefaultDependencies", Value::Bool(false)),
        ];
        properties.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The unit.
    pub(crate) fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Its cgroup below the hierarchies' roots, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Has the container's first process moved in, where it couldn't be born there.
    pub(crate) fn attach(&mut self, pid: i32) -> Result<(), SystemdError> {
        match self.unit.user {
            true => self.manager.attach(&self.unit.name, "/", pid as u32),
            false => Ok(()),
        }
    }

    /// Says that the container's first process is in: sets the number of tasks and lets the holder go.
    pub(crate) fn settle(mut self, resources: &Resources) -> Result<(), SystemdError> {
        self.release();
        let Some(pids) = resources.pids.clone() else { return Ok(()) };
        let limits = Resources { pids: Some(pids), ..Resources::default() };
        let host = Host { mode: Mode::Unified, version: 0 };
        self.manager.set(&self.unit.name, &properties::of(&limits, host))
    }

    fn release(&mut self) {
        if let Some(holder) = self.holder.take() {
            let _ = process::signal(&holder.pidfd, rustix::process::Signal::KILL.as_raw());
            let _ = process::wait(&holder.pidfd);
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.release();
    }
}

impl Unit {
    /// Stops the unit; what is left in it is killed.
    pub(crate) fn stop(&self) -> Result<(), SystemdError> {
        Manager::connect(self.user)?.stop(&self.name)
    }

    /// Has a process moved into the unit's cgroup, or the group `below` it.
    pub(crate) fn attach(&self, below: &Path, pid: i32) -> Result<(), SystemdError> {
        Manager::connect(self.user)?.attach(&self.name, &below.display().to_string(), pid as u32)
    }

    /// Changes limits of the running unit, which are rounded to what systemd can hold.
    pub(crate) fn update(&self, resources: &mut Resources, mode: Mode) -> Result<(), SystemdError> {
        let mut manager = Manager::connect(self.user)?;
        let host = Host { mode, version: version(&mut manager)? };
        properties::round_quota(resources);
        let wanted = properties::of(resources, host);
        if wanted.is_empty() { Ok(()) } else { manager.set(&self.name, &wanted) }
    }
}

/// A child that waits to be killed, and dies with its parent.
fn hold() -> io::Result<Child> {
    process::spawn(&CloneOptions::default(), || {
        if process::die_with_parent().is_err() {
            return 1;
        }
        loop {
            let _ = rustix::event::poll(&mut [], None);
        }
    })
}

/// systemd's version: the number in `252.39-1~deb12u2`.
fn version(manager: &mut Manager) -> Result<u32, SystemdError> {
    let text = manager.property("Version")?;
    let digits = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).next();
    Ok(digits.and_then(|digits| digits.parse().ok()).unwrap_or(0))
}
