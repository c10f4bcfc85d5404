//! Links, addresses and routes (rtnetlink(7)).
//!
//! A [`Batch`] collects changes, each worded as "make it so": what is there already counts as
//! done, so a batch may be repeated after a crash. [`RouteSocket`] sends it and reads what is.

mod batch;
mod read;
mod vlan;

pub use batch::{Batch, Bridge, Veth};
pub use read::{Address, Link, Route};
pub use vlan::{IpvlanMode, MacvlanMode, Slave, SlaveKind};

use std::net::Ipv6Addr;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::{
    error::Error,
    socket::{Request, Socket},
};

/// A socket that changes and reads links, addresses and routes of the namespace it was opened in.
#[derive(Debug)]
pub struct RouteSocket(Socket);

impl RouteSocket {
    /// Opens one in the calling thread's network namespace.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn open() -> Result<Self, Error> {
        Socket::open(NETLINK_ROUTE).map(Self)
    }

    /// Sends the whole batch in one system call.
    ///
    /// # Errors
    /// The first change that the kernel refused. Later changes were tried as well.
    pub fn run(&mut self, batch: Batch) -> Result<(), Error> {
        self.0.batch(batch.into_requests())
    }

    /// The link of this name.
    ///
    /// # Errors
    /// When the kernel's answer can't be read; that there is no such link is `None`.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let request = request(format!("look up interface {name}"), read::link_query(name), 0);
        match self.0.dump(&request, read::collect_links) {
            Ok(links) => Ok(links.into_iter().next()),
            Err(error) if error.is_not_there() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All links, or those that are ports of the bridge with this index.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn links(&mut self, controller: Option<u32>) -> Result<Vec<Link>, Error> {
        let request = request("list interfaces", read::links_query(controller), NLM_F_DUMP);
        let links = self.0.dump(&request, read::collect_links)?;
        Ok(links.into_iter().filter(|link| controller.is_none() || link.controller == controller).collect())
    }

    /// All IPv4 and IPv6 addresses.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        self.0.dump(&request("list addresses", read::addresses_query(), NLM_F_DUMP), read::collect_addresses)
    }

    /// Whether packets to this address are taken as the namespace's own. For an IPv6 address that was added,
    /// the kernel says so from a work queue, some time after the change is acknowledged; until then it takes
    /// packets to the address for somebody else's, and drops them.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn is_own(&mut self, address: Ipv6Addr) -> Result<bool, Error> {
        let request = request(format!("look up the route to {address}"), read::route_query(address), 0);
        match self.0.dump(&request, read::collect_own) {
            Ok(routes) => Ok(routes.contains(&true)),
            Err(error) if error.is_no_route() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All routes of all tables, IPv4 first.
    ///
    /// # Errors
    /// When the kernel's answer can't be read.
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = request("list routes", read::routes_query(family), NLM_F_DUMP);
            routes.extend(self.0.dump(&request, read::collect_routes)?);
        }
        Ok(routes)
    }
}

/// The message in wire format.
fn request(what: impl Into<String>, message: RouteNetlinkMessage, flags: u16) -> Request {
    let mut message = NetlinkMessage::new(Default::default(), NetlinkPayload::from(message));
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    Request { what: what.into(), bytes, tolerated: &[] }
}
