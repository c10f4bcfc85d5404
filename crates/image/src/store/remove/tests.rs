//! The rules about parents and children, which only builds can make: on an index alone.

use minke_model::Descriptor;

use super::*;
use crate::{
    hashing::digest_of,
    store::{ImageRecord, LayerRecord, ManifestRecord, NameRecord},
};

fn id(name: &str) -> ImageId {
    digest_of(name.as_bytes())
}

/// Images of one layer each on top of their parent's, the first `tagged` last.
fn chain(names: &[&str], tagged: &[&str]) -> Index {
    let mut change = Change::default();
    for (i, name) in names.iter().enumerate() {
        let layers: Vec<Digest> =
            names[..=i].iter().map(|name| digest_of(format!("layer {name}").as_bytes())).collect();
        let manifest = ManifestRecord {
            descriptor: Descriptor::new("", digest_of(format!("manifest {name}").as_bytes()), 1),
            layers: layers.iter().map(|layer| Descriptor::new("", *layer, 1)).collect(),
        };
        let mut record = ImageRecord::new(manifest, layers.clone());
        record.parent = i.checked_sub(1).map(|parent| id(names[parent]));
        change.add_layers.extend(layers.last().map(|layer| (*layer, LayerRecord::new(*layer, 1, false))));
        change.add_images.push((id(name), record, b"{}"[..].into()));
    }
    for name in tagged {
        let reference: Reference = name.parse().unwrap();
        change.set_names.push((reference.with_default_tag(), NameRecord::now(id(name))));
    }
    let mut index = Index::default();
    index.apply(change);
    index
}

fn planned(index: &Index, text: &str, force: bool) -> Result<(usize, usize, usize), String> {
    let plan = plan(index, text, force, &|_| None).map_err(|error| error.to_string())?;
    Ok((plan.change.remove_names.len(), plan.change.remove_images.len(), plan.change.remove_layers.len()))
}

#[test]
fn untagged_parents_go_with_their_last_child() {
    assert_eq!(planned(&chain(&["a", "b", "c"], &["c"]), "c", false), Ok((1, 3, 3)));
    assert_eq!(
        planned(&chain(&["a", "b", "c"], &["b", "c"]), "c", false),
        Ok((1, 1, 1)),
        "a tagged parent stays"
    );
}

#[test]
fn a_parent_is_untagged_but_not_deleted() {
    let index = chain(&["a", "b"], &["a", "b"]);
    assert_eq!(planned(&index, "a", false), Ok((1, 0, 0)));
    let error = planned(&index, &id("a").to_string(), true).unwrap_err();
    assert!(error.contains("(cannot be forced) - image has dependent child images"), "{error}");
}

#[test]
fn layers_that_an_operation_holds_stay() {
    let mut index = chain(&["a"], &["a"]);
    index.lease(digest_of(b"layer a"));
    assert_eq!(planned(&index, "a", false), Ok((1, 1, 0)));
    index.release([digest_of(b"layer a")]);
    assert_eq!(planned(&index, "a", false), Ok((1, 1, 1)));
}

#[test]
fn digests_of_a_repository_go_with_its_last_tag() {
    let mut index = chain(&["a"], &["a"]);
    let reference: Reference = "a".parse().unwrap();
    let names = vec![(reference.with_digest(digest_of(b"manifest a")), NameRecord::now(id("a")))];
    index.apply(Change { set_names: names, ..Change::default() });
    assert_eq!(index.image(&id("a")).unwrap().digests.len(), 1);
    assert_eq!(planned(&index, "a", false), Ok((2, 1, 1)));
}
