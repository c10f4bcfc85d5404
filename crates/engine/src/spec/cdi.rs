//! Devices by name (`--device vendor.com/class=name`): the Container Device Interface, version 1.
//!
//! Vendors describe in files what a container needs for their devices: nodes, mounts, variables, programs to be run. A file in
//! a later directory wins over one in an earlier; two that define the same device in one directory define none.
//! <https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use bollard_stubs::models::HostConfig;
use minke_model::runtime_spec::{
    Device, DeviceRule, DeviceType, Hook, Hooks, IntelRdt, Linux, Mount, Process, Spec,
};
use serde::Deserialize;

use super::env;
use crate::Error;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    /// `vendor.com/class`
    kind: String,
    #[serde(default)]
    devices: Vec<NamedEdits>,
    /// What all its devices need.
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedEdits {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

/// What a container needs for a device.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<BindMount>,
    hooks: Vec<NamedHook>,
    #[serde(rename = "additionalGIDs")]
    additional_gids: Vec<u32>,
    intel_rdt: Option<IntelRdt>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Node {
    path: String,
    host_path: String,
    #[serde(rename = "type")]
    kind: String,
    major: Option<i64>,
    minor: Option<i64>,
    file_mode: Option<u32>,
    permissions: String,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BindMount {
    host_path: String,
    container_path: String,
    options: Vec<String>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NamedHook {
    hook_name: String,
    path: String,
    args: Vec<String>,
    env: Vec<String>,
    timeout: Option<i64>,
}

/// The names of the devices that a container asks for.
///
/// # Errors
/// `InvalidParameter` for a request of another driver than `cdi`, which this engine does not have.
pub(crate) fn requested(host: &HostConfig) -> Result<Vec<&str>, Error> {
    let mut names = Vec::new();
    for request in host.device_requests.iter().flatten() {
        let driver = request.driver.as_deref().unwrap_or_default();
        if driver != "cdi" {
            let capabilities: Vec<String> =
                request.capabilities.iter().flatten().map(|all| format!("[{}]", all.join(" "))).collect();
            return Err(Error::invalid(format!(
                "could not select device driver {driver:?} with capabilities: [{}]",
                capabilities.join(" ")
            )));
        }
        if request.options.as_ref().is_some_and(|options| !options.is_empty()) {
            return Err(Error::invalid("invalid CDI device request: it has no options"));
        }
        names.extend(request.device_ids.iter().flatten().map(String::as_str));
    }
    Ok(names)
}

/// What these devices need, as the files in `directories` say.
///
/// # Errors
/// `InvalidParameter` that names the devices that no file defines, and files that can't be read.
pub(crate) fn find(names: &[&str], directories: &[PathBuf]) -> Result<Vec<Edits>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    let known = read_all(directories, &mut problems);
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    for name in names {
        match known.get(*name) {
            Some(Some((common, own))) => {
                if !edits.contains(common) {
                    edits.push(common.clone());
                }
                edits.push(own.clone());
            }
            _ => missing.push(*name),
        }
    }
    if missing.is_empty() {
        return Ok(edits);
    }
    problems
        .insert(0, format!("CDI device injection failed: unresolvable CDI devices {}", missing.join(", ")));
    Err(Error::invalid(problems.join("; ")))
}

/// The full names of all devices that the files in `directories` define; what can't be read defines none.
pub(crate) fn names(directories: &[PathBuf]) -> Vec<String> {
    let known = read_all(directories, &mut Vec::new());
    known.into_iter().filter_map(|(name, edits)| edits.map(|_| name)).collect()
}

/// Devices by their full names; `None` where two files define one.
type Known = BTreeMap<String, Option<(Edits, Edits)>>;

fn read_all(directories: &[PathBuf], problems: &mut Vec<String>) -> Known {
    directories.iter().flat_map(|directory| read_directory(directory, problems)).collect()
}

fn read_directory(directory: &Path, problems: &mut Vec<String>) -> Known {
    let mut known = Known::new();
    let mut paths: Vec<PathBuf> = match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return known,
        Err(error) => {
            problems.push(format!("read {}: {error}", directory.display()));
            return known;
        }
    };
    paths.sort();
    for path in paths {
        let parsed = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => read(&path, |text| serde_json::from_str(text).map_err(|error| error.to_string())),
            Some("yaml") => {
                read(&path, |text| serde_saphyr::from_str(text).map_err(|error| error.to_string()))
            }
            _ => continue,
        };
        match parsed {
            Ok(file) => {
                for device in file.devices {
                    let name = format!("{}={}", file.kind, device.name);
                    let edits = (file.container_edits.clone(), device.container_edits);
                    known.entry(name).and_modify(|known| *known = None).or_insert(Some(edits));
                }
            }
            Err(problem) => problems.push(format!("{}: {problem}", path.display())),
        }
    }
    known
}

