//! Where a registry's content is: the registry itself and what stands in for it, in the order they are tried.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use ipnet::IpNet;
use minke_tls::Trust;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::{
    SettingsError,
    hosts_toml::{Capability, HostOptions, HostsToml},
    insecure::authority,
    transport::Profile,
};

/// The name of Docker's own registry, and where it is.
pub(crate) const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";
/// How long a stand-in that failed is left alone, so that not every request waits for it.
pub(crate) const SHUNNED: Duration = Duration::from_secs(30);

/// One address of a registry.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The root of its API, `https://registry-1.docker.io/v2/`.
    pub(crate) base: Url,
    /// What it is used for.
    pub(crate) capabilities: Vec<Capability>,
    /// Whether it is the registry itself, so that the user's credentials are for it.
    pub(crate) is_registry: bool,
    /// Whether nothing has to be verified or encrypted on the way to it.
    pub(crate) insecure: bool,
    /// Whether plain HTTP may be tried where it doesn't speak TLS.
    pub(crate) either_scheme: bool,
    /// Whom to trust there.
    pub(crate) trust: Trust,
    /// The networks that its name has to lead to; empty: anywhere.
    pub(crate) networks: Arc<[IpNet]>,
    /// Headers for every request.
    pub(crate) headers: HeaderMap,
    /// How long a connection may take to be made, where `hosts.toml` says so.
    pub(crate) dial_timeout: Option<Duration>,
    /// Whether it ever answered.
    pub(crate) has_answered: AtomicBool,
}

impl Endpoint {
    pub(crate) fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// How it is connected to.
    pub(crate) fn profile(&self) -> Profile {
        Profile {
            trust: self.trust.clone(),
            networks: self.networks.clone(),
            dial_timeout: self.dial_timeout,
        }
    }

    /// `host[:port]`.
    pub(crate) fn host(&self) -> String {
        authority(&self.base)
    }

    /// The address of something in a repository, `<path>/<rest>`. Both are made of characters that need no
    /// escape.
    pub(crate) fn url(&self, path: &str, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}/{rest}", self.base.path()));
        url
    }

    /// Whether an address is this endpoint's own, so that what is meant for it may go there.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        let same_scheme = url.scheme() == self.base.scheme() && url.port() == self.base.port();
        let other_scheme = self.either_scheme && url.scheme() == "http" && url.port() == self.base.port();
        url.host() == self.base.host() && (same_scheme || other_scheme)
    }
}

/// An endpoint before its certificates are read and its name is looked up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) base: Url,
    /// Whether the scheme was written by somebody, so that no other is tried.
    pub(crate) scheme_is_given: bool,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) is_registry: bool,
    /// What `hosts.toml` says about it; `None`: nothing.
    pub(crate) options: Option<HostOptions>,
}

const ALL: [Capability; 3] = [Capability::Pull, Capability::Resolve, Capability::Push];
const READ: [Capability; 2] = [Capability::Pull, Capability::Resolve];

/// The endpoints of `registry` (`docker.io`, `host[:port]`): the mirrors of docker.io, then what its
/// `hosts.toml` names, then the registry itself.
///
/// # Errors
/// When the registry or an address of `hosts.toml` is none, with `wrong` for the second.
pub(crate) fn plan(
    registry: &str,
    mirrors: &[Url],
    file: Option<HostsToml>,
    wrong: impl Fn(String) -> SettingsError,
) -> Result<Vec<Plan>, SettingsError> {
    let mut plans = Vec::new();
    if registry == HUB {
        plans.extend(mirrors.iter().map(mirror));
    }
    let Some(file) = file else {
        plans.push(itself(registry)?);
        return Ok(plans);
    };
    for (address, options) in file.hosts {
        plans.push(stand_in(&address, options, &wrong)?);
    }
    let server = match &file.server {
        Some(address) => stand_in(address, file.server_options, &wrong)?,
        None => {
            let capabilities = file.server_options.capabilities.clone().unwrap_or_else(|| ALL.to_vec());
            Plan { capabilities, options: Some(file.server_options), ..itself(registry)? }
        }
    };
    plans.push(Plan { is_registry: true, ..server });
    Ok(plans)
}

