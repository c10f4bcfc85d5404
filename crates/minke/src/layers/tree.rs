//! The paths of a layer as a tree of names, with what is below each added up.

use std::collections::BTreeMap;

use super::report::{Change, LayerReport, Mark};

/// A name and what is below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) children: BTreeMap<Vec<u8>, Node>,
    /// What the layer does to this very path; none for one that it only passes through or leaves alone.
    pub(crate) mark: Option<Mark>,
    pub(crate) is_directory: bool,
    /// Bytes at and below it that are there after the layer.
    pub(crate) size: u64,
    /// Bytes at and below it that the layer deletes.
    pub(crate) deleted: u64,
    /// Whether the layer changes anything at or below it.
    is_touched: bool,
}

impl Node {
    /// What a layer changes.
    pub(crate) fn of_changes(layer: &LayerReport) -> Self {
        let mut root = Self { is_directory: true, ..Self::default() };
        for change in &layer.changes {
            root.insert(change);
        }
        root
    }

    /// All that is there after the last of `layers`, with what that one changes marked.
    pub(crate) fn of_all(layers: &[LayerReport]) -> Self {
        let mut there: BTreeMap<&[u8], &Change> = BTreeMap::new();
        let Some((last, lower)) = layers.split_last() else { return Self::default() };
        for change in lower.iter().flat_map(|layer| &layer.changes) {
            match change.mark {
                Mark::Deleted => there.remove(change.path.as_slice()),
                _ => there.insert(&change.path, change),
            };
        }
        let mut root = Self::of_changes(last);
        for change in last.changes.iter() {
            there.remove(change.path.as_slice());
        }
        for change in there.into_values() {
            root.insert_with(change, None);
        }
        root
    }

    fn insert(&mut self, change: &Change) {
        self.insert_with(change, Some(change.mark));
    }

    fn insert_with(&mut self, change: &Change, mark: Option<Mark>) {
        let (size, deleted) = match mark {
            Some(Mark::Deleted) => (0, change.size),
            _ => (change.size, 0),
        };
        let mut node = self;
        for name in change.path.split(|byte| *byte == b'/') {
            node.size += size;
            node.deleted += deleted;
            node.is_touched |= mark.is_some();
            node.is_directory = true;
            node = node.children.entry(name.to_vec()).or_default();
        }
        node.size += size;
        node.deleted += deleted;
        node.is_touched |= mark.is_some();
        node.mark = mark;
        node.is_directory |= change.is_directory;
    }

    /// The mark to show; a directory that was there before changes only in what it holds.
    pub(crate) fn shown_mark(&self) -> Option<Mark> {
        self.mark.or(self.is_touched.then_some(Mark::Replaced))
    }

    /// The children, those with most bytes first; equal ones by name.
    pub(crate) fn by_size(&self) -> Vec<(&[u8], &Self)> {
        let mut children: Vec<_> =
            self.children.iter().map(|(name, child)| (name.as_slice(), child)).collect();
        children.sort_by_key(|(_, child)| std::cmp::Reverse(child.size.max(child.deleted)));
        children
    }
}

/// A name fit for a terminal: nothing in it can move the cursor.
pub(crate) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(changes: &[(&str, Mark, u64)]) -> LayerReport {
        let change = |(path, mark, size): &(&str, Mark, u64)| Change {
            path: path.trim_end_matches('/').into(),
            mark: *mark,
            is_directory: path.ends_with('/'),
            size: *size,
        };
        LayerReport { changes: changes.iter().map(change).collect(), ..LayerReport::default() }
    }

    fn shown(node: &Node, indent: usize, out: &mut Vec<String>) {
        for (name, child) in node.by_size() {
            let mark = child.shown_mark().map_or(' ', Mark::letter);
            let name = String::from_utf8_lossy(name);
            out.push(format!("{mark} {:indent$}{name} {}/{}", "", child.size, child.deleted));
            shown(child, indent + 1, out);
        }
    }

    fn lines(node: &Node) -> Vec<String> {
        let mut out = Vec::new();
        shown(node, 0, &mut out);
        out
    }

    #[test]
    fn sizes_are_added_up_and_directories_take_the_mark_of_what_happens_in_them() {
        let tree = Node::of_changes(&layer(&[
            ("etc/passwd", Mark::Replaced, 10),
            ("opt/", Mark::Added, 0),
            ("opt/app/bin", Mark::Added, 500),
            ("var/cache/x", Mark::Deleted, 300),
        ]));
        assert_eq!((tree.size, tree.deleted), (510, 300));
        assert_eq!(
            lines(&tree),
            [
                "A opt 500/0",
                "M  app 500/0",
                "A   bin 500/0",
                "M var 0/300",
                "M  cache 0/300",
                "D   x 0/300",
                "M etc 10/0",
                "M  passwd 10/0",
            ]
        );
    }

    #[test]
    fn with_all_files_those_of_lower_layers_have_no_mark() {
        let layers = [
            layer(&[("a", Mark::Added, 1), ("b", Mark::Added, 2), ("d/c", Mark::Added, 4)]),
            layer(&[("b", Mark::Deleted, 2), ("e", Mark::Added, 5)]),
            layer(&[("a", Mark::Replaced, 3)]),
        ];
        assert_eq!(lines(&Node::of_all(&layers)), ["  e 5/0", "  d 4/0", "   c 4/0", "M a 3/0"]);
        assert_eq!(lines(&Node::of_all(&[])), [""; 0]);
    }

    #[test]
    fn names_can_not_move_the_cursor() {
        assert_eq!(printable(b"a\x1b[31m\n\xff"), "a\u{fffd}[31m\u{fffd}\u{fffd}");
    }
}
