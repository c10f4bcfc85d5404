//! A table of hostile tars: each gets an error that says why, and nothing outside the folder changes.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use minke_image::archive::{AbsoluteNames, Limits, Parents, UnpackOptions};
use rstest::rstest;
use tempfile::TempDir;

use crate::support::{Raw, Tar, chain, overlay, raw, unpack_into, xattr};

const CANARY: &str = "canary: nobody may touch this";

/// A folder to unpack into, beside a canary that `../canary` and an absolute link would reach.
pub(crate) struct Trap {
    folder: TempDir,
    /// When anything at all about the neighbours was last changed.
    untouched: Vec<(i64, i64)>,
    /// Mode and owner of what is above.
    above: (u32, u32, u32),
}

/// The folder's neighbours.
const NEIGHBOURS: [&str; 3] = ["canary", "outside", "outside/canary"];

impl Trap {
    pub(crate) fn new() -> Self {
        Self::within(TempDir::new().unwrap())
    }

    pub(crate) fn within(folder: TempDir) -> Self {
        fs::create_dir(folder.path().join("root")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        for canary in ["canary", "outside/canary"] {
            fs::write(folder.path().join(canary), CANARY).unwrap();
        }
        let (untouched, above) = (changes(&folder), rights(&folder));
        Self { folder, untouched, above }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Removes what was unpacked.
    pub(crate) fn empty(&self) {
        fs::remove_dir_all(self.root()).unwrap();
        fs::create_dir(self.root()).unwrap();
    }

    fn outside(&self) -> String {
        self.folder.path().join("outside").to_str().unwrap().to_owned()
    }

    fn refusal(&self, tar: &[u8], options: &UnpackOptions) -> String {
        let result = unpack_into(&self.folder.path().join("root"), tar, options);
        self.check();
        chain(&result.expect_err("a hostile archive was unpacked"))
    }

    pub(crate) fn check(&self) {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["canary", "outside", "root"], "something was made outside");
        assert_eq!(
            fs::read_dir(self.folder.path().join("outside")).unwrap().count(),
            1,
            "something was made outside"
        );
        for canary in ["canary", "outside/canary"] {
            let path = self.folder.path().join(canary);
            assert_eq!(fs::read_to_string(&path).unwrap(), CANARY, "{canary} was changed");
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
                0o644,
                "{canary}'s mode was changed"
            );
            assert_eq!(fs::metadata(&path).unwrap().nlink(), 1, "{canary} was linked");
        }
        assert_eq!(rights(&self.folder), self.above, "the folder above was changed");
        assert_eq!(changes(&self.folder), self.untouched, "something about {NEIGHBOURS:?} was changed");
    }
}

fn rights(folder: &TempDir) -> (u32, u32, u32) {
    let found = fs::metadata(folder.path()).unwrap();
    (found.mode(), found.uid(), found.gid())
}

fn changes(folder: &TempDir) -> Vec<(i64, i64)> {
    let changed = |name: &&str| {
        let found = fs::symlink_metadata(folder.path().join(name)).unwrap();
        (found.ctime(), found.ctime_nsec())
    };
    NEIGHBOURS.iter().map(changed).collect()
}

#[rstest]
#[case::absolute(Tar::default().file("/etc/passwd", b"x"), "absolute names are not allowed")]
#[case::climbing(Tar::default().file("../canary", b"x"), "names with \"..\" are not allowed out of the root")]
#[case::climbing_within(Tar::default().file("a/../../canary", b"x"), "names with \"..\" are not allowed out of the root")]
#[case::climbing_directory(Tar::default().dir("a/../.."), "names with \"..\" are not allowed out of the root")]
#[case::nameless(Tar::default().file("", b"x"), "has no name")]
#[case::relative_link(Tar::default().symlink("a", "..").file("a/canary", b"x"), "leads out of the root")]
#[case::deep_link(Tar::default().dir("d").symlink("d/a", "../../outside").file("d/a/canary", b"x"), "leads out of the root")]
#[case::link_chain(Tar::default().symlink("a", "b").symlink("b", "..").file("a/canary", b"x"), "leads out of the root")]
#[case::link_loop(Tar::default().symlink("a", "b").symlink("b", "a").file("a/x", b"x"), "too many symbolic links")]
#[case::link_to_nothing(Tar::default().symlink("a", "b").file("a/x", b"x"), "leads to nothing")]
#[case::whiteout_through_link(Tar::default().symlink("a", "..").file("a/.wh.canary", b""), "leads out of the root")]
#[case::opaque_through_link(Tar::default().symlink("a", "../outside").file("a/.wh..wh..opq", b""), "leads out of the root")]
#[case::mkdir_through_link(Tar::default().symlink("a", "../outside").dir("a/new"), "leads out of the root")]
#[case::device_through_link(
    Tar::default().symlink("a", "../outside").header(&Raw { device: (1, 3), ..raw("a/null", b'3') }), "leads out of the root")]
