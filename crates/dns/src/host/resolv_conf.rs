//! resolv.conf(5), read as glibc does: what isn't understood is skipped, so that one odd line takes no name server away.
//!
//! Our own reader of four keywords: the crates for it refuse the whole file then, and keep no option they don't know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// glibc's and Docker's limit of name servers.
const MOST_SERVERS: usize = 3;
const PORT: u16 = 53;

/// What a resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostDns {
    /// Name servers, the first three. The one on this host when the file has none. Addresses are the host's: a loopback
    /// one means the host's own loopback, and a link-local one has its interface's index there.
    pub servers: Vec<SocketAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options as they were written, e.g. `ndots:2`.
    pub options: Vec<String>,
}

impl HostDns {
    /// Reads the text of a resolv.conf. The last `search` or `domain` counts, options add up.
    pub fn parse(text: &str) -> Self {
        let mut dns = Self::default();
        for line in text.lines() {
            // A comment begins a line; glibc also takes one behind what it needs.
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => dns.servers.extend(words.next().and_then(server)),
                Some("search") => dns.search = words.map(str::to_owned).collect(),
                Some("domain") => dns.search = words.next().map(str::to_owned).into_iter().collect(),
                Some("options") => dns.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        dns.servers.truncate(MOST_SERVERS);
        if dns.servers.is_empty() {
            dns.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        dns
    }
}

/// An address, whose IPv6 form may name an interface: `fe80::1%eth0`.
fn server(word: &str) -> Option<SocketAddr> {
    let (address, zone) = word.split_once('%').map_or((word, None), |(address, zone)| (address, Some(zone)));
    let address: IpAddr = address.parse().ok()?;
    match (this_host(address), zone) {
        (IpAddr::V6(address), Some(zone)) => {
            Some(SocketAddrV6::new(address, PORT, 0, interface(zone)?).into())
        }
        (address, _) => Some(SocketAddr::new(address, PORT)),
    }
}

/// An unspecified address means this host (resolv.conf(5) of glibc; Linux connects it to loopback).
fn this_host(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn interface(zone: &str) -> Option<u32> {
    zone.parse().ok().or_else(|| {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
                .ok()?;
        rustix::net::netdevice::name_to_index(socket, zone).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        HostDns::parse(text).servers.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn the_keywords_are_read_and_the_rest_is_skipped() {
        let dns = HostDns::parse(
            "# made by hand\n; and this\nnameserver 192.0.2.1 # first\nnameserver nonsense\nnameserver 2001:db8::1\n\
             domain old.example\nsearch a.example b.example\noptions ndots:2 timeout:1\noptions edns0\nsortlist x\n\n\0\n",
        );
        assert_eq!(dns.servers, ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
        assert_eq!(dns.search, ["a.example", "b.example"]);
        assert_eq!(dns.options, ["ndots:2", "timeout:1", "edns0"]);
    }

    #[test]
    fn loopback_servers_are_kept() {
        assert_eq!(servers("nameserver 127.0.0.53\nnameserver ::1\n"), ["127.0.0.53:53", "[::1]:53"]);
        assert_eq!(servers("nameserver 0.0.0.0\nnameserver ::\n"), ["127.0.0.1:53", "[::1]:53"]);
    }

    #[test]
    fn a_file_without_servers_means_this_host() {
        assert_eq!(servers("search example\n"), ["127.0.0.1:53"]);
    }

    #[test]
    fn no_more_than_three_are_asked() {
        let four: String = (1..=4).map(|n| format!("nameserver 192.0.2.{n}\n")).collect();
        assert_eq!(servers(&four).len(), 3);
    }

    #[test]
    fn a_link_local_server_keeps_its_interface() {
        let text = "nameserver fe80::1%lo\nnameserver fe80::2%7\nnameserver fe80::3%no-such-interface\n";
        assert_eq!(servers(text), ["[fe80::1%1]:53", "[fe80::2%7]:53"]);
    }
}
