//! Which requests go through which proxy, by the rules that Docker's users know from Go's programs.

use std::{env, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use url::{Host, Url};

use crate::SettingsError;

/// What programs of others call this host, which is always reached directly.
const THIS_HOST: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The proxies between this host and the world.
#[derive(Clone, Default)]
pub struct ProxySettings {
    http: Option<Url>,
    https: Option<Url>,
    no_proxy: String,
    direct: Vec<Direct>,
}

impl ProxySettings {
    /// From `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, or the same in lower case.
    ///
    /// # Errors
    /// [`SettingsError::Proxy`] when one of them is no address.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::with_environment(None, None, None)
    }

    /// As they are given; from the environment what is not.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn with_environment(
        http: Option<&str>,
        https: Option<&str>,
        no_proxy: Option<&str>,
    ) -> Result<Self, SettingsError> {
        let read = |given: Option<&str>, name: &str| match given {
            Some(given) => given.to_owned(),
            None => env::var(name).or_else(|_| env::var(name.to_lowercase())).unwrap_or_default(),
        };
        Self::new(&read(http, "HTTP_PROXY"), &read(https, "HTTPS_PROXY"), &read(no_proxy, "NO_PROXY"))
    }

    /// From the same three in text; an empty one is none. `no_proxy` names hosts that are reached directly:
    /// domains with all below them, `.domain` for those below alone, addresses, networks, each with a port or
    /// without, or `*`.
    ///
    /// # Errors
    /// [`SettingsError::Proxy`] when one of them is no address.
    pub fn new(http: &str, https: &str, no_proxy: &str) -> Result<Self, SettingsError> {
        let direct = no_proxy.split(',').map(str::trim).filter(|rule| !rule.is_empty());
        Ok(Self {
            http: address("HTTP", http)?,
            https: address("HTTPS", https)?,
            no_proxy: no_proxy.to_owned(),
            direct: direct.map(Direct::parse).collect(),
        })
    }

    /// The variables by which programs of others find the same proxies (libcurl's names, which git has as well).
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let named = |name, url: &Option<Url>| Some((name, url.as_ref()?.to_string()));
        let rules = self.no_proxy.split(',').map(str::trim).filter(|rule| !rule.is_empty());
        let direct = rules.chain(THIS_HOST).collect::<Vec<_>>().join(",");
        let direct = (self.http.is_some() || self.https.is_some()).then_some(("no_proxy", direct));
        [named("http_proxy", &self.http), named("https_proxy", &self.https), direct]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The proxy that a request to `url` goes through. This host itself is always reached directly.
    pub(crate) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { self.https.as_ref()? } else { self.http.as_ref()? };
        let host = url.host()?;
        let is_local = match host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let port = url.port_or_known_default()?;
        (!is_local && !self.direct.iter().any(|rule| rule.matches(&host, port))).then_some(proxy)
    }
}

impl fmt::Debug for ProxySettings {
    /// A proxy's address may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |proxy: &Option<Url>| proxy.as_ref().map(|url| url.host_str().unwrap_or("").to_owned());
        f.debug_struct("ProxySettings")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("direct", &self.direct)
            .finish()
    }
}

fn address(name: &'static str, text: &str) -> Result<Option<Url>, SettingsError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&whole).map_err(|_| SettingsError::Proxy(name))?;
    if !matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") || url.host().is_none() {
        return Err(SettingsError::Proxy(name));
    }
    if url.port().is_none() && url.scheme().starts_with("socks5") {
        url.set_port(Some(1080)).map_err(|()| SettingsError::Proxy(name))?;
    }
    Ok(Some(url))
}

/// What is reached without a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Direct {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    Network(IpNet),
    /// A domain, itself or not, with all below it.
    Domain {
        name: String,
        itself: bool,
    },
}

