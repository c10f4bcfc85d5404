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
}
