//! The text of `minke image tree`, and what its `--format` sees.

use std::fmt::Write;

use minke_model::quantity;
use serde_json::{Value, json};

use super::table;
use crate::layers::{
    report::{LayerReport, Mark, Report},
    tree::{Node, printable},
};

/// How much of each layer is listed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detail {
    /// Paths are cut after so many names, and what is below is added up; 0 cuts none.
    pub(crate) depth: usize,
    /// So many paths, largest first; 0 lists all.
    pub(crate) top: usize,
}

/// A path of a layer with all that is below it.
#[derive(Debug, PartialEq, Eq)]
struct Share {
    path: String,
    mark: Mark,
    size: u64,
    deleted: u64,
}

/// The layers' sums, the largest paths of each, and what wastes most.
pub(crate) fn text(image: &str, report: &Report, detail: Detail, width: Option<usize>) -> String {
    // Writing to a String can't fail.
    let mut text = format!(
        "{image}: {} in {}\nA container sees {} of {} ({:.1}%); {} are wasted\n\n",
        size(report.size()),
        count(report.layers.len() as u64, "layer"),
        count(report.files, "file"),
        size(report.size() - report.wasted()),
        report.efficiency() * 100.0,
        size(report.wasted())
    );
    text.push_str(&table::align(&sums(report), width));
    for (at, layer) in report.layers.iter().enumerate() {
        let _ = writeln!(text, "\nLayer {}: {}", at + 1, command(layer));
        let shares = largest(layer, detail);
        for share in &shares {
            let _ = writeln!(text, "{:>10}  {}  {}", bytes(share), share.mark.letter(), share.path);
        }
        if shares.is_empty() {
            text.push_str("   nothing\n");
        }
    }
    let waste = report.waste.iter().take(if detail.top == 0 { usize::MAX } else { detail.top });
    for (at, waste) in waste.enumerate() {
        if at == 0 {
            text.push_str("\nWasted most:\n");
        }
        let layers = count(waste.layers, "layer");
        let _ = writeln!(text, "{:>10}  in {layers}  {}", size(waste.size), printable(&waste.path));
    }
    text
}

/// `1 layer`, `2 layers`
fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn sums(report: &Report) -> String {
    let mut lines = String::from("LAYER\tSIZE\tADDED\tREPLACED\tDELETED\tWASTED\tCREATED BY");
    for (at, layer) in report.layers.iter().enumerate() {
        let LayerReport { added, replaced, deleted, .. } = layer;
        let _ = write!(
            lines,
            "\n{}\t{}\t{added}\t{replaced}\t{deleted}\t{}\t{}",
            at + 1,
            size(layer.size),
            size(layer.wasted),
            super::text::ellipsis(&command(layer), 60)
        );
    }
    lines
}

/// The layer's step in one line.
pub(crate) fn command(layer: &LayerReport) -> String {
    let words: Vec<_> = layer.step.created_by.split_whitespace().collect();
    match words.is_empty() {
        true => "(the image doesn't say)".to_owned(),
        false => printable(words.join(" ").as_bytes()),
    }
}

/// Bytes as tables show them.
pub(crate) fn size(bytes: u64) -> String {
    quantity::decimal_size(bytes as f64, 3)
}

/// What is brought, else what is gone.
fn bytes(share: &Share) -> String {
    match share.size {
        0 if share.deleted > 0 => format!("-{}", size(share.deleted)),
        bytes => size(bytes),
    }
}

/// The paths with most bytes, brought or deleted.
fn largest(layer: &LayerReport, Detail { depth, top }: Detail) -> Vec<Share> {
    let mut shares = Vec::new();
    let depth = if depth == 0 { usize::MAX } else { depth };
    cut(&Node::of_changes(layer), &mut Vec::new(), depth, &mut shares);
    shares
        .sort_by(|a, b| b.size.max(b.deleted).cmp(&a.size.max(a.deleted)).then_with(|| a.path.cmp(&b.path)));
    if top > 0 {
        shares.truncate(top);
    }
    shares
}

/// Every path of `depth` names, and shorter ones with nothing below.
fn cut(node: &Node, names: &mut Vec<String>, depth: usize, shares: &mut Vec<Share>) {
    for (name, child) in &node.children {
        names.push(printable(name));
        match child.shown_mark() {
            _ if names.len() < depth && !child.children.is_empty() => cut(child, names, depth, shares),
            Some(mark) => {
                let slash = if child.is_directory { "/" } else { "" };
                let path = format!("{}{slash}", names.join("/"));
                shares.push(Share { path, mark, size: child.size, deleted: child.deleted });
            }
            None => {}
        }
        names.pop();
    }
}