/// The address of the registry of this name.
pub(crate) fn itself(registry: &str) -> Result<Plan, SettingsError> {
    let host = if registry == HUB { HUB_HOST } else { registry };
    let address = crate::insecure::address(host).ok_or_else(|| SettingsError::Host(registry.to_owned()))?;
    Ok(Plan {
        base: at_v2(address),
        scheme_is_given: false,
        capabilities: ALL.to_vec(),
        is_registry: true,
        options: None,
    })
}

fn mirror(address: &Url) -> Plan {
    Plan {
        base: at_v2(address.clone()),
        scheme_is_given: true,
        capabilities: READ.to_vec(),
        is_registry: false,
        options: None,
    }
}

/// An address of `hosts.toml`. One that is pushed to stands for the registry, and gets its credentials.
fn stand_in(
    address: &str,
    options: HostOptions,
    wrong: impl Fn(String) -> SettingsError,
) -> Result<Plan, SettingsError> {
    let no_address = || wrong(format!("{address:?} is no address: want https://host or http://host"));
    let whole = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
    let mut base = Url::parse(&whole).map_err(|_| no_address())?;
    let odd = base.query().is_some() || base.fragment().is_some() || !base.username().is_empty();
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() || odd {
        return Err(no_address());
    }
    if options.override_path {
        base.set_path(&format!("{}/", base.path().trim_end_matches('/')));
    } else {
        base = at_v2(base);
    }
    let capabilities = options.capabilities.clone().unwrap_or_else(|| ALL.to_vec());
    let is_registry = capabilities.contains(&Capability::Push);
    Ok(Plan { base, scheme_is_given: true, capabilities, is_registry, options: Some(options) })
}

/// The root of the API below an address that may or may not name it.
fn at_v2(mut address: Url) -> Url {
    let path = address.path().trim_end_matches('/');
    let path = path.strip_suffix("/v2").unwrap_or(path);
    address.set_path(&format!("{path}/v2/"));
    address
}

