//! Host names to addresses without the C library's resolver, which a static program can't load its plug-ins
//! for.
//!
//! Literal addresses, `localhost` and the names of `/etc/hosts` are known; DNS is left to a later issue, and
//! the error says so.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Every address to try for `host`, in order.
///
/// # Errors
/// `InvalidInput` when nothing is known about the name.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let with_port = |ips: Vec<IpAddr>| ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    if let Ok(ip) = host.parse() {
        return Ok(with_port(vec![ip]));
    }
    let hosts = tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default();
    let mut found = in_hosts(&hosts, host);
    if found.is_empty() && host.eq_ignore_ascii_case("localhost") {
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    if found.is_empty() {
        let message = format!(
            "the name {host} is not in /etc/hosts, and names are not looked up in DNS yet: use its address"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(with_port(found))
}

/// The addresses that a hosts file (hosts(5)) gives a name.
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse) else { continue };
        if words.any(|name| name.eq_ignore_ascii_case(host)) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_hosts_file_in_its_order() {
        let text = "# c\n10.0.0.1 a b # b2\nfe80::zz bad\n::1 B\n10.0.0.2 ab\n";
        assert_eq!(in_hosts(text, "b"), ["10.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert!(in_hosts(text, "b2").is_empty());
    }

    #[tokio::test]
    async fn addresses_need_no_file_and_unknown_names_say_so() {
        assert_eq!(resolve("127.0.0.9", 7).await.unwrap(), ["127.0.0.9:7".parse().unwrap()]);
        assert!(resolve("no-such-host.invalid", 7).await.unwrap_err().to_string().contains("/etc/hosts"));
    }
}
