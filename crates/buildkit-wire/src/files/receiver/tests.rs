//! A client's files as they arrive: what is asked for, what is kept, and what a hostile client is refused.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};

use bytes::Bytes;

use super::*;
use crate::pb::fsutil::Stat;

const DIRECTORY: u32 = 1 << 31;
const LINK: u32 = 1 << 27;

fn file(path: &str, content: &str) -> (Stat, String) {
    let stat =
        Stat { path: path.into(), mode: 0o644, size: content.len() as i64, mod_time: 5, ..Stat::default() };
    (stat, content.into())
}

fn folder(path: &str) -> (Stat, String) {
    (Stat { path: path.into(), mode: DIRECTORY | 0o755, mod_time: 7, ..Stat::default() }, String::new())
}

fn link(path: &str, target: &str) -> (Stat, String) {
    (
        Stat {
            path: path.into(),
            mode: LINK | 0o777,
            linkname: target.into(),
            mod_time: 9,
            ..Stat::default()
        },
        String::new(),
    )
}

/// Sends all of it; returns how many files were asked for.
fn send(into: &Path, entries: &[(Stat, String)]) -> Result<usize, SyncError> {
    send_beside(into, Beside::Goes, entries)
}

fn send_beside(into: &Path, beside: Beside, entries: &[(Stat, String)]) -> Result<usize, SyncError> {
    let mut receiver = Receiver::new(into, beside)?;
    let mut asked = Vec::new();
    for (stat, _) in entries {
        asked.extend(receiver.packet(Packet::stat(Some(stat.clone())))?);
    }
    asked.extend(receiver.packet(Packet::stat(None))?);
    let mut count = 0;
    while let Some(id) = asked.pop() {
        count += 1;
        let content = Bytes::from(entries[id as usize].1.clone());
        if !content.is_empty() {
            asked.extend(receiver.packet(Packet::data(id, content))?);
        }
        asked.extend(receiver.packet(Packet::data(id, Bytes::new()))?);
    }
    assert!(receiver.is_complete());
    receiver.finish()?;
    // What changes within a tick of the clock that files' times come from isn't told apart.
    std::thread::sleep(std::time::Duration::from_millis(20));
    Ok(count)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_folder_arrives_with_modes_times_and_links() {
    let root = tempfile::tempdir().unwrap();
    let tree = [folder("a"), file("a/x", "hello"), link("a/y", "../../etc"), file("b", "")];
    assert_eq!(send(root.path(), &tree).unwrap(), 2);
    assert_eq!(std::fs::read_to_string(root.path().join("a/x")).unwrap(), "hello");
    assert_eq!(std::fs::read_link(root.path().join("a/y")).unwrap(), Path::new("../../etc"));
    assert_eq!(std::fs::metadata(root.path().join("a")).unwrap().mtime_nsec(), 7);
    assert_eq!(std::fs::metadata(root.path().join("b")).unwrap().len(), 0);
}

#[test]
fn the_second_time_only_what_differs_is_asked_for_and_what_is_gone_goes() {
    let root = tempfile::tempdir().unwrap();
    send(root.path(), &[folder("a"), file("a/x", "1"), file("a/y", "2"), folder("b"), file("b/z", "3")])
        .unwrap();
    assert_eq!(send(root.path(), &[folder("a"), file("a/x", "1"), file("a/y", "2")]).unwrap(), 0);
    assert_eq!(names(root.path()), ["a"]);
    assert_eq!(send(root.path(), &[folder("a"), file("a/x", "11"), file("a/y", "2")]).unwrap(), 1);
    assert_eq!(std::fs::read_to_string(root.path().join("a/x")).unwrap(), "11");
    assert_eq!(send(root.path(), &[file("a", "a file now")]).unwrap(), 1);
    assert_eq!(std::fs::read_to_string(root.path().join("a")).unwrap(), "a file now");
}

#[test]
fn a_link_that_became_a_folder_leads_nowhere_any_more() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("x"), "mine").unwrap();
    let root = tempfile::tempdir().unwrap();
    send(root.path(), &[link("a", outside.path().to_str().unwrap())]).unwrap();
    send(root.path(), &[folder("a"), file("a/x", "theirs")]).unwrap();
    assert_eq!(std::fs::read_to_string(outside.path().join("x")).unwrap(), "mine");
    symlink(outside.path(), root.path().join("b")).unwrap();
    send(root.path(), &[]).unwrap();
    assert_eq!(names(outside.path()), ["x"]);
    assert!(names(root.path()).is_empty());
}

