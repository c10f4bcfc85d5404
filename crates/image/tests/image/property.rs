//! Properties over all archives.

use std::{collections::BTreeMap, fs};

use proptest::prelude::*;

use crate::support::{Tar, overlay, unpacked};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn files_unpack_to_what_was_packed(files in prop::collection::btree_map("[a-z]{1,3}(/[A-Z]{1,3}){0,2}", prop::collection::vec(any::<u8>(), 0..3000), 0..12)) {
        // A name that is also a directory of another one would be replaced by it.
        let files: BTreeMap<_, _> = files.iter()
            .filter(|(name, _)| !files.keys().any(|other| other.starts_with(&format!("{name}/"))))
            .collect();
        let tar = files.iter().fold(Tar::default(), |tar, (name, content)| tar.file(name, content)).end();
        let (root, result) = unpacked(&tar, &overlay());
        prop_assert_eq!(result.unwrap().entries, files.len() as u64);
        for (name, content) in files {
            prop_assert_eq!(&fs::read(root.path().join(name)).unwrap(), content);
        }
    }

    #[test]
    fn damaged_archives_end_in_an_error_or_in_the_folder(at in 0_usize..6000, byte in any::<u8>(), cut in 0_usize..6000) {
        let mut tar = Tar::default().dir("d/").file("d/a", &[1; 700]).symlink("l", "d").hardlink("h", "d/a")
            .pax(&[("path", b"long")]).file("x", b"y").file("d/.wh.gone", b"").end();
        let length = tar.len();
        tar[at % length] = byte;
        tar.truncate(length - cut % length);
        let (_, result) = unpacked(&tar, &overlay());
        if let Err(error) = result {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
