//! What a container's /etc/hosts, /etc/hostname and /etc/resolv.conf say.
//!
//! Pure but for [`host_resolv_conf`], which reads the host's resolver configuration. The contents
//! follow Docker's, since software in images greps for them.

use std::{
    fmt::Write as _,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    str::FromStr,
};

/// What glibc's resolver reads first.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The name servers behind systemd-resolved's stub at 127.0.0.53 (systemd-resolved.service(8)).
const RESOLVED_CONF: &str = "/run/systemd/resolve/resolv.conf";
/// Docker's name servers for a container on a host that has none a container could reach.
const DEFAULT_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// One `--add-host`: a name and where it points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    /// The name as it was given.
    pub name: String,
    /// Where it points.
    pub address: HostAddress,
}

/// The address half of an `--add-host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAddress {
    /// A literal address.
    Literal(IpAddr),
    /// `host-gateway`: the host as the container sees it.
    HostGateway,
}

/// A string that is no `--add-host`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad format for add-host: {0:?}: want NAME:ADDRESS, where ADDRESS may be host-gateway")]
pub struct ExtraHostError(pub String);

/// `--dns`, `--dns-search` and `--dns-option`; an empty list leaves the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsOverrides {
    /// Name servers, in order.
    pub servers: Vec<IpAddr>,
    /// Search domains; a single `.` means none at all.
    pub search: Vec<String>,
    /// Resolver options, as in resolv.conf(5).
    pub options: Vec<String>,
}

impl FromStr for ExtraHost {
    type Err = ExtraHostError;

    /// Reads `name:address` and `name=address`; an IPv6 address may stand in brackets.
    fn from_str(text: &str) -> Result<Self, ExtraHostError> {
        let error = || ExtraHostError(text.to_owned());
        let (name, address) = text.split_once(['=', ':']).ok_or_else(error)?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '#') {
            return Err(error());
        }
        let address = if address == "host-gateway" {
            HostAddress::HostGateway
        } else {
            let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
            HostAddress::Literal(bare.parse().map_err(|_| error())?)
        };
        Ok(Self { name: name.to_owned(), address })
    }
}

/// The container's `/etc/hosts`.
///
/// `own` are the container's addresses, each of which gets a line with its host name
/// (and `hostname.domainname` before it). `gateways` is what `host-gateway` stands for; entries
/// that ask for it are left out when there is none, and so is all of IPv6 where the container has none.
pub fn hosts(
    own: &[IpAddr],
    hostname: &str,
    domainname: &str,
    gateways: &[IpAddr],
    extra: &[ExtraHost],
    ipv6: bool,
) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    if ipv6 {
        text.push_str(
            "::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
        );
    }
    let is_told = |address: &&IpAddr| ipv6 || address.is_ipv4();
    for host in extra {
        let addresses = match &host.address {
            HostAddress::Literal(address) => std::slice::from_ref(address),
            HostAddress::HostGateway => gateways,
        };
        for address in addresses.iter().filter(is_told) {
            let _ = writeln!(text, "{address}\t{}", host.name);
        }
    }
    for own in own.iter().filter(is_told) {
        let _ = match domainname {
            "" => writeln!(text, "{own}\t{hostname}"),
            domain => {
                // As in Docker; a name with dots has its domain in it.
                let short = hostname.split('.').next().unwrap_or(hostname);
                writeln!(text, "{own}\t{hostname}.{domain} {short}")
            }
        };
    }
    text
}

/// The container's `/etc/hostname`.
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
}

/// The same of a container that asks the name server at `server`, which asks the others: the host's search domains and
/// options, and `ndots:0` unless somebody chose, since names of containers are single words.
pub fn resolv_conf_of(server: IpAddr, host: &str, overrides: &DnsOverrides) -> String {
    let host_conf = ResolvConf::parse(host);
    let asked = if overrides.servers.is_empty() { &host_conf.servers } else { &overrides.servers };
    let origin = |asked: &IpAddr| match overrides.servers.is_empty() {
        true => format!("host({asked})"),
        false => asked.to_string(),
    };
    let asked: Vec<String> = asked.iter().map(origin).collect();
    let mut options =
        if overrides.options.is_empty() { host_conf.options } else { overrides.options.clone() };
    // One that is no number is none.
    options.retain(|option| option.strip_prefix("ndots:").is_none_or(|dots| dots.parse::<u8>().is_ok()));
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0".to_owned());
    }
    let alone = DnsOverrides { servers: vec![server], search: overrides.search.clone(), options };
    let own = resolv_conf(host, &alone);
    let others = match asked.is_empty() {
        true => "no name server but this one".to_owned(),
        false => format!("which asks {}", asked.join(" ")),
    };
    format!("# The name server of minke, {others}.\n{own}")
}

