//! Short forms into long ones, after which every attribute has one shape.

use super::{error::Fault, merge, ports, volume};
use crate::{
    model::{
        Mount,
        attribute::{Attribute, Form},
    },
    tree::{Content, Map, Node, mapping, path::Path},
    value::Value,
};

/// What becomes of an attribute.
#[derive(Clone, Copy)]
enum To {
    Build,
    Dependencies,
    Device,
    EnvFiles,
    Extends,
    External,
    FileMount,
    Gpus,
    List,
    Mount,
    Names,
    Pairs,
    Ports,
    Ssh,
    Text,
}

const RULES: [(&str, To); 25] = [
    ("services.*.build", To::Build),
    ("services.*.build.secrets.*", To::FileMount),
    ("services.*.build.provenance", To::Text),
    ("services.*.build.sbom", To::Text),
    ("services.*.build.additional_contexts", To::Pairs),
    ("services.*.build.ssh", To::Ssh),
    ("services.*.depends_on", To::Dependencies),
    ("services.*.env_file", To::EnvFiles),
    ("services.*.label_file", To::List),
    ("services.*.extends", To::Extends),
    ("services.*.gpus", To::Gpus),
    ("services.*.networks", To::Names),
    ("services.*.models", To::Names),
    ("services.*.volumes.*", To::Mount),
    ("services.*.dns", To::List),
    ("services.*.devices.*", To::Device),
    ("services.*.secrets.*", To::FileMount),
    ("services.*.configs.*", To::FileMount),
    ("services.*.ports", To::Ports),
    ("services.*.develop.watch.*.ignore", To::List),
    ("services.*.develop.watch.*.include", To::List),
    ("volumes.*", To::External),
    ("networks.*", To::External),
    ("secrets.*", To::External),
    ("configs.*", To::External),
];

/// The stage's settings and what it tells.
pub(crate) struct Stage<'a> {
    /// What can't be parsed stays as it is, since variables are still in it.
    pub(crate) is_lenient: bool,
    /// Who is told of what is deprecated.
    pub(crate) warn: &'a dyn Fn(String),
}

