//! Creating a network: what can be said without the host is checked first, then the network crate finds its addresses, then
//! one transaction makes it real.

use std::collections::BTreeMap;

use bollard_stubs::models::{Ipam, NetworkCreateRequest, NetworkCreateResponse};
use minke_model::NetworkId;
use minke_network::{Driver, NetworkRequest};

use super::{Kind, NetworkRecord, is_predefined, pools, record::VERSION};
use crate::{Engine, Error, ErrorKind, engine::Inner, error::chain, random, time_text};

/// As long as a name may be; Docker knows no limit.
const LONGEST_NAME: usize = 255;
const ENABLE_IPV4: &str = "com.docker.network.enable_ipv4";
const ENABLE_IPV6: &str = "com.docker.network.enable_ipv6";

impl Engine {
    /// Makes a network. Nothing of it is in the kernel until a container needs it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] names what is wrong; [`crate::ErrorKind::Conflict`] for a name that is taken;
    /// [`crate::ErrorKind::Forbidden`] for a predefined one, an overlapping subnet, and fields that can't be together;
    /// [`crate::ErrorKind::NotFound`] for a driver or a configuration that is not there.
    pub async fn network_create(
        &self,
        request: NetworkCreateRequest,
    ) -> Result<NetworkCreateResponse, Error> {
        self.blocking(move |inner| {
            let record = create(&inner, request)?;
            inner.network_event("create", &record, []);
            Ok(NetworkCreateResponse { id: record.id.to_string(), warning: warning(&inner, &record) })
        })
        .await
    }
}

/// What is wrong with it on this host, and not enough to refuse it: Docker takes such a network without a word.
fn warning(inner: &Inner, record: &NetworkRecord) -> String {
    match record.spec().and_then(|spec| inner.networks.overlaps_with_host(spec)) {
        Some(host) => format!(
            "network {} overlaps with {host}, which this host has a route or an address in: its containers don't reach that",
            record.name
        ),
        None => String::new(),
    }
}

fn create(inner: &Inner, request: NetworkCreateRequest) -> Result<NetworkRecord, Error> {
    check_name(&request.name)?;
    check_fields(&request)?;
    let _changing = inner.network_table.change();
    if inner.network_table.named(&request.name).is_some() {
        return Err(Error::conflict(format!("network with name {} already exists", request.name)));
    }
    let request = with_defaults(inner, request)?;
    let plan = Plan::read(&request)?;
    let id = NetworkId::from_random(random::bytes()?);
    let kind = match request.config_only {
        Some(true) => Kind::Config { driver: request.driver.clone().unwrap_or_default() },
        _ => Kind::Made(Box::new(made(inner, &id, &request, &plan)?)),
    };
    let record = NetworkRecord {
        version: VERSION,
        id,
        name: request.name,
        created: time_text::now(),
        kind,
        enable_ipv4: plan.ipv4,
        enable_ipv6: plan.ipv6,
        attachable: request.attachable.unwrap_or(false),
        config_from: request.config_from.and_then(|from| from.network).unwrap_or_default(),
        ipam: request.ipam.unwrap_or_default(),
        options: plan.options,
        labels: request.labels.unwrap_or_default().into_iter().collect(),
    };
    if let Err(error) = inner.store.put_networks(&[&record]) {
        if record.spec().is_some() {
            let _ = inner.networks.remove(&record.id);
        }
        return Err(error);
    }
    inner.network_table.insert(record.clone());
    Ok(record)
}

/// The request read: options with the engine's defaults, and the families.
struct Plan {
    options: BTreeMap<String, String>,
    ipv4: bool,
    ipv6: bool,
}

impl Plan {
    fn read(request: &NetworkCreateRequest) -> Result<Self, Error> {
        let mut options: BTreeMap<_, _> = request.options.clone().unwrap_or_default().into_iter().collect();
        let mut family = |asked: Option<bool>, key: &str, default| match asked {
            Some(asked) => {
                options.remove(key);
                Ok(asked)
            }
            None => options.get(key).map_or(Ok(default), |text| boolean(text, key)),
        };
        let ipv4 = family(request.enable_ipv4, ENABLE_IPV4, true)?;
        let ipv6 = family(request.enable_ipv6, ENABLE_IPV6, false)?;
        Ok(Self { options, ipv4, ipv6 })
    }
}