/// The container's `/etc/resolv.conf`: the host's, without what a container on an IPv4 bridge
/// can't reach (loopback and IPv6 name servers), and with the overrides in place of their part.
///
/// With no name server left, Docker's public defaults are used.
pub fn resolv_conf(host: &str, overrides: &DnsOverrides) -> String {
    let host = ResolvConf::parse(host);
    let mut servers = overrides.servers.clone();
    if servers.is_empty() {
        servers = host.servers.into_iter().filter(reachable_from_a_bridge).collect();
    }
    if servers.is_empty() {
        servers = DEFAULT_SERVERS.to_vec();
    }
    let search = if overrides.search.is_empty() { host.search } else { overrides.search.clone() };
    let options = if overrides.options.is_empty() { host.options } else { overrides.options.clone() };

    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// The host's resolver configuration, or the one behind systemd-resolved's stub when that is all
/// the host's own names. A host without any reads as an empty one.
///
/// # Errors
/// When a file that exists can't be read.
pub fn host_resolv_conf() -> io::Result<String> {
    read_resolv_conf(Path::new(RESOLV_CONF), Path::new(RESOLVED_CONF))
}

fn read_resolv_conf(main: &Path, resolved: &Path) -> io::Result<String> {
    let text = read_or_empty(main)?;
    let servers = ResolvConf::parse(&text).servers;
    let stub = |server: &IpAddr| matches!(server, IpAddr::V4(v4) if v4.octets()[..3] == [127, 0, 0]);
    if !servers.is_empty() && servers.iter().all(stub) {
        let behind = read_or_empty(resolved)?;
        if !behind.is_empty() {
            return Ok(behind);
        }
    }
    Ok(text)
}

fn read_or_empty(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn reachable_from_a_bridge(server: &IpAddr) -> bool {
    matches!(server, IpAddr::V4(v4) if !v4.is_loopback() && !v4.is_unspecified())
}

/// The three kinds of lines of resolv.conf(5) that matter here.
#[derive(Debug, Default)]
struct ResolvConf {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    options: Vec<String>,
}

impl ResolvConf {
    /// Lines that are not understood are skipped, as the C library does. The last `search` or
    /// `domain` wins, options add up.
    fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(name_server)),
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => conf.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        conf
    }
}

