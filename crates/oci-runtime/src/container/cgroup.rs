//! The cgroup of a container that is being made.

use std::{collections::BTreeMap, io, mem, os::fd::OwnedFd, path::PathBuf};

use minke_kernel::cgroup::{self, Cgroup, CgroupError, Layout};
use minke_model::runtime_spec::{DeviceRule, DeviceType, Linux, Resources, Spec};

use super::{
    CreateError, CreateOptions,
    error::chain,
    late_cgroup::{self, LateCgroup},
    rootless,
    systemd_cgroup::{self, Filling},
    undo::Undo,
    validate::config,
};
use crate::{placement, systemd::Unit};

/// A container's cgroup on its way: by systemd, by an ordinary user as far as it may, or by root.
#[derive(Default)]
pub(super) struct Group<'a> {
    /// None where the host has no hierarchy.
    pub(super) layout: Option<Layout>,
    /// What there is of it, with its limits; none where the container does without.
    whole: Option<Cgroup>,
    /// What is made while the container's process makes its mounts.
    late: Option<LateCgroup<'a>>,
    /// What systemd makes is settled when the first process is in.
    filling: Option<Filling>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl<'a> Group<'a> {
    /// Makes as much of it as has to be there before the container's process. `announce` is told what will be made.
    pub(super) fn begin(
        spec: &Spec,
        linux: &'a Linux,
        options: &CreateOptions,
        undo: &mut Undo,
        announce: impl FnOnce(BTreeMap<String, PathBuf>) -> Result<(), CreateError>,
    ) -> Result<Self, CreateError> {
        let mut group = Self::default();
        if options.systemd_cgroup {
            let (layout, whole, filling) = systemd_cgroup::make(&options.id, spec, linux, undo)?;
            (group.layout, group.whole, group.filling) = (Some(layout), Some(whole), Some(filling));
        } else if options.rootless {
            let told = (&mut group.warnings, &mut group.notes);
            (group.layout, group.whole) = rootless::make_cgroup(&options.id, linux, undo, told, announce)?;
        } else {
            let begun = late_cgroup::begin(&options.id, linux, undo, announce)?;
            (group.layout, group.whole, group.late) = (begun.layout, begun.whole, begun.rest);
        }
        Ok(group)
    }

    /// Where it is, as far as it is there.
    pub(super) fn paths(&self) -> Option<BTreeMap<String, PathBuf>> {
        self.whole.as_ref().map(Cgroup::paths)
    }

    /// The unit that systemd made.
    pub(super) fn unit(&self) -> Option<&Unit> {
        self.filling.as_ref().map(Filling::unit)
    }

    /// Whether only systemd can bring a process in, for it is in a user's cgroups and the caller outside.
    pub(super) fn is_closed(&self) -> bool {
        self.unit().is_some_and(|unit| unit.user)
    }

    /// What a process can be born in.
    pub(super) fn birthplace(&self, paths: &BTreeMap<String, PathBuf>) -> io::Result<Option<OwnedFd>> {
        if self.is_closed() { Ok(None) } else { placement::birthplace(paths) }
    }

    /// The container's process is there: brings it in where it couldn't be born, and makes the rest.
    pub(super) fn complete(&mut self, pid: i32, undo: &mut Undo) -> Result<(), CreateError> {
        if let Some(filling) = &mut self.filling {
            filling.add(pid)?;
        }
        if let Some(late) = self.late.take() {
            self.whole = Some(late.finish(undo)?);
        }
        Ok(())
    }

    /// What the user is to be told of it: warnings and notes.
    pub(super) fn told(&mut self) -> (Vec<String>, Vec<String>) {
        (mem::take(&mut self.warnings), mem::take(&mut self.notes))
    }

    /// The first process is in.
    pub(super) fn settle(self) -> Result<Option<Cgroup>, CreateError> {
        if let Some(filling) = self.filling {
            filling.settle(self.whole.as_ref())?;
        }
        Ok(self.whole)
    }
}

