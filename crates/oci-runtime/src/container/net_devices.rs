//! `linux.netDevices`: devices of the runtime's network namespace that move into the container's
//! (specification, "Network Devices").
//!
//! All of it is the creator's work, between the clone and the first mount: the container's process need not have the rights,
//! and a device that can't move ends the creation while little is made. Nothing moves a device back: what becomes
//! of it when the container's namespace goes is the kernel's rule.

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use minke_kernel::{
    namespace,
    net_device::{self, Socket},
};
use minke_model::runtime_spec::{Linux, NamespaceType};

use super::{CreateError, validate::config};
use crate::step::Step;

/// Checks the names.
pub(super) fn check(linux: &Linux) -> Result<(), CreateError> {
    for (name, device) in &linux.net_devices {
        for name in [Some(name), device.name.as_ref()].into_iter().flatten().filter(|name| !name.is_empty()) {
            if !net_device::is_valid_name(name) {
                let reason = format!("{name:?} can't be the name of a network device");
                return Err(config("linux.netDevices", reason));
            }
        }
        if name.is_empty() {
            return Err(config("linux.netDevices", "a device without a name"));
        }
    }
    Ok(())
}

/// Moves the devices into the network namespace of process `pid`, or into `joined` where that is one that existed.
pub(super) fn transfer(linux: &Linux, pid: i32, joined: Option<&OwnedFd>) -> Result<(), CreateError> {
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    let step = || "linux.netDevices: open the namespace".to_owned();
    let target = match joined {
        Some(joined) => joined.try_clone().action(step)?,
        None => File::open(format!("/proc/{pid}/ns/net")).action(step)?.into(),
    };
    let here = Socket::open().action(step)?;
    let there = socket_in(&target).action(step)?;
    for (name, device) in &linux.net_devices {
        let new = device.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
        transfer_one(&here, &there, &target, name, new)
            .action(|| format!("linux.netDevices[{name:?}]: move into the container as {new:?}"))?;
    }
    Ok(())
}

fn transfer_one(here: &Socket, there: &Socket, target: &OwnedFd, name: &str, new: &str) -> io::Result<()> {
    let index = here.index(name)?;
    // The kernel moves first and renames then, so that a name that is taken would lose the device.
    if there.index(new).is_ok() {
        return Err(rustix::io::Errno::EXIST.into());
    }
    // Read before the move, which takes them away.
    let addresses = here.lasting_addresses(index)?;
    let before = there.indices()?;
    here.move_to(index, target, new)?;
    let moved = match new.contains('%') {
        false => there.index(new)?,
        true => {
            // The kernel has chosen the name.
            let fresh = there.indices()?.into_iter().find(|index| !before.contains(index));
            fresh.ok_or_else(|| io::Error::other("it has left the container again"))?
        }
    };
    addresses.iter().try_for_each(|address| there.add_address(moved, address))?;
    there.bring_up(moved)
}

/// A socket stays in the namespace that it was opened in, so a moment there is enough.
fn socket_in(target: &OwnedFd) -> io::Result<Socket> {
    let home = File::open(Path::new("/proc/self/ns/net"))?;
    namespace::join(target, NamespaceType::Network)?;
    let socket = Socket::open();
    namespace::join(&home, NamespaceType::Network)?;
    socket
}
