//! Waiting for what the kernel does from a work queue, after it acknowledged the change.

use std::{
    net::Ipv6Addr,
    thread,
    time::{Duration, Instant},
};

use minke_netlink::{
    Error,
    route::{Link, RouteSocket},
};

/// How long that may take; on a host that is so busy, a container may begin without waiting any longer.
const WITHIN: Duration = Duration::from_millis(100);
const POLL_EVERY: Duration = Duration::from_micros(100);

/// Waits until these interfaces carry packets. The kernel brings interfaces into operation up to some
/// milliseconds after they are up, and drops what is sent before; a lost ARP request would cost a new
/// container's first connection a whole second.
pub(crate) fn wait_until_operational(
    route: &mut RouteSocket,
    interfaces: &[&str],
) -> Result<Vec<Link>, Error> {
    let begin = Instant::now();
    interfaces.iter().map(|interface| operational(route, interface, begin)).collect()
}

/// Since Linux 6.8, to ask is to have it brought into operation; before, the work queue has to come
/// round. An interface that is gone will not come.
fn operational(route: &mut RouteSocket, interface: &str, begin: Instant) -> Result<Link, Error> {
    loop {
        let Some(link) = route.link(interface)? else {
            return Err(Error::missing(&format!("find interface {interface}")));
        };
        if link.operational {
            return Ok(link);
        }
        if !may_wait(begin) {
            tracing::warn!(interface, "the interface is up but not in operation yet");
            return Ok(link);
        }
    }
}

/// Waits until packets to an address that was added are taken in. An answer that comes before is dropped,
/// and costs a new container's first connection a whole second.
pub(crate) fn wait_until_own(route: &mut RouteSocket, address: Ipv6Addr) -> Result<(), Error> {
    let begin = Instant::now();
    while !route.is_own(address)? {
        if !may_wait(begin) {
            tracing::warn!(%address, "the address is there but takes no packets yet");
            break;
        }
    }
    Ok(())
}

/// Lets a moment pass, unless it took too long already.
fn may_wait(begin: Instant) -> bool {
    let may = begin.elapsed() <= WITHIN;
    if may {
        thread::sleep(POLL_EVERY);
    }
    may
}