/// Makes the cgroup with its limits. A host without any hierarchy can still run a container that asks for no limits.
pub(super) fn make(id: &str, linux: &Linux, undo: &mut Undo) -> Result<Option<Cgroup>, CreateError> {
    let Some((layout, path)) = find(id, linux)? else { return Ok(None) };
    let planned = Cgroup::planned_paths(&layout, path).map_err(|error| CreateError::Part(chain(&error)))?;
    refuse_frozen(&planned, path)?;
    limit(&layout, path, linux, undo).map(Some)
}

/// Where the cgroup is to be made.
pub(super) fn find<'a>(id: &'a str, linux: &'a Linux) -> Result<Option<(Layout, &'a str)>, CreateError> {
    let layout = match Layout::detect() {
        Err(CgroupError::NoHierarchy) if linux.resources.is_none() && linux.cgroups_path.is_none() => {
            return Ok(None);
        }
        result => result.map_err(|error| CreateError::Part(chain(&error)))?,
    };
    let path = linux.cgroups_path.as_deref().filter(|path| !path.is_empty());
    Ok(Some((layout, path.unwrap_or(id))))
}

/// Makes the cgroup at a known place.
pub(super) fn limit(
    layout: &Layout,
    path: &str,
    linux: &Linux,
    undo: &mut Undo,
) -> Result<Cgroup, CreateError> {
    let part = |error: &CgroupError| CreateError::Part(chain(error));
    let group = Cgroup::create_in(layout, path).map_err(|error| part(&error))?;
    refuse_inhabited(&group, path)?;
    let paths = group.paths();
    undo.add(move || drop(Cgroup::remove_paths(paths.values())));
    let mut resources = linux.resources.clone().unwrap_or_default();
    with_default_devices(&mut resources);
    group.apply(&resources).map_err(|error| part(&error))?;
    Ok(group)
}

/// What is put into a frozen cgroup runs no further: the container would never be made.
pub(super) fn refuse_frozen(planned: &BTreeMap<String, PathBuf>, path: &str) -> Result<(), CreateError> {
    let freezer = ["freezer", ""].iter().find_map(|key| planned.get_key_value(*key));
    let Some((key, directory)) = freezer else { return Ok(()) };
    let frozen =
        Cgroup::open(&BTreeMap::from([(key.clone(), directory.clone())])).and_then(|group| group.is_frozen());
    match frozen {
        Ok(true) => {
            Err(config("linux.cgroupsPath", format!("{path}: container's cgroup unexpectedly frozen")))
        }
        // A cgroup that isn't there yet, as it should be; what else is wrong shows when it is made.
        Ok(false) | Err(_) => Ok(()),
    }
}

/// A cgroup with processes is another container's: this one's limits would be theirs, and its end their end.
fn refuse_inhabited(group: &Cgroup, path: &str) -> Result<(), CreateError> {
    let inhabitants = group.pids().map_err(|error| {
        // Nobody is known to be in it, and what is inhabited can't be removed anyway.
        drop(Cgroup::remove_paths(group.paths().values()));
        CreateError::Part(chain(&error))
    })?;
    match inhabitants.len() {
        0 => Ok(()),
        count => {
            let reason = format!("{path}: container's cgroup is not empty: {count} process(es) found");
            Err(config("linux.cgroupsPath", reason))
        }
    }
}

/// A container may use no device but what the configuration allows, and what every container needs.
pub(super) fn with_default_devices(resources: &mut Resources) {
    let none = DeviceRule { allow: false, access: Some("rwm".to_owned()), ..DeviceRule::default() };
    let says_so = |rule: &DeviceRule| {
        let is_any = |number: Option<i64>| number.is_none_or(|number| number < 0);
        let every_kind = rule.kind.is_none_or(|kind| kind == DeviceType::All);
        every_kind && is_any(rule.major) && is_any(rule.minor) && rule.access.as_deref() == Some("rwm")
    };
    if !resources.devices.first().is_some_and(says_so) {
        resources.devices.insert(0, none);
    }
    resources.devices.extend(cgroup::default_device_rules());
}
