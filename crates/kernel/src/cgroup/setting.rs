//! Values to write into a cgroup's files, decided first and then written in one go.
//!
//! The modules of the controllers turn [`Resources`](minke_model::runtime_spec::Resources) into a
//! list of these without touching anything.

use std::{borrow::Cow, io};

use rustix::io::Errno;

use super::{CgroupError, Controller, dir::Dir};

/// One value for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: Controller,
    pub(super) file: Cow<'static, str>,
    pub(super) value: String,
    /// The field of the specification that asks for it, below `linux.resources`.
    pub(super) field: Cow<'static, str>,
    pub(super) absent: Absent,
}

/// What a missing file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Absent {
    /// The kernel can't do what is asked for.
    Error,
    /// Nothing: the value is what holds without the file.
    Ignore,
    /// Another file does the same.
    Instead(Cow<'static, str>, String),
}

impl Setting {
    pub(super) fn new(
        controller: Controller,
        field: impl Into<Cow<'static, str>>,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Setting {
        let (field, file, value) = (field.into(), file.into(), value.to_string());
        Setting { controller, file, value, field, absent: Absent::Error }
    }

    pub(super) fn ignore_absent(self) -> Setting {
        Setting { absent: Absent::Ignore, ..self }
    }

    pub(super) fn or_instead(self, file: impl Into<Cow<'static, str>>, value: impl ToString) -> Setting {
        Setting { absent: Absent::Instead(file.into(), value.to_string()), ..self }
    }
}

/// What becomes of the values that were written before one that the kernel refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    /// They stay, since the cgroup won't.
    Stay,
    /// What was there before comes back.
    ComeBack,
}

/// Writes all settings; `dir_of` says where a controller's files are.
///
/// # Errors
/// The first that can't be written. Files of several lines, which belong to devices, keep what was written.
pub(super) fn write_all<'d>(
    settings: Vec<Setting>,
    dir_of: impl Fn(Controller) -> Option<&'d Dir>,
    earlier: Earlier,
) -> Result<(), CgroupError> {
    if earlier == Earlier::Stay {
        return write_each(settings, &dir_of);
    }
    let before = settings.iter().filter_map(|setting| {
        let value = dir_of(setting.controller)?.read(&setting.file).ok()?.trim_end().to_owned();
        let is_one = !value.is_empty() && !value.contains('\n');
        is_one.then(|| Setting { value, ..setting.clone() }.ignore_absent())
    });
    let before: Vec<Setting> = before.collect();
    let written = write_each(settings, &dir_of);
    if written.is_err() {
        // What can't come back stays; the first error is the one to tell.
        let _stays = write_each(before, &dir_of);
    }
    written
}

/// Writes them, in whatever order the kernel takes them.
///
/// Some files are bound to one another (v1's memory limit may not exceed memory and swap together,
/// a quota depends on its period and burst), so that the right order depends on the values that are there.
/// What the kernel refuses as inconsistent is therefore tried again after the others, as long as that helps.
fn write_each<'d>(
    settings: Vec<Setting>,
    dir_of: &dyn Fn(Controller) -> Option<&'d Dir>,
) -> Result<(), CgroupError> {
    if let Some(setting) =
        settings.iter().find(|s| s.absent != Absent::Ignore && dir_of(s.controller).is_none())
    {
        return Err(no_controller(setting));
    }
    let mut pending = settings;
    while !pending.is_empty() {
        let count = pending.len();
        let mut refused = Vec::new();
        let mut first = None;
        for setting in pending {
            let Some(dir) = dir_of(setting.controller) else { continue };
            if let Err(source) = write(dir, &setting) {
                let again = matches!(Errno::from_io_error(&source), Some(Errno::INVAL | Errno::BUSY));
                let error = failed(dir, &setting, source);
                if !again {
                    return Err(error);
                }
                first.get_or_insert(error);
                refused.push(setting);
            }
        }
        if let Some(error) = first
            && refused.len() == count
        {
            return Err(error);
        }
        pending = refused;
    }
    Ok(())
}

fn write(dir: &Dir, setting: &Setting) -> io::Result<()> {
    match (dir.write(&setting.file, &setting.value), &setting.absent) {
        (Err(error), Absent::Ignore) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        (Err(error), Absent::Instead(file, value)) if error.kind() == io::ErrorKind::NotFound => {
            dir.write(file, value)
        }
        (result, _) => result,
    }
}

fn no_controller(setting: &Setting) -> CgroupError {
    CgroupError::NoController { field: setting.field.to_string(), controller: setting.controller }
}

fn failed(dir: &Dir, setting: &Setting, source: io::Error) -> CgroupError {
    let field = setting.field.to_string();
    let path = dir.path().join(setting.file.as_ref());
    match source.kind() {
        io::ErrorKind::NotFound => CgroupError::NoFile { field, controller: setting.controller, path },
        _ => CgroupError::Write { field, value: setting.value.clone(), path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_without_its_controller_is_refused_before_anything_is_written() {
        let settings = vec![Setting::new(Controller::Rdma, "rdma", "rdma.max", "x")];
        let error = write_all(settings, |_| None, Earlier::Stay).unwrap_err();
        assert_eq!(error.to_string(), "linux.resources.rdma: this host has no rdma cgroup controller");
    }

    #[test]
    fn a_value_that_holds_anyway_needs_no_controller() {
        let setting = Setting::new(Controller::Pids, "pids.limit", "pids.max", "max").ignore_absent();
        write_all(vec![setting], |_| None, Earlier::ComeBack).unwrap();
    }
}
