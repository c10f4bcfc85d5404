//! Valid archives with a few fields changed and their checksums mended, so that the change reaches what lies
//! behind the checksum: whatever they become, nothing panics, nothing outside the folder changes, and a refused
//! archive leaves nothing.

use std::fs;

use minke_image::archive::{AbsoluteNames, Parents, UnpackOptions, Whiteouts};
use proptest::prelude::*;

use crate::{
    hostile::Trap,
    support::{Raw, Store, Tar, docker_archive, gzip, image, layer, oci_archive, plain, raw, unpack_into},
};

/// One change of an archive.
#[derive(Debug, Clone)]
enum Change {
    /// A header field of some block takes these bytes.
    Field { block: usize, field: usize, value: Vec<u8> },
    /// Some byte, without mending anything.
    Byte { at: usize, value: u8 },
    /// A block moves or comes twice.
    Copy { from: usize, to: usize },
    /// The end is missing.
    Cut { at: usize },
}

/// Offset and length of a header's fields: name, mode, uid, size, time, type, link, magic, devices, prefix, GNU's
/// sparse map.
const FIELDS: [(usize, usize); 12] = [
    (0, 100),
    (100, 8),
    (108, 8),
    (124, 12),
    (136, 12),
    (156, 1),
    (157, 100),
    (257, 8),
    (329, 8),
    (337, 8),
    (345, 155),
    (386, 97),
];

fn value() -> impl Strategy<Value = Vec<u8>> {
    let known: [&[u8]; 22] = [
        b"",
        b"..",
        b"../canary",
        b"/",
        b"l",
        b"l/canary",
        b"d",
        b"d/a",
        b"d/.wh.a",
        b".wh..",
        b".wh...",
        b".wh..wh..opq",
        b"0",
        b"1",
        b"2",
        b"L",
        b"x",
        b"S",
        b"77777777777",
        b"-1",
        b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"GNU.sparse.map",
    ];
    prop_oneof![
        4 => prop::sample::select(known.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..101),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (any::<usize>(), 0..FIELDS.len(), value())
            .prop_map(|(block, field, value)| Change::Field { block, field, value }),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Change::Byte { at, value }),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Change::Copy { from, to }),
        1 => any::<usize>().prop_map(|at| Change::Cut { at }),
    ]
}

fn changed(mut tar: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let blocks = tar.len() / 512;
        if blocks == 0 {
            return tar;
        }
        match change {
            Change::Field { block, field, value } => {
                let header = &mut tar[block % blocks * 512..][..512];
                let (at, length) = FIELDS[*field];
                header[at..at + length].fill(0);
                let length = length.min(value.len());
                header[at..at + length].copy_from_slice(&value[..length]);
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
                header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            }
            Change::Byte { at, value } => {
                let at = at % tar.len();
                tar[at] = *value;
            }
            Change::Copy { from, to } => {
                let block = tar[from % blocks * 512..][..512].to_vec();
                tar[to % blocks * 512..][..512].copy_from_slice(&block);
            }
            Change::Cut { at } => tar.truncate(at % tar.len()),
        }
    }
    tar
}

/// Something of everything, with a link that leads to the folder's neighbour in waiting.
fn rich() -> Vec<u8> {
    Tar::default()
        .dir("d/")
        .file("d/a", &[1; 700])
        .symlink("l", "d")
        .symlink("out", "../outside")
        .hardlink("h", "d/a")
        .pax(&[("path", b"d/long"), ("size", b"3"), ("SCHILY.xattr.user.k", b"v")])
        .file("x", b"abc")
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1000")])
        .file("s", b"1\n0\n3\n")
        .header(&Raw { device: (1, 3), ..raw("null", b'3') })
        .header(&raw("pipe", b'6'))
        .file("d/.wh.gone", b"")
        .file("d/.wh..wh..opq", b"")
        .end()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_layer_stays_within_its_folder(
        changes in prop::collection::vec(change(), 1..6),
        in_root: bool,
        absolute: bool,
        whiteouts in prop::sample::select(vec![Whiteouts::Overlay, Whiteouts::default()]),
    ) {
        let options = UnpackOptions {
            whiteouts,
            absolute_names: if absolute { AbsoluteNames::UnderRoot } else { AbsoluteNames::Refuse },
            parents: if in_root { Parents::InRoot } else { Parents::Beneath },
            ..UnpackOptions::default()
        };
        let trap = Trap::new();
        let result = unpack_into(&trap.root(), &changed(rich(), &changes), &options);
        trap.check();
        if let Err(error) = result {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_image_archive_is_loaded_or_leaves_nothing(
        changes in prop::collection::vec(change(), 1..4),
        oci: bool,
        compressed: bool,
    ) {
        let images = [image("a:1", &[layer("base", "1"), rich()], if compressed { gzip } else { plain })];
        let archive = if oci { oci_archive(&images) } else { docker_archive(&images, false) };
        let store = Store::new();
        match store.load(&changed(archive, &changes)) {
            Ok(loaded) => {
                for image in loaded {
                    store.store.find(&image.id.to_string()).unwrap();
                }
            }
            Err(error) => {
                prop_assert!(error.is_callers_fault(), "{error}");
                prop_assert_eq!(store.on_disk(), (vec![], vec![]));
                prop_assert!(store.store.list().unwrap().is_empty());
            }
        }
        let left = fs::read_dir(store.folder.path()).unwrap().count();
        prop_assert!(left <= 3, "{left} entries beside the database, the content and the layers");
    }

    #[test]
    fn a_changed_manifest_is_loaded_or_leaves_nothing(
        at in any::<usize>(),
        text in "[\\[\\]{}\":,a-z0-9/.\\\\-]{0,12}",
    ) {
        let archive = docker_archive(&[image("a:1", &[layer("base", "1")], plain)], true);
        // The manifest comes first: its text is right behind its header.
        let end = 512 + archive[512..].iter().position(|byte| *byte == 0).unwrap();
        let mut manifest = archive[512..end].to_vec();
        let at = at % manifest.len();
        let until = (at + text.len()).min(manifest.len());
        manifest.splice(at..until, text.bytes());
        let mut changed = Tar::default().file("manifest.json", &manifest).end();
        changed.truncate(changed.len() - 1024);
        changed.extend_from_slice(&archive[end.next_multiple_of(512)..]);
        let store = Store::new();
        if let Err(error) = store.load(&changed) {
            prop_assert!(error.is_callers_fault(), "{error}");
            prop_assert_eq!(store.on_disk(), (vec![], vec![]));
        }
    }
}
