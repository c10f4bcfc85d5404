//! `--volume`, `--mount` and `--tmpfs`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use bollard_stubs::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum as Propagation, MountType,
    MountVolumeOptionsDriverConfig,
};
use minke_model::quantity;

use super::{FlagError, csv_fields};

/// What `--volume` values come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Volumes {
    /// `source:target[:options]`, for HostConfig.Binds.
    pub(super) binds: Vec<String>,
    /// Targets of anonymous volumes.
    pub(super) anonymous: Vec<String>,
}

/// Reads `--volume` values; relative sources (`./x`) are taken from `folder`.
///
/// # Errors
/// Names the value and what is wrong with it.
pub(super) fn volumes(values: &[String], folder: &Path) -> Result<Volumes, FlagError> {
    let mut volumes = Volumes::default();
    for value in values {
        let invalid = |reason: &str| FlagError::new(format!("invalid spec: {value}: {reason}"));
        let parts: Vec<&str> = value.split(':').collect();
        if value.is_empty() {
            return Err(FlagError::new("invalid empty volume spec"));
        }
        if parts.iter().any(|part| part.is_empty()) {
            return Err(invalid("empty section between colons"));
        }
        match parts.as_slice() {
            [target] => volumes.anonymous.push((*target).to_owned()),
            [source, rest @ ..] if rest.len() <= 2 => {
                volumes.binds.push(format!("{}:{}", absolute(source, folder), rest.join(":")));
            }
            _ => return Err(invalid("too many colons")),
        }
    }
    Ok(volumes)
}

/// A source that starts with a dot is a path from the current folder.
fn absolute(source: &str, folder: &Path) -> String {
    if source.starts_with('.') { clean(&folder.join(source)) } else { source.to_owned() }
}

/// The path without `.` and `..`, by its text alone (Go's filepath.Clean).
fn clean(path: &Path) -> String {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean.to_string_lossy().into_owned()
}

/// `--tmpfs target[:options]`.
pub(super) fn tmpfs(values: &[String]) -> HashMap<String, String> {
    values
        .iter()
        .map(|value| value.split_once(':').unwrap_or((value, "")))
        .map(|(target, options)| (target.to_owned(), options.to_owned()))
        .collect()
}

/// `--mount type=bind,source=…,target=…`.
///
/// # Errors
/// Names the option and what is wrong with it.
pub(super) fn mount(value: &str, folder: &Path) -> Result<Mount, FlagError> {
    let mut mount = Mount { typ: Some(MountType::VOLUME), ..Mount::default() };
    let text = value.trim();
    if text.is_empty() {
        return Err(FlagError::new("value is empty"));
    }
    for field in csv_fields(text)? {
        set(&mut mount, &field, folder)?;
    }
    check(&mount)?;
    Ok(mount)
}