/// What `--format` sees.
pub(crate) fn data(image: &str, report: &Report, detail: Detail) -> Value {
    let layers: Vec<_> = report
        .layers
        .iter()
        .enumerate()
        .map(|(at, layer)| {
            let largest: Vec<_> = largest(layer, detail).iter().map(share_data).collect();
            json!({
                "Layer": at + 1,
                "DiffID": layer.step.diff_id,
                "CreatedBy": layer.step.created_by,
                "Size": layer.size,
                "Added": layer.added,
                "Replaced": layer.replaced,
                "Deleted": layer.deleted,
                "Wasted": layer.wasted,
                "Largest": largest,
            })
        })
        .collect();
    let waste: Vec<_> = report
        .waste
        .iter()
        .map(|waste| {
            let path = String::from_utf8_lossy(&waste.path);
            json!({"Path": path, "Layers": waste.layers, "Size": waste.size})
        })
        .collect();
    json!({
        "Image": image,
        "Size": report.size(),
        "Files": report.files,
        "Wasted": report.wasted(),
        "Efficiency": report.efficiency(),
        "Layers": layers,
        "Waste": waste,
    })
}

fn share_data(share: &Share) -> Value {
    json!({
        "Path": share.path,
        "Change": share.mark.letter().to_string(),
        "Size": share.size,
        "Deleted": share.deleted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Entry, EntryKind, Layer, Step};

    fn report() -> Report {
        let file = |path: &str, size| Entry { path: path.into(), kind: EntryKind::File(size) };
        let step = |created_by: &str| Step { created_by: created_by.into(), diff_id: "sha256:1".into() };
        Report::of(vec![
            Layer {
                step: step("ADD\trootfs  /"),
                entries: vec![file("usr/bin/a", 900_000), file("usr/lib/b", 50_000), file("etc/c", 50)],
            },
            Layer {
                step: step(""),
                entries: vec![
                    Entry { path: "usr/bin/a".into(), kind: EntryKind::Whiteout },
                    file("etc/c", 70),
                    file("new", 7),
                ],
            },
            Layer::default(),
        ])
    }

    #[test]
    fn the_text_has_sums_and_the_largest_paths_of_each_layer() {
        let expected = "\
demo:1: 950kB in 3 layers
A container sees 3 files of 50.1kB (5.3%); 900kB are wasted

LAYER     SIZE      ADDED     REPLACED   DELETED   WASTED    CREATED BY
1         950kB     3         0          0         900kB     ADD rootfs /
2         77B       1         1          1         0B        (the image doesn't say)
3         0B        0         0          0         0B        (the image doesn't say)

Layer 1: ADD rootfs /
     900kB  A  usr/bin/a
      50kB  A  usr/lib/b

Layer 2: (the image doesn't say)
    -900kB  D  usr/bin/a
       70B  M  etc/c

Layer 3: (the image doesn't say)
   nothing

Wasted most:
     900kB  in 1 layer  usr/bin/a
       50B  in 1 layer  etc/c
";
        assert_eq!(text("demo:1", &report(), Detail { depth: 0, top: 2 }, None), expected);
    }

    #[test]
    fn paths_are_cut_at_a_depth_and_what_is_below_is_added_up() {
        let shares = |depth, top| -> Vec<String> {
            let list = largest(&report().layers[0], Detail { depth, top });
            list.iter()
                .map(|share| format!("{} {} {}", share.mark.letter(), share.path, share.size))
                .collect()
        };
        assert_eq!(shares(1, 0), ["A usr/ 950000", "A etc/ 50"]);
        assert_eq!(shares(2, 2), ["A usr/bin/ 900000", "A usr/lib/ 50000"]);
        assert_eq!(shares(9, 1), ["A usr/bin/a 900000"]);
    }

    #[test]
    fn programs_see_the_same_in_bytes() {
        let data = data("demo:1", &report(), Detail { depth: 0, top: 1 });
        assert_eq!(
            (&data["Size"], &data["Wasted"], &data["Files"]),
            (&json!(950_127), &json!(900_050), &json!(3))
        );
        assert_eq!(
            data["Layers"][1],
            json!({"Layer": 2, "DiffID": "sha256:1", "CreatedBy": "", "Size": 77, "Added": 1, "Replaced": 1, "Deleted": 1,
                   "Wasted": 0, "Largest": [{"Path": "usr/bin/a", "Change": "D", "Size": 0, "Deleted": 900_000}]})
        );
        assert_eq!(data["Waste"][0], json!({"Path": "usr/bin/a", "Layers": 1, "Size": 900_000}));
    }
}
