//! The interface that a macvlan or ipvlan network is on top of: one of the host's, a VLAN of it that is
//! made where it is missing, or for a network of its own one that leads nowhere.

use minke_netlink::route::{Batch, IpvlanMode as Layer, MacvlanMode as Reach, RouteSocket, SlaveKind};

use crate::{
    AttachError, Driver, IpvlanMode, MacvlanMode, NetworkSpec,
    bridge::{self, GROUP_BELOW},
    naming::Names,
};

/// The interface below, and what is made on top of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) index: u32,
    pub(crate) kind: SlaveKind,
    pub(crate) mtu: Option<u32>,
    /// Its hardware address.
    pub(crate) mac: Option<[u8; 6]>,
}

/// What a network's endpoints are and the name of the interface below; `None` for a bridge network.
pub(crate) fn plan(spec: &NetworkSpec) -> Option<(SlaveKind, Option<&str>, Option<u32>)> {
    match &spec.driver {
        Driver::Bridge(_) => None,
        Driver::Macvlan(options) => {
            let parent = options.parent.as_deref();
            Some((SlaveKind::Macvlan(reach(options.mode)), parent, options.mtu))
        }
        Driver::Ipvlan(options) => {
            let parent = options.parent.as_deref();
            let layer = match options.mode {
                IpvlanMode::L2 => Layer::L2,
                IpvlanMode::L3 => Layer::L3,
                IpvlanMode::L3s => Layer::L3s,
            };
            let flags = match options.flag {
                MacvlanMode::Private => 1,
                MacvlanMode::Vepa => 2,
                MacvlanMode::Bridge | MacvlanMode::Passthru => 0,
            };
            Some((SlaveKind::Ipvlan(layer, flags), parent, options.mtu))
        }
    }
}

/// The name of the interface below; for a bridge network, which has none, one that nothing has.
pub(crate) fn parent_name(spec: &NetworkSpec) -> String {
    let parent = plan(spec).and_then(|(_, parent, _)| parent);
    parent.map_or_else(|| Names::network_dummy(&spec.id), str::to_owned)
}

fn reach(mode: MacvlanMode) -> Reach {
    match mode {
        MacvlanMode::Bridge => Reach::Bridge,
        MacvlanMode::Private => Reach::Private,
        MacvlanMode::Vepa => Reach::Vepa,
        MacvlanMode::Passthru => Reach::Passthru,
    }
}

/// A name that stands for a VLAN of another interface: `eth0.10`.
pub(crate) fn sub_interface(name: &str) -> Option<(&str, u16)> {
    let (parent, number) = name.rsplit_once('.')?;
    let number: u16 = number.parse().ok()?;
    (!parent.is_empty() && (1..=4094).contains(&number)).then_some((parent, number))
}

/// Finds the interface below, or makes it; returns the name of one that an engine made.
pub(crate) fn make(
    route: &mut RouteSocket,
    spec: &NetworkSpec,
) -> Result<(Parent, Option<String>), AttachError> {
    let (kind, parent, mtu) = plan(spec).ok_or_else(|| AttachError::NoParent(String::new()))?;
    let name = parent_name(spec);
    let failed = |source| AttachError::Bridge { bridge: name.clone(), source };
    let (link, missing) = match route.link(&name).map_err(failed)? {
        Some(link) => (link, false),
        None => {
            make_missing(route, parent, &name)?;
            (route.link(&name).map_err(failed)?.ok_or_else(|| AttachError::NoParent(name.clone()))?, true)
        }
    };
    if !link.up {
        route.run(Batch::new().up(&name)).map_err(failed)?;
    }
    let made = missing || bridge::is_ours(&link);
    Ok((Parent { index: link.index, kind, mtu, mac: link.mac }, made.then_some(name)))
}

fn make_missing(route: &mut RouteSocket, parent: Option<&str>, name: &str) -> Result<(), AttachError> {
    let failed = |kind| {
        let name = name.to_owned();
        move |source: minke_netlink::Error| match source.is_unsupported() {
            true => AttachError::NoDriver(kind),
            false => AttachError::Bridge { bridge: name, source },
        }
    };
    let Some(parent) = parent else {
        return route.run(Batch::new().dummy(name, GROUP_BELOW)).map_err(failed("dummy"));
    };
    let missing = || AttachError::NoParent(parent.to_owned());
    let (below, number) = sub_interface(parent).ok_or_else(missing)?;
    let link = route.link(below).map_err(failed("vlan"))?.ok_or_else(missing)?;
    route.run(Batch::new().vlan(name, link.index, number, GROUP_BELOW)).map_err(failed("vlan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vlan_has_a_parent_and_a_number() {
        assert_eq!(sub_interface("eth0.10"), Some(("eth0", 10)));
        assert_eq!(sub_interface("a.b.4094"), Some(("a.b", 4094)));
        for name in ["eth0", "eth0.", "eth0.0", "eth0.4095", ".10", "eth0.x"] {
            assert_eq!(sub_interface(name), None, "{name}");
        }
    }
}
