//! What a tar says is what the folder has: owners, modes, times, links, devices, attributes, holes, deletions.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use minke_image::archive::{Parents, UnpackOptions, is_header};
use tempfile::TempDir;

use crate::support::{Raw, Tar, overlay, raw, unpack_into, unpacked, xattr};

fn folder(tar: Tar) -> TempDir {
    let (folder, result) = unpacked(&tar.end(), &overlay());
    result.unwrap();
    folder
}

fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_char_device() && found.rdev() == 0)
}

#[test]
fn owners_and_special_mode_bits_survive_in_the_right_order() {
    let setuid = Raw { mode: "0006755", uid: 1234, gid: 99, size: 1, ..raw("su", b'0') };
    let root = folder(
        Tar::default().header(&setuid).data(b"x").header(&Raw { mode: "0001777", ..raw("tmp/", b'5') }),
    );
    let found = fs::metadata(root.path().join("su")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1234, 99, 0o6755));
    assert_eq!(fs::metadata(root.path().join("tmp")).unwrap().mode() & 0o7777, 0o1777);
}

#[test]
fn times_of_directories_are_set_after_their_content() {
    let root =
        folder(Tar::default().dir("a/").dir("a/b/").file("a/b/f", b"x").symlink("a/l", "b").file("a/z", b""));
    for name in ["a", "a/b", "a/b/f", "a/l"] {
        let time = fs::symlink_metadata(root.path().join(name)).unwrap().mtime();
        assert_eq!(time, 1_000_000_000, "{name}");
    }
}

#[test]
fn pax_carries_large_ids_long_names_exact_times_and_attributes() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(255));
    let target = "t".repeat(300);
    let root = folder(
        Tar::default()
            .pax(&[
                ("path", long.as_bytes()),
                ("uid", b"3000000000"),
                ("gid", b"2097152"),
                ("mtime", b"1234567890.123456789"),
                ("SCHILY.xattr.user.note", b"a\0b"),
                ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            ])
            .file("short", b"content")
            .pax(&[("linkpath", target.as_bytes())])
            .symlink("l", "short"),
    );
    let path = root.path().join(&long);
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid()), (3_000_000_000, 2_097_152));
    assert_eq!((found.mtime(), found.mtime_nsec()), (1_234_567_890, 123_456_789));
    assert_eq!(xattr(&path, "user.note").unwrap(), b"a\0b");
    assert_eq!(xattr(&path, "security.capability").unwrap().len(), 20);
    assert_eq!(fs::read_link(root.path().join("l")).unwrap().as_os_str(), target.as_str());
}

#[test]
fn users_attributes_are_left_out_where_nothing_can_have_them() {
    let note: &[(&str, &[u8])] = &[("SCHILY.xattr.user.note", b"x")];
    let tar = Tar::default()
        .pax(note)
        .symlink("l", "f")
        .pax(note)
        .header(&raw("pipe", b'6'))
        .pax(note)
        .file("f", b"");
    let (root, result) = unpacked(&tar.end(), &overlay());
    assert_eq!(result.unwrap().dropped_xattrs, 2);
    assert_eq!(xattr(&root.path().join("f"), "user.note").unwrap(), b"x");
}

#[test]
fn gnu_long_names_and_links_are_read() {
    let name = format!("dir/{}", "n".repeat(180));
    let root = folder(
        Tar::default()
            .header(&Raw { size: name.len() as u64 + 1, ..raw("././@LongLink", b'L') })
            .data(&[name.as_bytes(), b"\0"].concat())
            .file("cut", b"x")
            .header(&Raw { size: name.len() as u64 + 1, ..raw("././@LongLink", b'K') })
            .data(&[name.as_bytes(), b"\0"].concat())
            .hardlink("same", "cut"),
    );
    assert_eq!(fs::metadata(root.path().join("same")).unwrap().nlink(), 2);
    assert!(root.path().join(name).exists());
}

#[test]
fn names_that_are_no_text_are_kept() {
    let root =
        folder(Tar::default().header(&raw(b"a\xff\xfe", b'0')).file("line\nbreak", b"").file(" ", b""));
    assert!(root.path().join(OsStr::from_bytes(b"a\xff\xfe")).exists());
    assert!(root.path().join("line\nbreak").exists() && root.path().join(" ").exists());
}

