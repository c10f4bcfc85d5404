//! Where a collector of logs listens: reading an address, and finding out what a name in it stands for.
//!
//! A name is resolved when the container is started, by the engine; the supervisor keeps to what that gave.

use std::{net::SocketAddr, path::PathBuf};

use minke_supervisor::CollectorAddress;

use crate::Error;

/// The sockets of this machine's own collector, in the order of trying.
const LOCAL_SYSLOG: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// A collector's address as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Host and port.
    Tcp(String, u16),
    /// Host and port.
    Udp(String, u16),
    Unix(PathBuf),
    UnixDatagram(PathBuf),
    /// This machine's own.
    LocalSyslog,
}

impl Endpoint {
    /// Reads `SCHEME://REST` for one of these schemes; without a scheme it is the first of them. `option` is the
    /// name that errors say.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub(super) fn parse(option: &str, text: &str, schemes: &[&str], port: u16) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once("://").unwrap_or((schemes.first().copied().unwrap_or(""), text));
        let invalid = |why: &str| Error::invalid(format!("invalid {option} {text}: {why}"));
        if !schemes.contains(&scheme) {
            let known = schemes.join(", ");
            return Err(invalid(&format!("unsupported scheme: '{scheme}' (it can be {known})")));
        }
        if scheme.starts_with("unix") {
            if !rest.starts_with('/') {
                return Err(invalid("the socket's path must be absolute"));
            }
            let is_datagram = scheme == "unixgram";
            return Ok(if is_datagram { Self::UnixDatagram(rest.into()) } else { Self::Unix(rest.into()) });
        }
        let (host, port) = host_and_port(rest, port).ok_or_else(|| invalid("want HOST[:PORT]"))?;
        Ok(if scheme == "udp" { Self::Udp(host, port) } else { Self::Tcp(host, port) })
    }

    /// The addresses that this stands for now.
    ///
    /// # Errors
    /// When a name has none, with Docker's words for a driver that can't begin.
    pub(super) async fn resolve(self) -> Result<Vec<CollectorAddress>, Error> {
        Ok(match self {
            Self::Tcp(host, port) => {
                look_up(&host, port).await?.into_iter().map(CollectorAddress::Tcp).collect()
            }
            Self::Udp(host, port) => {
                look_up(&host, port).await?.into_iter().map(CollectorAddress::Udp).collect()
            }
            Self::Unix(path) => vec![CollectorAddress::Unix(path)],
            Self::UnixDatagram(path) => vec![CollectorAddress::UnixDatagram(path)],
            Self::LocalSyslog => LOCAL_SYSLOG.map(|path| CollectorAddress::Unix(path.into())).into(),
        })
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let found = tokio::net::lookup_host((host, port)).await;
    let failed = |error: std::io::Error| {
        Error::internal(format!("failed to initialize logging driver: look up {host}"), &error)
    };
    Ok(found.map_err(failed)?.collect())
}

/// `host`, `host:port`, `[::1]:port`, `:port`.
fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    let text = text.trim_end_matches('/');
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() { default } else { port.parse().ok().filter(|port| *port != 0)? };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    let is_plain = host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:%".contains(c));
    is_plain.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint, Error> {
        Endpoint::parse("x-address", text, &["tcp", "udp", "unix", "unixgram"], 7)
    }

    #[test]
    fn addresses_have_a_scheme_a_host_and_a_port_or_a_path() {
        let tcp = |host: &str, port| Endpoint::Tcp(host.to_owned(), port);
        assert_eq!(parse("tcp://logs.example:99").unwrap(), tcp("logs.example", 99));
        assert_eq!(parse("logs").unwrap(), tcp("logs", 7));
        assert_eq!(parse("tcp://[::1]:9/").unwrap(), tcp("::1", 9));
        assert_eq!(parse("tcp://[::1]").unwrap(), tcp("::1", 7));
        assert_eq!(parse("udp://:9").unwrap(), Endpoint::Udp("127.0.0.1".to_owned(), 9));
        assert_eq!(parse("unix:///dev/log").unwrap(), Endpoint::Unix("/dev/log".into()));
        assert_eq!(parse("unixgram:///x").unwrap(), Endpoint::UnixDatagram("/x".into()));
    }

    #[test]
    fn nonsense_is_refused_by_the_options_name() {
        for text in [
            "ftp://x",
            "unix://relative",
            "tcp://x:port",
            "tcp://x:0",
            "tcp://a b",
            "tcp://[::1",
            "tcp://::1",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("x-address") && error.contains(text), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn a_number_is_its_own_address_and_the_local_collector_has_three() {
        let address = |text: &str| CollectorAddress::Tcp(text.parse().unwrap());
        assert_eq!(parse("127.0.0.1:9").unwrap().resolve().await.unwrap(), [address("127.0.0.1:9")]);
        assert_eq!(Endpoint::LocalSyslog.resolve().await.unwrap().len(), 3);
    }
}