#[case::parent_is_a_file(Tar::default().file("a", b"").file("a/b", b""), "not a directory")]
#[case::hardlink_climbing(Tar::default().hardlink("a", "../canary"), "hard link: names with \"..\"")]
#[case::hardlink_absolute(Tar::default().hardlink("a", "/etc/passwd"), "hard link: absolute names")]
#[case::hardlink_through_link(Tar::default().symlink("l", "..").hardlink("a", "l/canary"), "leads out of the root")]
#[case::hardlink_missing(Tar::default().hardlink("a", "nothing"), "target of the hard link is not in the archive")]
#[case::hardlink_missing_parent(Tar::default().hardlink("a", "no/thing"), "target of the hard link is not in the archive")]
#[case::hardlink_itself(Tar::default().file("a", b"").hardlink("a", "./a"), "a hard link to itself")]
#[case::hardlink_root(Tar::default().hardlink("a", "."), "a hard link to itself or to the root")]
#[case::hardlink_directory(Tar::default().dir("d").hardlink("a", "d"), "target of the hard link is not a file")]
#[case::hardlink_empty(Tar::default().hardlink("a", ""), "has no name")]
#[case::symlink_empty(Tar::default().symlink("a", ""), "empty")]
#[case::root_as_file(Tar::default().file("./", b"").symlink(".", "/etc"), "the root must be a directory")]
#[case::forged_whiteout(Tar::default().header(&raw("a", b'3')), "character device 0:0 would hide a file")]
#[case::linked_whiteout(Tar::default().file(".wh.a", b"").hardlink("b", "a"), "target of the hard link is not a file")]
#[case::forged_opaque(Tar::default().pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")]).dir("a"), "reserved for overlayfs")]
#[case::forged_redirect(Tar::default().pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/x")]).dir("a"), "reserved for overlayfs")]
#[case::forged_user(Tar::default().pax(&[("SCHILY.xattr.user.overlay.opaque", b"y")]).dir("a"), "reserved for overlayfs")]
#[case::whiteout_of_nothing(Tar::default().file("d/.wh.", b""), "deletes no name")]
#[case::whiteout_of_parent(Tar::default().file("d/.wh...", b""), "deletes no name")]
#[case::below_a_whiteout(Tar::default().file(".wh.d/x", b""), "below a deleted name")]
#[case::nul_in_name(Tar::default().pax(&[("path", b"a\0b")]).file("x", b""), "NUL")]
#[case::long_component(Tar::default().pax(&[("path", &[b'a'; 256])]).file("x", b""), "more than 255 bytes")]
#[case::long_path(Tar::default().pax(&[("path", &b"ab/".repeat(1400))]).file("x", b""), "more than 4095")]
#[case::deep_path(Tar::default().pax(&[("path", &b"a/".repeat(513))]).file("x", b""), "513 components, more than 512")]
#[case::huge_pax(Tar::default().header(&Raw { size: 2 << 20, ..raw("x", b'x') }), "an extended header of 2097152 bytes")]
#[case::huge_long_name(Tar::default().header(&Raw { size: 1 << 33, ..raw("x", b'L') }), "an extended header of 8589934592 bytes")]
#[case::broken_pax(Tar::default().header(&Raw { size: 4, ..raw("x", b'x') }).data(b"9 a="), "malformed PAX header")]
#[case::endless_global_headers(Tar::default().header(&Raw { size: 1 << 20, ..raw("g", b'g') }), "bytes before the entry does")]
#[case::lying_size(Tar::default().header(&Raw { size: 10_000, ..raw("a", b'0') }).data(b"short"), "the archive ends 8464 bytes before it does")]
#[case::lying_pax_size(Tar::default().pax(&[("size", b"99999999")]).file("a", b"short"), "the archive ends")]
#[case::negative_pax_size(Tar::default().pax(&[("size", b"-1")]).file("a", b""), "the size is no number")]
#[case::enormous_pax_size(Tar::default().pax(&[("size", b"18446744073709551615")]).file("a", b""), "the size is no number")]
#[case::bomb(Tar::default().header(&Raw { size: 7 << 30, ..raw("a", b'0') }), "more than 1073741824 bytes in one archive")]
#[case::sparse_bomb(
    Tar::default().pax(&[("GNU.sparse.map", b"0,5"), ("GNU.sparse.size", b"9000000000000000000")]).file("a", b"short"),
    "more than 1073741824 bytes in one archive")]
