//! Holds a merged tree against the table of attributes.

use std::collections::HashSet;

use super::{
    error::{Fault, did_you_mean},
    schema::{FILE, Object, Rule, scalar},
};
use crate::tree::{Content, Map, Node, path::Path};

/// The first thing that is wrong with a file's tree.
pub(crate) fn check(tree: &Node) -> Result<(), Fault> {
    fits(&FILE, tree, &mut Path::default())
}

fn fits(rule: &Rule, node: &Node, path: &mut Path) -> Result<(), Fault> {
    let expected = |what: String| Err(Fault::new(node.at, path, what));
    match rule {
        Rule::Any => Ok(()),
        Rule::Scalar(types) if has_type(*types, &node.content) => Ok(()),
        Rule::Between(least, most) => match node.content {
            Content::Int(value) if (*least..=*most).contains(&value) => Ok(()),
            Content::Str(_) => Ok(()),
            Content::Int(value) if *most == i64::MAX => expected(format!("{value} is less than {least}")),
            Content::Int(value) => expected(format!("{value} is not between {least} and {most}")),
            Content::Float(value) if value.fract() == 0.0 => Ok(()),
            _ => mismatch(rule, node, path),
        },
        Rule::Choice(choices) => match node.as_str() {
            Some(text) if choices.contains(&text) || text.contains('$') => Ok(()),
            Some(text) => {
                let message = format!("must be one of {}, not {text:?}", quoted(choices));
                Err(Fault::new(node.at, path, message).hint(did_you_mean(text, choices.iter().copied())))
            }
            None => mismatch(rule, node, path),
        },
        Rule::Form(is_good, what) => match node.as_str() {
            Some(text) if is_good(text) => Ok(()),
            Some(text) => expected(format!("{what}, not {text:?}")),
            None => expected(format!("{what}, not {}", node.kind())),
        },
        Rule::List(item) => each(item, items(rule, node, path)?, path),
        Rule::Set(item) => {
            let items = items(rule, node, path)?;
            each(item, items, path)?;
            distinct(items, path)
        }
        Rule::Names(value) => names(value, node, path, true),
        Rule::AnyNames(value) => names(value, node, path, false),
        Rule::Object(object) => {
            if node.is_null() && object.is_nullable {
                return Ok(());
            }
            attributes(object, node, path)
        }
        Rule::Either(rules) => match rules.iter().find(|rule| is_for(rule, node)) {
            Some(rule) => fits(rule, node, path),
            None => mismatch(rule, node, path),
        },
        Rule::Scalar(_) => mismatch(rule, node, path),
    }
}

fn has_type(types: u8, content: &Content) -> bool {
    let wanted = match content {
        Content::Null => scalar::NULL,
        Content::Bool(_) => scalar::BOOLEAN,
        Content::Int(_) => scalar::INTEGER | scalar::NUMBER,
        Content::Float(value) if value.fract() == 0.0 => scalar::INTEGER | scalar::NUMBER,
        Content::Float(_) => scalar::NUMBER,
        Content::Str(_) => scalar::STRING,
        Content::Seq(_) | Content::Map(_) => 0,
    };
    types & wanted != 0
}

/// Whether the node is of the kind that the rule is about, so that its mistakes are that rule's.
fn is_for(rule: &Rule, node: &Node) -> bool {
    match rule {
        Rule::Any => true,
        Rule::Scalar(types) => has_type(*types, &node.content),
        Rule::Choice(_) | Rule::Form(..) => node.as_str().is_some(),
        Rule::Between(..) => matches!(node.content, Content::Int(_) | Content::Float(_) | Content::Str(_)),
        Rule::List(_) | Rule::Set(_) => node.as_seq().is_some(),
        Rule::Names(_) | Rule::AnyNames(_) => node.as_map().is_some(),
        Rule::Object(object) => node.as_map().is_some() || (object.is_nullable && node.is_null()),
        Rule::Either(rules) => rules.iter().any(|rule| is_for(rule, node)),
    }
}

