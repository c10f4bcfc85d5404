//! What the explorer shows, and what keys do to it: pure.

use std::collections::BTreeSet;

use crate::layers::{
    report::{Mark, Report},
    tree::{Node, printable},
};

/// Folders are open down to this depth until the user says otherwise.
const OPEN_DEPTH: usize = 1;

/// A key, by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Left,
    Right,
    /// To the other pane.
    Tab,
    /// Opens or closes.
    Enter,
    /// All files, or only those that the layer changes.
    All,
    Quit,
}

/// The side that keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Layers,
    Files,
}

/// A line of the file tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) path: Vec<u8>,
    pub(super) depth: usize,
    pub(super) name: String,
    pub(super) mark: Option<Mark>,
    pub(super) size: u64,
    pub(super) deleted: u64,
    /// Whether a folder is open; `None` of what has nothing below.
    pub(super) is_open: Option<bool>,
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Explorer {
    pub(super) image: String,
    pub(super) report: Report,
    pub(super) pane: Pane,
    /// The selected layer.
    pub(super) layer: usize,
    /// Also files that the layer leaves alone.
    pub(super) shows_all: bool,
    tree: Node,
    /// Folders that are not as their depth would have it.
    turned: BTreeSet<Vec<u8>>,
    /// The lines of the tree that are not hidden in closed folders.
    pub(super) rows: Vec<Row>,
    /// The selected line.
    pub(super) row: usize,
}

impl Explorer {
    /// Begins at the lowest layer.
    pub(super) fn new(image: String, report: Report) -> Self {
        let mut explorer = Self {
            image,
            report,
            pane: Pane::Layers,
            layer: 0,
            shows_all: false,
            tree: Node::default(),
            turned: BTreeSet::new(),
            rows: Vec::new(),
            row: 0,
        };
        explorer.look_at_layer();
        explorer
    }

    /// Does what a key means; `page` are the lines of the pane.
    pub(super) fn press(&mut self, key: Key, page: usize) {
        match (key, self.pane) {
            (Key::Quit, _) => {}
            (Key::Tab, Pane::Layers) | (Key::Enter | Key::Right, Pane::Layers) => self.pane = Pane::Files,
            (Key::Tab, Pane::Files) => self.pane = Pane::Layers,
            (Key::All, _) => {
                self.shows_all = !self.shows_all;
                self.look_at_layer();
            }
            (Key::Enter, Pane::Files) => self.turn(),
            (Key::Left, Pane::Files) => self.close_or_leave(),
            (Key::Right, Pane::Files) => {
                if self.selected().is_some_and(|row| row.is_open == Some(false)) {
                    self.turn();
                }
            }
            (Key::Left, Pane::Layers) => {}
            (Key::Up, _) => self.go(|at| at.saturating_sub(1)),
            (Key::Down, _) => self.go(|at| at + 1),
            (Key::PageUp, _) => self.go(|at| at.saturating_sub(page.max(1))),
            (Key::PageDown, _) => self.go(|at| at + page.max(1)),
            (Key::First, _) => self.go(|_| 0),
            (Key::Last, _) => self.go(|_| usize::MAX),
        }
    }

    fn selected(&self) -> Option<&Row> {
        self.rows.get(self.row)
    }

    /// Moves the selection of the pane, as far as there are lines.
    fn go(&mut self, to: impl Fn(usize) -> usize) {
        match self.pane {
            Pane::Layers => {
                let layer = to(self.layer).min(self.report.layers.len().saturating_sub(1));
                if layer != self.layer {
                    self.layer = layer;
                    self.look_at_layer();
                }
            }
            Pane::Files => self.row = to(self.row).min(self.rows.len().saturating_sub(1)),
        }
    }

    fn look_at_layer(&mut self) {
        let layers = self.report.layers.get(..=self.layer).unwrap_or_default();
        self.tree = match layers.last() {
            Some(_) if self.shows_all => Node::of_all(layers),
            Some(layer) => Node::of_changes(layer),
            None => Node::default(),
        };
        self.row = 0;
        self.list();
    }

    /// Opens or closes the selected folder.
    fn turn(&mut self) {
        let Some(Row { path, is_open: Some(_), .. }) = self.selected() else { return };
        let path = path.clone();
        if !self.turned.remove(&path) {
            self.turned.insert(path);
        }
        self.list();
    }

    /// Closes the selected folder; from what is closed goes to the folder around it.
    fn close_or_leave(&mut self) {
        let Some(row) = self.selected() else { return };
        if row.is_open == Some(true) {
            return self.turn();
        }
        let depth = row.depth;
        let around = self.rows[..self.row].iter().rposition(|other| other.depth < depth);
        match around {
            Some(around) => self.row = around,
            None => self.pane = Pane::Layers,
        }
    }

    fn list(&mut self) {
        let mut rows = Vec::new();
        self.list_below(&self.tree, &[], 0, &mut rows);
        self.rows = rows;
        self.row = self.row.min(self.rows.len().saturating_sub(1));
    }