fn read(path: &Path, parse: impl Fn(&str) -> Result<File, String>) -> Result<File, String> {
    parse(&fs::read_to_string(path).map_err(|error| error.to_string())?)
}

/// Carries the edits out.
///
/// # Errors
/// `InvalidParameter` for a device node that is not there, and for what this engine lacks.
pub(crate) fn apply(spec: &mut Spec, all: &[Edits]) -> Result<(), Error> {
    for edits in all {
        let process = spec.process.get_or_insert_with(Process::default);
        for variable in &edits.env {
            env::set(&mut process.env, variable);
        }
        for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
            if !process.user.additional_gids.contains(gid) {
                process.user.additional_gids.push(*gid);
            }
        }
        let linux = spec.linux.get_or_insert_with(Linux::default);
        if let Some(wanted) = &edits.intel_rdt {
            linux.intel_rdt = Some(wanted.clone());
        }
        for node in &edits.device_nodes {
            let (device, rule) = node.device()?;
            linux.devices.retain(|other| other.path != device.path);
            linux.devices.push(device);
            linux.resources.get_or_insert_default().devices.push(rule);
        }
        spec.mounts.extend(edits.mounts.iter().map(BindMount::mount));
        for hook in &edits.hooks {
            hook.add(spec.hooks.get_or_insert_with(Hooks::default))?;
        }
    }
    Ok(())
}

impl Node {
    /// The node and the right to use it; what the file does not say is as on the host.
    fn device(&self) -> Result<(Device, DeviceRule), Error> {
        let host = if self.host_path.is_empty() { &self.path } else { &self.host_path };
        let found = fs::metadata(host);
        let invalid =
            |why: &str| Error::invalid(format!("CDI device injection failed: device node {host:?}: {why}"));
        let kind = match (self.kind.as_str(), &found) {
            ("b", _) => DeviceType::Block,
            ("c" | "u", _) => DeviceType::Character,
            ("p", _) => DeviceType::Fifo,
            ("", Ok(metadata)) if metadata.file_type().is_block_device() => DeviceType::Block,
            ("", Ok(metadata)) if metadata.file_type().is_char_device() => DeviceType::Character,
            ("", Ok(_)) => return Err(invalid("not a device node")),
            ("", Err(error)) => return Err(invalid(&error.to_string())),
            (other, _) => return Err(invalid(&format!("type {other:?} is none"))),
        };
        let number = |told: Option<i64>, of: fn(u64) -> u32| match (told, &found) {
            (Some(number), _) => Ok(number),
            (None, Ok(metadata)) => Ok(i64::from(of(metadata.rdev()))),
            (None, Err(error)) => Err(invalid(&error.to_string())),
        };
        let (major, minor) = (number(self.major, rustix::fs::major)?, number(self.minor, rustix::fs::minor)?);
        let access = if self.permissions.is_empty() { "rwm" } else { &self.permissions };
        let device = Device {
            kind,
            path: self.path.clone(),
            major,
            minor,
            file_mode: self
                .file_mode
                .or_else(|| found.as_ref().ok().map(|metadata| metadata.mode() & 0o7777)),
            uid: self.uid,
            gid: self.gid,
        };
        let rule = DeviceRule {
            allow: true,
            kind: Some(kind),
            major: Some(major),
            minor: Some(minor),
            access: Some(access.to_owned()),
        };
        Ok((device, rule))
    }
}

impl BindMount {
    fn mount(&self) -> Mount {
        let is_bind = self.kind.is_empty() || self.kind == "bind";
        let mut options = self.options.clone();
        if is_bind && !options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind")) {
            options.insert(0, "rbind".to_owned());
        }
        Mount {
            destination: self.container_path.clone(),
            kind: Some(if is_bind { "bind".to_owned() } else { self.kind.clone() }),
            source: Some(self.host_path.clone()),
            options,
            ..Mount::default()
        }
    }
}

