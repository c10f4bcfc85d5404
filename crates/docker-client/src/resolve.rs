//! Host names to addresses without the C library's resolver, which a static program can't load its plug-ins
//! for.
//!
//! Literal addresses, `localhost` and the names of `/etc/hosts` are known without asking anybody; for others the name
//! servers of `/etc/resolv.conf` are asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::NetError;

/// Every address to try for `host`, in order.
///
/// # Errors
/// `InvalidInput` when there is no such name, or the name servers can't be asked.
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
        found = in_dns(host).await.map_err(|error| {
            let message = match error.is_nx_domain() || error.is_no_records_found() {
                true => format!("no such host: {host}"),
                false => format!("look up {host}: {error}"),
            };
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
    }
    Ok(with_port(found))
}

async fn in_dns(host: &str) -> Result<Vec<IpAddr>, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    Ok(builder.build()?.lookup_ip(host).await?.iter().collect())
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
    async fn addresses_and_this_host_need_nobody_to_be_asked() {
        assert_eq!(resolve("127.0.0.9", 7).await.unwrap(), ["127.0.0.9:7".parse().unwrap()]);
        assert!(resolve("localhost", 7).await.unwrap().contains(&"127.0.0.1:7".parse().unwrap()));
    }
}