impl Stage<'_> {
    /// The tree in its long forms.
    pub(crate) fn canonical(&self, tree: Node) -> Result<Node, Fault> {
        self.visit(tree, &mut Path::default())
    }

    fn visit(&self, node: Node, path: &mut Path) -> Result<Node, Fault> {
        match RULES.iter().find(|(pattern, _)| path.matches(pattern)) {
            Some((_, to)) => self.convert(*to, node, path),
            None => self.descend(node, path),
        }
    }

    fn descend(&self, mut node: Node, path: &mut Path) -> Result<Node, Fault> {
        node.content = match node.content {
            Content::Map(map) => {
                let visit = |(name, value): (String, Node)| {
                    let value = path.within(&name, |path| self.visit(value, path))?;
                    Ok((name, value))
                };
                Content::Map(map.into_iter().map(visit).collect::<Result<_, Fault>>()?)
            }
            Content::Seq(items) => {
                let visit = |(index, item)| path.item(index, |path| self.visit(item, path));
                Content::Seq(items.into_iter().enumerate().map(visit).collect::<Result<_, _>>()?)
            }
            other => other,
        };
        Ok(node)
    }

    fn convert(&self, to: To, node: Node, path: &mut Path) -> Result<Node, Fault> {
        let text = node.as_str().map(str::to_owned);
        match (to, text) {
            (To::Build, Some(context)) => Ok(mapping(&node, [("context", Content::Str(context))])),
            (To::Extends, Some(service)) => Ok(mapping(&node, [("service", Content::Str(service))])),
            (To::FileMount, Some(source)) => Ok(mapping(&node, [("source", Content::Str(source))])),
            (To::List, Some(_)) => Ok(node.with(Content::Seq(vec![node.clone()]))),
            (To::Gpus, Some(_)) => {
                let all = mapping(&node, [("count", Content::Str("all".to_owned()))]);
                Ok(node.with(Content::Seq(vec![all])))
            }
            (To::Mount, Some(spec)) => self.mount(&spec, node, path),
            (To::Device, Some(spec)) => self.device(&spec, node, path),
            (To::EnvFiles, Some(_)) => Ok(node.with(Content::Seq(vec![env_file(node.clone())]))),
            (To::EnvFiles, None) => Ok(items(node, env_file)),
            (To::Ports, _) => self.ports(node, path),
            (To::Dependencies, _) => Ok(dependencies(node)),
            (To::Names, _) => Ok(merge::names(node)),
            (To::Pairs, _) => self.pairs(node, path),
            (To::Ssh, _) => ssh(node, path),
            (To::Text, None) => Ok(node.text(node.to_text().unwrap_or_default())),
            (To::External, _) => {
                let node = self.descend(node, path)?;
                self.external(node, path)
            }
            (To::Build | To::Gpus, None) => self.descend(node, path),
            _ => Ok(node),
        }
    }

    /// What is wrong with a short form, unless variables are still in it.
    fn refuse(&self, node: Node, path: &Path, error: String) -> Result<Node, Fault> {
        if self.is_lenient { Ok(node) } else { Err(Fault::new(node.at, path, error)) }
    }

    fn mount(&self, spec: &str, node: Node, path: &Path) -> Result<Node, Fault> {
        match volume::parse(spec) {
            Ok(mount) => {
                let target = clean(&mount.target);
                Ok(from_value(&node, &Mount { target, ..mount }.item(Form::Yaml)))
            }
            Err(error) => self.refuse(node, path, error),
        }
    }

    fn device(&self, spec: &str, node: Node, path: &Path) -> Result<Node, Fault> {
        let parts: Vec<&str> = spec.split(':').collect();
        let (source, target, permissions) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, target] => (source, target, "rwm"),
            [source, target, permissions] => (source, target, permissions),
            _ => {
                let error = format!("confusing device mapping, please use long syntax: {spec}");
                return self.refuse(node, path, error);
            }
        };
        let target = if target.is_empty() { source } else { target };
        let text = |text: &str| Content::Str(text.to_owned());
        Ok(mapping(
            &node,
            [("source", text(source)), ("target", text(target)), ("permissions", text(permissions))],
        ))
    }

    fn ports(&self, node: Node, path: &mut Path) -> Result<Node, Fault> {
        let Content::Seq(entries) = &node.content else { return Ok(node) };
        let mut result = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let Some(spec) = entry.to_text() else {
                result.push(entry.clone());
                continue;
            };
            match ports::parse(&spec) {
                Ok(ports) => result.extend(ports.into_iter().map(|port| long_port(entry, port))),
                Err(_) if self.is_lenient => return Ok(node),
                Err(error) => return path.item(index, |path| Err(Fault::new(entry.at, path, error))),
            }
        }
        Ok(node.with(Content::Seq(result)))
    }

    fn pairs(&self, node: Node, path: &Path) -> Result<Node, Fault> {
        let Content::Seq(entries) = &node.content else { return Ok(node) };
        let mut map = Map::new();
        for entry in entries {
            match entry.as_str().and_then(|line| line.split_once('=')) {
                Some((name, value)) => {
                    map.insert(name.to_owned(), Node { name_at: entry.at, ..entry.text(value) });
                }
                None if self.is_lenient => return Ok(node),
                None => {
                    let value = entry.to_text().unwrap_or_default();
                    return Err(Fault::new(
                        entry.at,
                        path,
                        format!("invalid value {value}, expected key=value"),
                    ));
                }
            }
        }
        Ok(node.with(Content::Map(map)))
    }

    /// `external: {name: …}`, the old form.
    fn external(&self, mut node: Node, path: &Path) -> Result<Node, Fault> {
        let Some(map) = node.as_map_mut() else { return Ok(node) };
        let Some(external) = map.get("external").filter(|external| external.as_map().is_some()).cloned()
        else {
            return Ok(node);
        };
        map.insert("external".to_owned(), external.with(Content::Bool(true)));
        if let Some(name) = external.get("name") {
            (self.warn)(format!("{path}: external.name is deprecated. Please set name and external: true"));
            match map.get("name") {
                Some(other) if other.as_str() != name.as_str() => {
                    let message = "name and external.name conflict; only use name";
                    return Err(Fault::new(name.place(), path, message));
                }
                _ => map.insert("name".to_owned(), name.clone()),
            };
        }
        Ok(node)
    }
}

