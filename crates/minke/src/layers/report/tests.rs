//! What becomes of paths when layers are put on each other.

use super::{super::Entry, super::EntryKind, *};

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { path: path.into(), kind }
}

fn file(path: &str, size: u64) -> Entry {
    entry(path, EntryKind::File(size))
}

fn directory(path: &str) -> Entry {
    entry(path, EntryKind::Directory)
}

fn whiteout(path: &str) -> Entry {
    entry(path, EntryKind::Whiteout)
}

fn opaque(path: &str) -> Entry {
    entry(path, EntryKind::Opaque)
}

fn link(path: &str, target: &str) -> Entry {
    entry(path, EntryKind::Hardlink(target.into()))
}

fn report<const N: usize>(layers: [Vec<Entry>; N]) -> Report {
    Report::of(layers.into_iter().map(|entries| Layer { step: Step::default(), entries }).collect())
}

/// The changes of a layer, a word each: `A etc/passwd 10`.
fn changes(layer: &LayerReport) -> Vec<String> {
    let slash = |change: &Change| if change.is_directory { "/" } else { "" };
    let word = |change: &Change| {
        let path = String::from_utf8_lossy(&change.path).into_owned();
        format!("{} {path}{} {}", change.mark.letter(), slash(change), change.size)
    };
    layer.changes.iter().map(word).collect()
}

fn waste(report: &Report) -> Vec<String> {
    let word =
        |waste: &Waste| format!("{} {} {}", String::from_utf8_lossy(&waste.path), waste.layers, waste.size);
    report.waste.iter().map(word).collect()
}

#[test]
fn one_layer_adds_and_wastes_nothing() {
    let report = report([vec![directory("etc"), file("etc/passwd", 10), entry("bin", EntryKind::Other)]]);
    let layer = &report.layers[0];
    assert_eq!(changes(layer), ["A bin 0", "A etc/ 0", "A etc/passwd 10"]);
    assert_eq!((layer.added, layer.replaced, layer.deleted, layer.size, layer.wasted), (2, 0, 0, 10, 0));
    assert_eq!((report.size(), report.wasted(), report.files), (10, 0, 2));
    assert!((report.efficiency() - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_replaced_file_is_wasted_in_the_layer_that_had_it() {
    let report = report([
        vec![directory("a"), file("a/x", 100), file("a/y", 5)],
        vec![directory("a"), file("a/x", 70)],
        vec![file("a/x", 30)],
    ]);
    assert_eq!(changes(&report.layers[1]), ["M a/x 70"], "a directory that was there is no change");
    let wasted: Vec<_> = report.layers.iter().map(|layer| layer.wasted).collect();
    assert_eq!(wasted, [100, 70, 0]);
    assert_eq!(waste(&report), ["a/x 2 170"]);
    assert_eq!((report.size(), report.files), (205, 2));
    assert!((report.efficiency() - 35.0 / 205.0).abs() < 1e-9);
}

#[test]
fn a_file_deleted_in_a_later_layer_is_still_in_the_image() {
    let report = report([vec![file("a/big", 1000), file("a/small", 1)], vec![whiteout("a/big")]]);
    assert_eq!(changes(&report.layers[1]), ["D a/big 1000"]);
    assert_eq!((report.layers[1].deleted, report.layers[1].size, report.layers[0].wasted), (1, 0, 1000));
    assert_eq!(report.files, 1);
}

#[test]
fn a_whiteout_of_a_directory_takes_all_below_and_nothing_beside() {
    let report = report([
        vec![
            directory("var"),
            directory("var/cache"),
            file("var/cache/a", 10),
            file("var/cache/b/c", 20),
            file("var/cache-old", 1),
            file("var/cache0", 1),
            file("var/cach", 1),
        ],
        vec![whiteout("var/cache"), whiteout("no/such")],
    ]);
    assert_eq!(
        changes(&report.layers[1]),
        ["D var/cache/ 0", "D var/cache/a 10", "D var/cache/b/ 0", "D var/cache/b/c 20"]
    );
    assert_eq!((report.layers[1].deleted, report.layers[0].wasted, report.files), (2, 30, 3));
}

#[test]
fn an_opaque_directory_hides_what_was_in_it_but_not_what_its_own_layer_brings() {
    let report = report([
        vec![directory("d"), file("d/old", 10), file("d/both", 20), file("e", 1)],
        // In either order.
        vec![directory("d"), file("d/new", 5), opaque("d"), file("d/both", 7)],
    ]);
    assert_eq!(changes(&report.layers[1]), ["M d/both 7", "A d/new 5", "D d/old 10"]);
    assert_eq!((report.layers[0].wasted, report.layers[1].wasted, report.files), (30, 0, 3));
    let all = super::tests::report([vec![file("a", 1), file("b/c", 2)], vec![opaque(""), file("d", 4)]]);
    assert_eq!(changes(&all.layers[1]), ["D a 1", "D b/ 0", "D b/c 2", "A d 4"]);
}

#[test]
fn what_is_deleted_and_brought_again_by_one_layer_is_replaced() {
    let report = report([vec![file("a", 10)], vec![file("a", 3), whiteout("a")]]);
    assert_eq!(changes(&report.layers[1]), ["M a 3"]);
    assert_eq!((report.layers[1].replaced, report.layers[1].deleted, report.layers[0].wasted), (1, 0, 10));
}

#[test]
fn hard_links_share_bytes_which_are_lost_with_the_last_name() {
    let names = vec![file("a", 100), link("b", "a"), link("c", "a")];
    let one = report([names.clone(), vec![whiteout("a")], vec![file("b", 1)]]);
    assert_eq!(changes(&one.layers[0]), ["A a 100", "A b 0", "A c 0"]);
    assert_eq!((one.layers[0].size, one.layers[0].wasted), (100, 0), "one name still shows it");
    let all = report([names, vec![whiteout("a"), whiteout("b")], vec![whiteout("c")]]);
    assert_eq!((all.layers[0].wasted, waste(&all)), (100, vec!["c 1 100".to_owned()]));
    let lower = report([vec![file("a", 8)], vec![link("b", "a")], vec![whiteout("a")]]);
    assert_eq!((lower.size(), lower.wasted()), (8, 0), "a link to a lower layer's file brings no bytes");
    let nowhere = report([vec![link("b", "gone"), link("c", "c")]]);
    assert_eq!(changes(&nowhere.layers[0]), ["A b 0"]);
}

#[test]
fn a_path_that_a_layer_has_twice_is_added_once_and_wastes_the_first() {
    let report = report([vec![file("a", 10), file("a", 4)]]);
    assert_eq!(changes(&report.layers[0]), ["A a 4"]);
    assert_eq!((report.layers[0].size, report.layers[0].wasted, report.layers[0].added), (14, 10, 1));
}

#[test]
fn a_file_in_the_place_of_a_directory_and_the_other_way_round() {
    let report = report([
        vec![directory("d"), file("d/x", 10), file("f", 20)],
        vec![file("d", 1), file("f/below", 2)],
    ]);
    assert_eq!(changes(&report.layers[1]), ["M d 1", "D d/x 10", "M f/ 0", "A f/below 2"]);
    assert_eq!((report.layers[0].wasted, report.files), (30, 2));
}

#[test]
fn an_image_without_layers_or_bytes_wastes_nothing() {
    assert!((report([]).efficiency() - 1.0).abs() < f64::EPSILON);
    assert!((report([vec![], vec![whiteout("x")]]).efficiency() - 1.0).abs() < f64::EPSILON);
}