fn set(mount: &mut Mount, field: &str, folder: &Path) -> Result<(), FlagError> {
    let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
    if key.trim() != key || value.is_some_and(|value| value.trim() != value) {
        return Err(FlagError::new(format!(
            "invalid option in '{field}': option should not have whitespace"
        )));
    }
    let key = key.to_lowercase();
    if value == Some("") {
        return Err(FlagError::new(format!("invalid value for '{key}': value is empty")));
    }
    let boolean = || match value {
        None | Some("1" | "true") => Ok(true),
        Some("0" | "false") => Ok(false),
        Some(other) => Err(FlagError::new(format!(
            "invalid value for '{key}': invalid boolean value ({other:?}): must be one of \"true\", \"1\", \"false\", or \"0\""
        ))),
    };
    let required =
        || value.ok_or_else(|| FlagError::new(format!("invalid field '{field}' must be a key=value pair")));
    let invalid = |value: &str| FlagError::new(format!("invalid value for {key}: {value}"));
    let text = || required().map(|value| Some(value.to_owned()));
    match key.as_str() {
        "type" => mount.typ = Some(kind(required()?)?),
        "source" | "src" => mount.source = Some(absolute(required()?, folder)),
        "target" | "dst" | "destination" => mount.target = text()?,
        "readonly" | "ro" => mount.read_only = Some(boolean()?),
        "consistency" => mount.consistency = Some(required()?.to_lowercase()),
        "bind-propagation" => bind(mount).propagation = Some(propagation(required()?)?),
        "bind-nonrecursive" => {
            return Err(FlagError::new(
                "bind-nonrecursive is deprecated, use bind-recursive=disabled instead",
            ));
        }
        "bind-recursive" => match required()? {
            "enabled" => {}
            "disabled" => bind(mount).non_recursive = Some(true),
            "writable" => bind(mount).read_only_non_recursive = Some(true),
            "readonly" => bind(mount).read_only_force_recursive = Some(true),
            other => {
                return Err(FlagError::new(format!(
                    "invalid value for {key}: {other} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                )));
            }
        },
        "bind-create-src" => bind(mount).create_mountpoint = Some(boolean()?),
        "volume-subpath" => mount.volume_options.get_or_insert_default().subpath = text()?,
        "volume-nocopy" => mount.volume_options.get_or_insert_default().no_copy = Some(boolean()?),
        "volume-label" => {
            let labels = &mut mount.volume_options.get_or_insert_default().labels;
            insert(labels.get_or_insert_default(), required()?);
        }
        "volume-driver" => driver(mount).name = text()?,
        "volume-opt" => {
            let value = required()?;
            insert(driver(mount).options.get_or_insert_default(), value);
        }
        "image-subpath" => mount.image_options.get_or_insert_default().subpath = text()?,
        "tmpfs-size" => {
            let value = required()?;
            let size = quantity::parse_bytes(value).map_err(|_| invalid(value))?;
            mount.tmpfs_options.get_or_insert_default().size_bytes = Some(size);
        }
        "tmpfs-mode" => {
            let value = required()?;
            let mode = i64::from_str_radix(value, 8).map_err(|_| invalid(value))?;
            mount.tmpfs_options.get_or_insert_default().mode = Some(mode);
        }
        _ => return Err(FlagError::new(format!("unknown option '{key}' in '{field}'"))),
    }
    Ok(())
}

fn bind(mount: &mut Mount) -> &mut MountBindOptions {
    mount.bind_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut MountVolumeOptionsDriverConfig {
    mount.volume_options.get_or_insert_default().driver_config.get_or_insert_default()
}

fn insert(map: &mut HashMap<String, String>, pair: &str) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    map.insert(key.to_owned(), value.to_owned());
}

fn kind(text: &str) -> Result<MountType, FlagError> {
    match text.to_lowercase().as_str() {
        "bind" => Ok(MountType::BIND),
        "volume" => Ok(MountType::VOLUME),
        "tmpfs" => Ok(MountType::TMPFS),
        "image" => Ok(MountType::IMAGE),
        other => Err(FlagError::new(format!(
            "unsupported mount type {other:?}: must be bind, volume, tmpfs or image"
        ))),
    }
}

fn propagation(text: &str) -> Result<Propagation, FlagError> {
    match text.to_lowercase().as_str() {
        "private" => Ok(Propagation::PRIVATE),
        "rprivate" => Ok(Propagation::RPRIVATE),
        "shared" => Ok(Propagation::SHARED),
        "rshared" => Ok(Propagation::RSHARED),
        "slave" => Ok(Propagation::SLAVE),
        "rslave" => Ok(Propagation::RSLAVE),
        other => Err(FlagError::new(format!("invalid value for bind-propagation: {other}"))),
    }
}

/// Options must belong to the type.
fn check(mount: &Mount) -> Result<(), FlagError> {
    let kind = mount.typ.unwrap_or(MountType::VOLUME);
    let mixed = [
        ("bind", MountType::BIND, mount.bind_options.is_some()),
        ("volume", MountType::VOLUME, mount.volume_options.is_some()),
        ("image", MountType::IMAGE, mount.image_options.is_some()),
        ("tmpfs", MountType::TMPFS, mount.tmpfs_options.is_some()),
    ];
    if let Some((prefix, ..)) = mixed.iter().find(|(_, own, given)| *given && *own != kind) {
        return Err(FlagError::new(format!("cannot mix '{prefix}-*' options with mount type '{kind}'")));
    }
    if mount.target.is_none() {
        return Err(FlagError::new("target is required"));
    }
    let Some(options) = &mount.bind_options else { return Ok(()) };
    let read_only = mount.read_only == Some(true);
    let requires = |option: &str, other: &str| {
        FlagError::new(format!(
            "option 'bind-recursive={option}' requires '{other}' to be specified in conjunction"
        ))
    };
    if options.read_only_non_recursive == Some(true) && !read_only {
        return Err(requires("writable", "readonly"));
    }
    if options.read_only_force_recursive == Some(true) {
        if !read_only {
            return Err(requires("readonly", "readonly"));
        }
        if options.propagation != Some(Propagation::RPRIVATE) {
            return Err(requires("readonly", "bind-propagation=rprivate"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owned(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn volumes_are_binds_or_anonymous() {
        let read = volumes(
            &owned(&["/data", "/a:/b", "name:/c:ro,z", "./src:/d", "../x:/e:ro", ".:/f"]),
            Path::new("/home/me"),
        )
        .unwrap();
        assert_eq!(read.anonymous, ["/data"]);
        assert_eq!(read.binds, ["/a:/b", "name:/c:ro,z", "/home/me/src:/d", "/home/x:/e:ro", "/home/me:/f"]);
        for (value, expected) in [
            ("", "empty volume"),
            ("a::b", "empty section"),
            ("/a:/b:ro:x", "too many colons"),
            (":/b", "empty section"),
        ] {
            let error = volumes(&owned(&[value]), Path::new("/")).unwrap_err().to_string();
            assert!(error.contains(expected), "{value}: {error}");
        }
    }

    #[test]
    fn tmpfs_takes_options_after_the_first_colon() {
        let read = tmpfs(&owned(&["/run", "/tmp:size=1m,mode=1777"]));
        assert_eq!(read["/run"], "");
        assert_eq!(read["/tmp"], "size=1m,mode=1777");
    }

    #[test]
    fn mounts_become_the_apis_objects() {
        let cases = [
            (
                "type=bind,source=/a,target=/b,readonly",
                json!({"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true}),
            ),
            (
                "type=bind,src=./x,dst=/b,ro=false,bind-propagation=rslave",
                json!({"Type": "bind", "Source": "/w/x", "Target": "/b", "ReadOnly": false, "BindOptions": {"Propagation": "rslave"}}),
            ),
            (
                "source=v,target=/b,volume-nocopy,volume-label=a=1,volume-driver=d,volume-opt=o=x",
                json!({"Type": "volume", "Source": "v", "Target": "/b", "VolumeOptions": {"NoCopy": true, "Labels": {"a": "1"}, "DriverConfig": {"Name": "d", "Options": {"o": "x"}}}}),
            ),
            (
                "type=tmpfs,destination=/t,tmpfs-size=64m,tmpfs-mode=1770",
                json!({"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 67_108_864, "Mode": 1016}}),
            ),
            (
                "type=volume,\"volume-opt=o=addr=1,rw\",target=/n",
                json!({"Type": "volume", "Target": "/n", "VolumeOptions": {"DriverConfig": {"Options": {"o": "addr=1,rw"}}}}),
            ),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=disabled",
                json!({"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"NonRecursive": true}}),
            ),
        ];
        for (value, expected) in cases {
            let mount = mount(value, Path::new("/w")).unwrap_or_else(|error| panic!("{value}: {error}"));
            assert_eq!(serde_json::to_value(mount).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn mistakes_in_mounts_are_named() {
        let cases = [
            ("", "value is empty"),
            ("type=nope,target=/a", "unsupported mount type \"nope\""),
            ("type=bind,target=/a,nope=1", "unknown option 'nope'"),
            ("type=bind,target", "must be a key=value pair"),
            ("type=bind,target=", "value is empty"),
            ("type=bind,source=/a", "target is required"),
            (
                "type=tmpfs,target=/a,bind-propagation=shared",
                "cannot mix 'bind-*' options with mount type 'tmpfs'",
            ),
            ("type=bind,src=/a,target=/b,readonly=maybe", "invalid boolean"),
            ("type=bind,src=/a,target=/b,bind-recursive=writable", "requires 'readonly'"),
            ("type=tmpfs,target=/a,tmpfs-size=x", "invalid value for tmpfs-size: x"),
            ("type=bind, src=/a,target=/b", "whitespace"),
        ];
        for (value, expected) in cases {
            let error = mount(value, Path::new("/")).unwrap_err().to_string();
            assert!(error.contains(expected), "{value}: {error}");
        }
    }
}