#[case::sparse_overlap(
    Tar::default().pax(&[("GNU.sparse.map", b"0,3,1,2"), ("GNU.sparse.size", b"9")]).file("a", b"short"), "contradicts its size")]
#[case::sparse_odd(Tar::default().pax(&[("GNU.sparse.map", b"0,3,1"), ("GNU.sparse.size", b"9")]).file("a", b"short"), "malformed map")]
#[case::sparse_count(
    Tar::default().pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")])
        .file("a", b"18446744073709551615\n"), "the map of a sparse file is too long")]
#[case::owner_minus_one(Tar::default().pax(&[("uid", b"4294967295")]).file("a", b""), "user id is out of range")]
#[case::unknown_type(Tar::default().header(&raw("a", b'Z')), "unknown entry type 'Z'")]
#[case::continued_volume(Tar::default().header(&raw("a", b'M')), "continued from another volume")]
#[case::not_a_tar(Tar(vec![b'x'; 2048]), "checksum is wrong")]
fn hostile_archives_are_refused_and_touch_nothing_outside(#[case] tar: Tar, #[case] expected: &str) {
    let options = UnpackOptions { limits: Limits { bytes: 1 << 30, ..Limits::default() }, ..overlay() };
    let refusal = Trap::new().refusal(&tar.end(), &options);
    assert!(refusal.contains(expected), "{refusal}");
}

#[test]
fn an_absolute_link_is_refused_for_a_layer_and_resolved_inside_for_a_container() {
    let trap = Trap::new();
    let tar = Tar::default().symlink("a", &trap.outside()).file("a/canary", b"x").end();
    assert!(trap.refusal(&tar, &overlay()).contains("leads out of the root"));

    let trap = Trap::new();
    let inside = format!("root{}", trap.outside());
    let tar = Tar::default().symlink("a", &trap.outside()).end();
    let root = trap.folder.path().join("root");
    let options = UnpackOptions { parents: Parents::InRoot, ..UnpackOptions::default() };
    unpack_into(&root, &tar, &options).unwrap();
    fs::create_dir_all(trap.folder.path().join(&inside)).unwrap();
    unpack_into(&root, &Tar::default().file("a/canary", b"inside").end(), &options).unwrap();
    trap.check();
    assert_eq!(fs::read(trap.folder.path().join(inside).join("canary")).unwrap(), b"inside");
}

#[test]
fn a_link_that_was_there_before_does_not_lead_out_either() {
    let trap = Trap::new();
    std::os::unix::fs::symlink(trap.outside(), trap.folder.path().join("root/a")).unwrap();
    assert!(
        trap.refusal(&Tar::default().file("a/canary", b"x").end(), &overlay())
            .contains("leads out of the root")
    );
    // As the last component it is replaced, never followed.
    unpack_into(&trap.folder.path().join("root"), &Tar::default().file("a", b"mine").end(), &overlay())
        .unwrap();
    trap.check();
}

