//! `!reset` and `!override`: what a later file takes away from the earlier ones.

use crate::tree::{
    Content, Node, Tag,
    path::{Path, Step},
};

/// Takes the nodes with `!reset` out of a tree. What the paths of both tags name is to be taken out of earlier trees.
pub(crate) fn collect(tree: &mut Node) -> Vec<Path> {
    let mut paths = Vec::new();
    visit(tree, &mut Path::default(), &mut paths);
    paths
}

/// Whether the node stays.
fn visit(node: &mut Node, path: &mut Path, paths: &mut Vec<Path>) -> bool {
    if node.tag != Tag::None {
        paths.push(path.clone());
        return std::mem::take(&mut node.tag) == Tag::Override;
    }
    match &mut node.content {
        Content::Map(map) => map.retain(|name, value| path.within(name, |path| visit(value, path, paths))),
        Content::Seq(items) => {
            let mut index = 0;
            items.retain_mut(|item| {
                index += 1;
                path.item(index - 1, |path| visit(item, path, paths))
            });
        }
        _ => {}
    }
    true
}

/// Takes what the paths name out of an earlier tree. Items of lists stay: which one is which is not known there.
pub(crate) fn apply(tree: &mut Node, paths: &[Path]) {
    for path in paths {
        remove(tree, path.steps());
    }
}

fn remove(node: &mut Node, steps: &[Step]) {
    let [Step::Name(name), rest @ ..] = steps else { return };
    let Some(map) = node.as_map_mut() else { return };
    if rest.is_empty() {
        map.remove(name);
    } else if let Some(member) = map.get_mut(name) {
        remove(member, rest);
    }
}