#[test]
fn devices_and_pipes_are_made_with_their_modes() {
    let root = folder(
        Tar::default()
            .header(&Raw { device: (1, 3), mode: "0000666", uid: 7, ..raw("null", b'3') })
            .header(&Raw { device: (259, 70_000), ..raw("disk", b'4') })
            .header(&Raw { mode: "0000622", ..raw("pipe", b'6') }),
    );
    let null = fs::metadata(root.path().join("null")).unwrap();
    assert!(null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3));
    assert_eq!((null.mode() & 0o7777, null.uid(), null.mtime()), (0o666, 7, 1_000_000_000));
    assert_eq!(fs::metadata(root.path().join("disk")).unwrap().rdev(), rustix::fs::makedev(259, 70_000));
    assert!(fs::metadata(root.path().join("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn deletions_become_what_overlayfs_reads() {
    let root = folder(
        Tar::default()
            .dir("d/")
            .file("d/.wh.gone", b"")
            .file("o/.wh..wh..opq", b"")
            .file("o/new", b"x")
            .file(".wh..wh.plnk/1.2", b""),
    );
    assert!(is_whiteout(&root.path().join("d/gone")));
    assert_eq!(xattr(&root.path().join("o"), "trusted.overlay.opaque").unwrap(), b"y");
    assert!(root.path().join("o/new").exists());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "aufs's own files are left out");
}

#[test]
fn a_name_deleted_and_made_again_hides_only_what_is_below() {
    let before = folder(
        Tar::default().file(".wh.d", b"").dir("d/").file("d/x", b"").file(".wh.f", b"").file("f", b"x"),
    );
    let after = folder(
        Tar::default().dir("d/").file("d/x", b"").file(".wh.d", b"").file("f", b"x").file(".wh.f", b""),
    );
    let implied =
        folder(Tar::default().file(".wh.d", b"").file("d/x", b"").file(".wh.f", b"").file("f", b"x"));
    for root in [before, after, implied] {
        assert!(root.path().join("d/x").is_file());
        assert_eq!(xattr(&root.path().join("d"), "trusted.overlay.opaque").unwrap(), b"y");
        assert_eq!(fs::read(root.path().join("f")).unwrap(), b"x");
    }
}

#[test]
fn the_last_of_several_entries_with_one_name_wins() {
    let root = folder(
        Tar::default()
            .file("a", b"first")
            .file("a", b"2")
            .dir("b/")
            .file("b/x", b"")
            .file("b", b"file")
            .file("c", b"file")
            .dir("c/")
            .file("c/y", b"")
            .symlink("d", "a")
            .file("d", b"not through the link")
            .dir("e/")
            .file("e/kept", b"")
            .header(&Raw { mode: "0000700", ..raw("e/", b'5') }),
    );
    assert_eq!(fs::read(root.path().join("a")).unwrap(), b"2");
    assert_eq!(fs::read(root.path().join("b")).unwrap(), b"file");
    assert!(root.path().join("c/y").is_file());
    assert_eq!(fs::read(root.path().join("d")).unwrap(), b"not through the link");
    assert!(root.path().join("e/kept").exists());
    assert_eq!(fs::metadata(root.path().join("e")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn relative_links_within_the_layer_are_followed() {
    let root = folder(
        Tar::default()
            .dir("usr/lib/")
            .symlink("lib", "usr/lib")
            .file("lib/so", b"x")
            .hardlink("same", "lib/so"),
    );
    assert_eq!(fs::metadata(root.path().join("usr/lib/so")).unwrap().nlink(), 2);
}

#[test]
fn links_that_lead_nowhere_yet_are_followed_within_the_root_if_asked() {
    let options = UnpackOptions { parents: Parents::InRoot, ..UnpackOptions::default() };
    let root = TempDir::new().unwrap();
    let tar = Tar::default()
        .symlink("first", "second/x")
        .symlink("second", "/third/../fourth")
        .file("first/file", b"1")
        .symlink("out", "../../../outside")
        .file("out/file", b"2");
    unpack_into(root.path(), &tar.end(), &options).unwrap();
    assert_eq!(fs::read(root.path().join("fourth/x/file")).unwrap(), b"1");
    assert_eq!(fs::read(root.path().join("outside/file")).unwrap(), b"2");
    // As deep as can be named, through many links: too much.
    let deep = "/d".repeat(2000);
    let chain = (0..39).fold(Tar::default(), |tar, number| {
        let target = format!("l{}{deep}", number + 1);
        tar.pax(&[("linkpath", target.as_bytes())]).symlink(&format!("l{number}"), "")
    });
    let error = unpack_into(root.path(), &chain.file("l0/file", b"").end(), &options).unwrap_err();
    assert!(error.to_string().contains("a symbolic link on its way leads to nothing"), "{error}");
    let circle = Tar::default().symlink("a", "b/x").symlink("b", "a/x").file("a/file", b"");
    assert!(unpack_into(root.path(), &circle.end(), &options).is_err());
}

#[test]
fn the_roots_own_entry_sets_its_attributes() {
    let root =
        folder(Tar::default().header(&Raw { mode: "0000711", uid: 5, ..raw("./", b'5') }).file("./x", b""));
    let found = fs::metadata(root.path()).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid(), found.mtime()), (0o711, 5, 1_000_000_000));
}

#[test]
fn copying_into_a_container_can_set_the_owner_and_protect_kinds() {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("real/dir")).unwrap();
    std::os::unix::fs::symlink("/real", root.path().join("link")).unwrap();
    let options = UnpackOptions {
        owner: Some((42, 43)),
        no_overwrite_dir_non_dir: true,
        subdirectory: Some("/link".into()),
        ..UnpackOptions::default()
    };
    unpack_into(root.path(), &Tar::default().file("f", b"x").end(), &options).unwrap();
    let found = fs::metadata(root.path().join("real/f")).unwrap();
    assert_eq!((found.uid(), found.gid()), (42, 43));
    let error = unpack_into(root.path(), &Tar::default().file("dir", b"x").end(), &options).unwrap_err();
    assert!(error.to_string().contains("would replace a directory"), "{error}");
    let error = unpack_into(root.path(), &Tar::default().dir("f/").end(), &options).unwrap_err();
    assert!(error.to_string().contains("something else by a directory"), "{error}");
    let missing = UnpackOptions { subdirectory: Some("nowhere".into()), ..UnpackOptions::default() };
    let error = unpack_into(root.path(), &Tar::default().end(), &missing).unwrap_err();
    assert_eq!(error.to_string(), "open directory nowhere");
}

/// What GNU tar itself writes: every sparse format, and extended attributes.
#[test]
fn every_sparse_format_of_gnu_tar_unpacks_to_the_same_file() {
    let source = TempDir::new().unwrap();
    let path = source.path().join("sparse");
    let mut file = fs::File::create(&path).unwrap();
    let mut expected = vec![0; 3 << 20];
    for i in 0..60 {
        let at = i * 45_056;
        expected[at..at + 4096].fill(b'a' + u8::try_from(i % 26).unwrap());
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&expected[at..at + 4096]).unwrap();
    }
    file.set_len(3 << 20).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--sparse-version=0.0"],
        &["--sparse-version=0.1"],
        &["--sparse-version=1.0"],
    ] {
        let output = Command::new("tar")
            .args(["-cS", "-C"])
            .arg(source.path())
            .args(format)
            .arg("sparse")
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(output.stdout.len() < 1 << 20, "{format:?} is not sparse");
        let (root, result) = unpacked(&output.stdout, &overlay());
        assert_eq!(result.unwrap().bytes, 3 << 20, "{format:?}");
        assert!(fs::read(root.path().join("sparse")).unwrap() == expected, "{format:?}");
        assert!(fs::metadata(root.path().join("sparse")).unwrap().blocks() < 2048, "{format:?} was blown up");
    }
}

