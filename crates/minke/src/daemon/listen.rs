//! The addresses that the engine listens at: `unix://`, `tcp://`, and `fd://` for sockets that a service manager hands over
//! (sd_listen_fds(3)).

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdTcpListener},
    os::unix::net::UnixListener as StdUnixListener,
    path::{Path, PathBuf},
};

use listenfd::ListenFd;
use minke_docker_api::Listener;
use minke_docker_client::Endpoint;
use rustix::net::AddressFamily;
use tokio::net::{TcpListener, UnixListener};

use super::{
    socket,
    transport::{Tcp, refusal},
};
use crate::failure::Failure;

/// The number of the first descriptor that is handed over.
const FIRST: usize = 3;

/// `SOCK_STREAM`
const STREAM: i32 = 1;

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
    /// All sockets that were handed over.
    Inherited,
    /// The one with this number.
    InheritedOne(usize),
}

/// A socket that is listened on, before the engine is there to serve it.
pub(super) struct Listening {
    pub(super) listener: Listener,
    /// What to call it, `tcp://127.0.0.1:2376`.
    pub(super) name: String,
    /// Removes a unix socket's name at the end.
    pub(super) bound: Option<socket::Bound>,
}

impl Address {
    /// Reads one `--host`.
    ///
    /// # Errors
    /// When it is none; the message says what would be.
    pub(super) fn parse(text: &str, is_tls: bool) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(format!("minke daemon: --host {text}: {why}"));
        if let Some(which) = text.strip_prefix("fd://") {
            return match which {
                "" | "*" => Ok(Self::Inherited),
                number => match number.parse() {
                    Ok(number) if number >= FIRST => Ok(Self::InheritedOne(number)),
                    _ => Err(wrong("want fd:// for all sockets, or fd:// with a number from 3".to_owned())),
                },
            };
        }
        let parsed = if is_tls { Endpoint::parse_tls(text) } else { Endpoint::parse(text) };
        match parsed.map_err(|error| Failure::doing("minke daemon: --host", error))? {
            Endpoint::Unix(path) => Ok(Self::Unix(path)),
            Endpoint::Ssh(_) => Err(wrong("an engine listens at unix://, tcp:// or fd://".to_owned())),
            Endpoint::Tcp { base, .. } if !base.is_empty() => Err(wrong("an address has no path".to_owned())),
            Endpoint::Tcp { host, port, .. } => match host.parse() {
                Ok(ip) => Ok(Self::Tcp(SocketAddr::new(ip, port))),
                Err(_) if host == "localhost" => {
                    Ok(Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
                }
                Err(_) => Err(wrong("want an address of this host, such as 0.0.0.0 or 127.0.0.1".to_owned())),
            },
        }
    }

    /// Refuses TCP that nobody said how to speak on.
    ///
    /// # Errors
    /// With what to say.
    pub(super) fn check(&self, tcp: &Tcp) -> Result<(), Failure> {
        match (self, tcp) {
            (Self::Tcp(address), Tcp::Refused) => Err(refusal(&format!("tcp://{address}"))),
            _ => Ok(()),
        }
    }

    /// Refuses to take another engine's socket away.
    ///
    /// # Errors
    /// When one answers there.
    pub(super) fn refuse_if_served(&self) -> Result<(), Failure> {
        match self {
            Self::Unix(path) => socket::refuse_if_served(path),
            _ => Ok(()),
        }
    }

    /// Listens.
    ///
    /// # Errors
    /// When the system refuses, or nothing was handed over.
    pub(super) async fn listen(
        &self,
        tcp: &Tcp,
        group: Option<u32>,
        inherited: &mut ListenFd,
    ) -> Result<Vec<Listening>, Failure> {
        match self {
            Self::Unix(path) => {
                let listener = socket::listen(path, group)?.into();
                let name = format!("unix://{}", path.display());
                Ok(vec![Listening { listener, name, bound: Some(socket::Bound::new(path)) }])
            }
            Self::Tcp(address) => {
                let failed =
                    |error| Failure::doing(format!("minke daemon: listen on tcp://{address}"), error);
                let socket = TcpListener::bind(address).await.map_err(failed)?;
                let name = format!("tcp://{address}");
                Ok(vec![Listening { listener: tcp.listener(socket, &name)?, name, bound: None }])
            }
            Self::Inherited if inherited.len() == 0 => Err(nothing_handed_over()),
            Self::Inherited => (0..inherited.len()).map(|at| take(inherited, at, tcp)).collect(),
            Self::InheritedOne(number) => Ok(vec![take(inherited, number - FIRST, tcp)?]),
        }
    }
}

