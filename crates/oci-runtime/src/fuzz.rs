//! Fuzzing of everything that reads a configuration or a state file and touches nothing else. The harness is the
//! tests' own ([`minke_testkit::fuzz`]): the tests here try a fixed number of inputs, `make fuzz` tries them without end.

mod targets;

use self::targets::SUITE;

#[test]
fn no_configuration_breaks_what_reads_it() {
    SUITE.run("config");
}

#[test]
fn no_process_file_breaks_what_reads_it() {
    SUITE.run("process");
}

#[test]
fn no_resources_file_breaks_what_reads_it() {
    SUITE.run("resources");
}

#[test]
fn no_state_file_breaks_what_reads_it() {
    SUITE.run("state");
}

#[test]
fn every_target_has_inputs_to_begin_with_that_it_takes() {
    SUITE.expect_corpus_is_taken();
}