impl NamedHook {
    fn add(&self, hooks: &mut Hooks) -> Result<(), Error> {
        let stage = match self.hook_name.as_str() {
            "prestart" => &mut hooks.prestart,
            "createRuntime" => &mut hooks.create_runtime,
            "createContainer" => &mut hooks.create_container,
            "startContainer" => &mut hooks.start_container,
            "poststart" => &mut hooks.poststart,
            "poststop" => &mut hooks.poststop,
            name => {
                return Err(Error::invalid(format!(
                    "CDI device injection failed: invalid hook name {name:?}"
                )));
            }
        };
        stage.push(Hook {
            path: self.path.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            timeout: self.timeout,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const YAML: &str = "\
cdiVersion: 0.6.0
kind: vendor.com/class
containerEdits:
  env: [COMMON=1]
devices:
  - name: one
    containerEdits:
      env: [ONE=1]
      deviceNodes:
        - {path: /dev/one, hostPath: /dev/null, permissions: rw, uid: 33}
      mounts:
        - {hostPath: /usr/lib/vendor, containerPath: /vendor, options: [ro, nosuid]}
      hooks:
        - {hookName: createContainer, path: /bin/true, args: ['true']}
      additionalGIDs: [44, 0]
  - name: broken
    containerEdits:
      deviceNodes: [{path: /dev/no-such-device}]
";

    fn directories(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let root = tempfile::tempdir().unwrap();
        let directories = ["etc", "run"].map(|name| root.path().join(name)).to_vec();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (root, directories)
    }

    #[test]
    fn a_device_brings_its_nodes_mounts_variables_and_programs() {
        let (_root, directories) = directories(&[("etc/vendor.yaml", YAML)]);
        assert_eq!(names(&directories), ["vendor.com/class=broken", "vendor.com/class=one"]);
        let edits = find(&["vendor.com/class=one"], &directories).unwrap();
        let mut spec = Spec::default();
        apply(&mut spec, &edits).unwrap();
        let process = spec.process.unwrap();
        assert_eq!(process.env, ["COMMON=1", "ONE=1"]);
        assert_eq!(process.user.additional_gids, [44]);
        let linux = spec.linux.unwrap();
        let device = &linux.devices[0];
        assert_eq!(
            (device.path.as_str(), device.major, device.minor, device.uid),
            ("/dev/one", 1, 3, Some(33))
        );
        let rule = &linux.resources.unwrap().devices[0];
        assert_eq!((rule.allow, rule.minor, rule.access.as_deref()), (true, Some(3), Some("rw")));
        let mount = &spec.mounts[0];
        assert_eq!((mount.kind.as_deref(), mount.destination.as_str()), (Some("bind"), "/vendor"));
        assert_eq!(mount.options, ["rbind", "ro", "nosuid"]);
        assert_eq!(spec.hooks.unwrap().create_container[0].path, "/bin/true");
    }

    #[test]
    fn a_later_directory_wins_and_two_of_one_directory_are_none() {
        let file = |value: &str| {
            json!({"cdiVersion": "0.6.0", "kind": "a.b/c",
                "devices": [{"name": "d", "containerEdits": {"env": [format!("V={value}")]}}]})
            .to_string()
        };
        let (_root, both) = directories(&[("etc/a.json", &file("etc")), ("run/a.json", &file("run"))]);
        let edits = find(&["a.b/c=d"], &both).unwrap();
        assert_eq!(edits[1].env, ["V=run"]);
        let (_root, twice) = directories(&[("etc/a.json", &file("1")), ("etc/b.json", &file("2"))]);
        assert!(find(&["a.b/c=d"], &twice).is_err());
    }

    #[test]
    fn what_cannot_be_resolved_is_named_with_the_files_that_cannot_be_read() {
        let (_root, directories) = directories(&[("etc/bad.json", "{"), ("etc/vendor.yaml", YAML)]);
        let error =
            find(&["vendor.com/class=two", "vendor.com/class=one"], &directories).unwrap_err().to_string();
        assert!(
            error.starts_with("CDI device injection failed: unresolvable CDI devices vendor.com/class=two;"),
            "{error}"
        );
        assert!(error.contains("bad.json"), "{error}");
        let broken = find(&["vendor.com/class=broken"], &directories).unwrap();
        let error = apply(&mut Spec::default(), &broken).unwrap_err().to_string();
        assert!(error.contains("/dev/no-such-device"), "{error}");
    }

    #[test]
    fn other_drivers_are_refused_in_dockers_words() {
        let host = |request: serde_json::Value| -> HostConfig {
            serde_json::from_value(json!({ "DeviceRequests": [request] })).unwrap()
        };
        let gpus = host(json!({"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}));
        assert_eq!(
            requested(&gpus).unwrap_err().to_string(),
            "could not select device driver \"\" with capabilities: [[gpu]]"
        );
        let cdi = host(json!({"Driver": "cdi", "DeviceIDs": ["a.b/c=d"]}));
        assert_eq!(requested(&cdi).unwrap(), ["a.b/c=d"]);
    }
}
