//! The files of an image while its layers are put on each other: which path shows whose bytes, and which bytes are lost.

use std::collections::{BTreeMap, btree_map};

use super::{
    Entry, EntryKind,
    report::{Change, Mark},
};

/// The image so far.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) paths: BTreeMap<Vec<u8>, Node>,
    /// The bytes behind files; hard links share them.
    contents: Vec<Content>,
    /// Bytes that no path shows any more.
    pub(super) lost: Vec<Lost>,
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    /// A file, by its content.
    File(usize),
    /// What has no bytes of its own.
    Other,
}

impl Node {
    pub(super) fn is_directory(self) -> bool {
        self == Self::Directory
    }
}

#[derive(Debug)]
struct Content {
    layer: usize,
    size: u64,
    names: usize,
}

/// Bytes that a layer brought in vain.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) layer: usize,
    /// The last name that they had.
    pub(super) path: Vec<u8>,
    pub(super) size: u64,
}

/// What a layer did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) size: u64,
    pub(super) changes: Vec<Change>,
}

/// A layer being put on.
#[derive(Default)]
struct Step {
    size: u64,
    changes: BTreeMap<Vec<u8>, Change>,
}

impl State {
    /// Puts a layer on those before.
    pub(super) fn apply(&mut self, layer: usize, entries: Vec<Entry>) -> Outcome {
        let mut step = Step::default();
        // Whiteouts are about lower layers alone, wherever they stand in the archive.
        for entry in &entries {
            match entry.kind {
                EntryKind::Whiteout => {
                    self.delete_at(&mut step, &entry.path);
                    self.delete_below(&mut step, &entry.path);
                }
                EntryKind::Opaque => self.delete_below(&mut step, &entry.path),
                _ => {}
            }
        }
        for Entry { path, kind } in entries {
            match kind {
                EntryKind::Whiteout | EntryKind::Opaque => {}
                // The root is there anyway.
                _ if path.is_empty() => {}
                EntryKind::Directory => self.put(&mut step, path, Node::Directory, 0),
                EntryKind::Other => self.put(&mut step, path, Node::Other, 0),
                EntryKind::File(size) => {
                    self.contents.push(Content { layer, size, names: 0 });
                    step.size += size;
                    self.put(&mut step, path, Node::File(self.contents.len() - 1), size);
                }
                EntryKind::Hardlink(target) => match self.paths.get(&target).copied() {
                    // A link to itself changes nothing.
                    _ if target == path => {}
                    Some(node @ Node::File(_)) => self.put(&mut step, path, node, 0),
                    _ => self.put(&mut step, path, Node::Other, 0),
                },
            }
        }
        Outcome { size: step.size, changes: step.changes.into_values().collect() }
    }

    fn put(&mut self, step: &mut Step, path: Vec<u8>, node: Node, size: u64) {
        self.make_way(step, &path);
        let old = self.paths.get(&path).copied();
        if old == Some(Node::Directory) && node == Node::Directory {
            return;
        }
        if old == Some(Node::Directory) {
            self.delete_below(step, &path);
        }
        // Counted before the old node goes: a file that is linked to itself loses nothing.
        if let Node::File(content) = node {
            self.contents[content].names += 1;
        }
        if let Some(old) = self.paths.insert(path.clone(), node) {
            self.lose(old, &path);
        }
        step.note(path, node, size, old.is_some());
    }

    /// The folders around a path are there even if the layer doesn't name them, also in the place of a file.
    fn make_way(&mut self, step: &mut Step, path: &[u8]) {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for parent in slashes.map(|(at, _)| &path[..at]) {
            match self.paths.get(parent) {
                Some(Node::Directory) => continue,
                Some(_) => self.delete_at(step, parent),
                None => {}
            }
            self.paths.insert(parent.to_owned(), Node::Directory);
            step.note(parent.to_owned(), Node::Directory, 0, false);
        }
    }

    fn delete_at(&mut self, step: &mut Step, path: &[u8]) {
        if let Some((path, node)) = self.paths.remove_entry(path) {
            self.deleted(step, path, node);
        }
    }

    fn delete_below(&mut self, step: &mut Step, directory: &[u8]) {
        for path in self.below(directory) {
            if let Some(node) = self.paths.remove(&path) {
                self.deleted(step, path, node);
            }
        }
    }

    /// The paths below a directory. In byte order they follow `directory/`, and end before `directory0`.
    fn below(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        if directory.is_empty() {
            return self.paths.keys().cloned().collect();
        }
        let from = [directory, b"/"].concat();
        let to = [directory, b"0"].concat();
        self.paths.range(from..to).map(|(path, _)| path.clone()).collect()
    }

    fn deleted(&mut self, step: &mut Step, path: Vec<u8>, node: Node) {
        let size = self.lose(node, &path);
        match step.changes.entry(path) {
            // The same layer had brought it: then it is as if neither had happened.
            btree_map::Entry::Occupied(change) => {
                if change.get().mark == Mark::Added {
                    change.remove();
                } else {
                    change.into_mut().mark = Mark::Deleted;
                }
            }
            btree_map::Entry::Vacant(slot) => {
                let path = slot.key().clone();
                slot.insert(Change { path, mark: Mark::Deleted, is_directory: node.is_directory(), size });
            }
        }
    }

    /// One name less for what a node shows; returns how many bytes that were.
    fn lose(&mut self, node: Node, path: &[u8]) -> u64 {
        let Node::File(content) = node else { return 0 };
        let content = &mut self.contents[content];
        content.names -= 1;
        if content.names == 0 {
            self.lost.push(Lost { layer: content.layer, path: path.to_owned(), size: content.size });
        }
        content.size
    }
}

impl Step {
    /// Notes that the layer brings a path.
    fn note(&mut self, path: Vec<u8>, node: Node, size: u64, was_there: bool) {
        let is_directory = node.is_directory();
        match self.changes.entry(path) {
            btree_map::Entry::Occupied(mut change) => {
                let change = change.get_mut();
                // Deleted before and brought again is replaced; brought twice is what it was the first time.
                if change.mark == Mark::Deleted {
                    change.mark = Mark::Replaced;
                }
                (change.size, change.is_directory) = (size, is_directory);
            }
            btree_map::Entry::Vacant(slot) => {
                let mark = if was_there { Mark::Replaced } else { Mark::Added };
                let path = slot.key().clone();
                slot.insert(Change { path, mark, is_directory, size });
            }
        }
    }
}