/// Reads the headers that `hosts.toml` wants.
pub(crate) fn headers(
    options: &HostOptions,
    wrong: impl Fn(String) -> SettingsError,
) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    for (name, values) in &options.header {
        let odd = || wrong(format!("the header {name:?} has characters that no header may have"));
        let key: HeaderName = name.parse().map_err(|_| odd())?;
        for value in values.clone().into_vec() {
            let mut value = HeaderValue::try_from(value).map_err(|_| odd())?;
            // It is where users put tokens.
            value.set_sensitive(true);
            headers.append(&key, value);
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::hosts_toml;

    fn wrong(reason: String) -> SettingsError {
        SettingsError::HostsToml { path: "hosts.toml".into(), line: 1, reason }
    }

    fn order(registry: &str, mirrors: &[&str], file: Option<&str>) -> Vec<String> {
        let mirrors: Vec<_> = mirrors.iter().map(|mirror| crate::mirror::parse(mirror).unwrap()).collect();
        let file = file.map(|text| hosts_toml::parse(Path::new("hosts.toml"), text).unwrap());
        let plans = plan(registry, &mirrors, file, wrong).unwrap();
        let shown = |plan: &Plan| {
            let push = if plan.capabilities.contains(&Capability::Push) { " push" } else { "" };
            let login = if plan.is_registry { " login" } else { "" };
            format!("{}{push}{login}", plan.base)
        };
        plans.iter().map(shown).collect()
    }

    #[test]
    fn docker_hub_comes_after_its_mirrors() {
        assert_eq!(order("docker.io", &[], None), ["https://registry-1.docker.io/v2/ push login"]);
        assert_eq!(
            order("docker.io", &["http://m:5000", "https://n"], None),
            ["http://m:5000/v2/", "https://n/v2/", "https://registry-1.docker.io/v2/ push login"]
        );
        assert_eq!(order("r.example", &["http://m:5000"], None), ["https://r.example/v2/ push login"]);
    }

    #[test]
    fn ports_and_addresses_are_kept() {
        assert_eq!(order("r.example:5000", &[], None), ["https://r.example:5000/v2/ push login"]);
        assert_eq!(order("[fd00::1]:5000", &[], None), ["https://[fd00::1]:5000/v2/ push login"]);
        assert!(matches!(itself("r.example:99999"), Err(SettingsError::Host(_))));
    }

    #[test]
    fn hosts_toml_says_what_is_tried_before_the_registry() {
        let file = r#"
            [host."https://m.example/v2"]
              capabilities = ["pull"]
            [host."gateway.example"]
            [host."http://p:5000/sub/dir"]
              override_path = true
              capabilities = ["pull", "resolve"]
            [host."http://q:5000/sub"]
              capabilities = ["pull", "resolve"]
        "#;
        assert_eq!(
            order("r.example", &[], Some(file)),
            [
                "https://m.example/v2/",
                "https://gateway.example/v2/ push login",
                "http://p:5000/sub/dir/",
                "http://q:5000/sub/v2/",
                "https://r.example/v2/ push login"
            ]
        );
        let server = "server = \"https://up.example:8443\"\ncapabilities = [\"pull\"]";
        assert_eq!(order("r.example", &[], Some(server)), ["https://up.example:8443/v2/ login"]);
        assert_eq!(
            order("docker.io", &["https://m"], Some("")),
            ["https://m/v2/", "https://registry-1.docker.io/v2/ push login"]
        );
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        for address in ["ftp://x", "https://", "https://ann:hush@x", "https://x?y"] {
            let error = stand_in(address, HostOptions::default(), wrong).unwrap_err().to_string();
            assert!(error.contains("is no address"), "{address}: {error}");
        }
    }

    #[test]
    fn what_is_meant_for_an_endpoint_goes_to_its_own_scheme_host_and_port() {
        let of = |base: &str, either_scheme| Endpoint {
            base: base.parse().unwrap(),
            capabilities: ALL.to_vec(),
            is_registry: true,
            insecure: either_scheme,
            either_scheme,
            trust: Trust::default(),
            networks: Arc::new([]),
            headers: HeaderMap::new(),
            dial_timeout: None,
            has_answered: AtomicBool::new(false),
        };
        let owns = |endpoint: &Endpoint, url: &str| endpoint.owns(&url.parse().unwrap());
        let secure = of("https://r.example/v2/", false);
        assert!(owns(&secure, "https://r.example/v2/a/b?c"));
        assert!(owns(&secure, "https://r.example:443/x"));
        for other in ["http://r.example/v2/", "https://r.example:5000/", "https://s.r.example/", "https://x/"]
        {
            assert!(!owns(&secure, other), "{other}");
        }
        let either = of("https://r.example:5000/v2/", true);
        assert!(owns(&either, "http://r.example:5000/x") && owns(&either, "https://r.example:5000/x"));
        assert!(!owns(&either, "http://r.example/x"));
        let url = of("https://r.example/sub/v2/", false).url("library/a", "manifests/v1");
        assert_eq!(url.as_str(), "https://r.example/sub/v2/library/a/manifests/v1");
    }

    #[test]
    fn headers_are_kept_and_not_printed() {
        let text = "[header]\nx-token = \"hush\"\nx-many = [\"1\", \"2\"]";
        let file = hosts_toml::parse(Path::new("x"), text).unwrap();
        let headers = headers(&file.server_options, wrong).unwrap();
        assert_eq!(
            (headers["x-token"].as_bytes(), headers.get_all("x-many").iter().count()),
            (&b"hush"[..], 2)
        );
        assert!(!format!("{headers:?}").contains("hush"));
    }
}
