//! What a merged tree gets before it becomes a project: defaults, checks of single attributes, and what is implied.

use std::net::IpAddr;

use super::{canonical::clean, error::Fault};
use crate::{
    model::Mapping,
    tree::{Content, Map, Node, mapping, path::Path},
};

/// Where the value of a secret's variable is kept in the tree; no file can have this name.
pub(crate) const SECRET_CONTENT: &str = "x-#value";

/// Gives what is not said its default, and checks what single attributes say.
pub(crate) fn defaults(tree: &mut Node) -> Result<(), Fault> {
    each_service(tree, |name, service| {
        let mut path = Path::of(&["services", name]);
        if let Some(build) = service.get_mut("build") {
            default(build, "context", |origin| origin.text("."));
        }
        for secret in items(service.get_mut("secrets")) {
            let source = secret.text_of("source").unwrap_or_default().to_owned();
            default(secret, "target", |origin| origin.text(format!("/run/secrets/{source}")));
        }
        path.within("ports", |path| {
            items(service.get_mut("ports")).enumerate().try_for_each(|(index, port)| {
                default(port, "protocol", |origin| origin.text("tcp"));
                default(port, "mode", |origin| origin.text("ingress"));
                path.item(index, |path| check_address(port, path))
            })
        })?;
        path.within("gpus", |path| requests(service.get_mut("gpus"), path))?;
        let reservations = ["deploy", "resources", "reservations", "devices"];
        let devices = reservations.iter().try_fold(service, |node, name| node.get_mut(name));
        requests(
            devices,
            &mut Path::of(&["services", name, "deploy", "resources", "reservations", "devices"]),
        )
    })?;
    resources(tree)
}

fn each_service(
    tree: &mut Node,
    mut visit: impl FnMut(&str, &mut Node) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let services = tree.get_mut("services").and_then(Node::as_map_mut);
    services.into_iter().flatten().try_for_each(|(name, service)| visit(name, service))
}

fn items(node: Option<&mut Node>) -> impl Iterator<Item = &mut Node> {
    node.and_then(|node| match &mut node.content {
        Content::Seq(items) => Some(items.iter_mut()),
        _ => None,
    })
    .into_iter()
    .flatten()
}

fn default(node: &mut Node, name: &str, value: impl FnOnce(&Node) -> Node) {
    let origin = node.with(Content::Null);
    if let Some(map) = node.as_map_mut() {
        map.entry(name.to_owned()).or_insert_with(|| value(&origin));
    }
}

fn check_address(port: &Node, path: &Path) -> Result<(), Fault> {
    match port.get("host_ip") {
        Some(node) if node.as_str().is_some_and(|ip| ip.parse::<IpAddr>().is_err() && !ip.contains('$')) => {
            let message = format!("invalid ip address: {}", node.as_str().unwrap_or_default());
            Err(Fault::new(node.at, path, message))
        }
        _ => Ok(()),
    }
}

/// All devices, unless it says which or how many.
fn requests(list: Option<&mut Node>, path: &mut Path) -> Result<(), Fault> {
    items(list).enumerate().try_for_each(|(index, request)| {
        let (count, ids) = (request.get("count").is_some(), request.get("device_ids").is_some());
        if count && ids {
            let message = "\"count\" and \"device_ids\" attributes are exclusive";
            return path.item(index, |path| Err(Fault::new(request.place(), path, message)));
        }
        if !ids {
            default(request, "count", |origin| origin.text("all"));
        }
        Ok(())
    })
}

