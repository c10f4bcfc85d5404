//! The kernel's network settings below /proc/sys, which belong to a network namespace.
//!
//! The files show the namespace of the thread that opens them.

use std::{fs, io, path::PathBuf};

use crate::AttachError;

/// Whether this host forwards packets between its interfaces.
const IP_FORWARD: &str = "net/ipv4/ip_forward";

/// Whether the host forwards IPv4.
pub(crate) fn forwards() -> bool {
    fs::read(path(IP_FORWARD)).is_ok_and(|value| value.starts_with(b"1"))
}

/// Turns forwarding on.
///
/// # Errors
/// [`AttachError::Setting`] when /proc/sys can't be written.
pub(crate) fn enable_forwarding() -> Result<(), AttachError> {
    set(IP_FORWARD, "1", "containers need it to reach other hosts; set net.ipv4.ip_forward=1 on the host")?;
    tracing::info!("IPv4 forwarding was off on this host and is on now (net.ipv4.ip_forward=1)");
    Ok(())
}

/// Lets packets of the host's loopback addresses be routed through `bridge`, so that a port
/// published on 127.0.0.1 reaches its container.
///
/// # Errors
/// [`AttachError::Setting`] when /proc/sys can't be written.
pub(crate) fn route_loopback(bridge: &str) -> Result<(), AttachError> {
    let setting = format!("net/ipv4/conf/{bridge}/route_localnet");
    set(&setting, "1", "published ports need it to answer on 127.0.0.1")
}

/// Keeps `interface` (or `default`: every interface yet to come) from giving itself IPv6
/// addresses. A kernel without IPv6 needs nothing, so failing is no error.
pub(crate) fn disable_ipv6(interface: &str) {
    let setting = format!("net/ipv6/conf/{interface}/disable_ipv6");
    if let Err(error) = fs::write(path(&setting), "1") {
        tracing::debug!(%error, setting, "IPv6 could not be disabled");
    }
}

fn set(setting: &str, value: &'static str, hint: &'static str) -> Result<(), AttachError> {
    fs::write(path(setting), value).map_err(|source: io::Error| AttachError::Setting {
        setting: setting.to_owned(),
        value,
        hint,
        source,
    })
}

fn path(setting: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(setting)
}
