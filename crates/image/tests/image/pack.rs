//! Packing: the round trip through a tar keeps everything, and what cannot be kept is said.

use std::{
    fs,
    io::Write,
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, symlink},
            net::UnixListener,
        },
    },
    path::Path,
};

use minke_image::archive::{PackOptions, Packed, Whiteouts, pack};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use tempfile::TempDir;

use crate::support::{Tar, overlay, unpack_into, unpacked, xattr};

fn packed(root: &Path, path: &str, options: &PackOptions) -> (Vec<u8>, Packed) {
    let handle = fs::File::open(root).unwrap();
    let mut tar = Vec::new();
    let packed = pack(handle.as_fd(), Path::new(path), &mut tar, options).unwrap();
    (tar, packed)
}

/// The names in a tar, as another implementation reads them.
fn names(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    archive
        .entries()
        .unwrap()
        .map(|e| String::from_utf8_lossy(&e.unwrap().path_bytes()).into_owned())
        .collect()
}

fn layer_options() -> PackOptions {
    PackOptions { whiteouts: Whiteouts::Overlay, exact_times: true, sparse: true, ..PackOptions::default() }
}

#[test]
fn a_layer_makes_the_round_trip_unchanged() {
    let source = TempDir::new().unwrap();
    let at = |name: &str| source.path().join(name);
    fs::create_dir_all(at("d/deep")).unwrap();
    fs::write(at("d/f"), "content").unwrap();
    fs::hard_link(at("d/f"), at("d/deep/same")).unwrap();
    symlink("../nowhere", at("d/l")).unwrap();
    fs::write(at("d").join("l".repeat(255)), "long name").unwrap();
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::setxattr(at(name), key, value, XattrFlags::empty()).unwrap();
    };
    set("d/f", "user.note", b"\0binary\n");
    set("d/f", "security.capability", b"\x01\0\0\x02\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    fs::create_dir(at("opaque")).unwrap();
    set("opaque", "trusted.overlay.opaque", b"y");
    set("d", "trusted.overlay.origin", b"host's business");
    let node = |name: &str, kind, major, minor| {
        rustix::fs::mknodat(
            CWD,
            at(name),
            kind,
            Mode::from_raw_mode(0o640),
            rustix::fs::makedev(major, minor),
        )
        .unwrap();
    };
    node("gone", FileType::CharacterDevice, 0, 0);
    node("null", FileType::CharacterDevice, 1, 3);
    node("disk", FileType::BlockDevice, 8, 1);
    node("pipe", FileType::Fifo, 0, 0);
    std::os::unix::fs::lchown(at("d/l"), Some(7), Some(8)).unwrap();
    std::os::unix::fs::chown(at("disk"), Some(3_000_000), Some(4_000_000_000)).unwrap();
    let mut sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    sparse.write_all(b"begin").unwrap();

    let (tar, first) = packed(source.path(), "", &layer_options());
    assert!(tar.len() < 1 << 20, "holes were written");
    let expected = names(&tar);
    assert!(
        expected.contains(&".wh.gone".to_owned()) && expected.contains(&"opaque/.wh..wh..opq".to_owned()),
        "{expected:?}"
    );
    let (copy, result) = unpacked(&tar, &overlay());
    assert_eq!(result.unwrap().entries, first.entries);
    let (again, _) = packed(copy.path(), "", &layer_options());
    // One tar stands for everything: names, owners, modes, times, attributes, links, holes.
    assert!(tar == again, "the second generation differs");
    let copied = |name: &str| fs::symlink_metadata(copy.path().join(name)).unwrap();
    assert_eq!(copied("d/f").nlink(), 2);
    assert_eq!((copied("disk").uid(), copied("disk").gid()), (3_000_000, 4_000_000_000));
    assert!(copied("gone").file_type().is_char_device() && copied("gone").rdev() == 0);
    assert!(copied("sparse").blocks() < 100);
    assert_eq!(xattr(&copy.path().join("opaque"), "trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(xattr(&copy.path().join("d"), "trusted.overlay.origin"), None);
}

#[test]
fn entries_come_in_a_fixed_order() {
    let source = TempDir::new().unwrap();
    for name in ["z", "b/2", "b/1", "a/x/y", "a/w", "m"] {
        let path = source.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let (tar, _) = packed(source.path(), "/", &PackOptions::default());
    assert_eq!(names(&tar), ["./", "a/", "b/", "m", "z", "a/w", "a/x/", "a/x/y", "b/1", "b/2"]);
}

#[test]
fn a_part_of_the_tree_is_named_after_itself_or_as_told() {
    let source = TempDir::new().unwrap();
    fs::create_dir_all(source.path().join("etc/app")).unwrap();
    fs::write(source.path().join("etc/app/conf"), "x").unwrap();
    symlink("/etc", source.path().join("link")).unwrap();
    let of = |path: &str, options| names(&packed(source.path(), path, &options).0);
    assert_eq!(of("/etc/app", PackOptions::default()), ["app/", "app/conf"]);
    assert_eq!(of("/etc/app/conf", PackOptions::default()), ["conf"]);
    assert_eq!(
        of("/link/app/conf", PackOptions::default()),
        ["conf"],
        "parents are resolved as the container would"
    );
    assert_eq!(of("/link", PackOptions::default()), ["link"], "the path itself is not followed");
    let renamed = PackOptions { rename_root_to: Some("new/name".to_owned()), ..PackOptions::default() };
    assert_eq!(of("/etc/app", renamed), ["new/name/", "new/name/conf"]);
}

#[test]
fn a_path_that_leaves_the_root_is_not_packed() {
    let source = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "x").unwrap();
    symlink(outside.path(), source.path().join("out")).unwrap();
    let handle = fs::File::open(source.path()).unwrap();
    for path in ["out/secret", "../secret", "out/../secret"] {
        let error = pack(handle.as_fd(), Path::new(path), Vec::new(), &PackOptions::default()).unwrap_err();
        assert!(error.to_string().starts_with("open /"), "{error}");
    }
}

#[test]
fn sockets_are_left_out_and_counted() {
    let source = TempDir::new().unwrap();
    let _socket = UnixListener::bind(source.path().join("s")).unwrap();
    fs::write(source.path().join("f"), "").unwrap();
    let (tar, packed) = packed(source.path(), "", &PackOptions::default());
    assert_eq!((names(&tar), packed.skipped), (vec!["./".to_owned(), "f".to_owned()], 1));
}

#[test]
fn a_container_cannot_forge_deletions() {
    let source = TempDir::new().unwrap();
    fs::write(source.path().join(".wh.passwd"), "").unwrap();
    let (tar, found) = packed(source.path(), "", &layer_options());
    assert_eq!((names(&tar), found.skipped), (vec!["./".to_owned()], 1));
    let (tar, _) = packed(source.path(), "", &PackOptions::default());
    assert_eq!(names(&tar), ["./", ".wh.passwd"]);
}

#[test]
fn redirected_directories_are_refused_rather_than_lost() {
    let source = TempDir::new().unwrap();
    fs::create_dir(source.path().join("moved")).unwrap();
    rustix::fs::setxattr(
        source.path().join("moved"),
        "trusted.overlay.redirect",
        b"/old",
        XattrFlags::empty(),
    )
    .unwrap();
    let handle = fs::File::open(source.path()).unwrap();
    let error = pack(handle.as_fd(), Path::new(""), Vec::new(), &layer_options()).unwrap_err();
    assert_eq!(error.to_string(), "/moved: overlayfs keeps its content elsewhere (redirect or metacopy)");
}

#[test]
fn another_implementation_reads_what_was_packed() {
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("n".repeat(200)), "x".repeat(70_000)).unwrap();
    let mut sparse = fs::File::create(source.path().join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    sparse.write_all(b"begin").unwrap();
    let (tar, _) = packed(source.path(), "", &PackOptions::default());
    let copy = TempDir::new().unwrap();
    tar::Archive::new(&tar[..]).unpack(copy.path()).unwrap();
    assert_eq!(fs::read(copy.path().join("n".repeat(200))).unwrap().len(), 70_000);
    assert!(fs::read(copy.path().join("sparse")).unwrap() == fs::read(source.path().join("sparse")).unwrap());
    let with_holes = PackOptions { sparse: true, ..PackOptions::default() };
    let (tar, _) = packed(source.path(), "", &with_holes);
    let copy = TempDir::new().unwrap();
    let mut child = std::process::Command::new("tar")
        .args(["-x", "-C"])
        .arg(copy.path())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&tar).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(fs::read(copy.path().join("sparse")).unwrap() == fs::read(source.path().join("sparse")).unwrap());
}

#[test]
fn deep_trees_need_one_handle_at_a_time() {
    let source = TempDir::new().unwrap();
    let mut tar = Tar::default();
    let path = "d/".repeat(500);
    tar = tar.pax(&[("path", path.as_bytes())]).dir("d/");
    unpack_into(source.path(), &tar.end(), &overlay()).unwrap();
    let (_, found) = packed(source.path(), "", &PackOptions::default());
    assert_eq!(found.entries, 501);
}
