//! Fuzzing of what a registry or an archive brings: manifests, configurations, layers, whole archives.

mod archives;
mod documents;

use minke_testkit::fuzz::{Input, Suite, Target};

const SUITE: Suite = Suite { corpus: concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"), targets: TARGETS };

const TARGETS: &[Target] = &[
    Target { name: "manifest", input: Input::Json, tries: 2_000, begin: || Box::new(documents::manifest) },
    Target { name: "image-config", input: Input::Json, tries: 5_000, begin: || Box::new(documents::config) },
    Target { name: "layer", input: Input::Tar, tries: 500, begin: archives::layer },
    Target { name: "archive", input: Input::Tar, tries: 300, begin: archives::archive },
];

#[test]
fn no_manifest_breaks_what_reads_it() {
    SUITE.run("manifest");
}

#[test]
fn no_configuration_breaks_what_reads_it() {
    SUITE.run("image-config");
}

#[test]
fn no_layer_leaves_its_folder() {
    SUITE.run("layer");
}

#[test]
fn no_image_archive_is_loaded_by_half() {
    SUITE.run("archive");
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    SUITE.expect_corpus_is_taken();
}

/// How many there are, as an outcome says it: of what differs in a number alone, one is enough.
fn quantity(count: usize) -> &'static str {
    match count {
        0 => "no",
        1 => "one",
        2..=7 => "several",
        _ => "many",
    }
}
