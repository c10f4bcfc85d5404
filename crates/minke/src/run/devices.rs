//! `--device`, `--device-cgroup-rule`, and the block device limits.

use bollard_stubs::models::{DeviceMapping, DeviceRequest, ResourcesBlkioWeightDevice, ThrottleDevice};
use minke_model::quantity;

use super::FlagError;

/// `--device /dev/host[:/dev/inside][:rwm]`.
///
/// # Errors
/// Names the value and what is wrong with it.
pub(super) fn mapping(value: &str) -> Result<DeviceMapping, FlagError> {
    let parts: Vec<&str> = value.split(':').collect();
    let (host, inside, permissions) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, inside] => (*host, *inside, "rwm"),
        [host, inside, mode] if is_mode(mode) => (*host, *inside, *mode),
        [_, _, mode] => return Err(FlagError::new(format!("bad mode specified: {mode}"))),
        _ => return Err(FlagError::new(format!("bad format for path: {value}"))),
    };
    if host.is_empty() {
        return Err(FlagError::new(format!("bad format for path: {value}")));
    }
    if !inside.starts_with('/') {
        return Err(FlagError::new(format!("{inside} is not an absolute path")));
    }
    Ok(DeviceMapping {
        path_on_host: Some(host.to_owned()),
        path_in_container: Some(inside.to_owned()),
        cgroup_permissions: Some(permissions.to_owned()),
    })
}

/// Each of `r`, `w` and `m` at most once.
fn is_mode(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| b"rwm".contains(&byte) && !text.as_bytes()[..at].contains(&byte))
}

/// A device of the Container Device Interface: `vendor.com/class=name`.
pub(super) fn is_cdi(value: &str) -> bool {
    value
        .split_once('=')
        .is_some_and(|(kind, name)| !value.starts_with('/') && kind.contains('/') && !name.is_empty())
}

/// The request for CDI devices.
pub(super) fn cdi_request(names: Vec<String>) -> DeviceRequest {
    DeviceRequest { driver: Some("cdi".to_owned()), device_ids: Some(names), ..DeviceRequest::default() }
}

/// `--device-cgroup-rule 'c 1:3 rwm'`.
///
/// # Errors
/// Names the rule.
pub(super) fn cgroup_rule(value: &str) -> Result<String, FlagError> {
    let number =
        |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let valid = match value.split(' ').collect::<Vec<_>>().as_slice() {
        [kind, numbers, mode] => {
            matches!(*kind, "a" | "b" | "c")
                && numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                && is_mode(mode)
        }
        _ => false,
    };
    if valid {
        Ok(value.to_owned())
    } else {
        Err(FlagError::new(format!("invalid device cgroup format '{value}'")))
    }
}

/// `--device-read-bps /dev/sda:1mb` (`bytes`) and `--device-read-iops /dev/sda:1000`.
///
/// # Errors
/// Names the value and the form it should have.
pub(super) fn throttle(value: &str, bytes: bool) -> Result<ThrottleDevice, FlagError> {
    let (path, rate) = device_and_value(value)?;
    let parsed =
        if bytes { quantity::parse_bytes(rate).ok() } else { rate.parse().ok().filter(|rate| *rate >= 0) };
    let form = if bytes { "<device-path>:<number>[kb|mb|gb]" } else { "<device-path>:<number>" };
    let rate = parsed.ok_or_else(|| {
        FlagError::new(format!(
            "invalid rate for device: {value}. The correct format is {form}, with a positive number"
        ))
    })?;
    Ok(ThrottleDevice { path: Some(path.to_owned()), rate: Some(rate) })
}

/// `--blkio-weight-device /dev/sda:500`.
///
/// # Errors
/// Names the value.
pub(super) fn weight(value: &str) -> Result<ResourcesBlkioWeightDevice, FlagError> {
    let (path, weight) = device_and_value(value)?;
    match weight.parse() {
        Ok(weight @ (0 | 10..=1000)) => {
            Ok(ResourcesBlkioWeightDevice { path: Some(path.to_owned()), weight: Some(weight) })
        }
        _ => Err(FlagError::new(format!("invalid weight for device: {value} (want 10 to 1000, or 0)"))),
    }
}

fn device_and_value(value: &str) -> Result<(&str, &str), FlagError> {
    let (path, rest) = value
        .split_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| FlagError::new(format!("bad format: {value}")))?;
    if path.starts_with("/dev/") {
        Ok((path, rest))
    } else {
        Err(FlagError::new(format!("bad format for device path: {value}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Result<String, String> {
        let device = mapping(value).map_err(|error| error.to_string())?;
        Ok([device.path_on_host, device.path_in_container, device.cgroup_permissions]
            .map(Option::unwrap)
            .join(" "))
    }

    #[test]
    fn devices_are_mapped_with_permissions() {
        assert_eq!(shown("/dev/snd").unwrap(), "/dev/snd /dev/snd rwm");
        assert_eq!(shown("/dev/snd:rw").unwrap(), "/dev/snd /dev/snd rw");
        assert_eq!(shown("/dev/snd:/dev/x").unwrap(), "/dev/snd /dev/x rwm");
        assert_eq!(shown("/dev/snd:/dev/x:r").unwrap(), "/dev/snd /dev/x r");
        for (value, expected) in [
            ("", "bad format"),
            ("/dev/a:/dev/b:rr", "bad mode"),
            ("/dev/a:b", "not an absolute path"),
            ("a:b:c:d", "bad format"),
        ] {
            assert!(shown(value).unwrap_err().contains(expected), "{value}");
        }
        assert!(is_cdi("vendor.com/gpu=0") && !is_cdi("/dev/a=b") && !is_cdi("/dev/a"));
    }

    #[test]
    fn rules_and_limits_are_checked() {
        assert!(cgroup_rule("c 1:3 rwm").is_ok() && cgroup_rule("a *:* m").is_ok());
        for rule in ["", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 rr", "c 1:3 rwmx"] {
            assert!(cgroup_rule(rule).is_err(), "{rule}");
        }
        assert_eq!(throttle("/dev/sda:1mb", true).unwrap().rate, Some(1 << 20));
        assert_eq!(throttle("/dev/sda:100", false).unwrap().rate, Some(100));
        assert!(
            throttle("/dev/sda:1mb", false).is_err()
                && throttle("sda:1", true).is_err()
                && throttle("/dev/sda", true).is_err()
        );
        assert_eq!(weight("/dev/sda:500").unwrap().weight, Some(500));
        assert!(weight("/dev/sda:5").is_err());
    }
}
