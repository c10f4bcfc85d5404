//! The kernel's network settings below /proc/sys, which belong to a network namespace.
//!
//! The files show the namespace of the thread that opens them.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use minke_netlink::route::Link;

use crate::AttachError;

/// Whether this host forwards packets of a family between its interfaces.
fn forwarding(ipv4: bool) -> &'static str {
    if ipv4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" }
}

/// Whether the host forwards a family.
pub(crate) fn forwards(ipv4: bool) -> bool {
    has(forwarding(ipv4), b'1')
}

/// Turns forwarding of a family on.
///
/// # Errors
/// [`AttachError::Setting`] when /proc/sys can't be written.
pub(crate) fn enable_forwarding(ipv4: bool) -> Result<(), AttachError> {
    if ipv4 {
        set(
            forwarding(true),
            "1",
            "containers need it to reach other hosts; set net.ipv4.ip_forward=1 on the host",
        )?;
        tracing::info!("IPv4 forwarding was off on this host and is on now (net.ipv4.ip_forward=1)");
        return Ok(());
    }
    keep_router_advertisements();
    set(
        forwarding(false),
        "1",
        "containers need it to reach other hosts; set net.ipv6.conf.all.forwarding=1 on the host",
    )?;
    tracing::info!("IPv6 forwarding was off on this host and is on now (net.ipv6.conf.all.forwarding=1)");
    Ok(())
}

/// A host that forwards IPv6 stops listening to the routers that it has its address and default route
/// from, unless it is told to go on (`accept_ra` 2). On other interfaces, bridges of virtual machines and of containers above all, it
/// must not begin to listen to what calls itself a router.
fn keep_router_advertisements() {
    let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    let advertised: BTreeSet<&str> = routes.lines().filter_map(advertised).collect();
    let Ok(interfaces) = fs::read_dir("/proc/sys/net/ipv6/conf") else { return };
    for interface in interfaces.flatten() {
        let name = interface.file_name();
        // An interface of hardware may be about to hear of its router.
        if !is_hardware(&Path::new("/sys/class/net").join(&name), 0)
            && !name.to_str().is_some_and(|name| advertised.contains(name))
        {
            continue;
        }
        let setting = interface.path().join("accept_ra");
        if fs::read(&setting).is_ok_and(|value| value.starts_with(b"1")) {
            let _ = fs::write(setting, "2");
        }
    }
}

/// Whether an interface is of hardware, or on top of hardware alone: a bond, a VLAN, a bridge of them.
fn is_hardware(interface: &Path, depth: u8) -> bool {
    if interface.join("device").exists() {
        return true;
    }
    let entries = fs::read_dir(interface).into_iter().flatten().flatten();
    let mut lower =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("lower_")).peekable();
    lower.peek().is_some() && depth < 8 && lower.all(|lower| is_hardware(&lower.path(), depth + 1))
}

/// The interface of a route that a router advertised: a line of /proc/net/ipv6_route ends with flags and name, and RTF_ADDRCONF
/// (linux/ipv6_route.h) says so.
fn advertised(route: &str) -> Option<&str> {
    const ADDRCONF: u32 = 0x0004_0000;
    let mut words = route.split_ascii_whitespace().rev();
    let interface = words.next()?;
    let flags = u32::from_str_radix(words.next()?, 16).ok()?;
    (flags & ADDRCONF != 0).then_some(interface)
}

/// Lets packets of the host's loopback addresses be routed through `bridge`, so that a port
/// published on 127.0.0.1 reaches its container.
///
/// # Errors
/// [`AttachError::Setting`] when /proc/sys can't be written.
pub(crate) fn route_loopback(bridge: &str) -> Result<(), AttachError> {
    set(&route_localnet(bridge), "1", "published ports need it to answer on 127.0.0.1")
}

/// Whether it does.
pub(crate) fn routes_loopback(bridge: &str) -> bool {
    has(&route_localnet(bridge), b'1')
}

fn route_localnet(bridge: &str) -> String {
    format!("net/ipv4/conf/{bridge}/route_localnet")
}

/// Whether what goes from one port of a bridge to another passes the firewall (br_netfilter).
pub(crate) fn filters_bridged(ipv4: bool) -> bool {
    has(if ipv4 { "net/bridge/bridge-nf-call-iptables" } else { "net/bridge/bridge-nf-call-ip6tables" }, b'1')
}

/// What a bridge does about IPv6: nothing, or to have the addresses that it is given.
pub(crate) fn bridge_ipv6(bridge: &str, on: bool) {
    if on {
        hint(&format!("net/ipv6/conf/{bridge}/accept_ra"), "0");
        hint(&format!("net/ipv6/conf/{bridge}/accept_dad"), "0");
    }
    hint(&disable_ipv6(bridge), if on { "0" } else { "1" });
}

/// What interfaces yet to come in this namespace do about IPv6. Without it, they would spend their first
/// seconds looking for routers and neighbours; with it, their addresses are given to them, and nobody else
/// has them. `lo` keeps ::1, since it was there before.
pub(crate) fn default_ipv6(on: bool) {
    if on {
        for setting in ["accept_ra", "accept_dad", "autoconf"] {
            hint(&format!("net/ipv6/conf/default/{setting}"), "0");
        }
    }
    hint("net/ipv6/conf/default/disable_ipv6", if on { "0" } else { "1" });
}

