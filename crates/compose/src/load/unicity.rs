//! What an appended list says twice: the later entry takes the earlier one's place.

use super::{error::Fault, volume};
use crate::tree::{Content, Node, path::Path};

/// What makes two entries of a list the same.
#[derive(Clone, Copy)]
enum Key {
    /// The name before `=`.
    Name,
    /// The mount's place in the container.
    Target,
    /// The device's place in the container.
    DeviceTarget,
    /// The file's place, or this folder and the name.
    Mount(&'static str),
    /// Address, both ports and protocol.
    Port,
    /// The file.
    Path,
    /// The text.
    Text,
}

const RULES: [(&str, Key); 28] = [
    ("networks.*.labels", Key::Name),
    ("networks.*.ipam.options", Key::Name),
    ("services.*.annotations", Key::Name),
    ("services.*.build.args", Key::Name),
    ("services.*.build.additional_contexts", Key::Name),
    ("services.*.build.tags", Key::Name),
    ("services.*.build.labels", Key::Name),
    ("services.*.cap_add", Key::Name),
    ("services.*.cap_drop", Key::Name),
    ("services.*.configs", Key::Mount("")),
    ("services.*.deploy.labels", Key::Name),
    ("services.*.devices", Key::DeviceTarget),
    ("services.*.dns", Key::Name),
    ("services.*.dns_opt", Key::Name),
    ("services.*.dns_search", Key::Name),
    ("services.*.environment", Key::Name),
    ("services.*.env_file", Key::Path),
    ("services.*.expose", Key::Text),
    ("services.*.labels", Key::Name),
    ("services.*.links", Key::Name),
    ("services.*.networks.*.aliases", Key::Name),
    ("services.*.networks.*.link_local_ips", Key::Name),
    ("services.*.ports", Key::Port),
    ("services.*.profiles", Key::Name),
    ("services.*.secrets", Key::Mount("/run/secrets")),
    ("services.*.sysctls", Key::Name),
    ("services.*.tmpfs", Key::Name),
    ("services.*.volumes", Key::Target),
];

/// Leaves out what is said again later.
pub(crate) fn enforce(tree: &mut Node) -> Result<(), Fault> {
    visit(tree, &mut Path::default())
}

fn visit(node: &mut Node, path: &mut Path) -> Result<(), Fault> {
    match &mut node.content {
        Content::Map(map) => {
            map.iter_mut().try_for_each(|(name, value)| path.within(name, |path| visit(value, path)))
        }
        Content::Seq(items) => {
            if let Some((_, key)) = RULES.iter().find(|(pattern, _)| path.matches(pattern)) {
                *items = distinct(std::mem::take(items), *key, path)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn distinct(items: Vec<Node>, key: Key, path: &mut Path) -> Result<Vec<Node>, Fault> {
    let mut places = std::collections::HashMap::new();
    let mut result: Vec<Node> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let name = path.item(index, |path| of(key, &item, path))?;
        match places.get(&name) {
            Some(place) => result[*place] = item,
            None => {
                places.insert(name, result.len());
                result.push(item);
            }
        }
    }
    Ok(result)
}

fn of(key: Key, item: &Node, path: &Path) -> Result<String, Fault> {
    let text =
        || item.to_text().ok_or_else(|| Fault::new(item.at, path, format!("unexpected {}", item.kind())));
    let member = |name: &str| item.get(name).and_then(Node::to_text);
    let missing = |what: &str| Fault::new(item.at, path, format!("missing {what}"));
    let is_mapping = item.as_map().is_some();
    match key {
        Key::Name => {
            text().map(|text| text.split_once('=').map_or(text.clone(), |(name, _)| name.to_owned()))
        }
        Key::Text => text(),
        Key::Path if is_mapping => member("path").ok_or_else(|| missing("property 'path'")),
        Key::Target if is_mapping => member("target").ok_or_else(|| missing("a mount target")),
        Key::Target => match item.as_str() {
            Some(spec) => volume::parse(spec)
                .map(|mount| mount.target)
                .map_err(|error| Fault::new(item.at, path, error)),
            None => text(),
        },
        Key::DeviceTarget if is_mapping => member("target").ok_or_else(|| missing("a mount target")),
        Key::DeviceTarget => text().map(|text| text.split(':').nth(1).unwrap_or(&text).to_owned()),
        Key::Mount(folder) => {
            if let Some(target) = member("target") {
                return Ok(target);
            }
            let source = if is_mapping { member("source").unwrap_or_default() } else { text()? };
            Ok(format!("{folder}/{source}"))
        }
        Key::Port if is_mapping => {
            let target = member("target").ok_or_else(|| missing("a target port"))?;
            let published = member("published").unwrap_or_default();
            let host = member("host_ip").unwrap_or_else(|| "0.0.0.0".to_owned());
            let protocol = member("protocol").unwrap_or_else(|| "tcp".to_owned());
            Ok(format!("{host}:{published}:{target}/{protocol}"))
        }
        Key::Port | Key::Path => text(),
    }
}
