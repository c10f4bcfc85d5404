//! Several files into one, by the rules of each attribute.
//!
//! Mappings are merged name by name, lists are appended, everything else is replaced. The table names what differs;
//! [`super::unicity`] then takes out what an appended list says twice.

use super::error::Fault;
use crate::tree::{Content, Map, Node, mapping, path::Path};

/// How an attribute is merged.
#[derive(Clone, Copy)]
enum How {
    /// The later one takes the earlier one's place.
    Replace,
    /// Both become lists, `NAME=VALUE` of a mapping, and the later is appended.
    Append,
    /// The same, but what is there already is not appended.
    AppendNew,
    /// A text is the context of a build.
    Build,
    /// A list is a mapping of names with the defaults of `depends_on`.
    Dependencies,
    /// A list is a mapping of names.
    Names,
    /// Options are merged only if the driver is the same.
    Logging,
    /// Ranges are merged by their subnet.
    Ipam,
}

const RULES: [(&str, How); 32] = [
    ("networks.*.ipam.config", How::Ipam),
    ("networks.*.labels", How::Append),
    ("volumes.*.labels", How::Append),
    ("services.*.annotations", How::Append),
    ("services.*.build", How::Build),
    ("services.*.build.args", How::Append),
    ("services.*.build.additional_contexts", How::Append),
    ("services.*.build.extra_hosts", How::AppendNew),
    ("services.*.build.labels", How::Append),
    ("services.*.command", How::Replace),
    ("services.*.depends_on", How::Dependencies),
    ("services.*.deploy.labels", How::Append),
    ("services.*.dns", How::Append),
    ("services.*.dns_opt", How::Append),
    ("services.*.dns_search", How::Append),
    ("services.*.entrypoint", How::Replace),
    ("services.*.env_file", How::Append),
    ("services.*.label_file", How::Append),
    ("services.*.environment", How::Append),
    ("services.*.extra_hosts", How::AppendNew),
    ("services.*.healthcheck.test", How::Replace),
    ("services.*.labels", How::Append),
    ("services.*.volumes.*.volume.labels", How::Append),
    ("services.*.logging", How::Logging),
    ("services.*.models", How::Names),
    ("services.*.networks", How::Names),
    ("services.*.sysctls", How::Append),
    ("services.*.tmpfs", How::Append),
    ("services.*.ulimits.*", How::Replace),
    ("services.*.pre_start", How::Append),
    ("services.*.post_start", How::Append),
    ("services.*.pre_stop", How::Append),
];

/// The tree of the earlier files with a later one on top.
pub(crate) fn merge(base: Node, over: Node) -> Result<Node, Fault> {
    merged(base, over, &mut Path::default())
}

/// A service's base with the service that extends it on top.
pub(crate) fn extend(base: Node, service: Node, name: &str) -> Result<Node, Fault> {
    merged(base, service, &mut Path::of(&["services", name]))
}

fn merged(base: Node, over: Node, path: &mut Path) -> Result<Node, Fault> {
    match RULES.iter().find(|(pattern, _)| path.matches(pattern)) {
        Some((_, how)) => specially(*how, base, over, path),
        None => plainly(base, over, path),
    }
}

fn plainly(base: Node, over: Node, path: &mut Path) -> Result<Node, Fault> {
    if over.is_null() {
        return Ok(base);
    }
    match (base.content, over.content) {
        (Content::Map(base_map), Content::Map(over_map)) => {
            let map = mappings(base_map, over_map, path)?;
            Ok(Node { content: Content::Map(map), at: over.at, name_at: over.name_at, tag: base.tag })
        }
        (Content::Seq(mut items), Content::Seq(more)) => {
            items.extend(more);
            Ok(Node { content: Content::Seq(items), at: over.at, name_at: over.name_at, tag: base.tag })
        }
        (Content::Map(_) | Content::Seq(_), content) => {
            let kind = Node::new(content, over.at).kind();
            Err(Fault::new(over.at, path, format!("cannot override a mapping or a list by {kind}")))
        }
        (_, content) => Ok(Node { content, ..over }),
    }
}