fn mismatch<T>(rule: &Rule, node: &Node, path: &Path) -> Result<T, Fault> {
    let mut kinds = Vec::new();
    describe(rule, &mut kinds);
    let expected = match kinds.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "something else".to_owned(),
    };
    Err(Fault::new(node.at, path, format!("must be {expected}, not {}", node.kind())))
}

fn describe(rule: &Rule, kinds: &mut Vec<&'static str>) {
    let mut add = |kind| {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    };
    match rule {
        Rule::Any => {}
        Rule::Scalar(types) => {
            for (bit, kind) in [
                (scalar::STRING, "a string"),
                (scalar::INTEGER, "an integer"),
                (scalar::NUMBER, "a number"),
                (scalar::BOOLEAN, "a boolean"),
                (scalar::NULL, "null"),
            ] {
                if types & bit != 0 {
                    add(kind);
                }
            }
        }
        Rule::Choice(_) | Rule::Form(..) => add("a string"),
        Rule::Between(..) => add("an integer"),
        Rule::List(_) | Rule::Set(_) => add("a list"),
        Rule::Names(_) | Rule::AnyNames(_) | Rule::Object(_) => add("a mapping"),
        Rule::Either(rules) => rules.iter().for_each(|rule| describe(rule, kinds)),
    }
}

fn items<'a>(rule: &Rule, node: &'a Node, path: &Path) -> Result<&'a [Node], Fault> {
    node.as_seq().map_or_else(|| mismatch(rule, node, path), Ok)
}

fn each(rule: &Rule, items: &[Node], path: &mut Path) -> Result<(), Fault> {
    items.iter().enumerate().try_for_each(|(index, item)| path.item(index, |path| fits(rule, item, path)))
}

/// No text and no number stands twice.
fn distinct(items: &[Node], path: &Path) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for item in items {
        if let Some(text) = item.to_text()
            && !seen.insert((text.clone(), item.as_str().is_some()))
        {
            return Err(Fault::new(item.at, path, format!("{text:?} stands here twice")));
        }
    }
    Ok(())
}

fn names(rule: &Rule, node: &Node, path: &mut Path, are_plain: bool) -> Result<(), Fault> {
    let Some(map) = node.as_map() else { return mismatch(&Rule::AnyNames(&Rule::Any), node, path) };
    for (name, value) in map {
        let is_plain = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
        };
        if name.is_empty() || (are_plain && !is_plain(name)) {
            let message =
                format!("invalid name {name:?}: only letters, digits, `.`, `_` and `-` are allowed");
            return Err(Fault::new(value.place(), path, message));
        }
        path.within(name, |path| fits(rule, value, path))?;
    }
    Ok(())
}

fn attributes(object: &Object, node: &Node, path: &mut Path) -> Result<(), Fault> {
    let Some(map) = node.as_map() else { return mismatch(&Rule::AnyNames(&Rule::Any), node, path) };
    for (name, value) in map {
        match object.attributes.iter().find(|(attribute, _)| attribute == name) {
            Some((_, rule)) => path.within(name, |path| fits(rule, value, path))?,
            None if object.is_open && name.starts_with("x-") => {}
            None => return Err(unknown(object, name, value, path)),
        }
    }
    missing(object, map, node, path)
}

fn unknown(object: &Object, name: &str, value: &Node, path: &Path) -> Fault {
    let names = object.attributes.iter().map(|(name, _)| *name);
    Fault::new(value.place(), path, format!("additional properties '{name}' not allowed"))
        .hint(did_you_mean(name, names))
}

fn missing(object: &Object, map: &Map, node: &Node, path: &Path) -> Result<(), Fault> {
    match object.required.iter().find(|name| !map.contains_key(**name)) {
        Some(name) => Err(Fault::new(node.place(), path, format!("missing property '{name}'"))),
        None => Ok(()),
    }
}

fn quoted(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("'{choice}'")).collect();
    quoted.join(", ")
}