/// Volumes that are there already have nothing to say but their name; files have one source.
fn resources(tree: &Node) -> Result<(), Fault> {
    for (kind, sources) in
        [("configs", &["file", "environment", "content"][..]), ("secrets", &["file", "environment"][..])]
    {
        for (name, node) in tree.get(kind).and_then(Node::as_map).into_iter().flatten() {
            one_source(node, sources, &Path::of(&[kind, name]))?;
        }
    }
    for (name, node) in tree.get("volumes").and_then(Node::as_map).into_iter().flatten() {
        let path = Path::of(&["volumes", name]);
        let is_external = matches!(node.get("external").map(|node| &node.content), Some(Content::Bool(true)));
        let others = node
            .as_map()
            .into_iter()
            .flatten()
            .find(|(name, _)| !matches!(name.as_str(), "name" | "external") && !name.starts_with("x-"));
        if let Some((other, value)) = others.filter(|_| is_external) {
            let message = format!("conflicting parameters \"external\" and {other:?} specified");
            return Err(Fault::new(value.place(), &path, message));
        }
    }
    Ok(())
}

fn one_source(node: &Node, sources: &[&str], path: &Path) -> Result<(), Fault> {
    let given = sources.iter().filter(|source| node.get(source).is_some()).count();
    let all = sources.join("|");
    if given > 1 {
        return Err(Fault::new(node.place(), path, format!("{all} attributes are mutually exclusive")));
    }
    if given == 0 && node.get("driver").is_none() && node.get("external").is_none() {
        return Err(Fault::new(node.place(), path, format!("one of {all} must be set")));
    }
    Ok(())
}

/// What a whole project implies: the default network, dependencies by links and shared namespaces, final names.
pub(crate) fn normalize(tree: &mut Node, project: &str, environment: &Mapping) {
    default_network(tree);
    let _: Result<(), Fault> = each_service(tree, |_, service| {
        service_normalized(service, environment);
        Ok(())
    });
    names_of_resources(tree, project);
}

fn default_network(tree: &mut Node) {
    let mut is_used = false;
    let _: Result<(), Fault> = each_service(tree, |_, service| {
        let origin = service.with(Content::Null);
        let Some(map) = service.as_map_mut() else { return Ok(()) };
        if map.contains_key("provider") || map.contains_key("network_mode") {
            return Ok(());
        }
        let networks = map.get("networks").and_then(Node::as_map);
        if networks.is_none_or(Map::is_empty) {
            map.insert("networks".to_owned(), mapping(&origin, [("default", Content::Null)]));
            is_used = true;
        } else if networks.is_some_and(|networks| networks.contains_key("default")) {
            is_used = true;
        }
        Ok(())
    });
    if is_used && let Some(map) = tree.as_map_mut() {
        let networks = map.entry("networks".to_owned()).or_default();
        if networks.is_null() {
            networks.content = Content::Map(Map::new());
        }
        if let Some(networks) = networks.as_map_mut() {
            networks.entry("default".to_owned()).or_default();
        }
    }
}

fn service_normalized(service: &mut Node, environment: &Mapping) {
    if service.text_of("pull_policy") == Some("if_not_present")
        && let Some(policy) = service.get_mut("pull_policy")
    {
        policy.content = Content::Str("missing".to_owned());
    }
    if let Some(build) = service.get_mut("build") {
        default(build, "context", |origin| origin.text("."));
        if build.get("dockerfile_inline").is_none() {
            default(build, "dockerfile", |origin| origin.text("Dockerfile"));
        }
        if let Some(args) = build.get_mut("args") {
            resolve(args, environment, false);
        }
    }
    if let Some(variables) = service.get_mut("environment") {
        resolve(variables, environment, true);
    }
    for mount in items(service.get_mut("volumes")) {
        if let Some(target) = mount.get_mut("target")
            && let Some(text) = target.as_str()
        {
            target.content = Content::Str(clean(text));
        }
    }
    implied_dependencies(service);
}

/// Names without a value take the environment's; those that have none there stay or go.
fn resolve(node: &mut Node, environment: &Mapping, keep: bool) {
    match &mut node.content {
        Content::Map(map) => map.retain(|name, value| {
            if !value.is_null() {
                return true;
            }
            if let Some(text) = environment.get(name) {
                value.content = Content::Str(text.clone());
                return true;
            }
            keep
        }),
        Content::Seq(items) => items.retain_mut(|item| {
            let Some(name) = item.as_str().filter(|line| !line.contains('=')) else { return true };
            if let Some(text) = environment.get(name) {
                item.content = Content::Str(format!("{name}={text}"));
                return true;
            }
            keep
        }),
        _ => {}
    }
}