fn mappings(mut base: Map, over: Map, path: &mut Path) -> Result<Map, Fault> {
    for (name, value) in over {
        let value = match base.remove(&name) {
            Some(earlier) => path.within(&name, |path| merged(earlier, value, path))?,
            None => value,
        };
        base.insert(name, value);
    }
    Ok(base)
}

fn specially(how: How, base: Node, over: Node, path: &mut Path) -> Result<Node, Fault> {
    match how {
        How::Replace => Ok(over),
        How::Append | How::AppendNew => {
            let place = over.with(Content::Null);
            let mut items = sequence(base);
            let only_new = matches!(how, How::AppendNew);
            for item in sequence(over) {
                let is_there = || {
                    items
                        .iter()
                        .any(|earlier: &Node| earlier.as_str().is_some() && earlier.as_str() == item.as_str())
                };
                if !(only_new && is_there()) {
                    items.push(item);
                }
            }
            Ok(place.with(Content::Seq(items)))
        }
        How::Build => plainly(build(base), build(over), path),
        How::Dependencies => plainly(dependencies(base), dependencies(over), path),
        How::Names => plainly(names(base), names(over), path),
        How::Logging => {
            let drivers = (base.text_of("driver"), over.text_of("driver"));
            match drivers {
                (Some(earlier), Some(later)) if earlier != later => Ok(over),
                _ => plainly(base, over, path),
            }
        }
        How::Ipam => ipam(base, over, path),
    }
}

/// A list of what a mapping, a list or a text says.
fn sequence(node: Node) -> Vec<Node> {
    match node.content {
        Content::Seq(items) => items,
        Content::Str(_) => vec![node],
        Content::Map(map) => {
            let mut items: Vec<Node> =
                map.into_iter().flat_map(|(name, value)| lines(&name, value)).collect();
            items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            items
        }
        _ => Vec::new(),
    }
}

fn lines(name: &str, value: Node) -> Vec<Node> {
    let place = if value.name_at.line > 0 { value.name_at } else { value.at };
    let line = |text: String| Node::new(Content::Str(text), place);
    match &value.content {
        Content::Null => vec![line(name.to_owned())],
        Content::Seq(items) => {
            items.iter().map(|item| line(format!("{name}={}", item.to_text().unwrap_or_default()))).collect()
        }
        _ => vec![line(format!("{name}={}", value.to_text().unwrap_or_default()))],
    }
}

fn build(node: Node) -> Node {
    match &node.content {
        Content::Str(context) => mapping(&node, [("context", Content::Str(context.clone()))]),
        _ => node,
    }
}

/// `depends_on` as a mapping, with what the short form means.
pub(crate) fn dependencies(node: Node) -> Node {
    by_name(node, |item| {
        let condition = Content::Str("service_started".to_owned());
        mapping(item, [("condition", condition), ("required", Content::Bool(true))])
    })
}

/// A list of names as a mapping of them.
pub(crate) fn names(node: Node) -> Node {
    by_name(node, |item| item.with(Content::Null))
}

fn by_name(node: Node, value: impl Fn(&Node) -> Node) -> Node {
    match &node.content {
        Content::Seq(items) => {
            let named = items.iter().filter_map(|item| {
                let name = item.as_str()?.to_owned();
                Some((name, Node { name_at: item.at, ..value(item) }))
            });
            node.with(Content::Map(named.collect()))
        }
        _ => node,
    }
}

/// Ranges of the same subnet are merged, others are put together.
fn ipam(base: Node, over: Node, path: &mut Path) -> Result<Node, Fault> {
    let place = over.with(Content::Null);
    let (Content::Seq(earlier), Content::Seq(later)) = (base.content, over.content) else {
        return Err(Fault::new(place.at, path, "must be a list"));
    };
    let mut result = earlier;
    for range in later {
        let same = |other: &Node| other.text_of("subnet") == range.text_of("subnet");
        match result.iter().position(same) {
            Some(index) => {
                let earlier = result.remove(index);
                let range = path.item(index, |path| plainly(earlier, range, path))?;
                result.insert(index, range);
            }
            None => result.push(range),
        }
    }
    Ok(place.with(Content::Seq(result)))
}
