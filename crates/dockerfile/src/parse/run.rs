//! `RUN`.

use super::{
    Mistake,
    command::Command,
    flags::{Flags, Takes},
    instruction::command_line,
};
use crate::{
    ast::{Device, MountFlag, NetworkMode, Run, SecurityMode},
    csv,
    quote::quoted,
    suggest,
};

const FLAGS: &[(&str, Takes)] = &[
    ("mount", Takes::Values),
    ("network", Takes::Value),
    ("security", Takes::Value),
    ("device", Takes::Values),
];

pub(super) fn read(command: &Command) -> Result<Run, Mistake> {
    let flags = Flags::read(&command.flags, FLAGS)?;
    Ok(Run {
        command: command_line(command)?,
        heredocs: command.heredocs.clone(),
        mounts: flags.values("mount").into_iter().map(mount).collect::<Result<_, _>>()?,
        security: security(flags.value("security"))?,
        network: network(flags.value("network"))?,
        devices: flags.values("device").iter().map(|text| device(text)).collect::<Result<_, _>>()?,
    })
}

fn network(value: Option<&str>) -> Result<NetworkMode, String> {
    match value {
        None | Some("default") => Ok(NetworkMode::Default),
        Some("none") => Ok(NetworkMode::None),
        Some("host") => Ok(NetworkMode::Host),
        Some(other) => Err(format!("invalid network mode {}", quoted(other))),
    }
}

fn security(value: Option<&str>) -> Result<SecurityMode, String> {
    match value {
        None | Some("sandbox") => Ok(SecurityMode::Sandbox),
        Some("insecure") => Ok(SecurityMode::Insecure),
        Some(other) => Err(format!("security {} is not valid", quoted(other))),
    }
}

/// Only `from` is read now: it says which stages are needed.
fn mount(text: String) -> Result<MountFlag, String> {
    let fields = csv::fields(&text).map_err(|error| format!("failed to parse csv mounts: {error}"))?;
    let mut from = None;
    for (key, value) in fields.iter().filter_map(|field| field.split_once('=')) {
        if !key.eq_ignore_ascii_case("from") {
            continue;
        }
        if value.find('$').is_some_and(|at| at + 1 != value.len()) {
            return Err("'from' doesn't support variable expansion, define alias stage instead".to_owned());
        }
        from = (!value.is_empty()).then(|| value.to_owned());
    }
    Ok(MountFlag { text, from })
}

fn device(text: &str) -> Result<Device, String> {
    let fields = csv::fields(text).map_err(|error| format!("failed to parse csv devices: {error}"))?;
    let mut device = Device { name: String::new(), required: false };
    for field in &fields {
        let (written, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        let key = written.to_lowercase();
        match (key.as_str(), value) {
            ("required", None) => device.required = true,
            ("required", Some(value)) => {
                device.required =
                    csv::boolean(value).ok_or_else(|| format!("invalid value for {key}: {value}"))?;
            }
            ("name", Some(_)) if !device.name.is_empty() => {
                return Err(format!("device name already set to {}", device.name));
            }
            ("name", Some(value)) => value.clone_into(&mut device.name),
            // `vendor.com/class=name` has a `=` of its own.
            _ if device.name.is_empty() => field.clone_into(&mut device.name),
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
            _ => {
                let hint = suggest::hint(&key, ["name", "required"]);
                return Err(format!("unexpected key '{key}' in '{field}'{hint}"));
            }
        }
    }
    Ok(device)
}
