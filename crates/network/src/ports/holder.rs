//! Which process has a port, for the error that tells a user what is in the way.
//!
//! /proc/net lists sockets with their inode, and /proc/PID/fd who has which inode open. Both are
//! read only after a bind failed.

use std::{fmt, fs, net::IpAddr};

use crate::Protocol;

/// A process that has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    name: String,
    pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, process {}", self.name, self.pid)
    }
}

/// The process whose socket keeps `address:port` from being bound.
pub(super) fn find(address: IpAddr, port: u16, protocol: Protocol) -> Option<Holder> {
    // Another family's socket may be in the way as well: one of IPv6 takes both, unless told otherwise.
    let tables = [protocol.to_string(), format!("{protocol}6")];
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok())
        .flat_map(|text| conflicting_inodes(&text, address, port))
        .collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    if links.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?;
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find_map(|pid| {
        let mut descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let has = descriptors.any(|descriptor| {
            let target = descriptor.ok().and_then(|entry| fs::read_link(entry.path()).ok());
            target.is_some_and(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
        });
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        has.then(|| Holder { name: name.trim_end().to_owned(), pid })
    })
}

/// The inodes of the sockets in a table of /proc/net that have the port on an overlapping address.
/// Sockets that are closed already (TIME_WAIT) have none.
fn conflicting_inodes(table: &str, address: IpAddr, port: u16) -> Vec<u64> {
    table.lines().skip(1).filter_map(|line| conflicting_inode(line, address, port)).collect()
}

/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`, addresses in
/// hexadecimal in host byte order.
fn conflicting_inode(line: &str, address: IpAddr, port: u16) -> Option<u64> {
    let mut fields = line.split_whitespace();
    let (local, local_port) = fields.nth(1)?.split_once(':')?;
    let inode = fields.nth(7)?.parse().ok()?;
    let any = local.bytes().all(|digit| digit == b'0');
    let same = octets(local)
        == Some(match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
    let overlaps = any || same || address.is_unspecified();
    (overlaps && inode != 0 && u16::from_str_radix(local_port, 16) == Ok(port)).then_some(inode)
}

/// The bytes of an address, which the kernel prints in words of its own byte order.
fn octets(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(8) {
        return None;
    }
    let words = (0..text.len()).step_by(8).map(|at| u32::from_str_radix(&text[at..at + 8], 16).ok());
    words.collect::<Option<Vec<u32>>>().map(|words| words.into_iter().flat_map(u32::to_ne_bytes).collect())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0
   2: 0100007F:1F90 0100007F:9C40 06 00000000:00000000 03:00001771 00000000     0        0 0 3 0000
";

    #[test]
    fn only_sockets_on_an_overlapping_address_are_in_the_way() {
        let find = |address: [u8; 4], port| conflicting_inodes(TABLE, Ipv4Addr::from(address).into(), port);
        if cfg!(target_endian = "little") {
            assert_eq!(find([127, 0, 0, 1], 8080), [4711]);
        }
        assert_eq!(find([0, 0, 0, 0], 8080), [4711]);
        assert_eq!(find([10, 0, 0, 1], 8080), [0u64; 0]);
        assert_eq!(find([10, 0, 0, 1], 80), [4712]);
    }

    #[test]
    fn ipv6_addresses_are_words_too() {
        let local = "B80D0120000000000000000001000000";
        if cfg!(target_endian = "little") {
            assert_eq!(octets(local).map(|bytes| bytes[..4].to_vec()), Some(vec![0x20, 0x01, 0x0d, 0xb8]));
        }
        assert_eq!(octets("é000000"), None);
    }

    #[test]
    fn a_table_of_nonsense_holds_nothing() {
        assert!(conflicting_inodes("x\ny z\n1: 2 3", Ipv4Addr::LOCALHOST.into(), 1).is_empty());
    }
}
