//! What is spoken on TCP: TLS both ways, or plain HTTP for those who insist.
//!
//! Docker's switches, with one difference: where dockerd warns, minke refuses. Whoever reaches the API is root of this
//! host, so plain TCP has to be asked for twice: by `--host tcp://…` and by `--tls=false`.

use std::path::PathBuf;

use minke_docker_api::Listener;
use minke_tls::{Clients, ServerTls, TlsError, TlsFiles};
use tokio::net::TcpListener;

use super::Daemon;
use crate::failure::{Failure, chain};

/// Where certificates are looked for unless flags name them: `ca.pem`, `cert.pem` and `key.pem`.
const FOLDER: &str = "/etc/minke";

/// What is said about TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Transport {
    /// Nothing: TCP is refused.
    Unsaid,
    /// HTTP without TLS, by `--tls=false`.
    Plain,
    /// TLS.
    Tls(TlsFiles, Clients),
}

/// What listeners on TCP are made with.
#[derive(Debug, Clone)]
pub(super) enum Tcp {
    Refused,
    Plain,
    Tls(ServerTls),
}

impl Transport {
    /// As Docker reads the switches: `--tlsverify`, whichever its value, switches TLS on, and `--tls` alone verifies.
    pub(super) fn of(args: &Daemon) -> Self {
        let file = |given: &Option<PathBuf>, name: &str| {
            given.clone().unwrap_or_else(|| PathBuf::from(FOLDER).join(name))
        };
        let verify = match (args.tls, args.tlsverify) {
            (None, None) => return Self::Unsaid,
            (Some(false), None) => return Self::Plain,
            (_, Some(verify)) => verify,
            (Some(true), None) => true,
        };
        let files =
            TlsFiles { certificate: file(&args.tlscert, "cert.pem"), key: file(&args.tlskey, "key.pem") };
        let clients = match verify {
            true => Clients::SignedBy(file(&args.tlscacert, "ca.pem")),
            false => Clients::Everybody,
        };
        Self::Tls(files, clients)
    }

    /// Whether ports that nobody named are those of TLS.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(..))
    }

    /// Reads the certificates.
    ///
    /// # Errors
    /// When they can't be used, with the file's name.
    pub(super) fn prepare(&self) -> Result<Tcp, Failure> {
        match self {
            Self::Unsaid => Ok(Tcp::Refused),
            Self::Plain => Ok(Tcp::Plain),
            Self::Tls(files, clients) => ServerTls::open(files.clone(), clients.clone())
                .map(Tcp::Tls)
                .map_err(|error| unusable(&error)),
        }
    }
}

impl Tcp {
    /// Reads the certificates again, for connections to come.
    ///
    /// # Errors
    /// When they can't be used, with the file's name; then the old ones count on.
    pub(super) fn reload(&self) -> Result<(), Failure> {
        match self {
            Self::Tls(tls) => tls.reload().map_err(|error| unusable(&error)),
            Self::Refused | Self::Plain => Ok(()),
        }
    }

    /// A listener that speaks what was said. `host` is how the user named it.
    ///
    /// # Errors
    /// When nothing was said.
    pub(super) fn listener(&self, socket: TcpListener, host: &str) -> Result<Listener, Failure> {
        match self {
            Self::Refused => Err(refusal(host)),
            Self::Plain => {
                tracing::warn!(
                    host,
                    "the API is served without TLS (--tls=false): whoever reaches this port, and every web page in a browser on this host, is root here"
                );
                Ok(socket.into())
            }
            Self::Tls(tls) => Ok(Listener::tls(socket, tls.clone())),
        }
    }
}

fn unusable(error: &TlsError) -> Failure {
    Failure::new(format!(
        "minke daemon: TLS: {}; --tlscacert, --tlscert and --tlskey name the files",
        chain(error)
    ))
}

/// Why TCP is refused where nothing was said about TLS.
pub(super) fn refusal(host: &str) -> Failure {
    Failure::new(format!(
        "minke daemon: --host {host}: TCP without TLS gives root to whoever reaches the port. Serve it with --tlsverify (and --tlscacert, \
         --tlscert, --tlskey); or, to really have it without, say so a second time with --tls=false (\"tls\": false in the configuration file)"
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], None)]
    #[case(&["--tls=false"], Some(None))]
    #[case(&["--tls"], Some(Some(true)))]
    #[case(&["--tlsverify"], Some(Some(true)))]
    #[case(&["--tlsverify=false"], Some(Some(false)))]
    #[case(&["--tls=false", "--tlsverify"], Some(Some(true)))]
    #[case(&["--tlscert=x", "--tlskey=y"], None)]
    fn switches_are_read_as_docker_reads_them(
        #[case] flags: &[&str],
        #[case] expected: Option<Option<bool>>,
    ) {
        let args = Daemon::parse_from(["daemon"].iter().chain(flags));
        let found = match Transport::of(&args) {
            Transport::Unsaid => None,
            Transport::Plain => Some(None),
            Transport::Tls(_, clients) => Some(Some(matches!(clients, Clients::SignedBy(_)))),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn certificates_that_are_not_there_are_named() {
        let args =
            Daemon::parse_from(["daemon", "--tlsverify", "--tlscacert=/no/ca.pem", "--tlscert=/no/cert.pem"]);
        let message = Transport::of(&args).prepare().unwrap_err().message;
        assert!(message.contains("/no/cert.pem") && message.contains("--tlscert"), "{message}");
    }
}