/// The settings that make one interface as [`default_ipv6`] would.
pub(crate) fn interface_ipv6(interface: &str, on: bool) -> Vec<(String, String)> {
    let setting = |name: &str, value: &str| (format!("net/ipv6/conf/{interface}/{name}"), value.to_owned());
    if on {
        return vec![
            setting("accept_ra", "0"),
            setting("accept_dad", "0"),
            setting("autoconf", "0"),
            setting("disable_ipv6", "0"),
        ];
    }
    vec![setting("disable_ipv6", "1")]
}

/// Whether an interface is known to have a setting already. To ask for its file takes a millisecond where a thousand namespaces have
/// one of the same path.
pub(crate) fn is_so(link: &Link, (setting, value): &(String, String)) -> bool {
    let disabled = link.ipv6_disabled.map(|disabled| if disabled { "1" } else { "0" });
    *setting == disable_ipv6(&link.name) && disabled == Some(value.as_str())
}

/// Whether the kernel gives interfaces of this MTU IPv6: it may have none, and those below 1280 bytes get none (RFC 8200, section 5).
pub(crate) fn takes_ipv6(mtu: u32) -> bool {
    mtu >= 1280 && Path::new("/proc/sys/net/ipv6").exists()
}

fn disable_ipv6(interface: &str) -> String {
    format!("net/ipv6/conf/{interface}/disable_ipv6")
}

/// The file of a setting that an endpoint asks for: `net.ipv4.conf.IFNAME.log_martians`. Nothing but
/// settings of the interface itself can be said.
pub(crate) fn of_interface(name: &str, interface: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let [net, family, group, placeholder, leaf] = parts[..] else { return None };
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let known = net == "net"
        && matches!((family, group), ("ipv4" | "ipv6", "conf" | "neigh") | ("mpls", "conf"))
        && placeholder == "IFNAME"
        && plain(leaf);
    known.then(|| format!("{net}/{family}/{group}/{interface}/{leaf}"))
}

/// Writes settings of this namespace, in order. IPv6 settings of a kernel without IPv6 are left.
///
/// # Errors
/// [`AttachError::Sysctl`].
pub(crate) fn write_all(settings: &[(String, String)]) -> Result<(), AttachError> {
    for (setting, value) in settings {
        match fs::write(path(setting), value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && setting.ends_with("disable_ipv6") => {}
            Err(source) => {
                let (setting, value) = (setting.clone(), value.clone());
                return Err(AttachError::Sysctl { setting, value, source });
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

fn has(setting: &str, first: u8) -> bool {
    fs::read(path(setting)).is_ok_and(|value| value.first() == Some(&first))
}

/// A kernel without IPv6 needs nothing, so failing is no error.
fn hint(setting: &str, value: &str) {
    if let Err(error) = fs::write(path(setting), value) {
        tracing::debug!(%error, setting, "a setting of IPv6 could not be changed");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_has_told_is_known_to_be_so() {
        let link = |ipv6_disabled| Link {
            index: 2,
            name: "eth0".to_owned(),
            kind: None,
            controller: None,
            up: true,
            operational: true,
            mtu: 1500,
            group: 0,
            mac: None,
            ipv6_disabled,
        };
        let setting = |file: &str, value: &str| (file.to_owned(), value.to_owned());
        let off = &interface_ipv6("eth0", false)[0];
        assert!(is_so(&link(Some(true)), off));
        assert!(!is_so(&link(Some(false)), off) && !is_so(&link(None), off));
        assert!(!is_so(&link(Some(true)), &setting("net/ipv6/conf/eth1/disable_ipv6", "1")));
        assert!(!is_so(&link(Some(true)), &setting("net/ipv6/conf/eth0/accept_ra", "1")));
    }

    #[test]
    fn the_interface_of_an_advertised_route_is_found() {
        let route = |flags: &str| {
            format!(
                "{0} 00 {0} 00 fe800000000000000000000000000001 00000400 00000003 00000000 {flags}     eth0",
                "0".repeat(32)
            )
        };
        assert_eq!(advertised(&route("00450003")), Some("eth0"));
        assert_eq!(advertised(&route("00000003")), None);
        assert_eq!(advertised("eth0"), None);
    }

    #[test]
    fn an_endpoint_sets_only_its_own_interface() {
        let file = |name: &str| of_interface(name, "eth0.5");
        let known = file("net.ipv4.conf.IFNAME.log_martians");
        assert_eq!(known.as_deref(), Some("net/ipv4/conf/eth0.5/log_martians"));
        for name in [
            "net.ipv4.conf.all.log_martians",
            "net.ipv4.ip_forward",
            "kernel.x.conf.IFNAME.y",
            "net.ipv4.conf.IFNAME.a/b",
            "net.ipv4.conf.IFNAME...",
            "",
        ] {
            assert_eq!(file(name), None, "{name}");
        }
    }
}
