//! Which registries may be spoken to without verification and without TLS.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use url::{Host, Url};

use crate::SettingsError;

/// The insecure registries, and this host itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct InsecureRegistries {
    hosts: HashSet<String>,
    networks: Arc<[IpNet]>,
}

/// What is known about a registry from its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// TLS with a verified certificate, and nothing else.
    Secure,
    /// Anything goes.
    Insecure,
    /// It depends on where the name leads: [`InsecureRegistries::networks`].
    ByAddress,
}

impl InsecureRegistries {
    pub(crate) fn parse(all: &[String]) -> Result<Self, SettingsError> {
        let (mut hosts, mut networks) = (HashSet::new(), Vec::new());
        for text in all {
            // Docker's users write addresses too, and Docker ignores the scheme.
            let host = ["http://", "https://"]
                .iter()
                .fold(text.as_str(), |rest, scheme| rest.strip_prefix(scheme).unwrap_or(rest));
            match host.parse::<IpNet>() {
                Ok(network) => networks.push(network),
                Err(_) => {
                    let url = address(host).ok_or_else(|| SettingsError::Insecure(text.clone()))?;
                    hosts.insert(authority(&url));
                }
            }
        }
        Ok(Self { hosts, networks: networks.into() })
    }

    pub(crate) fn judge(&self, url: &Url) -> Judgement {
        let is_listed = || self.hosts.contains(&authority(url));
        match url.host() {
            Some(Host::Ipv4(address)) => self.by_address(address.into(), is_listed()),
            Some(Host::Ipv6(address)) => self.by_address(address.into(), is_listed()),
            Some(Host::Domain("localhost")) => Judgement::Insecure,
            Some(Host::Domain(_)) if is_listed() => Judgement::Insecure,
            Some(Host::Domain(_)) if !self.networks.is_empty() => Judgement::ByAddress,
            _ => Judgement::Secure,
        }
    }

    fn by_address(&self, address: IpAddr, is_listed: bool) -> Judgement {
        let insecure = is_listed || address.is_loopback() || self.contains(address);
        if insecure { Judgement::Insecure } else { Judgement::Secure }
    }

    /// Whether an address is in one of the networks.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The networks that were listed.
    pub(crate) fn networks(&self) -> Arc<[IpNet]> {
        self.networks.clone()
    }
}

/// `host[:port]` as an address with TLS.
pub(crate) fn address(host: &str) -> Option<Url> {
    let url = Url::parse(&format!("https://{host}/")).ok()?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (plain && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// `host[:port]` of an address, without the scheme's own port.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(listed: &[&str], host: &str) -> Judgement {
        let listed: Vec<_> = listed.iter().map(|text| (*text).to_owned()).collect();
        InsecureRegistries::parse(&listed).unwrap().judge(&address(host).unwrap())
    }

    #[test]
    fn this_host_is_always_insecure() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert_eq!(judge(&[], host), Judgement::Insecure, "{host}");
        }
        for host in ["registry.example", "localhost.example", "10.0.0.1", "[fe80::1]:5000"] {
            assert_eq!(judge(&[], host), Judgement::Secure, "{host}");
        }
    }

    #[test]
    fn a_host_is_listed_with_its_port() {
        assert_eq!(judge(&["r.example:5000"], "r.example:5000"), Judgement::Insecure);
        assert_eq!(judge(&["http://R.example:5000"], "r.example:5000"), Judgement::Insecure);
        assert_eq!(judge(&["r.example:443"], "r.example"), Judgement::Insecure);
        assert_eq!(judge(&["r.example"], "r.example:5000"), Judgement::Secure);
    }

    #[test]
    fn a_network_holds_addresses_and_names_that_lead_there() {
        assert_eq!(judge(&["10.0.0.0/8"], "10.1.2.3:5000"), Judgement::Insecure);
        assert_eq!(judge(&["fd00::/8"], "[fd00::1]"), Judgement::Insecure);
        assert_eq!(judge(&["10.0.0.0/8"], "11.1.2.3"), Judgement::Secure);
        assert_eq!(judge(&["10.0.0.0/8"], "r.example"), Judgement::ByAddress);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "a b", "host/path", "10.0.0.0/99", "ann@host", "host:99999"] {
            assert!(InsecureRegistries::parse(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}