fn items(node: Node, convert: impl Fn(Node) -> Node) -> Node {
    match node.content {
        Content::Seq(items) => {
            Node { content: Content::Seq(items.into_iter().map(convert).collect()), ..node }
        }
        _ => node,
    }
}

fn env_file(node: Node) -> Node {
    if let Some(path) = node.as_str() {
        return mapping(&node, [("path", Content::Str(path.to_owned())), ("required", Content::Bool(true))]);
    }
    let mut node = node;
    let required = node.with(Content::Bool(true));
    if let Some(map) = node.as_map_mut() {
        map.entry("required".to_owned()).or_insert(required);
    }
    node
}

fn dependencies(node: Node) -> Node {
    let mut node = merge::dependencies(node);
    if let Some(map) = node.as_map_mut() {
        for dependency in map.values_mut() {
            let (condition, required) =
                (dependency.text("service_started"), dependency.with(Content::Bool(true)));
            if let Some(map) = dependency.as_map_mut() {
                map.entry("condition".to_owned()).or_insert(condition);
                map.entry("required".to_owned()).or_insert(required);
            }
        }
    }
    node
}

fn long_port(origin: &Node, port: ports::ShortPort) -> Node {
    let mut members = vec![
        ("mode", Content::Str("ingress".to_owned())),
        ("target", Content::Int(i64::from(port.target))),
        ("protocol", Content::Str(port.protocol)),
    ];
    for (name, text) in [("host_ip", port.host_ip), ("published", port.published)] {
        if !text.is_empty() {
            members.push((name, Content::Str(text)));
        }
    }
    let members = members.into_iter().map(|(name, content)| (name.to_owned(), origin.with(content)));
    origin.with(Content::Map(members.collect()))
}

fn ssh(node: Node, path: &Path) -> Result<Node, Fault> {
    let Content::Seq(entries) = &node.content else { return Ok(node) };
    let mut map = Map::new();
    for entry in entries {
        let line = entry.to_text().unwrap_or_default();
        let (id, value) = match line.split_once('=') {
            Some((id, file)) => (id, entry.text(file)),
            None if line == "default" => ("default", entry.with(Content::Null)),
            None => return Err(Fault::new(entry.at, path, format!("invalid ssh key {line:?}"))),
        };
        map.insert(id.to_owned(), Node { name_at: entry.at, ..value });
    }
    Ok(node.with(Content::Map(map)))
}

/// A tree of a value, all of it in the place of the short form it comes from.
fn from_value(origin: &Node, value: &Value) -> Node {
    let content = match value {
        Value::Str(text) => Content::Str(text.clone()),
        Value::Bool(value) => Content::Bool(*value),
        Value::Int(value) => Content::Int(*value),
        Value::Map(members) => Content::Map(
            members.iter().map(|(name, value)| (name.clone(), from_value(origin, value))).collect(),
        ),
        Value::Seq(items) => Content::Seq(items.iter().map(|item| from_value(origin, item)).collect()),
        Value::Null | Value::Float(_) | Value::Single(_) => Content::Null,
    };
    origin.with(content)
}

/// A path in a container without `.`, `..` and doubled slashes.
pub(crate) fn clean(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    super::source::clean(std::path::Path::new(path)).to_string_lossy().into_owned()
}
