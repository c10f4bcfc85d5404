//! Commits: an upper directory becomes a verified layer on its parent, or nothing at all.

use std::{
    collections::BTreeSet,
    fs,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use minke_image::{CommitError, CommitOptions, Image, RunConfig};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::support::{Store, docker_archive, gzip, image, layer, xattr};

fn options(parent: &Image, name: Option<&str>) -> CommitOptions {
    CommitOptions {
        parent: parent.id,
        name: name.map(str::to_owned),
        config: RunConfig { user: "me".to_owned(), ..RunConfig::default() },
        author: "somebody".to_owned(),
        comment: "by hand".to_owned(),
        created_by: "sh".to_owned(),
        container: "c0ffee".to_owned(),
        created: OffsetDateTime::UNIX_EPOCH,
        leave_out: BTreeSet::new(),
    }
}

/// A store with a gzipped image of two layers.
fn store() -> (Store, Image) {
    let store = Store::new();
    store
        .load(&docker_archive(&[image("base:1", &[layer("a", "a"), layer("b", "b")], gzip)], false))
        .unwrap();
    let parent = store.store.find("base:1").unwrap();
    (store, parent)
}

/// An upper directory with one of everything that overlayfs knows.
fn upper() -> TempDir {
    let upper = TempDir::new().unwrap();
    let at = |name: &str| upper.path().join(name);
    fs::create_dir(at("dir")).unwrap();
    fs::write(at("dir/file"), "content").unwrap();
    fs::hard_link(at("dir/file"), at("same")).unwrap();
    let note = rustix::fs::setxattr(at("dir/file"), "user.note", b"kept", XattrFlags::empty());
    note.unwrap();
    fs::create_dir(at("opaque")).unwrap();
    rustix::fs::setxattr(at("opaque"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    rustix::fs::mknodat(CWD, at("a"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    fs::create_dir(at("etc")).unwrap();
    fs::write(at("etc/hosts"), "").unwrap();
    fs::write(at("etc/mine"), "x").unwrap();
    upper
}

fn commit(store: &Store, upper: &Path, options: CommitOptions) -> Result<Image, CommitError> {
    let handle = fs::File::open(upper).unwrap();
    let id = store.store.commit(handle.as_fd(), options)?;
    Ok(store.store.find(&id.to_string()).unwrap())
}

#[test]
fn a_commit_has_its_parents_layers_and_one_of_the_changes() {
    let (store, parent) = store();
    let upper = upper();
    let leave_out = BTreeSet::from(["etc", "etc/hosts"].map(PathBuf::from));
    let child =
        commit(&store, upper.path(), CommitOptions { leave_out, ..options(&parent, Some("child")) }).unwrap();
    assert_eq!((child.parent, child.names.as_slice()), (Some(parent.id), &["child:latest".to_owned()][..]));
    assert_eq!(child.layers[..2], parent.layers[..]);
    assert_eq!(child.diff_ids[..2], parent.diff_ids[..]);
    assert_eq!(child.config.config.user, "me");
    let steps = child.config.history.len();
    assert_eq!(steps, parent.config.history.len() + 1);
    assert_eq!(child.config.history[steps - 1].comment.as_deref(), Some("by hand"));

    let top = store.store.lower_dirs(&child).unwrap().remove(0);
    let at = |name: &str| fs::symlink_metadata(top.join(name));
    assert_eq!(fs::read_to_string(top.join("dir/file")).unwrap(), "content");
    assert_eq!(at("same").unwrap().ino(), at("dir/file").unwrap().ino(), "a hard link stays one");
    assert_eq!(xattr(&top.join("dir/file"), "user.note").unwrap(), b"kept");
    assert_eq!(xattr(&top.join("opaque"), "trusted.overlay.opaque").unwrap(), b"y");
    assert!(
        at("a").unwrap().file_type().is_char_device() && at("a").unwrap().rdev() == 0,
        "a deletion stays one"
    );
    assert!(
        at("etc/hosts").is_err() && at("etc/mine").is_ok(),
        "what was to be left out is, and nothing else"
    );
}

#[test]
fn what_was_committed_can_be_saved_and_loaded_elsewhere_and_survives_a_restart() {
    let (store, parent) = store();
    let child = commit(&store, upper().path(), options(&parent, Some("child:1"))).unwrap();
    let archive = store.save(&["child:1"]);
    let other = Store::new();
    assert_eq!(other.load(&archive).unwrap()[0].id, child.id);
    let again = store.reopened().store.find("child:1").unwrap();
    assert_eq!((again.id, again.layers, again.parent), (child.id, child.layers, child.parent));
}

#[test]
fn no_changes_make_no_layer() {
    let (store, parent) = store();
    let upper = TempDir::new().unwrap();
    let child = commit(&store, upper.path(), options(&parent, None)).unwrap();
    assert_eq!(child.layers, parent.layers);
    assert!(child.config.history.last().unwrap().empty_layer);
    assert!(child.id != parent.id && child.names.is_empty());
}

#[test]
fn a_parent_with_children_stays_and_the_last_child_takes_its_layer_along() {
    let (store, parent) = store();
    let before = store.on_disk();
    let child = commit(&store, upper().path(), options(&parent, Some("child"))).unwrap();
    let refused = store.store.remove(&parent.id.to_string(), true, &|_| None).unwrap_err();
    assert!(refused.to_string().contains("dependent child images"), "{refused}");
    store.store.remove(&child.id.to_string(), false, &|_| None).unwrap();
    assert_eq!(store.on_disk(), before);
}

#[test]
fn a_commit_that_fails_leaves_nothing() {
    let (store, parent) = store();
    let before = store.on_disk();
    let upper = upper();
    let bad_name = commit(&store, upper.path(), options(&parent, Some("UPPER"))).unwrap_err();
    assert!(matches!(bad_name, CommitError::Name(_)), "{bad_name}");
    rustix::fs::setxattr(
        upper.path().join("dir"),
        "trusted.overlay.redirect",
        b"/elsewhere",
        XattrFlags::empty(),
    )
    .unwrap();
    let unreadable = commit(&store, upper.path(), options(&parent, Some("child"))).unwrap_err();
    assert!(matches!(unreadable, CommitError::Changes(_)), "{unreadable}");
    assert_eq!(store.on_disk(), before);
    let staged = |folder: &str| fs::read_dir(store.folder.path().join(folder)).unwrap().count();
    assert_eq!((staged("content/ingest"), staged("layers/.staging")), (0, 0));
}