/// A name server, whose IPv6 form may carry a zone (`fe80::1%eth0`) that no container shares.
fn name_server(word: &str) -> Option<IpAddr> {
    word.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_has_docker_s_lines_the_extra_ones_and_the_container_s_own() {
        let extra: Vec<ExtraHost> =
            ["db:10.0.0.9", "up=host-gateway", "six:[::2]"].iter().map(|t| t.parse().unwrap()).collect();
        let text = hosts(&[ip("172.17.0.2"), ip("fd00::2")], "web", "", &[ip("172.17.0.1")], &extra, true);
        assert!(
            text.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
            "{text}"
        );
        assert!(
            text.ends_with(
                "ff02::2\tip6-allrouters\n10.0.0.9\tdb\n172.17.0.1\tup\n::2\tsix\n172.17.0.2\tweb\nfd00::2\tweb\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn hosts_of_a_container_without_ipv6_has_none() {
        let extra: Vec<ExtraHost> = ["db:10.0.0.9", "six:[::2]"].iter().map(|t| t.parse().unwrap()).collect();
        let text = hosts(&[ip("172.17.0.2")], "web", "", &[ip("fd00::1")], &extra, false);
        assert_eq!(text, "127.0.0.1\tlocalhost\n10.0.0.9\tdb\n172.17.0.2\tweb\n");
    }

    #[test]
    fn a_domain_name_comes_before_the_short_one() {
        let text = hosts(&[ip("172.17.0.2")], "web", "example.org", &[], &[], true);
        assert!(text.ends_with("172.17.0.2\tweb.example.org web\n"), "{text}");
    }

    #[test]
    fn a_container_without_an_address_has_no_line_of_its_own() {
        let extra = ["up:host-gateway".parse().unwrap()];
        assert!(hosts(&[], "web", "", &[], &extra, true).ends_with("ip6-allrouters\n"));
    }

    #[test]
    fn an_extra_host_that_could_smuggle_lines_is_refused() {
        for text in ["", "web", ":1.2.3.4", "a b:1.2.3.4", "a\nb:1.2.3.4", "web:1.2.3", "web:"] {
            assert!(text.parse::<ExtraHost>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_host_s_resolver_is_filtered_to_what_a_container_can_reach() {
        let host = "# comment\nnameserver 127.0.0.53\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\n\
                    domain first.example\nsearch lan.example corp.example\noptions edns0 trust-ad\n";
        assert_eq!(
            resolv_conf(host, &DnsOverrides::default()),
            "nameserver 10.0.0.53\nsearch lan.example corp.example\noptions edns0 trust-ad\n"
        );
    }

    #[test]
    fn a_host_with_only_loopback_servers_falls_back_to_the_defaults() {
        assert_eq!(
            resolv_conf("nameserver 127.0.0.1\nnameserver ::1\n", &DnsOverrides::default()),
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
    }

    #[test]
    fn overrides_replace_their_own_part_only() {
        let host = "nameserver 10.0.0.53\nsearch lan.example\noptions edns0\n";
        let dns = DnsOverrides {
            servers: vec![ip("1.1.1.1"), ip("::1")],
            search: vec![".".into()],
            options: vec!["ndots:2".into()],
        };
        assert_eq!(resolv_conf(host, &dns), "nameserver 1.1.1.1\nnameserver ::1\noptions ndots:2\n");
        let only_server = DnsOverrides { servers: vec![ip("1.1.1.1")], ..DnsOverrides::default() };
        assert_eq!(
            resolv_conf(host, &only_server),
            "nameserver 1.1.1.1\nsearch lan.example\noptions edns0\n"
        );
    }

    #[test]
    fn a_name_server_of_our_own_keeps_the_hosts_domains_and_options() {
        let host = "nameserver 127.0.0.53\nsearch lan.example\noptions edns0 ndots:x\n";
        let own = ip("127.0.0.11");
        assert_eq!(
            resolv_conf_of(own, host, &DnsOverrides::default()),
            "# The name server of minke, which asks host(127.0.0.53).\n\
             nameserver 127.0.0.11\nsearch lan.example\noptions edns0 ndots:0\n"
        );
        let dns = DnsOverrides {
            servers: vec![ip("10.0.0.53")],
            search: vec![".".into()],
            options: vec!["ndots:2".into()],
        };
        assert_eq!(
            resolv_conf_of(own, host, &dns),
            "# The name server of minke, which asks 10.0.0.53.\nnameserver 127.0.0.11\noptions ndots:2\n"
        );
    }

    #[test]
    fn the_servers_behind_systemd_resolved_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (main, resolved) = (dir.path().join("resolv.conf"), dir.path().join("behind"));
        assert_eq!(read_resolv_conf(&main, &resolved).unwrap(), "");
        fs::write(&main, "nameserver 127.0.0.53\n").unwrap();
        assert_eq!(read_resolv_conf(&main, &resolved).unwrap(), "nameserver 127.0.0.53\n");
        fs::write(&resolved, "nameserver 10.0.0.53\n").unwrap();
        assert_eq!(read_resolv_conf(&main, &resolved).unwrap(), "nameserver 10.0.0.53\n");
        fs::write(&main, "nameserver 10.1.1.1\nnameserver 127.0.0.53\n").unwrap();
        assert!(read_resolv_conf(&main, &resolved).unwrap().contains("10.1.1.1"));
    }
}