#[test]
fn a_file_below_a_link_is_refused() {
    let root = tempfile::tempdir().unwrap();
    assert!(send(root.path(), &[link("a", "/tmp"), file("a/x", "1")]).is_err());
}

#[test]
fn names_of_one_file_are_links_of_it() {
    let root = tempfile::tempdir().unwrap();
    let mut other = file("b", "");
    other.0.linkname = "a".into();
    let tree = [file("a", "same"), other];
    for _ in 0..2 {
        send(root.path(), &tree).unwrap();
        let (a, b) = (root.path().join("a").metadata().unwrap(), root.path().join("b").metadata().unwrap());
        assert_eq!((a.ino(), a.nlink()), (b.ino(), 2));
    }
}

/// The content that the file has under its other name goes with that name.
#[test]
fn a_file_that_is_no_other_name_of_another_any_more_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let mut name = file("a/two", "");
    (name.0.linkname, name.0.size) = ("a/one".into(), 3);
    let _ = send(root.path(), &[folder("a"), file("a/one", "AAA"), name]).unwrap();
    for gone in
        [&[folder("a"), file("a/two", "BBB")][..], &[folder("a"), file("a/one", "CCC"), file("a/two", "DDD")]]
    {
        let mut name = file("a/two", "");
        (name.0.linkname, name.0.size) = ("a/one".into(), 3);
        let _ = send(root.path(), &[folder("a"), file("a/one", "AAA"), name]).unwrap();
        send(root.path(), gone).unwrap();
        assert_eq!(std::fs::read_to_string(root.path().join("a/two")).unwrap(), gone.last().unwrap().1);
    }
}

#[test]
fn endless_data_and_data_that_nobody_asked_for_end_it() {
    let root = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::new(root.path(), Beside::Goes).unwrap();
    assert!(receiver.packet(Packet::data(3, Bytes::from_static(b"x"))).is_err());
    let asked = receiver.packet(Packet::stat(Some(file("a", "1").0))).unwrap();
    assert_eq!(asked, [0]);
    let chunk = Bytes::from(vec![0; 1024 * 1024]);
    let error = (0..=17).find_map(|_| receiver.packet(Packet::data(0, chunk.clone())).err()).unwrap();
    assert!(error.to_string().contains("grows while it is sent"), "{error}");
}

#[test]
fn odd_attributes_are_left_out() {
    let root = tempfile::tempdir().unwrap();
    let mut entry = file("a", "1");
    entry.0.xattrs = BTreeMap::from([("trusted.overlay.opaque".to_owned(), b"y".to_vec())]);
    send(root.path(), &[entry]).unwrap();
    let file = File::open(root.path().join("a")).unwrap();
    let mut buffer = [0; 64];
    assert!(fs::fgetxattr(&file, "trusted.overlay.opaque", &mut buffer).is_err());
}

/// What is said of files that nobody has asked for yet waits in memory.
#[test]
fn attributes_of_files_that_wait_are_few() {
    let root = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::new(root.path(), Beside::Goes).unwrap();
    let with = |number: usize, size: usize| {
        let (mut stat, _) = file(&format!("{number:05}"), "x");
        stat.xattrs.insert("user.a".into(), vec![1; size]);
        Packet::stat(Some(stat))
    };
    for number in 0..200 {
        let _ = receiver.packet(with(number, 1 << 20)).unwrap();
    }
    assert!(receiver.waiting == 0, "so large a one is not kept at all");
    let refused = (200..4000).find_map(|number| receiver.packet(with(number, 60 << 10)).err());
    assert!(refused.unwrap().to_string().contains("extended attributes"), "refused");
}

#[test]
fn what_stays_beside_is_not_touched_and_all_else_is_written_anew() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = |name: &str| root.path().join(name);
    std::fs::write(theirs("mine"), "mine").unwrap();
    std::fs::write(theirs("x"), "old").unwrap();
    std::fs::write(outside.path().join("kept"), "kept").unwrap();
    symlink(outside.path(), theirs("dir")).unwrap();
    let tree = [folder("dir"), file("dir/kept", "new"), file("x", "new")];
    for _ in 0..2 {
        assert_eq!(send_beside(root.path(), Beside::Stays, &tree).unwrap(), 2);
    }
    assert_eq!(std::fs::read_to_string(theirs("mine")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(theirs("x")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(theirs("dir/kept")).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(outside.path().join("kept")).unwrap(), "kept");
}
