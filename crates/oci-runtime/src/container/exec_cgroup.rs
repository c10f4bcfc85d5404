//! Into which cgroups a process goes that `exec` adds: the container's own, or groups below that `--cgroup`
//! names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{Container, ExecError, error::chain, rootless};
use crate::{placement::Placement, step::Step};

/// Groups below the container's own, by controller; the empty name is v2's.
pub(super) type Below = BTreeMap<String, PathBuf>;

/// Reads `--cgroup` arguments: `PATH` on v2, `CONTROLLER[,CONTROLLER…]:PATH` on v1.
pub(super) fn parse(arguments: &[String]) -> Result<Below, ExecError> {
    let mut below = Below::new();
    for argument in arguments {
        let fault = |what: &str| ExecError::State(format!("invalid --cgroup argument: {argument} ({what})"));
        let (controllers, path) = match argument.split_once(':') {
            Some((controllers, path)) => (controllers.split(',').collect(), path),
            None if arguments.len() == 1 => (vec![""], argument.as_str()),
            None => return Err(fault("missing <controller>: prefix")),
        };
        let path = inside(path).ok_or_else(|| fault("bad sub cgroup path: it must not contain '..'"))?;
        for controller in controllers {
            if controller.is_empty() && argument.contains(':') {
                return Err(fault("empty <controller> prefix"));
            }
            if below.insert(controller.to_owned(), path.clone()).is_some() {
                return Err(fault(&format!("controller {controller} specified multiple times")));
            }
        }
    }
    Ok(below)
}

/// A path below the container's group, whether or not it begins with a slash.
fn inside(path: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Opens the doors of the groups.
pub(super) fn placement(container: &Container, below: &Below) -> Result<Placement, ExecError> {
    let Some(group) = &container.cgroup else { return Ok(Placement::default()) };
    if container.record.systemd.as_ref().is_some_and(|unit| unit.user) {
        // systemd moves the process, see `attach`.
        return Ok(Placement::default());
    }
    let mut paths = group.paths();
    for (controller, path) in below {
        let Some(own) = paths.get_mut(controller) else {
            return Err(ExecError::State(format!("--cgroup: the container has no cgroup of {controller}")));
        };
        own.push(path);
    }
    if below.is_empty()
        && let Some(path) = first_process_group(container, &paths)
    {
        paths.insert(String::new(), path);
    }
    if below.is_empty() {
        rootless::leave_out_unreachable(&mut paths);
    }
    Ok(Placement::open(&paths).action(|| "open the cgroup".into())?)
}

/// The first process's group, where the container has divided its own: a v2 group that hands controllers to
/// groups below takes no processes any more.
fn first_process_group(container: &Container, paths: &BTreeMap<String, PathBuf>) -> Option<PathBuf> {
    let own = paths.get("").filter(|_| paths.len() == 1)?;
    let divided = fs::read_to_string(own.join("cgroup.subtree_control")).ok()?;
    if divided.trim().is_empty() {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // The mount point is what the container's own path and the process's differ by at the front.
    own.ancestors()
        .map(|mount| mount.join(path))
        .find(|candidate| candidate.starts_with(own) && candidate.exists())
}

/// Has systemd move the new process, where it couldn't be born in its group.
pub(super) fn attach(container: &Container, below: &Below, pid: i32) -> Result<(), ExecError> {
    let Some(unit) = container.record.systemd.as_ref().filter(|unit| unit.user) else { return Ok(()) };
    let inside = below.get("").cloned().unwrap_or_default();
    unit.attach(&Path::new("/").join(inside), pid).map_err(|error| ExecError::State(chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Below, ExecError> {
        parse(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn groups_are_named_by_controller_or_as_a_whole() {
        assert_eq!(parsed(&["/a/./b"]).unwrap()[""], Path::new("a/b"));
        let below = parsed(&["cpu,cpuacct:x", "memory:/y"]).unwrap();
        assert_eq!((below["cpuacct"].as_path(), below["memory"].as_path()), (Path::new("x"), Path::new("y")));
        for (bad, reason) in [
            (&["a", "b"][..], "missing <controller>"),
            (&[":a"], "empty <controller>"),
            (&["cpu:a", "cpu:b"], "multiple times"),
            (&["../x"], "'..'"),
        ] {
            assert!(parsed(bad).unwrap_err().to_string().contains(reason), "{bad:?}");
        }
    }
}