impl Direct {
    fn parse(rule: &str) -> Self {
        if rule == "*" {
            return Self { hosts: Hosts::All, port: None };
        }
        if let Some(network) = network(rule) {
            return Self { hosts: Hosts::Network(network), port: None };
        }
        let (host, port) = match rule.rsplit_once(':').map(|(host, port)| (host, port.parse().ok())) {
            Some((host, Some(port))) => (host, Some(port)),
            _ => (rule, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let hosts = network(bare).map(Hosts::Network).unwrap_or_else(|| {
            let host = host.to_ascii_lowercase();
            let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
            Hosts::Domain { name: below.unwrap_or(&host).to_owned(), itself: below.is_none() }
        });
        Self { hosts, port }
    }

    fn matches(&self, host: &Host<&str>, port: u16) -> bool {
        if self.port.is_some_and(|wanted| wanted != port) {
            return false;
        }
        match (&self.hosts, host) {
            (Hosts::All, _) => true,
            (Hosts::Network(network), Host::Ipv4(address)) => network.contains(&IpAddr::from(*address)),
            (Hosts::Network(network), Host::Ipv6(address)) => network.contains(&IpAddr::from(*address)),
            (Hosts::Domain { name, itself }, Host::Domain(host)) => match host.strip_suffix(name.as_str()) {
                Some("") => *itself,
                Some(rest) => rest.ends_with('.'),
                None => false,
            },
            _ => false,
        }
    }
}

/// A network, or an address alone.
fn network(text: &str) -> Option<IpNet> {
    IpNet::from_str(text).ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(no_proxy: &str, url: &str) -> Option<String> {
        let settings = ProxySettings::new("plain:3128", "http://ann:hush@tls:3128", no_proxy).unwrap();
        settings.of(&url.parse().unwrap()).map(|proxy| proxy.host_str().unwrap().to_owned())
    }

    #[test]
    fn each_scheme_has_its_proxy_and_this_host_has_none() {
        assert_eq!(proxy("", "http://r.example/"), Some("plain".to_owned()));
        assert_eq!(proxy("", "https://r.example/"), Some("tls".to_owned()));
        for local in ["http://localhost:5000/", "https://127.0.0.1/", "https://[::1]:5000/"] {
            assert_eq!(proxy("", local), None, "{local}");
        }
        assert_eq!(ProxySettings::default().of(&"https://r.example/".parse().unwrap()), None);
    }

    #[test]
    fn what_no_proxy_names_is_reached_directly() {
        for (rule, url, direct) in [
            ("*", "https://a.b/", true),
            ("b.example", "https://b.example/", true),
            ("b.example", "https://a.b.example/", true),
            ("b.example", "https://ab.example/", false),
            (".b.example", "https://b.example/", false),
            ("x, *.B.example ", "https://a.b.example/", true),
            ("b.example:5000", "https://b.example/", false),
            ("b.example:443", "https://b.example/", true),
            ("10.0.0.0/8", "https://10.1.1.1/", true),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/", true),
            ("10.0.0.1:5000", "https://10.0.0.1/", false),
            ("fd00::1", "https://[fd00::1]/", true),
            ("[fd00::1]:5000", "https://[fd00::1]:5000/", true),
            ("fd00::/8", "https://[fe80::1]/", false),
        ] {
            assert_eq!(proxy(rule, url).is_none(), direct, "{rule} {url}");
        }
    }

    #[test]
    fn a_proxy_is_an_address_and_its_password_is_not_printed() {
        for text in ["ftp://a", "http://", "a b", "unix:///x"] {
            let error = ProxySettings::new("", text, "").unwrap_err();
            assert!(error.to_string().contains("HTTPS proxy"), "{text}: {error}");
        }
        let settings = ProxySettings::new("socks5://p", "http://ann:hush@tls:3128", "").unwrap();
        assert_eq!(settings.http.as_ref().unwrap().port(), Some(1080));
        let told = [
            ("http_proxy", "socks5://p:1080"),
            ("https_proxy", "http://ann:hush@tls:3128/"),
            ("no_proxy", "localhost,127.0.0.1,::1"),
        ];
        assert_eq!(settings.environment(), told.map(|(name, value)| (name, value.to_owned())));
        let some = ProxySettings::new("p", "", "a.b, 10.0.0.0/8").unwrap().environment();
        assert_eq!(some[1], ("no_proxy", "a.b,10.0.0.0/8,localhost,127.0.0.1,::1".to_owned()));
        assert_eq!(ProxySettings::default().environment(), []);
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
