//! Device nodes that a container gets from the host: `--device`, and all of them for `--privileged`.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use bollard_stubs::models::DeviceMapping;
use minke_model::runtime_spec::{Device, DeviceRule, DeviceType};

use crate::{Error, error::chain};

/// Directories of /dev whose content is not devices of the host's, or the container's own business.
const SKIPPED: [&str; 8] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "hugepages"];

/// The nodes and the rules of `--device HOST[:CONTAINER[:PERMISSIONS]]`; a directory stands for all devices
/// in it.
///
/// # Errors
/// `InvalidParameter` when the path is no device, or the permissions aren't made of `r`, `w` and `m`.
pub(crate) fn mapped(mapping: &DeviceMapping) -> Result<(Vec<Device>, Vec<DeviceRule>), Error> {
    let host = Path::new(mapping.path_on_host.as_deref().unwrap_or(""));
    let inside = mapping.path_in_container.as_deref().filter(|path| !path.is_empty());
    let inside = inside.map_or_else(|| host.to_owned(), PathBuf::from);
    let access = mapping.cgroup_permissions.as_deref().filter(|text| !text.is_empty()).unwrap_or("rwm");
    if !access.chars().all(|c| "rwm".contains(c)) {
        return Err(Error::invalid(format!("invalid device mode: {access}")));
    }
    let gathering = |error: &std::io::Error| {
        Error::invalid(format!(
            "error gathering device information while adding custom device {host:?}: {}",
            chain(error)
        ))
    };
    let metadata = fs::metadata(host).map_err(|error| gathering(&error))?;
    let mut devices = Vec::new();
    if metadata.is_dir() {
        walk(host, &inside, &mut devices).map_err(|error| gathering(&error))?;
    } else {
        devices.extend(device(&inside, &metadata));
    }
    if devices.is_empty() {
        return Err(Error::invalid(format!(
            "error gathering device information while adding custom device {host:?}: not a device node"
        )));
    }
    let rules = devices.iter().map(|device| rule(device, access)).collect();
    Ok((devices, rules))
}

/// Every device node of the host's /dev, for a privileged container.
///
/// # Errors
/// `Internal` when /dev can't be read.
pub(crate) fn all() -> Result<Vec<Device>, Error> {
    let mut devices = Vec::new();
    let dev = Path::new("/dev");
    walk(dev, dev, &mut devices).map_err(|error| Error::internal("read /dev", &error))?;
    // The container's terminal is bound there.
    devices.retain(|device| device.path != "/dev/console");
    Ok(devices)
}

/// The rule of `--device-cgroup-rule`, `c 1:3 rwm`; `*` is any number.
///
/// # Errors
/// `InvalidParameter` for another form.
pub(crate) fn parse_rule(text: &str) -> Result<DeviceRule, Error> {
    let error = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let words: Vec<&str> = text.split_whitespace().collect();
    let [kind, numbers, access] = words[..] else { return Err(error()) };
    let kind = match kind {
        "a" => DeviceType::All,
        "b" => DeviceType::Block,
        "c" => DeviceType::Character,
        _ => return Err(error()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(error)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        _ => text.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| error()),
    };
    if access.is_empty() || !access.chars().all(|c| "rwm".contains(c)) {
        return Err(error());
    }
    Ok(DeviceRule {
        allow: true,
        kind: Some(kind),
        major: number(major)?,
        minor: number(minor)?,
        access: Some(access.to_owned()),
    })
}

/// Major and minor number of the block device at `path`.
///
/// # Errors
/// `InvalidParameter` when there is none.
pub(crate) fn block_numbers(path: &str) -> Result<(u32, u32), Error> {
    let metadata =
        fs::metadata(path).map_err(|error| Error::invalid(format!("block device {path:?}: {error}")))?;
    if !metadata.file_type().is_block_device() {
        return Err(Error::invalid(format!("{path:?} is not a block device")));
    }
    Ok((rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev())))
}

fn walk(host: &Path, inside: &Path, devices: &mut Vec<Device>) -> std::io::Result<()> {
    for entry in fs::read_dir(host)? {
        let entry = entry?;
        let name = entry.file_name();
        if SKIPPED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        // Not followed: a link's target has its own entry.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            walk(&entry.path(), &inside.join(&name), devices)?;
        } else {
            devices.extend(device(&inside.join(&name), &metadata));
        }
    }
    Ok(())
}

fn device(inside: &Path, metadata: &fs::Metadata) -> Option<Device> {
    let kind = match metadata.file_type() {
        kind if kind.is_block_device() => DeviceType::Block,
        kind if kind.is_char_device() => DeviceType::Character,
        _ => return None,
    };
    Some(Device {
        kind,
        path: inside.to_string_lossy().into_owned(),
        major: rustix::fs::major(metadata.rdev()).into(),
        minor: rustix::fs::minor(metadata.rdev()).into(),
        file_mode: Some(metadata.mode() & 0o7777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    })
}

fn rule(device: &Device, access: &str) -> DeviceRule {
    DeviceRule {
        allow: true,
        kind: Some(device.kind),
        major: Some(device.major),
        minor: Some(device.minor),
        access: Some(access.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host: &str, inside: &str, access: &str) -> DeviceMapping {
        DeviceMapping {
            path_on_host: Some(host.into()),
            path_in_container: Some(inside.into()),
            cgroup_permissions: Some(access.into()),
        }
    }

    #[test]
    fn a_device_gets_its_new_name_and_a_rule() {
        let (devices, rules) = mapped(&mapping("/dev/null", "/dev/nothing", "r")).unwrap();
        assert_eq!((devices[0].path.as_str(), devices[0].major, devices[0].minor), ("/dev/nothing", 1, 3));
        assert_eq!((rules[0].major, rules[0].access.as_deref()), (Some(1), Some("r")));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        assert!(
            mapped(&mapping("/etc/passwd", "", "")).unwrap_err().to_string().contains("not a device node")
        );
        assert!(mapped(&mapping("/dev/does-not-exist", "", "")).is_err());
        assert!(
            mapped(&mapping("/dev/null", "", "x")).unwrap_err().to_string().contains("invalid device mode")
        );
    }

    #[test]
    fn rules_are_read_in_the_kernels_form() {
        let rule = parse_rule("c 10:* rw").unwrap();
        assert_eq!((rule.kind, rule.major, rule.minor), (Some(DeviceType::Character), Some(10), None));
        for text in ["", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 z", "c -1:3 r"] {
            assert!(parse_rule(text).is_err(), "{text}");
        }
    }
}