fn implied_dependencies(service: &mut Node) {
    let mut implied: Vec<(String, bool, Node)> = Vec::new();
    for link in service.get("links").and_then(Node::as_seq).into_iter().flatten() {
        let text = link.as_str().unwrap_or_default();
        let parts: Vec<&str> = text.split(':').collect();
        let name = if parts.len() == 2 { parts[0] } else { text };
        implied.push((name.to_owned(), true, link.clone()));
    }
    for namespace in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = service.get(namespace)
            && let Some(name) = node.as_str().and_then(|text| text.strip_prefix("service:"))
        {
            implied.push((name.to_owned(), true, node.clone()));
        }
    }
    for from in service.get("volumes_from").and_then(Node::as_seq).into_iter().flatten() {
        let text = from.as_str().unwrap_or_default();
        if !text.starts_with("container:") {
            let name = text.split(':').next().unwrap_or_default();
            implied.push((name.to_owned(), false, from.clone()));
        }
    }
    if implied.is_empty() {
        return;
    }
    let origin = service.with(Content::Null);
    let Some(map) = service.as_map_mut() else { return };
    let dependencies = map.entry("depends_on".to_owned()).or_insert(origin);
    if dependencies.is_null() {
        dependencies.content = Content::Map(Map::new());
    }
    let Some(dependencies) = dependencies.as_map_mut() else { return };
    for (name, restart, origin) in implied {
        dependencies.entry(name).or_insert_with(|| {
            let condition = Content::Str("service_started".to_owned());
            let members = [
                ("condition", condition),
                ("restart", Content::Bool(restart)),
                ("required", Content::Bool(true)),
            ];
            mapping(&origin, members)
        });
    }
}

/// What has no name of its own is named by its key, and by the project unless it is there already.
fn names_of_resources(tree: &mut Node, project: &str) {
    for kind in ["networks", "volumes", "configs", "secrets"] {
        let Some(map) = tree.get_mut(kind).and_then(Node::as_map_mut) else { continue };
        for (key, node) in map {
            if node.is_null() {
                node.content = Content::Map(Map::new());
            }
            let is_external =
                matches!(node.get("external").map(|node| &node.content), Some(Content::Bool(true)));
            let name = if is_external { key.clone() } else { format!("{project}_{key}") };
            let name = node.text(name);
            if let Some(map) = node.as_map_mut() {
                let entry = map.entry("name".to_owned()).or_default();
                if entry.is_null() {
                    *entry = name;
                }
            }
        }
    }
}

/// Variables that secrets and configs and lists of variables name, looked up where they stand.
pub(crate) fn environment(tree: &mut Node, environment: &Mapping) {
    let _: Result<(), Fault> = each_service(tree, |_, service| {
        if let Some(variables) = service.get_mut("environment").filter(|node| node.as_seq().is_some()) {
            resolve(variables, environment, true);
        }
        Ok(())
    });
    for (kind, member) in [("configs", "content"), ("secrets", SECRET_CONTENT)] {
        for (_, node) in tree.get_mut(kind).and_then(Node::as_map_mut).into_iter().flatten() {
            let value = node.text_of("environment").and_then(|name| environment.get(name)).cloned();
            let Some(value) = value.map(|value| node.text(value)) else { continue };
            if let Some(map) = node.as_map_mut() {
                map.insert(member.to_owned(), value);
            }
        }
    }
}

/// A health check that is one text is a command of the shell.
pub(crate) fn health_commands(tree: &mut Node) {
    let _: Result<(), Fault> = each_service(tree, |_, service| {
        let test = service.get_mut("healthcheck").and_then(|check| check.get_mut("test"));
        if let Some(test) = test.filter(|test| test.as_str().is_some()) {
            test.content = Content::Seq(vec![test.text("CMD-SHELL"), test.clone()]);
        }
        Ok(())
    });
}