#[test]
fn an_attribute_that_no_kernel_has_is_the_archives_fault() {
    let key = format!("SCHILY.xattr.user.{}", "k".repeat(300));
    for key in ["SCHILY.xattr.security.capability", &key] {
        let tar = Tar::default().pax(&[(key, b"x")]).file("a", b"").end();
        let error = unpack_into(&Trap::new().root(), &tar, &overlay()).unwrap_err();
        assert!(error.is_archives_fault(), "{}", chain(&error));
    }
}

#[test]
fn a_kept_directory_is_forgotten_when_a_link_takes_its_place() {
    let trap = Trap::new();
    let tar =
        Tar::default().dir("d").file("d/x", b"1").symlink("d", "../outside").file("d/canary", b"x").end();
    assert!(trap.refusal(&tar, &overlay()).contains("leads out of the root"));
}

#[test]
fn removing_a_directory_does_not_follow_links_in_it() {
    let trap = Trap::new();
    let tar = Tar::default().dir("d").symlink("d/out", &trap.outside()).file("d", b"now a file").end();
    unpack_into(&trap.folder.path().join("root"), &tar, &overlay()).unwrap();
    trap.check();
    assert_eq!(fs::read(trap.folder.path().join("root/d")).unwrap(), b"now a file");
}

#[test]
fn attributes_of_a_link_never_reach_its_target() {
    let trap = Trap::new();
    let canary = trap.folder.path().join("canary");
    let tar = Tar::default().pax(&[("SCHILY.xattr.trusted.mark", b"1")]).header(&Raw {
        link: canary.to_str().unwrap().as_bytes(),
        mode: "0006777",
        uid: 4242,
        ..raw("l", b'2')
    });
    unpack_into(&trap.folder.path().join("root"), &tar.end(), &overlay()).unwrap();
    trap.check();
    assert_eq!(fs::metadata(&canary).unwrap().uid(), 0);
    assert_eq!(xattr(&canary, "trusted.mark"), None);
}

#[test]
fn absolute_names_may_be_taken_as_below_the_root() {
    let trap = Trap::new();
    let options = UnpackOptions { absolute_names: AbsoluteNames::UnderRoot, ..overlay() };
    let tar = Tar::default().file("/ko-app/app", b"x").hardlink("/link", "/ko-app/app").end();
    unpack_into(&trap.folder.path().join("root"), &tar, &options).unwrap();
    assert_eq!(fs::read(trap.folder.path().join("root/link")).unwrap(), b"x");
    assert!(trap.refusal(&Tar::default().file("/../canary", b"x").end(), &options).contains("\"..\""));
}

#[test]
fn a_cut_header_is_no_end() {
    assert!(Trap::new().refusal(&[0x55; 100], &overlay()).contains("ends within a header"));
    let whole = Tar::default().pax(&[("path", b"a")]).0;
    assert!(Trap::new().refusal(&whole, &overlay()).contains("ends after an extended header"));
    let lone = [&Tar::default().0[..], &[0; 512], &Tar::default().file("a", b"").0].concat();
    assert!(Trap::new().refusal(&lone, &overlay()).contains("one empty block"));
}

#[test]
fn too_many_entries_are_a_bomb() {
    let options = UnpackOptions { limits: Limits { entries: 10, ..Limits::default() }, ..overlay() };
    let tar = (0..11).fold(Tar::default(), |tar, i| tar.file(&format!("f{i}"), b"")).end();
    assert!(Trap::new().refusal(&tar, &options).contains("entry \"f10\": more than 10 entries"));
}

#[test]
fn bytes_after_the_end_are_bounded_too() {
    let options = UnpackOptions { limits: Limits { bytes: 0, ..Limits::default() }, ..overlay() };
    let mut tar = Tar::default().end();
    tar.resize(70 << 20, 0);
    assert!(Trap::new().refusal(&tar, &options).contains("in one archive"));
}

#[test]
fn hostile_names_are_printed_escaped_and_short() {
    let refusal = Trap::new().refusal(&Tar::default().file("../\x1b[31m\nfake line", b"").end(), &overlay());
    assert!(refusal.contains(r"\u{1b}[31m\nfake line") && !refusal.contains('\n'), "{refusal}");
}
