//! `--metrics-addr`: a listener of its own for Prometheus.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use minke_engine::Engine;
use tokio::task::JoinHandle;

use crate::{failure::Failure, output};

/// A listener that nobody answers yet.
#[derive(Debug)]
pub(super) struct Listener(TcpListener);

/// Metrics are served as long as this lives.
#[derive(Debug)]
pub(super) struct Served(JoinHandle<()>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    /// Listens where `--metrics-addr` says.
    ///
    /// # Errors
    /// When that is no address, or somebody listens there already.
    pub(super) fn bind(address: &str) -> Result<Self, Failure> {
        let failed = |error| Failure::doing(format!("minke daemon: --metrics-addr {address}: listen"), error);
        let parsed = parse(address)?;
        let listener = TcpListener::bind(parsed).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        if !parsed.ip().is_loopback() {
            tracing::warn!(%address, "metrics are for everyone who can reach this address: there is no password and no TLS");
        }
        Ok(Self(listener))
    }

    /// Answers from now on.
    ///
    /// # Errors
    /// When the event loop does not take the listener.
    pub(super) fn serve(self, engine: Engine) -> Result<Served, Failure> {
        let failed = |error| Failure::doing("minke daemon: serve metrics", error);
        let address = self.0.local_addr().map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(self.0).map_err(failed)?;
        let served = Served(tokio::spawn(minke_metrics::serve(listener, engine)));
        output::line(&format!("Metrics on http://{address}/metrics"))?;
        Ok(served)
    }
}

/// `127.0.0.1:9323`, `[::1]:9323`, `localhost:9323`; `:9323` is every address of the host, as in Docker.
fn parse(text: &str) -> Result<SocketAddr, Failure> {
    let wrong = || {
        Failure::new(format!(
            "minke daemon: --metrics-addr {text:?}: want an IP address and a port, e.g. 127.0.0.1:9323"
        ))
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = match host {
        "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => return Err(wrong()),
    };
    Ok(SocketAddr::new(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_with_a_port() {
        let read = |text: &str| parse(text).map(|address| address.to_string());
        for (text, address) in [
            ("127.0.0.1:9323", "127.0.0.1:9323"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::1]:9323", "[::1]:9323"),
            (":9323", "[::]:9323"),
        ] {
            assert_eq!(read(text).unwrap(), address);
        }
        for text in ["", "9323", "127.0.0.1", "example.com:9323", "127.0.0.1:http", "127.0.0.1:70000"] {
            let error = read(text).unwrap_err().message;
            assert!(error.contains(&format!("{text:?}")) && error.contains("127.0.0.1:9323"), "{error}");
        }
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = Listener::bind(&address).unwrap_err().message;
        assert!(error.contains(&address), "{error}");
    }
}
