//! Where an engine listens: the values of `--host` and `DOCKER_HOST`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::SshDestination;

/// The port of the Docker API without TLS, as registered with IANA.
const PLAIN_PORT: u16 = 2375;
/// And with it.
const TLS_PORT: u16 = 2376;

/// An engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///run/minke/docker.sock`
    Unix(PathBuf),
    /// `tcp://host:port` or `http://host:port`, optionally with a path that goes before every request's path.
    Tcp {
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// The port; where none was given, 2375, or 2376 with TLS.
        port: u16,
        /// `""` or `/prefix` without a trailing slash.
        base: String,
    },
    /// `ssh://user@host:port`
    Ssh(SshDestination),
}

/// Why a text is no endpoint that this client can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The scheme exists in Docker's world and is not implemented here.
    #[error("{scheme}:// endpoints are not supported yet, in {text:?}; use unix:// or tcp://")]
    NotSupported {
        /// `https`, `npipe` or `fd`.
        scheme: String,
        /// The whole text.
        text: String,
    },
    /// Nobody knows the scheme.
    #[error(
        "unknown scheme {scheme:?} in the engine's address {text:?}; use unix:///path or tcp://host:port"
    )]
    UnknownScheme {
        /// What stands before `://`.
        scheme: String,
        /// The whole text.
        text: String,
    },
    /// The part after the scheme makes no sense.
    #[error("{text:?} is no engine's address: {reason}")]
    Malformed {
        /// The whole text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Endpoint {
    /// Reads the forms that the docker CLI takes; a bare absolute path is a unix socket and a bare
    /// `host:port` is TCP.
    ///
    /// # Errors
    /// When the scheme is not one this client can use, or the rest is malformed; never worth a retry.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        Self::with_port(text, PLAIN_PORT)
    }

    /// The same for an engine that is spoken to in TLS, whose port is another one.
    ///
    /// # Errors
    /// As [`Endpoint::parse`].
    pub fn parse_tls(text: &str) -> Result<Self, EndpointError> {
        Self::with_port(text, TLS_PORT)
    }

    fn with_port(text: &str, port: u16) -> Result<Self, EndpointError> {
        let malformed = |reason| EndpointError::Malformed { text: text.to_owned(), reason };
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            None if text.starts_with('/') => ("unix", text),
            None => ("tcp", text),
        };
        match scheme {
            "unix" if rest.is_empty() => Err(malformed("the path of the socket is missing")),
            // sockaddr_un holds 108 bytes with the final NUL.
            "unix" if rest.len() > 107 => Err(malformed("a socket's path may have 107 bytes at most")),
            "unix" => Ok(Self::Unix(Path::new("/").join(rest))),
            "tcp" | "http" => parse_tcp(rest, port).map_err(malformed),
            "ssh" => SshDestination::parse(rest).map(Self::Ssh).map_err(malformed),
            "https" | "npipe" | "fd" => {
                Err(EndpointError::NotSupported { scheme: scheme.to_owned(), text: text.to_owned() })
            }
            _ => Err(EndpointError::UnknownScheme { scheme: scheme.to_owned(), text: text.to_owned() }),
        }
    }

    /// What the `Host` header says; engines on unix sockets ignore it, but HTTP/1.1 demands one.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Unix(_) | Self::Ssh(_) => "localhost".to_owned(),
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// What goes before every path.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::Unix(_) | Self::Ssh(_) => "",
            Self::Tcp { base, .. } => base,
        }
    }
}

fn parse_tcp(rest: &str, default_port: u16) -> Result<Endpoint, &'static str> {
    let (authority, base) = match rest.find('/') {
        Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
        None => (rest, ""),
    };
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']').ok_or("the bracket of the IPv6 address is not closed")?;
            (host, after.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%');
    // As Docker reads `tcp://:2376`.
    let host = if host.is_empty() { "localhost" } else { host };
    if !host.bytes().all(allowed) {
        return Err("the host has characters that no host name has");
    }
    let port = match port {
        Some(port) => port.parse().map_err(|_| "the port is no number from 1 to 65535")?,
        None => default_port,
    };
    if port == 0 {
        return Err("the port is no number from 1 to 65535");
    }
    Ok(Endpoint::Tcp { host: host.to_owned(), port, base: base.to_owned() })
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { base, .. } => write!(f, "tcp://{}{base}", self.authority()),
            Self::Ssh(destination) => write!(f, "ssh://{destination}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, base: &str) -> Endpoint {
        Endpoint::Tcp { host: host.into(), port, base: base.into() }
    }

    #[test]
    fn the_usual_forms_are_read() {
        let cases = [
            ("unix:///run/minke/docker.sock", Endpoint::Unix("/run/minke/docker.sock".into())),
            ("/run/x.sock", Endpoint::Unix("/run/x.sock".into())),
            ("tcp://10.0.0.1:2376", tcp("10.0.0.1", 2376, "")),
            ("tcp://swarm", tcp("swarm", 2375, "")),
            ("127.0.0.1:99", tcp("127.0.0.1", 99, "")),
            ("http://[::1]:8080/docker/", tcp("::1", 8080, "/docker")),
            (":99", tcp("localhost", 99, "")),
        ];
        for (text, expected) in cases {
            assert_eq!(Endpoint::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(Endpoint::parse_tls("tcp://swarm"), Ok(tcp("swarm", 2376, "")));
        assert_eq!(Endpoint::parse_tls("tcp://swarm:1"), Ok(tcp("swarm", 1, "")));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let message = |text| Endpoint::parse(text).unwrap_err().to_string();
        assert!(message("fd://").contains("fd:// endpoints are not supported yet"));
        assert!(message("ssh://-x").contains("characters"));
        assert!(message("https://there").contains("not supported yet"));
        assert!(message("gopher://x").contains("unknown scheme \"gopher\""));
        assert!(message("tcp://x:0").contains("port"));
        assert!(message("tcp://a b").contains("characters"));
        assert!(message("unix://").contains("path of the socket"));
        assert!(message(&format!("unix:///{}", "x".repeat(200))).contains("107"));
    }

    #[test]
    fn an_endpoint_prints_as_it_was_written() {
        for text in ["unix:///run/a.sock", "tcp://h:1", "tcp://[::1]:8080/docker", "ssh://me@there:22"] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
    }
}