#[test]
fn a_tree_packed_by_gnu_tar_unpacks_as_gnu_tar_does() {
    let source = TempDir::new().unwrap();
    fs::create_dir_all(source.path().join("a/b")).unwrap();
    fs::write(source.path().join("a/b/file"), "x".repeat(100_000)).unwrap();
    fs::hard_link(source.path().join("a/b/file"), source.path().join("a/link")).unwrap();
    std::os::unix::fs::symlink("b/file", source.path().join("a/sym")).unwrap();
    fs::write(source.path().join("a").join("n".repeat(150)), "long").unwrap();
    rustix::fs::setxattr(source.path().join("a/b"), "user.x", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    for format in ["gnu", "pax", "posix", "oldgnu"] {
        let mut command = Command::new("tar");
        command.arg(format!("--format={format}")).args(if format == "pax" { &["--xattrs"][..] } else { &[] });
        let output = command.args(["-c", "-C"]).arg(source.path()).arg(".").output().unwrap();
        assert!(output.status.success());
        let (ours, result) = unpacked(&output.stdout, &overlay());
        result.unwrap();
        let theirs = TempDir::new().unwrap();
        let mut tar =
            Command::new("tar").args(["-x", "-C"]).arg(theirs.path()).stdin(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&output.stdout).unwrap();
        assert!(tar.wait().unwrap().success());
        assert_eq!(listing(ours.path()), listing(theirs.path()), "{format}");
    }
}

fn listing(root: &Path) -> String {
    let format = "%P %y %m %U %G %s %n %l %T@\\n";
    let output = Command::new("find").arg(root).args(["-printf", format]).output().unwrap();
    let mut lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    // A directory's size is the file system's business, and GNU's older formats have whole seconds.
    lines.iter_mut().for_each(|line| {
        let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if fields.get(1).is_some_and(|kind| kind == "d") {
            fields[5] = String::new();
        }
        *line = fields.join(" ");
    });
    lines.sort();
    lines.join("\n")
}

#[test]
fn an_entry_without_a_name_is_left_out_but_of_a_layer() {
    let tar = Tar::default().file("", b"x").file("a", b"there").end();
    assert!(is_header(&tar[..512]) && !is_header(&[0; 512]));
    let (folder, result) = unpacked(&tar, &UnpackOptions::default());
    result.unwrap();
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"there");
    let (_folder, refused) = unpacked(&tar, &overlay());
    assert!(refused.unwrap_err().to_string().contains("has no name"));
}
