//! A container's cgroup by the systemd driver: made around a holder, settled when the first process is in,
//! limited through systemd and through its files.

use minke_kernel::cgroup::{Cgroup, CgroupError, Layout};
use minke_model::runtime_spec::{Linux, Pids, Resources, Spec};

use super::{CreateError, OperationError, cgroup::with_default_devices, error::chain, undo::Undo};
use crate::systemd::{Scope, ScopeRequest, SystemdError, Unit};

/// A cgroup whose container is being made.
pub(super) struct Filling {
    scope: Scope,
    pids: Option<Pids>,
}

/// Starts the scope and opens its cgroup, with all limits but the number of tasks.
pub(super) fn make(
    id: &str,
    spec: &Spec,
    linux: &Linux,
    undo: &mut Undo,
) -> Result<(Layout, Cgroup, Filling), CreateError> {
    let layout = Layout::detect().map_err(|error| CreateError::Part(chain(&error)))?;
    let request = ScopeRequest {
        id,
        cgroups_path: linux.cgroups_path.as_deref().unwrap_or_default(),
        annotations: &spec.annotations,
        layout: &layout,
    };
    let mut resources = linux.resources.clone().unwrap_or_default();
    with_default_devices(&mut resources);
    let scope = Scope::start(&request, &mut resources).map_err(|error| CreateError::Part(chain(&error)))?;
    let unit = scope.unit().clone();
    undo.add(move || drop(unit.stop()));
    let group = Cgroup::create_in(&layout, &scope.path().display().to_string())
        .map_err(|error| CreateError::Part(chain(&error)))?;
    let paths = group.paths();
    undo.add(move || drop(Cgroup::remove_paths(paths.values())));
    let pids = resources.pids.take();
    let devices = std::mem::take(&mut resources.devices);
    group.apply(&resources).map_err(|error| CreateError::Part(chain(&error)))?;
    let filtered = group.apply(&Resources { devices, ..Resources::default() });
    match filtered {
        // Only the host's root may filter devices. In a user's namespace no device can be made anyway.
        Err(_) if scope.unit().user => {}
        result => result.map_err(|error| CreateError::Part(chain(&error)))?,
    }
    Ok((layout, group, Filling { scope, pids }))
}

impl Filling {
    pub(super) fn unit(&self) -> &Unit {
        self.scope.unit()
    }

    /// Puts the first process in, where it couldn't be born there.
    pub(super) fn add(&mut self, pid: i32) -> Result<(), CreateError> {
        self.scope.attach(pid).map_err(|error| CreateError::Part(chain(&error)))
    }

    /// The first process is in: the number of tasks can be limited.
    pub(super) fn settle(self, group: Option<&Cgroup>) -> Result<(), CreateError> {
        let limits = Resources { pids: self.pids, ..Resources::default() };
        self.scope.settle(&limits).map_err(|error| CreateError::Part(chain(&error)))?;
        match group {
            Some(group) => group.apply(&limits).map_err(|error| CreateError::Part(chain(&error))),
            None => Ok(()),
        }
    }
}

/// Changes limits in both places.
pub(super) fn update(unit: &Unit, group: &Cgroup, resources: &Resources) -> Result<(), OperationError> {
    let mut resources = resources.clone();
    let layout = Layout::detect().map_err(|error: CgroupError| super::refused(error))?;
    unit.update(&mut resources, layout.mode()).map_err(|error| failed(&error))?;
    group.update(&resources).map_err(super::refused)
}

pub(super) fn failed(error: &SystemdError) -> OperationError {
    OperationError::State(chain(error))
}