fn nothing_handed_over() -> Failure {
    Failure::new(
        "minke daemon: --host fd://: no sockets were handed over ($LISTEN_FDS): start the engine by its systemd units, or choose another --host",
    )
}

fn take(inherited: &mut ListenFd, at: usize, tcp: &Tcp) -> Result<Listening, Failure> {
    let number = at + FIRST;
    let failed = |error| Failure::doing(format!("minke daemon: listen on descriptor {number}"), error);
    if let Ok(Some(socket)) = inherited.take_unix_listener(at) {
        socket.set_nonblocking(true).map_err(failed)?;
        let name = format!("fd://{number} ({})", unix_name(&socket));
        let listener = UnixListener::from_std(socket).map_err(failed)?.into();
        return Ok(Listening { listener, name, bound: None });
    }
    let taken = match inherited.take_tcp_listener(at) {
        // That one is IPv4; systemd's own sockets for a port alone are IPv6 and serve both.
        Err(_) => inherited.take_custom(at, AddressFamily::INET6.as_raw().into(), STREAM, "TCP socket"),
        taken => taken,
    };
    let socket: StdTcpListener = taken.map_err(failed)?.ok_or_else(nothing_handed_over)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let socket = TcpListener::from_std(socket).map_err(failed)?;
    let name = format!("fd://{number} (tcp://{})", socket.local_addr().map_err(failed)?);
    Ok(Listening { listener: tcp.listener(socket, &name)?, name, bound: None })
}

fn unix_name(socket: &StdUnixListener) -> String {
    let address = socket.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname()).map(Path::display);
    path.map_or_else(|| "a unix socket".to_owned(), |path| format!("unix://{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_dockers_forms() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        let cases = [
            ("unix:///run/x.sock", Address::Unix("/run/x.sock".into())),
            ("fd://", Address::Inherited),
            ("fd://*", Address::Inherited),
            ("fd://4", Address::InheritedOne(4)),
            ("tcp://0.0.0.0:99", tcp("0.0.0.0:99")),
            ("tcp://", tcp("127.0.0.1:2375")),
            (":99", tcp("127.0.0.1:99")),
            ("tcp://[::1]", tcp("[::1]:2375")),
        ];
        for (text, expected) in cases {
            assert_eq!(Address::parse(text, false), Ok(expected), "{text}");
        }
        assert_eq!(Address::parse("tcp://10.0.0.1", true), Ok(tcp("10.0.0.1:2376")));
    }

    #[test]
    fn what_is_no_address_says_what_would_be() {
        for (text, part) in [
            ("fd://2", "from 3"),
            ("fd://x", "from 3"),
            ("tcp://host.example:1", "address of this host"),
            ("tcp://1.2.3.4:5/x", "no path"),
            ("ssh://x", "ssh://"),
        ] {
            let message = Address::parse(text, false).unwrap_err().message;
            assert!(message.contains(text) && message.contains(part), "{message}");
        }
    }

    #[tokio::test]
    async fn tcp_that_was_asked_for_only_once_is_refused() {
        let address = Address::parse("tcp://127.0.0.1", false).unwrap();
        let message = address.check(&Tcp::Refused).unwrap_err().message;
        assert!(message.contains("--tlsverify") && message.contains("--tls=false"), "{message}");
        assert!(address.check(&Tcp::Plain).is_ok());
        assert!(Address::Inherited.listen(&Tcp::Refused, None, &mut ListenFd::empty()).await.is_err());
    }
}