/// What Go's ParseBool takes.
fn boolean(text: &str, key: &str) -> Result<bool, Error> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("driver-opt {key:?} is not a valid bool"))),
    }
}

/// Checks the pools and has the network crate complete them.
fn made(
    inner: &Inner,
    id: &NetworkId,
    request: &NetworkCreateRequest,
    plan: &Plan,
) -> Result<minke_network::NetworkSpec, Error> {
    let pools = pools::read(request.ipam.as_ref(), plan.ipv4, plan.ipv6)?;
    let driver = Driver::parse(driver_name(request), &plan.options)
        .map_err(|error| Error::invalid(error.to_string()))?;
    let request = NetworkRequest {
        id: id.clone(),
        driver,
        internal: request.internal.unwrap_or(false),
        ipv4: pools.ipv4,
        ipv6: pools.ipv6,
        further: pools.further,
    };
    inner.networks.create(request).map_err(|error| {
        let kind = super::errors::create(&error);
        Error::new(kind, chain(&error))
    })
}

fn driver_name(request: &NetworkCreateRequest) -> &str {
    match request.driver.as_deref().unwrap_or("") {
        "" | "default" => "bridge",
        name => name,
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if is_predefined(name) {
        return Err(forbidden(format!("operation is not permitted on predefined {name} network ")));
    }
    if name.trim().is_empty() {
        return Err(Error::invalid("invalid name: name is empty"));
    }
    if name.len() > LONGEST_NAME {
        return Err(Error::invalid(format!("invalid name: it has more than {LONGEST_NAME} bytes")));
    }
    if name.chars().any(|c| c.is_control() || c == '/') || name.trim() != name {
        return Err(Error::invalid(format!(
            "invalid name {name:?}: want no slash, no control character and no space at its ends"
        )));
    }
    Ok(())
}

/// Fields that can't be together, or mean nothing without a swarm.
fn check_fields(request: &NetworkCreateRequest) -> Result<(), Error> {
    let (config_only, scope) = (request.config_only == Some(true), request.scope.as_deref().unwrap_or(""));
    let on = |field: Option<bool>| field == Some(true);
    if config_only
        && (on(request.ingress) || on(request.internal) || on(request.attachable) || !scope.is_empty())
    {
        return Err(forbidden(
            "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
        ));
    }
    let from = request.config_from.as_ref().and_then(|from| from.network.as_deref()).unwrap_or("");
    if config_only && !from.is_empty() {
        return Err(forbidden("a configuration network cannot depend on another configuration network"));
    }
    let ipam = request.ipam.clone().unwrap_or_default();
    if !from.is_empty() {
        let filled = request.enable_ipv4 == Some(false)
            || on(request.enable_ipv6)
            || request.labels.as_ref().is_some_and(|labels| !labels.is_empty())
            || ipam.config.is_some_and(|config| !config.is_empty())
            || ipam.options.as_ref().is_some_and(|options| !options.is_empty());
        if filled {
            return Err(forbidden(
                "user specified configurations are not supported if the network depends on a configuration network",
            ));
        }
        if request.options.as_ref().is_some_and(|options| !options.is_empty()) {
            return Err(forbidden(
                "network driver options are not supported if the network depends on a configuration network",
            ));
        }
    }
    match scope {
        "" | "local" => {}
        "swarm" => return Err(forbidden("cannot create a swarm scoped network when swarm is not active")),
        _ => return Err(Error::invalid(format!("invalid scope {scope:?}: want local"))),
    }
    if on(request.ingress) {
        return Err(forbidden("Ingress network can only be global scope network"));
    }
    match ipam.driver.as_deref().unwrap_or("") {
        "" | "default" => {}
        driver => return Err(Error::not_found(format!("could not find an IPAM driver named {driver:?}"))),
    }
    if config_only {
        return Ok(());
    }
    match driver_name(request) {
        "bridge" | "macvlan" | "ipvlan" => Ok(()),
        name @ ("host" | "null" | "none") => {
            Err(forbidden(format!("only one instance of \"{name}\" network is allowed")))
        }
        "overlay" => Err(forbidden(
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        )),
        name => Err(Error::not_found(format!("could not find a network driver named {name:?}"))),
    }
}

/// Fills in what the configuration network says, or else the engine's options for all networks of the driver.
fn with_defaults(inner: &Inner, mut request: NetworkCreateRequest) -> Result<NetworkCreateRequest, Error> {
    let from = request.config_from.as_ref().and_then(|from| from.network.as_deref()).unwrap_or("");
    if from.is_empty() {
        let defaults = inner.config.networks.default_options.get(driver_name(&request));
        let options = request.options.get_or_insert_default();
        for (key, value) in defaults.into_iter().flatten() {
            options.entry(key.clone()).or_insert_with(|| value.clone());
        }
        return Ok(request);
    }
    let missing = || Error::not_found(format!("configuration network {from:?} does not exist"));
    let config = inner.network_table.find(from).map_err(|_| missing())?;
    if !config.is_config() {
        return Err(missing());
    }
    request.enable_ipv4 = Some(config.enable_ipv4);
    request.enable_ipv6 = Some(config.enable_ipv6);
    request.ipam = Some(Ipam { driver: None, ..config.ipam.clone() });
    request.options = Some(config.options.clone().into_iter().collect());
    request.labels = Some(config.labels.clone().into_iter().collect());
    request.config_from.get_or_insert_default().network = Some(config.name.clone());
    Ok(request)
}

fn forbidden(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Forbidden, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> String {
        let request: NetworkCreateRequest = serde_json::from_str(json).unwrap();
        let checked = check_name(&request.name).and_then(|()| check_fields(&request));
        checked.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn names_may_have_dots_and_be_long_but_nothing_that_breaks_lines_or_paths() {
        assert_eq!(told(r#"{"Name":"a.b.c-1_ü"}"#), "");
        assert_eq!(told(&format!(r#"{{"Name":"{}"}}"#, "a".repeat(255))), "");
        assert!(told(&format!(r#"{{"Name":"{}"}}"#, "a".repeat(300))).contains("more than 255"));
        for name in ["", "  ", "a/b", "a\\nb", " a"] {
            assert!(told(&format!(r#"{{"Name":"{name}"}}"#)).contains("invalid name"), "{name}");
        }
        assert!(told(r#"{"Name":"host"}"#).contains("predefined host network"));
    }

    #[test]
    fn fields_that_cannot_be_together_are_told_in_dockers_words() {
        for (fields, words) in [
            (r#""ConfigOnly":true,"Internal":true"#, "Network operator fields"),
            (r#""ConfigOnly":true,"ConfigFrom":{"Network":"x"}"#, "cannot depend on another"),
            (r#""ConfigFrom":{"Network":"x"},"EnableIPv6":true"#, "user specified configurations"),
            (r#""ConfigFrom":{"Network":"x"},"Options":{"a":"b"}"#, "network driver options"),
            (r#""Scope":"swarm""#, "swarm is not active"),
            (r#""Ingress":true"#, "global scope"),
            (r#""Driver":"host""#, "only one instance"),
            (r#""Driver":"weave""#, "could not find a network driver named \"weave\""),
            (r#""IPAM":{"Driver":"dhcp"}"#, "IPAM driver named \"dhcp\""),
        ] {
            let told = told(&format!(r#"{{"Name":"n",{fields}}}"#));
            assert!(told.contains(words), "{fields}: {told}");
        }
        assert_eq!(told(r#"{"Name":"n","ConfigOnly":true,"Driver":"weave"}"#), "");
    }

    #[test]
    fn a_family_is_chosen_by_its_field_or_else_by_the_option() {
        let plan = |json: &str| Plan::read(&serde_json::from_str(json).unwrap());
        let default = plan(r#"{"Name":"n"}"#).unwrap();
        assert!(default.ipv4 && !default.ipv6);
        let json = r#"{"Name":"n","EnableIPv4":false,"Options":{"com.docker.network.enable_ipv4":"true","com.docker.network.enable_ipv6":"1"}}"#;
        let other = plan(json).unwrap();
        assert!(!other.ipv4 && other.ipv6);
        assert_eq!(other.options.len(), 1);
        assert!(plan(r#"{"Name":"n","Options":{"com.docker.network.enable_ipv6":"x"}}"#).is_err());
    }
}