    fn list_below(&self, node: &Node, parent: &[u8], depth: usize, rows: &mut Vec<Row>) {
        for (name, child) in node.by_size() {
            let separator: &[u8] = if parent.is_empty() { b"" } else { b"/" };
            let path = [parent, separator, name].concat();
            let is_open = (depth < OPEN_DEPTH) != self.turned.contains(&path);
            let has_children = !child.children.is_empty();
            rows.push(Row {
                depth,
                name: format!("{}{}", printable(name), if child.is_directory { "/" } else { "" }),
                mark: child.shown_mark(),
                size: child.size,
                deleted: child.deleted,
                is_open: has_children.then_some(is_open),
                path: path.clone(),
            });
            if has_children && is_open {
                self.list_below(child, &path, depth + 1, rows);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::layers::{Entry, EntryKind, Layer, Step};

    /// Two layers: files in nested folders, then one of them replaced and one deleted.
    pub(in crate::explore) fn explorer() -> Explorer {
        let file = |path: &str, size| Entry { path: path.into(), kind: EntryKind::File(size) };
        let whiteout = |path: &str| Entry { path: path.into(), kind: EntryKind::Whiteout };
        let step = |created_by: &str| Step { created_by: created_by.into(), diff_id: String::new() };
        let report = Report::of(vec![
            Layer {
                step: step("ADD rootfs /"),
                entries: vec![file("usr/lib/deep/x", 3000), file("usr/bin/a", 2000), file("etc/passwd", 40)],
            },
            Layer {
                step: step("RUN rm /usr/bin/a"),
                entries: vec![whiteout("usr/bin/a"), file("etc/passwd", 50)],
            },
        ]);
        Explorer::new("demo:1".to_owned(), report)
    }

    fn shown(explorer: &Explorer) -> Vec<String> {
        let line = |(at, row): (usize, &Row)| {
            let cursor = if explorer.pane == Pane::Files && at == explorer.row { ">" } else { "" };
            let sign = match row.is_open {
                Some(true) => "v",
                Some(false) => "+",
                None => "",
            };
            let mark = row.mark.map_or('-', Mark::letter);
            format!("{cursor}{}{sign}{} {mark}", " ".repeat(row.depth), row.name)
        };
        explorer.rows.iter().enumerate().map(line).collect()
    }

    fn press(explorer: &mut Explorer, keys: &[Key]) {
        for key in keys {
            explorer.press(*key, 10);
        }
    }

    #[test]
    fn the_file_tree_follows_the_selected_layer() {
        let mut explorer = explorer();
        assert_eq!(shown(&explorer), ["vusr/ A", " +lib/ A", " +bin/ A", "vetc/ A", " passwd A"]);
        press(&mut explorer, &[Key::Down]);
        assert_eq!(shown(&explorer), ["vusr/ M", " +bin/ M", "vetc/ M", " passwd M"]);
        press(&mut explorer, &[Key::Down, Key::Last]);
        assert_eq!(explorer.layer, 1, "below the last there is none");
        press(&mut explorer, &[Key::All]);
        assert_eq!(shown(&explorer), ["vusr/ M", " +lib/ -", " +bin/ M", "vetc/ M", " passwd M"]);
    }

    #[test]
    fn folders_open_and_close_and_stay_so_in_other_layers() {
        let mut explorer = explorer();
        press(&mut explorer, &[Key::Tab, Key::Down, Key::Enter]);
        assert_eq!(
            shown(&explorer),
            ["vusr/ A", "> vlib/ A", "  +deep/ A", " +bin/ A", "vetc/ A", " passwd A"]
        );
        press(&mut explorer, &[Key::Down, Key::Right, Key::Down]);
        assert_eq!(shown(&explorer)[2..4], ["  vdeep/ A", ">   x A"]);
        press(&mut explorer, &[Key::Left]);
        assert_eq!(shown(&explorer)[2], ">  vdeep/ A", "to the folder around it");
        press(&mut explorer, &[Key::Left, Key::Left, Key::Left]);
        assert_eq!(shown(&explorer)[..2], ["vusr/ A", "> +lib/ A"]);
        press(&mut explorer, &[Key::First, Key::Enter, Key::Tab, Key::Down]);
        assert_eq!(shown(&explorer), ["+usr/ M", "vetc/ M", " passwd M"]);
    }

    #[test]
    fn the_cursor_stays_within_the_lines() {
        let mut explorer = explorer();
        press(&mut explorer, &[Key::Right, Key::PageDown]);
        assert_eq!(explorer.row, 4);
        press(&mut explorer, &[Key::Right, Key::Enter, Key::PageUp, Key::Up]);
        assert_eq!(explorer.row, 0);
        press(&mut explorer, &[Key::Last, Key::Tab, Key::Down]);
        assert_eq!(explorer.row, 0, "another layer begins at its first line");
        press(&mut explorer, &[Key::Tab, Key::Left, Key::Left]);
        assert_eq!(explorer.pane, Pane::Layers, "left of the outermost folder are the layers");
    }

    #[test]
    fn an_image_without_layers_has_nothing_to_move_in() {
        let mut explorer = Explorer::new("scratch".to_owned(), Report::default());
        press(&mut explorer, &[Key::Down, Key::All, Key::Tab, Key::Enter, Key::Left, Key::Right, Key::Last]);
        assert!(explorer.rows.is_empty());
    }
}
